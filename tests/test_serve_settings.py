"""Settings of the service: where they come from, which one wins, the table of them all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from lookalike import cli
from lookalike.errors import BadSetting
from lookalike.serve.settings import Settings

DOCS = Path(__file__).parents[1] / "docs" / "serving.md"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without a `.env` yet."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_option_wins_over_the_environment_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text("LOOKALIKE_PORT=1\nLOOKALIKE_HOST=::1\nLOOKALIKE_RATE=3\n")
    monkeypatch.setenv("LOOKALIKE_PORT", "2")
    monkeypatch.setenv("LOOKALIKE_RATE", "4")
    settings = Settings.read(port=None, rate=5)
    assert (settings.host, settings.port, settings.rate) == ("::1", 2, 5)


def test_several_values_stand_with_commas_or_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_ALLOW_HOST", "a.example, b.example")
    monkeypatch.setenv("LOOKALIKE_ROOT", '["/srv/a,b", "/srv/c"]')
    settings = Settings.read()
    assert settings.allow_host == ("a.example", "b.example")
    assert settings.root == (Path("/srv/a,b"), Path("/srv/c"))


def test_what_is_not_ours_in_the_file_is_left_alone(folder: Path) -> None:
    (folder / ".env").write_text("DATABASE_URL=x\nLOOKALIKE_PORT=1\n")
    assert Settings.read().port == 1


def test_a_misspelt_setting_in_the_file_is_named(folder: Path) -> None:
    (folder / ".env").write_text("LOOKALIKE_PROT=1\n")
    with pytest.raises(BadSetting, match="LOOKALIKE_PROT is no setting"):
        Settings.read()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "many", "--port or LOOKALIKE_PORT: .*integer"),
        ("PORT", "65536", "65535"),
        ("MAX_UPLOAD_MB", "0", "--max-upload-mb or LOOKALIKE_MAX_UPLOAD_MB"),
        ("API_KEY", "secret", "16 characters"),
        ("ALLOW_ORIGIN", "*", "names of sites"),
        ("ROOT", "[1", "LOOKALIKE_ROOT"),
    ],
)
def test_a_value_that_cannot_be_is_told_by_the_names_of_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"LOOKALIKE_{name}", value)
    with pytest.raises(BadSetting, match=words) as raised:
        Settings.read()
    assert "secret" not in str(raised.value)


def test_no_auth_beside_a_key_is_a_contradiction() -> None:
    with pytest.raises(BadSetting, match="leave one"):
        Settings.read(no_auth=True, api_key="x" * 16)


def test_the_documents_have_a_row_for_every_setting_with_its_default() -> None:
    rows = re.findall(
        r"^\| `--([a-z-]+)` \| `LOOKALIKE_([A-Z_]+)` \| (.*?) \| (.*) \|$",
        DOCS.read_text("utf-8"),
        re.M,
    )
    assert [row[1].lower() for row in rows] == list(Settings.model_fields)
    for option, variable, default, said in rows:
        field = Settings.model_fields[variable.lower()]
        assert option == variable.lower().replace("_", "-")
        shown = "" if field.default in (None, (), False) else f"`{field.default}`"
        assert default == shown, variable
        assert said == field.description


def test_every_setting_is_an_option_of_the_command_line() -> None:
    serve = get_command(cli.app).commands["serve"]  # type: ignore[attr-defined]
    assert {each.name for each in serve.params} == set(Settings.model_fields)

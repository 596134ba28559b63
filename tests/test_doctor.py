from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pytest
from samples import lookalike, write

import lookalike as api
from lookalike.doctor import examine
from lookalike.types import Finding


@pytest.fixture
def made(tmp_path: Path) -> Path:
    for number in range(30):
        write(tmp_path / "photos" / f"{number}.png", number)
    with api.open(tmp_path / "c") as collection:
        collection.add(tmp_path / "photos")
    return tmp_path / "c"


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_this_machine_is_sound_and_described() -> None:
    findings = by_name(examine(None, "auto"))
    assert all(finding.sound for finding in findings.values())
    assert "cores" in findings["processor"].text
    assert f"numpy {np.__version__}" in findings["libraries"].text
    for library in ("onnxruntime", "pillow-heif", "uvicorn", "sqlite"):
        assert f"{library} " in findings["libraries"].text
    assert "threads" in findings["faiss"].text
    assert "efficientnet-lite0-int8" in findings["model"].text
    assert findings["device"].text.startswith("cpu: ")


def test_a_sound_collection_finds_its_pictures_again(made: Path) -> None:
    findings = by_name(examine(made, "auto"))
    assert findings["collection"].text.startswith("30 pictures")
    assert findings["catalogue"].text == "ok"
    assert "100.0% of 30" in findings["default index"].text
    assert "1.000" in findings["default index"].text


def test_the_model_is_that_of_the_collection(tmp_path: Path) -> None:
    api.open(tmp_path / "fp16", recipe="default-fp16").close()
    assert "efficientnet-lite0-fp16" in by_name(examine(tmp_path / "fp16", "auto"))["model"].text


def test_a_collection_of_vectors_needs_no_model(tmp_path: Path) -> None:
    recipe = tmp_path / "ready.toml"
    recipe.write_text(
        '[embeddings.default.extractor]\nname = "vectors"\ndim = 3\nmade_by = "hand"\n'
        '[embeddings.default.index]\nname = "flat"\n'
    )
    api.open(tmp_path / "c", recipe=str(recipe)).close()
    findings = by_name(examine(tmp_path / "c", "auto"))
    assert all(finding.sound for finding in findings.values())
    assert "made elsewhere" in findings["model"].text


def test_a_device_that_fails_keeps_nothing_else_from_a_look(made: Path) -> None:
    findings = by_name(examine(made, "cuda"))
    assert not findings["model"].sound
    assert findings["catalogue"].text == "ok"
    assert findings["default index"].sound


@pytest.mark.parametrize(
    ("installed", "sound"),
    [
        ({"onnxruntime"}, True),
        ({"onnxruntime-gpu"}, True),
        ({"onnxruntime", "onnxruntime-gpu"}, False),
    ],
)
def test_either_onnx_runtime_will_do_but_not_both(
    installed: set[str], sound: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name.startswith("onnxruntime") and name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return "9.9"

    monkeypatch.setattr(importlib.metadata, "version", version)
    findings = by_name(examine(None, "auto"))
    assert all(f"{name} 9.9" in findings["libraries"].text for name in installed)
    assert "not installed" not in findings["libraries"].text
    assert all(finding.sound for finding in findings.values()) == sound
    assert ("onnxruntime" in findings) != sound


def test_what_cannot_be_looked_at_is_a_finding_not_an_error(tmp_path: Path) -> None:
    findings = by_name(examine(tmp_path / "nope", "cuda"))
    assert not findings["collection"].sound
    assert "is not a collection" in findings["collection"].text
    assert not findings["model"].sound or findings["device"].text.startswith("cuda")


def test_an_unknown_device_is_a_finding() -> None:
    findings = by_name(examine(None, "gpu"))
    assert not findings["model"].sound
    assert "there is no device named 'gpu'" in findings["model"].text


def test_the_command_prints_it_and_says_by_its_exit_code_whether_all_is_well(made: Path) -> None:
    done = lookalike("doctor", "-c", made)
    assert (done.returncode, done.stderr) == (0, "")
    assert "catalogue" in done.stdout
    done = lookalike("doctor", "-c", made / "nope", "--json")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert said["collection"]["sound"] is False
    assert said["model"]["sound"] is True

"""Two pictures compared with each other: `lookalike match`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from samples import PHOTOGRAPHS, called

COFFEE = PHOTOGRAPHS / "coffee.png"
ROCKET = PHOTOGRAPHS / "rocket.jpg"


@pytest.fixture
def matched(tmp_path: Path) -> Any:
    """Runs `match` without a collection: its exit code and what it prints."""

    def run(*arguments: str | Path) -> tuple[int, Any]:
        done = called("match", *arguments, "--json", env={"XDG_DATA_HOME": str(tmp_path)})
        return done.returncode, json.loads(done.stdout)

    return run


def plain(path: Path, colour: int, size: tuple[int, int] = (90, 60)) -> Path:
    Image.new("L", size, colour).save(path)
    return path


def test_the_exit_code_says_whether_something_in_common_was_found(matched: Any) -> None:
    code, said = matched(COFFEE, COFFEE)
    assert (code, said["kinship"]) == (0, "copy")
    code, said = matched(COFFEE, ROCKET)
    assert (code, said["kinship"], said["evidence"]) == (1, None, None)


def test_what_was_not_looked_for_is_not_said_to_be_missing(matched: Any, tmp_path: Path) -> None:
    code, said = matched(COFFEE, COFFEE, "--compare", "ssim", "-o", tmp_path / "drawn.png")
    assert (code, said["scores"], said["kinship"]) == (0, {"ssim": 1.0}, None)


def test_the_same_pixels_are_a_copy_though_nothing_is_in_them(matched: Any, tmp_path: Path) -> None:
    grey = plain(tmp_path / "grey.png", 128)
    again = plain(tmp_path / "again.bmp", 128)
    code, said = matched(grey, again)
    assert (code, said["kinship"], said["scores"]) == (0, "copy", {"verified": 0.0})
    for other in (
        plain(tmp_path / "white.png", 255),
        plain(tmp_path / "wide.png", 128, (120, 60)),
    ):
        assert matched(grey, other)[0] == 1

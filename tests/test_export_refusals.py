"""What of an export needs no torch: what is refused before there is anything to export."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples import lookalike as run
from tiny_onnx import write_network

from lookalike import recipe
from lookalike.errors import CannotExport
from lookalike.export_onnx import Wish, export


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("net.pt", "net.pt must end in .onnx"),
        ("nowhere/net.onnx", "there is no folder .*nowhere: make it first"),
        ("net.onnx", "the recipe default has no network of torch to export: its extractor is onnx"),
        ("there.onnx", "there.onnx is there already.*--overwrite"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_the_remedy(
    tmp_path: Path, target: str, said: str
) -> None:
    before = write_network(tmp_path / "there.onnx").read_bytes()
    with pytest.raises(CannotExport, match=said):
        export(recipe.load("default"), tmp_path / target, Wish())
    assert {each.name for each in tmp_path.iterdir()} == {"there.onnx", "there.toml"}
    assert (tmp_path / "there.onnx").read_bytes() == before


def test_weights_for_a_recipe_that_takes_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotExport, match="the recipe default takes no weights"):
        export(recipe.load("default"), tmp_path / "net.onnx", Wish(), weights=Path("w.pt"))


def test_the_command_line_says_so_in_one_line(tmp_path: Path) -> None:
    done = run("export-onnx", "--recipe", "default", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("lookalike: the recipe default has no network of torch")
    assert done.stderr.count("\n") == 1

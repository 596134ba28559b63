"""Networks of torch as ONNX: the same vectors without torch, and never half a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import cosine, photographs, write
from samples import lookalike as run

import lookalike
from lookalike import export_onnx, recipe
from lookalike.errors import CannotExport, WeightsUnusable
from lookalike.export_onnx import Wish, export
from lookalike.extract.onnx import OnnxExtractor, OnnxOptions

from .conftest import Made

pytest.importorskip("torch", reason="torch is not installed: pip install 'lookalike[torch]'")
pytest.importorskip(
    "onnxscript", reason="onnxscript is not installed: pip install 'lookalike[export]'"
)

RECIPE = """
name = "{name}"
[embeddings.e.extractor]
name = "{extractor}"
model = "{model}"
weights = "{weights}"
[embeddings.e.index]
name = "flat"
"""
TEXTS = ("a red bicycle at night", "zwei Katzen", "", 9 * "a long text that must be cut ")


@pytest.fixture(params=["test_resnet.r160_in1k", "test_vit.r160_in1k"])
def of_timm(request: pytest.FixtureRequest, timm_weights: Made) -> recipe.Recipe:
    return parsed("timm", request.param, timm_weights(request.param))


@pytest.fixture
def one(timm_weights: Made) -> recipe.Recipe:
    return parsed("timm", "test_resnet.r160_in1k", timm_weights("test_resnet.r160_in1k"))


@pytest.fixture
def of_clip(clip_files: Path) -> recipe.Recipe:
    return parsed("clip", str(clip_files / "tiny.json"), clip_files / "tiny.pt")


def parsed(extractor: str, model: str, weights: Path) -> recipe.Recipe:
    text = RECIPE.format(name="tiny", extractor=extractor, model=model, weights=weights)
    return recipe.parse(text, "a test")


def read(path: Path) -> OnnxExtractor:
    return OnnxExtractor(OnnxOptions(str(path)), "cpu")


def test_a_network_of_timm_gives_the_same_vectors_without_torch(
    of_timm: recipe.Recipe, tmp_path: Path
) -> None:
    exported = export(of_timm, tmp_path / "net.onnx", Wish())
    assert [each.name for each in exported.files] == ["net.onnx", "net.toml"]
    assert {each.name for each in tmp_path.iterdir()} == {"net.onnx", "net.toml"}
    assert exported.closeness["photographs"].inputs > 20
    assert all(each.least > 0.9999 for each in exported.closeness.values())
    original, made = of_timm.embeddings[0].make_extractor("cpu"), read(exported.path)
    pictures = photographs()
    assert made.dim == original.dim == exported.dim
    assert made.model.preprocessing == original.preprocessing
    assert not made.reads_text
    np.testing.assert_allclose(made.extract(pictures), original.extract(pictures), atol=1e-4)
    alone = np.concatenate([made.extract([each]) for each in pictures])
    np.testing.assert_allclose(made.extract(pictures), alone, atol=1e-5)


def test_int8_is_smaller_and_close(one: recipe.Recipe, tmp_path: Path) -> None:
    whole = export(one, tmp_path / "whole.onnx", Wish())
    write(tmp_path / "sample" / "1.png", 1)
    write(tmp_path / "sample" / "2.png", 2)
    for calibrate in (None, tmp_path / "sample"):
        wish = Wish(int8=True, calibrate=calibrate, overwrite=True)
        narrow = export(one, tmp_path / "narrow.onnx", wish)
        assert narrow.path.stat().st_size < 0.6 * whole.path.stat().st_size
        assert export_onnx.CLOSE <= narrow.closeness["photographs"].mean < 1
        made = read(narrow.path)
        assert made.model.devices == ("cpu",)
        assert made.fingerprint != read(whole.path).fingerprint


def test_clip_keeps_its_words(of_clip: recipe.Recipe, tmp_path: Path) -> None:
    exported = export(of_clip, tmp_path / "clip.onnx", Wish())
    names = {"clip.onnx", "clip.toml", "clip.text.onnx", "clip.tokenizer.json"}
    assert {each.name for each in exported.files} == names
    assert exported.closeness["texts"].least > 0.9999
    original, made = of_clip.embeddings[0].make_extractor("cpu"), read(exported.path)
    assert made.reads_text
    assert cosine(made.encode_text(TEXTS), original.encode_text(TEXTS)).min() > 0.9999
    np.testing.assert_allclose(
        made.extract(photographs()), original.extract(photographs()), atol=1e-4
    )


def test_what_was_exported_is_a_recipe(of_clip: recipe.Recipe, tmp_path: Path) -> None:
    export(of_clip, tmp_path / "clip.onnx", Wish())
    place = write(tmp_path / "pictures" / "1.png", 1)
    write(tmp_path / "pictures" / "2.png", 2)
    with lookalike.open(tmp_path / "c", recipe=f"onnx:{tmp_path / 'clip.onnx'}") as collection:
        assert collection.add(tmp_path / "pictures").stored == 2
        assert collection.search(place)[0].path == str(place)


@pytest.mark.parametrize(
    ("bound", "wish", "said"),
    [
        ("EXACT", Wish(), "what torch wrote is not the same network"),
        ("CLOSE", Wish(int8=True), "below 1.1: calibrate with pictures of your own"),
    ],
)
def test_what_is_not_near_enough_is_not_written(
    one: recipe.Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
    wish: Wish,
    said: str,
) -> None:
    monkeypatch.setattr(export_onnx, bound, 1.1)
    with pytest.raises(CannotExport, match=said):
        export(one, tmp_path / "net.onnx", wish)
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays_until_all_is_ready(
    of_clip: recipe.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(of_clip, tmp_path / "net.onnx", Wish())
    before = {each: each.read_bytes() for each in tmp_path.iterdir()}
    with pytest.raises(CannotExport, match="is there already"):
        export(of_clip, tmp_path / "net.onnx", Wish())
    monkeypatch.setattr(export_onnx, "EXACT", 1.1)
    with pytest.raises(CannotExport, match="nothing was written"):
        export(of_clip, tmp_path / "net.onnx", Wish(overwrite=True))
    assert {each: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_an_empty_folder_calibrates_nothing(one: recipe.Recipe, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CannotExport, match=r"there is no picture in .*empty to calibrate with"):
        export(one, tmp_path / "net.onnx", Wish(int8=True, calibrate=tmp_path / "empty"))


def test_weights_that_cannot_be_read_leave_nothing(one: recipe.Recipe, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"no weights")
    with pytest.raises(WeightsUnusable, match=r"wrong\.safetensors"):
        export(one, tmp_path / "net.onnx", Wish(), weights=wrong)
    assert [each.name for each in tmp_path.iterdir()] == ["wrong.safetensors"]


def test_operators_that_torch_cannot_write_are_an_error(one: recipe.Recipe, tmp_path: Path) -> None:
    with pytest.raises(CannotExport, match="with opset 999, but with 18"):
        export(one, tmp_path / "net.onnx", replace(Wish(), opset=999))


def test_from_a_shell(of_clip: recipe.Recipe, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(of_clip.text, "utf-8")
    done = run("export-onnx", "--recipe", "tiny.toml", "-o", "out.onnx", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert {Path(each).name for each in said["files"]} == {
        *("out.onnx", "out.toml", "out.text.onnx", "out.tokenizer.json"),
    }
    assert said["cosine"]["photographs"]["least"] > 0.9999
    assert "Warning" not in done.stderr

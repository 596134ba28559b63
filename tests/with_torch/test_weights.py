"""Where weights are found, and what is said of those that cannot be used."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples import lookalike, write

from .conftest import Made

pytest.importorskip("torch", reason="torch is not installed: pip install 'lookalike[torch]'")
pytest.importorskip("timm", reason="timm is not installed: pip install 'lookalike[torch]'")

import torch
from safetensors.torch import load_file, save_file

from lookalike.errors import WeightsMissing, WeightsUnusable
from lookalike.extract import weights
from lookalike.extract.clip import ClipExtractor, ClipOptions
from lookalike.extract.timm import TimmExtractor, TimmOptions
from lookalike.types import Picture

MODEL = "test_resnet.r160_in1k"

Tensors = dict[str, Any]


def timm_at(path: Path) -> TimmExtractor:
    return TimmExtractor(TimmOptions(MODEL, weights=str(path)), "cpu")


def problem(extractor: Any, pictures: list[Picture]) -> str:
    for _ in range(2):  # the second time as well: nothing half loaded is kept
        with pytest.raises(WeightsUnusable) as caught:
            extractor.extract(pictures[:1])
    return str(caught.value)


def test_a_file_a_folder_and_both_formats_give_the_same_vectors(
    timm_weights: Made, tmp_path: Path, pictures: list[Picture]
) -> None:
    safe, pickled = timm_weights(MODEL), timm_weights(MODEL, ".pth")
    (tmp_path / "folder").mkdir()
    shutil.copy(safe, tmp_path / "folder" / "model.safetensors")
    (tmp_path / "folder" / "other.bin").write_bytes(b"not looked at")
    wrapped = tmp_path / "training.pth"
    state = {f"module.{name}": value for name, value in load_file(safe).items()}
    torch.save({"epoch": 3, "state_dict": state}, wrapped)
    expected = timm_at(safe).extract(pictures)
    for path in (pickled, tmp_path / "folder", wrapped):
        assert (timm_at(path).extract(pictures) == expected).all()


def test_a_folder_must_hold_one_file(tmp_path: Path) -> None:
    for names in ((), ("a.pth", "b.pth")):
        for name in names:
            (tmp_path / name).touch()
        with pytest.raises(WeightsMissing, match=f"found: {', '.join(names) or 'none'}"):
            _ = timm_at(tmp_path).fingerprint
    with pytest.raises(WeightsMissing, match=re.escape(f"{tmp_path}/nope.pth, but there is no")):
        _ = timm_at(tmp_path / "nope.pth").fingerprint


def test_another_classifier_does_not_matter(
    timm_weights: Made, pictures: list[Picture], tmp_path: Path
) -> None:
    safe = timm_weights(MODEL)
    state = load_file(safe)
    state["fc.weight"], state["fc.bias"] = torch.zeros(7, 512), torch.zeros(7)
    save_file(state, tmp_path / "seven.safetensors")
    del state["fc.weight"], state["fc.bias"]
    save_file(state, tmp_path / "none.safetensors")
    expected = timm_at(safe).extract(pictures)
    for name in ("seven", "none"):
        found = timm_at(tmp_path / f"{name}.safetensors").extract(pictures)
        assert (found == expected).all()


def without(state: Tensors) -> None:
    del state["layer1.0.conv1.weight"]


def misshapen(state: Tensors) -> None:
    state["layer1.0.conv1.weight"] = torch.zeros(3, 5)


def more(state: Tensors) -> None:
    state["layer9.weight"] = torch.zeros(1)


def no_number(state: Tensors) -> None:
    state["conv1.0.weight" if "conv1.0.weight" in state else "conv1.weight"][0] = float("nan")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without, "it lacks layer1.0.conv1.weight"),
        (misshapen, r"layer1.0.conv1.weight has shape \[3, 5\] there, the model takes \[32, 32,"),
        (more, "the model has no layer9.weight"),
        (no_number, "weight holds values that are no numbers"),
    ],
)
def test_other_tensors_than_the_models_are_refused_by_file_and_key(
    timm_weights: Made,
    tmp_path: Path,
    pictures: list[Picture],
    change: Callable[[Tensors], None],
    said: str,
) -> None:
    state = load_file(timm_weights(MODEL))
    change(state)
    save_file(state, tmp_path / "changed.safetensors")
    text = problem(timm_at(tmp_path / "changed.safetensors"), pictures)
    assert re.search(rf"changed\.safetensors cannot be used: .*{said}", text), text
    assert "\n" not in text


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("left", [0, 7, 0.5, -1])
def test_a_truncated_file_is_refused_by_name(
    timm_weights: Made, tmp_path: Path, pictures: list[Picture], suffix: str, left: float
) -> None:
    content = timm_weights(MODEL, suffix).read_bytes()
    cut = int(left * len(content)) if left == 0.5 else int(left)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[:cut])
    text = problem(timm_at(path), pictures)
    assert f"cut{suffix}" in text
    assert "\n" not in text


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("whole", [True, False])
def test_code_in_a_checkpoint_is_never_run(
    tmp_path: Path, pictures: list[Picture], clip_files: Path, whole: bool
) -> None:
    bomb = Bomb(tmp_path / "ran")
    path = tmp_path / "bomb.pth"
    if whole:
        path.write_bytes(pickle.dumps(bomb, protocol=2))
    else:
        torch.save({"conv1.weight": torch.zeros(1), "more": bomb}, path)
    clip = ClipExtractor(ClipOptions(str(clip_files / "tiny.json"), weights=str(path)), "cpu")
    for extractor in (timm_at(path), clip):
        assert "bomb.pth does not only hold tensors" in problem(extractor, pictures)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 3}, {"state_dict": {"a": "b"}}])
def test_what_holds_no_tensors_is_refused(
    tmp_path: Path, pictures: list[Picture], content: Any
) -> None:
    torch.save(content, tmp_path / "list.pth")
    assert "list.pth" in problem(timm_at(tmp_path / "list.pth"), pictures)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("text_projection", torch.zeros(32, 48), r"text_projection has shape \[32, 48\] there"),
        ("text_projection", None, "it lacks text_projection"),
        ("visual.more", torch.zeros(1), "the model has no visual.more"),
        ("ln_final.weight", torch.full((32,), torch.nan), "ln_final.weight holds values"),
    ],
)
def test_a_clip_checkpoint_of_another_shape_is_refused_by_key(
    clip_files: Path, tmp_path: Path, pictures: list[Picture], key: str, value: Any, said: str
) -> None:
    state = torch.load(clip_files / "tiny.pt", weights_only=True)
    if value is None:
        del state[key]
    else:
        state[key] = value
    torch.save(state, tmp_path / "changed.pt")
    options = ClipOptions(str(clip_files / "tiny.json"), weights=str(tmp_path / "changed.pt"))
    text = problem(ClipExtractor(options, "cpu"), pictures)
    assert re.search(rf"changed\.pt cannot be used: {said}", text), text


@pytest.fixture
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub with nothing in it, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_missing_weights_are_named_with_their_address_and_their_place(
    empty_hub: Path, pictures: list[Picture]
) -> None:
    for extractor, address, folder in (
        (
            TimmExtractor(TimmOptions("vgg16.tv_in1k", pooling="fc1"), "cpu"),
            "https://huggingface.co/timm/vgg16.tv_in1k/resolve/main/model.safetensors",
            "models--timm--vgg16.tv_in1k",
        ),
        (
            ClipExtractor(ClipOptions("ViT-B-32", "openai"), "cpu"),
            "https://huggingface.co/timm/vit_base_patch32_clip_224.openai/resolve/main/"
            "open_clip_model.safetensors",
            "models--timm--vit_base_patch32_clip_224.openai",
        ),
    ):
        with pytest.raises(WeightsMissing) as caught:
            extractor.extract(pictures[:1])
        text = str(caught.value)
        assert f"fetch {address} and name it in the recipe, `weights = " in text
        assert f"copy its folder {folder} into {empty_hub}" in text
        assert "\n" not in text
    with pytest.raises(WeightsMissing, match="no hub is known to have weights for test_resnet"):
        weights.find("test_resnet", "", None)


def test_weights_in_the_hubs_cache_are_found_without_a_network(
    empty_hub: Path, timm_weights: Made, pictures: list[Picture]
) -> None:
    folder = empty_hub / "models--timm--test_resnet.r160_in1k"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc", "utf-8")
    shutil.copy(timm_weights(MODEL), folder / "snapshots" / "abc" / "model.safetensors")
    found = TimmExtractor(TimmOptions(MODEL), "cpu")
    expected = timm_at(timm_weights(MODEL))
    assert found.weights_file.parent.name == "abc"
    assert found.fingerprint == expected.fingerprint
    assert (found.extract(pictures) == expected.extract(pictures)).all()


def test_a_digest_is_made_anew_when_the_file_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = weights.sha256(path)
    assert weights.sha256(path) == first
    path.write_bytes(b"other")
    assert weights.sha256(path) != first


def test_a_collection_is_made_and_searched_with_local_weights(
    timm_weights: Made, tmp_path: Path
) -> None:
    for number in range(4):
        write(tmp_path / "photos" / f"{number}.png", number)
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'name = "mine"\nsummary = "Mine."\n[embeddings.v.extractor]\nname = "timm"\n'
        f'model = "{MODEL}"\nweights = "{timm_weights(MODEL)}"\n'
        '[embeddings.v.index]\nname = "flat"\n',
        "utf-8",
    )
    c = tmp_path / "c"
    done = lookalike("index", tmp_path / "photos", "-c", c, "--recipe", mine)
    assert done.returncode == 0, done.stderr
    done = lookalike("search", tmp_path / "photos" / "2.png", "-c", c, "-k", "1")
    assert "2.png\t1.0000" in done.stdout, done.stderr
    done = lookalike("index", tmp_path / "photos", "-c", tmp_path / "d", "--recipe", "vgg16")
    assert done.returncode == 2
    assert "the weights of vgg16.tv_in1k are not on this machine" in done.stderr
    assert not (tmp_path / "d").exists()

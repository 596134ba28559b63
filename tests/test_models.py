"""Networks of other libraries, as far as it goes without those: devices, what is listed, errors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from samples import called, lookalike

from lookalike import model_list, recipe
from lookalike.errors import DeviceUnavailable, MissingPackage, UnknownName, WeightsMissing
from lookalike.extract import weights
from lookalike.extract.clip import ClipExtractor, ClipOptions
from lookalike.extract.timm import TimmExtractor, TimmOptions
from lookalike.extract.torch_device import place_for
from lookalike.types import Picture

NETWORKS: list[Any] = [
    lambda device: TimmExtractor(TimmOptions("resnet50.tv_in1k"), device),
    lambda device: ClipExtractor(ClipOptions("ViT-B-32", "openai"), device),
]


@pytest.mark.parametrize(
    ("device", "gpus", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_device_is_had_as_asked_for(device: str, gpus: int, expected: str) -> None:
    assert place_for(device, cuda_build=True, gpus=gpus) == expected


@pytest.mark.parametrize(
    ("device", "cuda_build", "gpus", "said"),
    [
        ("cuda", False, 0, "this torch is built without CUDA: install another"),
        ("cuda:1", False, 0, "'cuda:1' was asked for, but this torch is built without CUDA"),
        ("cuda", True, 0, "torch finds no GPU here: see that `nvidia-smi` lists one"),
        ("cuda:2", True, 2, "'cuda:2' was asked for, but the last GPU here is 'cuda:1'"),
        ("gpu", True, 1, "no device named 'gpu'"),
        ("cuda:", True, 1, "no device named 'cuda:'"),
        ("cuda:x", True, 1, "no device named 'cuda:x'"),
        ("cuda:²", True, 1, "no device named 'cuda:²'"),
        ("cpu:0", True, 1, "no device named 'cpu:0'"),
        ("", True, 1, "no device named ''"),
    ],
)
def test_a_device_that_cannot_be_had_is_refused_with_the_remedy(
    device: str, cuda_build: bool, gpus: int, said: str
) -> None:
    with pytest.raises((DeviceUnavailable, UnknownName), match=said):
        place_for(device, cuda_build=cuda_build, gpus=gpus)


@pytest.mark.parametrize("make", NETWORKS)
def test_an_unknown_device_is_refused_before_anything_is_loaded(make: Any) -> None:
    with pytest.raises(UnknownName, match="no device named 'gpu'"):
        make("gpu")


@pytest.mark.parametrize("make", NETWORKS)
def test_without_torch_the_extra_to_install_is_named(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch", "timm", "open_clip"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackage, match=r"pip install 'lookalike\[torch\]'"):
        make("cuda")
    extractor = make("cpu")
    for ask in ("dim", "fingerprint", "shortest_side", "preprocessing", "device"):
        with pytest.raises(MissingPackage, match=r"pip install 'lookalike\[torch\]'"):
            getattr(extractor, ask)


@pytest.mark.parametrize(
    "wrong", [{"p": 0.0}, {"p": -1.0}, {"p": float("nan")}, {"size": -1}], ids=str
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"p must be above 0|size must be 0 or more"):
        TimmOptions("resnet50", **wrong)
    with pytest.raises(ValueError, match="give pretrained"):
        ClipOptions("ViT-B-32")


def test_every_network_of_a_ready_recipe_is_listed() -> None:
    listed = {each.recipe: each for each in model_list.listed()}
    for each in recipe.ready():
        for embedding in each.embeddings:
            if embedding.extractor.name in ("onnx", "timm", "clip"):
                assert embedding.extractor.options.model in listed[each.name].name
    assert listed["default"].state == "bundled"
    assert listed["default"].path is not None
    assert (listed["vgg16"].dim, listed["resnet50"].dim, listed["clip"].dim) == (4096, 2048, 512)
    for model in listed.values():
        assert model.licence
        assert 1 < model.megabytes < 1000
        assert (model.state == "missing") == (model.path is None)


def test_the_command_lists_models_in_lines_and_in_json() -> None:
    done = called("models")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert ["default", "efficientnet-lite0-int8", "384", "4.3 MB"] in [row[:4] for row in rows]
    assert any(
        row[:5] == ["vgg16", "vgg16.tv_in1k", "4096", "553.4 MB", "BSD-3-Clause"] for row in rows
    )
    done = called("models", "--json")
    said = {each["recipe"]: each for each in json.loads(done.stdout)}
    assert said["default"]["state"] == "bundled"
    assert said["clip"]["source"].startswith("https://huggingface.co/laion/")


def test_what_is_here_is_not_fetched_and_an_unknown_name_is_refused() -> None:
    done = called("models", "fetch", "default")
    assert done.returncode == 0
    assert "bundled" in done.stdout
    done = called("models", "fetch", "vgg61")
    assert done.returncode == 2
    assert "there is no model named 'vgg61'. Did you mean vgg16" in done.stderr


def test_fetching_without_a_network_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="comes with lookalike[torch]")
    hub = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = lookalike("models", "fetch", "resnet50", env=hub)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    address = "https://huggingface.co/timm/resnet50.tv_in1k/resolve/main/model.safetensors"
    assert f"fetch {address} and name it in the recipe" in done.stderr
    assert f"copy its folder models--timm--resnet50.tv_in1k into {tmp_path}/hub" in done.stderr


def test_fetching_without_the_hubs_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingPackage, match=r"pip install 'lookalike\[torch\]'"):
        model_list.fetch("vgg16")


def test_a_named_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="there is no such file"):
        weights.find("any", str(tmp_path / "nope.safetensors"), None)


def test_no_picture_needs_no_model() -> None:
    nothing: list[Picture] = []
    extractor = TimmExtractor(TimmOptions("resnet50.tv_in1k"), "cpu")
    assert extractor.extract_local(nothing) == []

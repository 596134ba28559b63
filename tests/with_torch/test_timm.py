"""Networks of timm: what they compute, held against timm's own forward pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from samples import cosine

from .conftest import Made

pytest.importorskip("torch", reason="torch is not installed: pip install 'lookalike[torch]'")
timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'lookalike[torch]'")

import torch

from lookalike import model_list, recipe
from lookalike.errors import RecipeError, UnknownName
from lookalike.extract import LocalExtractor, TextEncoder
from lookalike.extract.timm import TimmExtractor, TimmOptions
from lookalike.picture import from_pixels
from lookalike.types import Picture

PRESETS = {
    "vgg16": (4096, 224),
    "inception-resnet-v2": (1536, 299),
    "resnet50": (2048, 224),
    "beit": (768, 224),
    "dinov2": (384, 224),
}


def options_of(name: str) -> TimmOptions:
    options = recipe.load(name).embeddings[0].extractor.options
    assert isinstance(options, TimmOptions)
    return options


def made(options: TimmOptions, timm_weights: Made, **arguments: Any) -> TimmExtractor:
    """An extractor on weights made here."""
    path = timm_weights(options.model, **arguments)
    return TimmExtractor(replace(options, weights=str(path)), "cpu")


def library(extractor: TimmExtractor, pictures: list[Picture], **arguments: Any) -> tuple[Any, Any]:
    """The model as timm loads it, and its input."""
    from safetensors.torch import load_file

    model = timm.create_model(extractor.options.model, **arguments).eval()
    model.load_state_dict(load_file(extractor.weights_file))
    return model, torch.from_numpy(extractor.preprocessing.normalised(pictures))


def agree(vectors: Any, expected: Any) -> None:
    """The expected ones at length 1. Strict, as networks by chance tell pictures little apart."""
    expected = expected.numpy() / np.linalg.norm(expected.numpy(), axis=1, keepdims=True)
    assert cosine(vectors, expected).min() > 0.99999
    np.testing.assert_allclose(vectors, expected, atol=2e-6)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_dimensions_and_the_preprocessing_of_its_name(name: str) -> None:
    extractor = TimmExtractor(options_of(name), "cpu")
    config = timm.get_pretrained_cfg(extractor.options.model)
    preprocessing = extractor.preprocessing
    assert (extractor.dim, preprocessing.size) == PRESETS[name]
    assert (preprocessing.mean, preprocessing.std) == (config.mean, config.std)
    assert (preprocessing.resize, preprocessing.crop) == ("crop", config.crop_pct)
    way = {"bilinear": "linear", "bicubic": "cubic"}[config.interpolation]
    assert preprocessing.interpolation == way


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_listed_of_a_preset_is_what_timm_says(name: str) -> None:
    (listed,) = (each for each in model_list.listed() if each.recipe == name)
    extractor = TimmExtractor(options_of(name), "cpu")
    config = timm.get_pretrained_cfg(listed.name)
    assert listed.dim == extractor.dim
    assert listed.source == f"https://huggingface.co/{config.hf_hub_id}"
    assert listed.licence.lower() == config.license
    with torch.device("meta"):
        state = timm.create_model(listed.name).state_dict()
    size = sum(each.numel() * each.element_size() for each in state.values())
    assert listed.megabytes == round(size / 1e6, 1)


def test_vgg16_is_fc1_after_its_relu(timm_weights: Made, pictures: list[Picture]) -> None:
    extractor = made(options_of("vgg16"), timm_weights)
    vectors = extractor.extract(pictures[:2])
    model, inputs = library(extractor, pictures[:2])
    with torch.inference_mode():
        features = model.features(inputs)
        fc1 = model.pre_logits.fc1
        weight = fc1.weight.reshape(4096, -1)
        expected = torch.relu(features.reshape(2, -1) @ weight.T + fc1.bias)
    agree(vectors, expected)
    assert vectors.min() == 0
    assert 0.2 < (vectors > 0).mean() < 0.8


@pytest.mark.parametrize("name", ["inception-resnet-v2", "resnet50"])
def test_a_convolutional_preset_is_its_mean_over_positions(
    timm_weights: Made, pictures: list[Picture], name: str
) -> None:
    extractor = made(options_of(name), timm_weights)
    model, inputs = library(extractor, pictures[:2])
    with torch.inference_mode():
        agree(extractor.extract(pictures[:2]), model.forward_features(inputs).mean(dim=(2, 3)))


def test_beit_gives_196_patches_and_their_mean(timm_weights: Made, pictures: list[Picture]) -> None:
    extractor = made(options_of("beit"), timm_weights)
    assert isinstance(extractor, LocalExtractor)
    assert not isinstance(extractor, TextEncoder)
    local = extractor.extract_local(pictures[:2])
    model, inputs = library(extractor, pictures[:2])
    with torch.inference_mode():
        tokens = model.forward_features(inputs)[:, 1:]
    agree(extractor.extract(pictures[:2]), tokens.mean(dim=1))
    for each, expected in zip(local, tokens.numpy(), strict=True):
        assert each.descriptors.shape == (196, 768)
        assert cosine(each.descriptors, expected).min() > 0.99999
    assert extractor.extract_local([]) == []


def test_dinov2_is_the_class_token_at_224_pixels_of_a_checkpoint_for_518(
    timm_weights: Made, pictures: list[Picture]
) -> None:
    extractor = made(options_of("dinov2"), timm_weights)
    reference = timm.create_model(extractor.options.model, img_size=224, num_classes=0).eval()
    from safetensors.torch import load_file
    from timm.models.vision_transformer import checkpoint_filter_fn

    state = load_file(extractor.weights_file)
    assert state["pos_embed"].shape[1] == 37 * 37 + 1
    reference.load_state_dict(checkpoint_filter_fn(state, reference))
    inputs = torch.from_numpy(extractor.preprocessing.normalised(pictures[:2]))
    with torch.inference_mode():
        agree(extractor.extract(pictures[:2]), reference(inputs))


@pytest.mark.parametrize("model", ["test_resnet.r160_in1k", "test_vit.r160_in1k"])
def test_gem_follows_its_formula(timm_weights: Made, pictures: list[Picture], model: str) -> None:
    extractor = made(TimmOptions(model, pooling="gem", p=2.5), timm_weights)
    reference, inputs = library(extractor, pictures)
    with torch.inference_mode():
        features = reference.forward_features(inputs).numpy().astype(float)
    every = features[:, 1:] if features.ndim == 3 else features.reshape(*features.shape[:2], -1)
    axis = 1 if features.ndim == 3 else 2
    expected = (np.maximum(every, 1e-6) ** 2.5).mean(axis=axis) ** (1 / 2.5)
    agree(extractor.extract(pictures), torch.from_numpy(expected))


def test_patches_lie_where_the_network_saw_them(timm_weights: Made) -> None:
    """A picture decoded at half its size, twice as wide as high: the square is in its middle."""
    extractor = made(TimmOptions("test_vit.r160_in1k"), timm_weights)
    half = from_pixels(np.zeros((200, 400, 3), np.uint8))
    (local,) = extractor.extract_local([replace(half, original_size=(800, 400))])
    side = 0.95 * 400
    patch = side / 10
    assert local.xy.shape == (100, 2)
    first = [400 - side / 2 + patch / 2, 200 - side / 2 + patch / 2]
    np.testing.assert_allclose(local.xy[0], first)
    np.testing.assert_allclose(local.xy[1] - local.xy[0], [patch, 0], atol=1e-3)
    np.testing.assert_allclose(local.xy[10] - local.xy[0], [0, patch], atol=1e-3)
    np.testing.assert_allclose(local.scale, patch)
    assert not local.angle.any()


@pytest.fixture(params=["test_resnet.r160_in1k", "test_vit.r160_in1k"])
def small(request: pytest.FixtureRequest, timm_weights: Made) -> TimmExtractor:
    return made(TimmOptions(request.param), timm_weights)


def test_a_batch_gives_what_each_picture_gives_alone(
    small: TimmExtractor, pictures: list[Picture]
) -> None:
    together = small.extract(pictures)
    alone = np.concatenate([small.extract([picture]) for picture in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.dtype == np.float32
    assert together.flags.c_contiguous
    assert small.extract([]).shape == (0, small.dim)


def test_odd_pictures_give_finite_vectors(small: TimmExtractor) -> None:
    for shape in [(1, 1), (1, 3000), (3000, 1), (160, 160), (31, 700)]:
        vectors = small.extract([from_pixels(np.zeros((*shape, 3), np.uint8))])
        assert np.isfinite(vectors).all()


def test_eight_threads_give_what_one_gives(small: TimmExtractor, pictures: list[Picture]) -> None:
    expected = TimmExtractor(small.options, "cpu").extract(pictures)
    with ThreadPoolExecutor(8) as threads:
        for vectors in threads.map(small.extract, [pictures] * 8):
            np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert torch.get_num_threads() == 1


def test_the_network_for_export_gives_what_extract_gives(
    small: TimmExtractor, pictures: list[Picture]
) -> None:
    network = small.picture_network()
    assert not network.training
    with torch.inference_mode():
        given = network(torch.from_numpy(small.preprocessing.normalised(pictures)))
    np.testing.assert_allclose(given.numpy(), small.extract(pictures), atol=1e-6)


def test_half_precision_is_close_and_has_a_fingerprint_of_its_own(
    small: TimmExtractor, pictures: list[Picture]
) -> None:
    """As on a GPU, but here; there is none where this is tested."""
    inputs = torch.from_numpy(small.preprocessing.normalised(pictures)).half()
    with torch.inference_mode():
        half = small.picture_network().half()(inputs)
    assert half.dtype == torch.float32
    assert cosine(half.numpy(), small.extract(pictures)).min() > 0.9999
    full = TimmExtractor(replace(small.options, precision="full"), "cpu")
    assert full.fingerprint != small.fingerprint


def test_the_fingerprint_changes_with_weights_and_with_all_that_is_done(
    timm_weights: Made,
) -> None:
    options = TimmOptions("test_vit.r160_in1k")
    first = made(options, timm_weights)
    changed: list[dict[str, Any]] = [
        {"pooling": "cls"},
        {"pooling": "gem"},
        {"pooling": "gem", "p": 4.0},
        {"size": 192},
    ]
    others = [made(replace(options, **each), timm_weights) for each in changed]
    others.append(made(options, timm_weights, seed=1))
    assert len({each.fingerprint for each in [first, *others]}) == 1 + len(others)
    assert made(options, timm_weights).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("model", "more", "said"),
    [
        ("resnet5", {}, "no model of timm named 'resnet5'. Did you mean resnet50"),
        ("xxxxxxxxxxxx", {}, "Known: resnet50, vgg16"),
        ("resnet50.tv3_in1k", {}, "Did you mean resnet50.tv_in1k or resnet50.tv2_in1k"),
        ("resnet50", {"pooling": "cls"}, "it has no class token"),
        ("resnet50", {"pooling": "fc1"}, "it has no layer fc1"),
        ("test_vit", {"size": 7}, "test_vit with pooling 'default' at 7 pixels cannot be had"),
    ],
)
def test_what_cannot_be_is_refused_by_name(model: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises((UnknownName, RecipeError), match=said):
        _ = TimmExtractor(TimmOptions(model, **more), "cpu").dim

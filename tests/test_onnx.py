"""The network in ONNX Runtime: what it computes, on which device, and what it refuses."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from samples import cosine, photographs

from lookalike import recipe
from lookalike.errors import DeviceUnavailable, RecipeError, UnknownName
from lookalike.extract.onnx import OnnxExtractor, OnnxOptions, providers_for
from lookalike.extract.onnx_model import Model
from lookalike.picture import from_pixels
from lookalike.types import Picture

MODELS = sorted(path.stem for path in (Path(recipe.__file__).parent / "models").glob("*.toml"))
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.fixture(scope="module", params=MODELS)
def extractor(request: pytest.FixtureRequest) -> OnnxExtractor:
    return OnnxExtractor(OnnxOptions(request.param), "cpu")


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return photographs()


def test_the_vector_of_a_known_picture_is_that_of_the_bare_network(
    extractor: OnnxExtractor, pictures: list[Picture]
) -> None:
    """Pictures of twice its size are shrunk here by the mean of four pixels, without OpenCV."""
    table = tomllib.loads(extractor.model.path.with_suffix(".toml").read_text("utf-8"))
    session = onnxruntime.InferenceSession(extractor.model.path, providers=[CPU])
    side = table["input"]["size"]
    for picture in pictures[:2]:
        image = Image.fromarray(picture.pixels).resize((2 * side, 2 * side))
        double = from_pixels(np.asarray(image))
        four = double.pixels.reshape(side, 2, side, 2, 3).mean(axis=(1, 3))
        single = from_pixels(np.rint(four).astype(np.uint8))
        (expected,) = session.run(None, {table["input"]["name"]: single.pixels[None]})
        np.testing.assert_array_equal(extractor.extract([single]), expected)
        (vector,) = extractor.extract([double])
        assert cosine(vector, expected)[0] > 0.998
        assert vector.shape == (table["output"]["dim"],) == (extractor.dim,)


def test_a_decoder_may_shrink_down_to_what_the_network_takes(extractor: OnnxExtractor) -> None:
    assert extractor.shortest_side >= extractor.model.preprocessing.size


def test_the_fingerprint_changes_with_weights_and_preprocessing() -> None:
    model = Model.named("efficientnet-lite0-int8")
    others: list[dict[str, Any]] = [{"size": 256}, {"resize": "crop"}, {"interpolation": "cubic"}]
    changed = [
        replace(model, sha256="0" * 64),
        *(replace(model, preprocessing=replace(model.preprocessing, **each)) for each in others),
        replace(model, output="another"),
    ]
    assert len({each.fingerprint for each in [model, *changed]}) == 1 + len(changed)
    assert replace(model).fingerprint == model.fingerprint


@pytest.mark.parametrize("name", MODELS)
def test_a_model_file_is_the_one_that_its_description_names(name: str) -> None:
    model = Model.named(name)
    assert hashlib.sha256(model.path.read_bytes()).hexdigest() == model.sha256


def test_half_precision_is_close_to_int8_and_has_its_own_fingerprint(
    pictures: list[Picture],
) -> None:
    """Close enough to be the same network, and not so close that vectors could be mixed.

    Measured on 119 pictures of Caltech: cosine 0.972 in the mean, 0.88 at the least.
    """
    int8, fp16 = (
        OnnxExtractor(OnnxOptions(f"efficientnet-lite0-{each}"), "cpu") for each in ("int8", "fp16")
    )
    every_int8, every_fp16 = int8.extract(pictures), fp16.extract(pictures)
    same = cosine(every_int8, every_fp16)
    assert same.mean() > 0.96
    assert same.min() > 0.9
    for i, vector in enumerate(every_int8):
        assert cosine(every_fp16, vector[None]).argmax() == i
    assert int8.fingerprint != fp16.fingerprint


def changed(content: bytes, how: str) -> bytes | None:
    middle = len(content) // 2
    ways = {
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "truncated": content[:middle],
        "empty": b"",
        "missing": None,
    }
    return ways[how]


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty", "missing"])
def test_a_damaged_model_file_is_refused_by_name(
    tmp_path: Path, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    model = Model.named("efficientnet-lite0-int8")
    path = tmp_path / "model.onnx"
    content = changed(model.path.read_bytes(), how)
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(Model, "named", lambda _: replace(model, path=path))
    monkeypatch.setattr(Model, "bundled", True)
    extractor = OnnxExtractor(OnnxOptions("efficientnet-lite0-int8"), "cpu")
    for _ in range(2):
        with pytest.raises(RecipeError, match=r"model\.onnx"):
            extractor.extract(pictures)


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean efficientnet-lite0-"):
        OnnxExtractor(OnnxOptions("efficientnet-lite0"), "cpu")


def on_cuda(number: int) -> list[Any]:
    return [(CUDA, {"device_id": number}), CPU]


@pytest.mark.parametrize(
    ("device", "devices", "available", "expected"),
    [
        ("cpu", ("cpu",), [CPU], [CPU]),
        ("cpu", ("cuda", "cpu"), [CUDA, CPU], [CPU]),
        ("auto", ("cpu",), [CPU], [CPU]),
        ("auto", ("cpu",), [CUDA, CPU], [CPU]),
        ("auto", ("cuda", "cpu"), [CPU], [CPU]),
        ("auto", ("cuda", "cpu"), [CUDA, CPU], on_cuda(0)),
        ("cuda", ("cuda", "cpu"), [CUDA, CPU], on_cuda(0)),
        ("cuda:3", ("cuda", "cpu"), [CUDA, CPU], on_cuda(3)),
        ("cuda", ("cuda", "cpu"), [CPU], "pip install onnxruntime-gpu"),
        ("cuda:1", ("cuda", "cpu"), [CPU], "pip install onnxruntime-gpu"),
        ("cuda", ("cpu",), [CUDA, CPU], "--recipe default-fp16"),
        ("cuda", ("cpu",), [CPU], "--recipe default-fp16"),
        ("gpu", ("cuda", "cpu"), [CUDA, CPU], "no device named 'gpu'"),
        ("cuda:x", ("cuda", "cpu"), [CUDA, CPU], "no device named 'cuda:x'"),
        ("cuda:²", ("cuda", "cpu"), [CUDA, CPU], "no device named 'cuda:²'"),
        ("", ("cuda", "cpu"), [CUDA, CPU], "no device named ''"),
    ],
)
def test_a_device_is_had_as_asked_for_or_refused_with_the_remedy(
    device: str, devices: tuple[str, ...], available: list[str], expected: Any
) -> None:
    model = replace(Model.named("efficientnet-lite0-int8"), devices=devices)
    if isinstance(expected, list):
        assert providers_for(device, model, available) == expected
    else:
        with pytest.raises((DeviceUnavailable, UnknownName), match=expected):
            providers_for(device, model, available)

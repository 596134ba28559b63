"""What every extractor promises, checked for each embedding of every ready recipe."""

from __future__ import annotations

import hashlib
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import skimage.data
from PIL import Image

from lookalike import recipe, registry
from lookalike.errors import BadQuery, DeviceUnavailable, RecipeError, UnknownName
from lookalike.extract.onnx import Model, OnnxExtractor, OnnxOptions, providers_for
from lookalike.extract.ready import ReadyOptions, ReadyVectors
from lookalike.picture import from_pixels
from lookalike.types import Picture

EMBEDDINGS = {
    f"{each.name}.{embedding.name}": embedding
    for each in recipe.ready()
    for embedding in each.embeddings
}
MODELS = sorted(path.stem for path in (Path(recipe.__file__).parent / "models").glob("*.toml"))
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def photographs() -> list[Picture]:
    """Real pictures, those that come with scikit-image."""
    folder = Path(skimage.data.__file__).parent
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "page.png")
    pictures = []
    for name in names:
        with Image.open(folder / name) as image:
            pictures.append(from_pixels(np.asarray(image.convert("RGB"))))
    return pictures


def odd_pictures() -> list[Picture]:
    """Shapes and contents at the edge of what a decoder passes on."""
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (1, 5000), (5000, 1), (2, 3), (224, 224), (223, 225), (300, 20), (20, 4000)]
    noise = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    flat = [np.full((64, 64, 3), value, np.uint8) for value in (0, 127, 255)]
    return [from_pixels(each) for each in [*noise, *flat]]


def cosine(a: Any, b: Any) -> Any:
    """Of each pair of rows."""
    a, b = np.atleast_2d(a).astype(float), np.atleast_2d(b).astype(float)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture(scope="module", params=EMBEDDINGS)
def extractor(request: pytest.FixtureRequest) -> Any:
    return EMBEDDINGS[request.param].make_extractor("cpu")


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return photographs()


def test_every_extractor_of_the_registry_is_in_a_ready_recipe_or_needs_no_model() -> None:
    used = {embedding.extractor.name for embedding in EMBEDDINGS.values()}
    assert set(registry.names("extractor")) == used | {"vectors"}


def test_the_vector_of_a_known_picture_is_that_of_the_bare_network(
    extractor: Any, pictures: list[Picture]
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


def test_a_batch_gives_what_each_picture_gives_alone(
    extractor: Any, pictures: list[Picture]
) -> None:
    together = extractor.extract(pictures)
    assert together.dtype == np.float32
    assert together.flags.c_contiguous
    alone = np.concatenate([extractor.extract([picture]) for picture in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-6 * np.abs(alone).max())
    turned = extractor.extract(pictures[::-1])[::-1]
    np.testing.assert_allclose(together, turned, atol=1e-6 * np.abs(alone).max())
    assert extractor.extract([]).shape == (0, extractor.dim)


def test_the_same_picture_always_gives_the_same_vector(
    extractor: Any, pictures: list[Picture]
) -> None:
    np.testing.assert_array_equal(extractor.extract(pictures[:2]), extractor.extract(pictures[:2]))


def test_odd_pictures_give_finite_vectors(extractor: Any) -> None:
    for picture in odd_pictures():
        before = picture.pixels.copy()
        vectors = extractor.extract([picture])
        assert np.isfinite(vectors).all()
        assert np.linalg.norm(vectors) > 0
        np.testing.assert_array_equal(picture.pixels, before)


def test_eight_threads_give_what_one_gives(extractor: Any, pictures: list[Picture]) -> None:
    expected = extractor.extract(pictures)
    fresh = type(extractor)(OnnxOptions(extractor.model.name), "cpu")  # loads while all wait
    with ThreadPoolExecutor(8) as threads:
        for vectors in threads.map(fresh.extract, [pictures] * 8):
            np.testing.assert_allclose(vectors, expected, atol=1e-6 * np.abs(expected).max())


def test_a_decoder_may_shrink_down_to_what_the_network_takes(extractor: Any) -> None:
    assert extractor.shortest_side >= extractor.model.size


def test_the_fingerprint_changes_with_weights_and_preprocessing() -> None:
    model = Model.named("efficientnet-lite0-int8")
    changed = [
        replace(model, sha256="0" * 64),
        replace(model, size=256),
        replace(model, resize="crop" if model.resize == "squash" else "squash"),
        replace(model, interpolation="cubic"),
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
    tmp_path: Path, pictures: list[Picture], how: str
) -> None:
    extractor = OnnxExtractor(OnnxOptions("efficientnet-lite0-int8"), "cpu")
    path = tmp_path / "model.onnx"
    content = changed(extractor.model.path.read_bytes(), how)
    if content is not None:
        path.write_bytes(content)
    extractor.model = replace(extractor.model, path=path)
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


def test_ready_vectors_have_a_fingerprint_of_their_own_and_make_none() -> None:
    ready = ReadyVectors(ReadyOptions(dim=32, made_by="me"), "cpu")
    assert ready.dim == 32
    others = [ReadyOptions(dim=33, made_by="me"), ReadyOptions(dim=32, made_by="you")]
    assert ready.fingerprint not in {ReadyVectors(each, "cpu").fingerprint for each in others}
    with pytest.raises(BadQuery, match="made elsewhere"):
        ready.extract(photographs()[:1])

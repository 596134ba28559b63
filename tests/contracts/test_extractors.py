"""What every extractor promises, checked for each embedding of every ready recipe."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from samples import photographs

from lookalike import recipe, registry
from lookalike.errors import BadQuery, MissingPackage, WeightsMissing
from lookalike.extract import LocalExtractor, Trainable
from lookalike.extract.ready import ReadyOptions, ReadyVectors
from lookalike.picture import from_pixels
from lookalike.types import Picture

EMBEDDINGS = {
    f"{each.name}.{embedding.name}": embedding
    for each in recipe.ready()
    for embedding in each.embeddings
}


def odd_pictures() -> list[Picture]:
    """Shapes and contents at the edge of what a decoder passes on."""
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (1, 5000), (5000, 1), (2, 3), (224, 224), (223, 225), (300, 20), (20, 4000)]
    noise = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    flat = [np.full((64, 64, 3), value, np.uint8) for value in (0, 127, 255)]
    return [from_pixels(each) for each in [*noise, *flat]]


def made(embedding: recipe.Embedding, learned: list[bytes]) -> Any:
    """An extractor that can extract; `learned` keeps what it had to learn for the next one."""
    extractor = embedding.make_extractor("cpu")
    if isinstance(extractor, Trainable):
        if not learned:
            samples = extractor.sample(photographs())
            learned.append(extractor.learn(samples, lambda _: None))
        extractor.restore(learned[0])
    return extractor


@pytest.fixture(scope="module", params=EMBEDDINGS)
def another(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Makes a fresh extractor."""
    learned: list[bytes] = []
    try:
        assert made(EMBEDDINGS[request.param], learned).fingerprint
    except (MissingPackage, WeightsMissing) as error:
        pytest.skip(str(error))  # tests/with_torch has the same with weights made there
    return lambda: made(EMBEDDINGS[request.param], learned)


@pytest.fixture(scope="module")
def extractor(another: Callable[[], Any]) -> Any:
    return another()


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return photographs()


def test_every_extractor_of_the_registry_is_in_a_ready_recipe_or_needs_no_model() -> None:
    used = {embedding.extractor.name for embedding in EMBEDDINGS.values()}
    assert set(registry.names("extractor")) == used | {"vectors"}


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


def test_two_of_one_kind_have_one_fingerprint(
    another: Callable[[], Any], extractor: Any, pictures: list[Picture]
) -> None:
    fresh = another()
    assert fresh.fingerprint == extractor.fingerprint
    np.testing.assert_array_equal(fresh.extract(pictures[:2]), extractor.extract(pictures[:2]))


def test_odd_pictures_give_finite_vectors(extractor: Any) -> None:
    for picture in odd_pictures():
        before = picture.pixels.copy()
        vectors = extractor.extract([picture])
        assert np.isfinite(vectors).all()
        local = isinstance(extractor, LocalExtractor)
        # Where nothing stands out there is nothing to count: such a vector is all zero.
        empty = local and len(extractor.extract_local([picture])[0].xy) == 0
        assert (np.linalg.norm(vectors) > 0) == (not empty)
        np.testing.assert_array_equal(picture.pixels, before)


def test_eight_threads_give_what_one_gives(
    another: Callable[[], Any], extractor: Any, pictures: list[Picture]
) -> None:
    some = pictures[:2]
    expected = extractor.extract(some)
    fresh = another()  # loads while all wait
    with ThreadPoolExecutor(8) as threads:
        for vectors in threads.map(fresh.extract, [some] * 8):
            np.testing.assert_allclose(vectors, expected, atol=1e-6 * np.abs(expected).max())


def test_ready_vectors_have_a_fingerprint_of_their_own_and_make_none() -> None:
    ready = ReadyVectors(ReadyOptions(dim=32, made_by="me"), "cpu")
    assert ready.dim == 32
    others = [ReadyOptions(dim=33, made_by="me"), ReadyOptions(dim=32, made_by="you")]
    assert ready.fingerprint not in {ReadyVectors(each, "cpu").fingerprint for each in others}
    with pytest.raises(BadQuery, match="made elsewhere"):
        ready.extract(photographs()[:1])

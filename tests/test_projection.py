"""The collection's own principal components, as the recipe's `pca` asks for them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import lookalike
from lookalike.errors import RecipeError
from lookalike.index.projection import Projection

DIM = 32
RECIPE = """
[embeddings.v]
pca = 8
extractor = { name = "vectors", dim = 32, made_by = "test" }
index = { name = "flat" }
"""

Vectors = npt.NDArray[np.float32]


def vectors(count: int) -> Vectors:
    """Unequal variance along turned axes, and a mean that is not zero."""
    generator = np.random.default_rng(5)
    turn, _ = np.linalg.qr(generator.normal(size=(DIM, DIM)))
    scaled = generator.normal(size=(count, DIM)) * np.linspace(3, 0.1, DIM)
    return np.asarray(scaled @ turn + 0.7, np.float32)


def expected(stored: Vectors, query: Vectors, components: int) -> list[int]:
    """Positions by cosine in the space of the leading components, by numpy's own SVD."""

    def unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    data = unit(stored.astype(np.float64))
    mean = data.mean(axis=0)
    _, _, axes = np.linalg.svd(data - mean, full_matrices=False)
    ours = unit((data - mean) @ axes[:components].T)
    asked = unit((unit(query[np.newaxis].astype(np.float64)) - mean) @ axes[:components].T)
    return [int(each) for each in np.argsort(-(ours @ asked[0]), kind="stable")[:10]]


def opened(folder: Path) -> lookalike.Collection:
    recipe = folder / "own.toml"
    recipe.write_text(RECIPE)
    return lookalike.open(folder / "collection", recipe=str(recipe))


def put(collection: lookalike.Collection, rows: Vectors, start: int = 0) -> None:
    numbers = range(start, start + len(rows))
    collection.add_vectors(
        rows,
        [hashlib.sha256(str(number).encode()).digest() for number in numbers],
        [lookalike.Place(f"/{number}") for number in numbers],
    )


def positions(collection: lookalike.Collection, query: Vectors) -> list[int]:
    return [int(hit.path.removeprefix("/")) for hit in collection.search(query, k=10)]


def test_the_learned_axes_are_orthonormal_and_those_of_largest_variance() -> None:
    data = vectors(400)
    learned = Projection.learn(data, 8)
    np.testing.assert_allclose(learned.axes.T @ learned.axes, np.eye(8), atol=1e-5)
    variances = np.linalg.svd(data - data.mean(axis=0), compute_uv=False)[:8] ** 2
    np.testing.assert_allclose((learned.apply(data) ** 2).sum(axis=0), variances, rtol=1e-3)


def test_search_ranks_by_the_collections_own_components_also_after_reopening(
    tmp_path: Path,
) -> None:
    data = vectors(300)
    queries = vectors(310)[300:]
    with opened(tmp_path) as collection:
        put(collection, data)
        collection.settle()
        assert collection.stats()["embeddings"]["v"]["pca"] == 8
        for query in queries:
            assert positions(collection, query) == expected(data, query, 8)
    with opened(tmp_path) as collection:
        for query in queries:
            assert positions(collection, query) == expected(data, query, 8)
        assert all(finding.sound for finding in collection.check())


def test_what_comes_later_is_found_by_the_same_components_at_once(tmp_path: Path) -> None:
    data = vectors(400)
    with opened(tmp_path) as collection:
        put(collection, data[:300])
        collection.settle()
        put(collection, data[300:], start=300)
        for number in range(300, 400):
            assert positions(collection, data[number])[0] == number
        hits = collection.search(data[350], k=1)
        assert hits[0].score == pytest.approx(1.0, abs=1e-5)


def test_another_collection_object_goes_over_to_the_components_without_losing_anything(
    tmp_path: Path,
) -> None:
    data = vectors(400)
    with opened(tmp_path) as first, opened(tmp_path) as second:
        put(first, data[:20])
        assert positions(second, data[3])[0] == 3
        put(first, data[20:], start=20)
        second.remove(second.search(data[5], k=1)[0].id)
        first.settle()
        for number in (0, 19, 20, 399):
            assert positions(second, data[number])[0] == number
        assert 5 not in positions(second, data[5])


def test_a_few_vectors_are_compared_whole(tmp_path: Path) -> None:
    data = vectors(20)
    with opened(tmp_path) as collection:
        put(collection, data)
        collection.settle()
        assert collection.stats()["embeddings"]["v"]["pca"] == 0
        cosines = data @ data[4] / np.linalg.norm(data, axis=1)
        assert positions(collection, data[4]) == np.argsort(-cosines)[:10].tolist()


@pytest.mark.parametrize("value", ["-1", "1.5", '"many"', "true"])
def test_components_that_are_no_number_are_refused(tmp_path: Path, value: str) -> None:
    recipe = tmp_path / "own.toml"
    recipe.write_text(RECIPE.replace("pca = 8", f"pca = {value}"))
    with pytest.raises(RecipeError, match="pca must be a whole number"):
        lookalike.open(tmp_path / "collection", recipe=str(recipe))

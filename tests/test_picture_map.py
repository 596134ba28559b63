"""The map of a collection: principal components of its vectors, kept until somebody commits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from samples import write_classes

import lookalike
from lookalike.picture_map import Cartographer, on_a_plane


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return abs(float(np.corrcoef(a, b)[0, 1]))


@pytest.mark.parametrize("shape", [(400, 30), (40, 900)])
def test_the_plane_is_that_of_an_exact_decomposition(shape: tuple[int, int]) -> None:
    scales = 0.8 ** np.arange(shape[1])
    vectors = (np.random.default_rng(1).standard_normal(shape) * scales).astype(np.float32)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    left, singular, _ = np.linalg.svd(directions - directions.mean(axis=0), full_matrices=False)
    plane = on_a_plane(vectors)
    for axis in (0, 1):
        assert correlation(plane[:, axis], left[:, axis] * singular[axis]) > 0.9999
        assert plane[:, axis].max() == pytest.approx(1)
        assert plane[:, axis].min() >= -1


def test_groups_lie_apart() -> None:
    random = np.random.default_rng(2)
    centres = random.standard_normal((3, 64))
    groups = np.arange(300) % 3
    vectors = centres[groups] + 0.1 * random.standard_normal((300, 64))
    plane = on_a_plane(vectors.astype(np.float32))
    middles = np.stack([plane[groups == group].mean(axis=0) for group in range(3)])
    nearest = np.linalg.norm(plane[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == groups).all()


@pytest.mark.parametrize(
    "vectors",
    [
        np.empty((0, 8)),
        np.ones((1, 8)),
        np.ones((5, 8)),
        np.zeros((5, 8)),
        np.arange(6.0).reshape(6, 1),
        np.full((4, 3), 1e-30),
    ],
    ids=["none", "one", "the same", "zeros", "one dimension", "tiny"],
)
def test_whatever_the_vectors_are_the_places_are_finite(vectors: np.ndarray) -> None:
    plane = on_a_plane(vectors.astype(np.float32))
    assert plane.shape == (len(vectors), 2)
    assert (np.abs(plane) <= 1).all()


def test_a_map_is_kept_until_somebody_commits(tmp_path: Path) -> None:
    pictures = write_classes(tmp_path / "pictures", 4)
    with lookalike.open(tmp_path / "collection") as collection:
        cartographer = Cartographer(collection)
        assert cartographer.map(10).records == []
        collection.add(pictures)
        first = cartographer.map(10)
        assert (len(first.records), first.total) == (10, 12)
        assert cartographer.map(10) is first
        assert len(cartographer.map(100).records) == 12
        with lookalike.open(tmp_path / "collection") as other:
            other.remove(first.records[0].id)
        assert first.records[0].id not in {each.id for each in cartographer.map(100).records}


def test_a_sample_is_spread_over_all_pictures_with_their_own_vectors(tmp_path: Path) -> None:
    with lookalike.open(tmp_path / "collection") as collection:
        collection.add(write_classes(tmp_path / "pictures", 4))
        oldest_first = [record.id for record in reversed(list(collection))]
        records, vectors = collection.sample(4)
        assert [record.id for record in records] == oldest_first[::3]
        for record, vector in zip(records, vectors, strict=True):
            assert (collection.vector(record.id)[0] == vector).all()

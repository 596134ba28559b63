"""Vectors on a plane, against exact decompositions and brute force."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lookalike.plane import on_a_plane, principal

Matrix = npt.NDArray[np.float32]


def unit(vectors: Matrix) -> Matrix:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def clusters(count: int, each: int, dim: int, noise: float) -> tuple[Matrix, npt.NDArray[np.int64]]:
    """Vectors about centres, and the number of each one's centre."""
    random = np.random.default_rng(2)
    groups = np.repeat(np.arange(count), each)
    centres = unit(random.standard_normal((count, dim)).astype(np.float32))
    spread = noise * random.standard_normal((count * each, dim)) / np.sqrt(dim)
    return (centres[groups] + spread).astype(np.float32), groups


def ten_nearest(points: Matrix) -> list[set[int]]:
    far = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(far, np.inf)
    return [set(row) for row in far.argsort(axis=1)[:, :10].tolist()]


def kept(before: Matrix, after: Matrix) -> float:
    """The share of the ten nearest of each that are still among its ten nearest."""
    pairs = zip(ten_nearest(before), ten_nearest(after), strict=True)
    return float(np.mean([len(a & b) / 10 for a, b in pairs]))


@pytest.mark.parametrize("shape", [(400, 30), (40, 900)])
def test_components_are_those_of_an_exact_decomposition(shape: tuple[int, int]) -> None:
    scales = 0.8 ** np.arange(shape[1])
    vectors = (np.random.default_rng(1).standard_normal(shape) * scales).astype(np.float32)
    directions = unit(vectors)
    left, singular, _ = np.linalg.svd(directions - directions.mean(axis=0), full_matrices=False)
    found = principal(vectors, 4)
    for axis in range(4):
        exact = left[:, axis] * singular[axis]
        assert np.abs(found[:, axis]) == pytest.approx(np.abs(exact), abs=2e-3)
        assert found[:, axis].max() == np.abs(found[:, axis]).max()


def test_groups_lie_apart() -> None:
    vectors, groups = clusters(12, 40, 128, noise=0.8)
    plane = on_a_plane(vectors)
    middles = np.stack([plane[groups == group].mean(axis=0) for group in range(12)])
    nearest = np.linalg.norm(plane[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == groups).mean() > 0.98


def test_many_more_neighbours_stay_near_than_with_two_components() -> None:
    vectors, _ = clusters(30, 20, 64, noise=0.8)
    components = kept(unit(vectors), principal(vectors, 2))
    assert kept(unit(vectors), on_a_plane(vectors)) > 2 * components


def test_lengths_do_not_matter_and_the_same_vectors_give_the_same_places() -> None:
    vectors, _ = clusters(4, 10, 16, noise=0.5)
    plane = on_a_plane(vectors)
    assert (on_a_plane(vectors) == plane).all()
    assert (on_a_plane(vectors * 2) == plane).all()
    assert np.abs(plane).max(axis=0) == pytest.approx(1)


@pytest.mark.parametrize(
    "vectors",
    [
        np.empty((0, 8)),
        np.ones((1, 8)),
        np.eye(2, 8),
        np.eye(4, 8),
        np.ones((5, 8)),
        np.zeros((5, 8)),
        np.repeat(np.eye(2, 8), 40, axis=0),
        np.arange(6.0).reshape(6, 1) - 3,
        np.full((4, 3), 1e-30),
    ],
    ids=["none", "one", "two", "four", "same", "zeros", "only copies", "one dimension", "tiny"],
)
def test_whatever_the_vectors_are_the_places_are_finite(vectors: Matrix) -> None:
    plane = on_a_plane(vectors.astype(np.float32))
    assert plane.shape == (len(vectors), 2)
    assert (np.abs(plane) <= 1.0001).all()

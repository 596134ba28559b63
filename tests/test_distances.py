"""Distances against the same computed by SciPy in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import random_vectors
from scipy.spatial import distance as scipy_distance

from lookalike.distances import DISTANCES, distance_named
from lookalike.errors import UnknownName


@pytest.mark.parametrize(("name", "metric"), [("cosine", "cosine"), ("euclidean", "sqeuclidean")])
def test_a_distance_is_what_its_name_promises(name: str, metric: str) -> None:
    distance = distance_named(name)
    a, b = random_vectors(5, seed=1), random_vectors(7, seed=2)
    expected = scipy_distance.cdist(a.astype(float), b.astype(float), metric)
    left, right = distance.prepared(a), distance.prepared(b)
    if distance.metric == "inner product":
        scores = left @ right.T
    else:
        scores = -((left[:, None] - right[None]) ** 2).sum(axis=2)
    found = distance.at_zero - scores
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", DISTANCES)
def test_preparing_never_changes_what_it_is_given(name: str) -> None:
    vectors = random_vectors(20)
    before = vectors.copy()
    vectors.setflags(write=False)
    distance_named(name).prepared(vectors)
    np.testing.assert_array_equal(vectors, before)


def test_cosine_brings_every_size_to_length_one() -> None:
    direction = random_vectors(1)
    for scale in (1e-40, 1e-30, 1e-3, 1.0, 1e3, 1e30, 1e37):
        vector = (direction.astype(np.float64) * scale).astype(np.float32)
        unit = distance_named("cosine").prepared(vector)
        assert unit.dtype == np.float32
        assert np.linalg.norm(unit) == pytest.approx(1.0, abs=1e-4)


def test_a_zero_vector_stays_zero_without_a_warning() -> None:
    prepared = distance_named("cosine").prepared(np.zeros((2, 8), np.float32))
    np.testing.assert_array_equal(prepared, np.zeros((2, 8)))


def test_an_unknown_distance_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean cosine"):
        distance_named("cosin")

"""Distances against their definitions in double precision, SciPy's where it has them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import distances_between, random_vectors

from lookalike.distances import DISTANCES, distance_named
from lookalike.errors import UnknownName
from lookalike.types import Vectors

HISTOGRAMS = ("histogram_intersection", "chi_squared")


def some(count: int, name: str, seed: int) -> Vectors:
    """Vectors such as a distance is meant for."""
    vectors = random_vectors(count, 40, seed=seed)
    return np.abs(vectors).round(1) if name in HISTOGRAMS else vectors


@pytest.mark.parametrize("name", DISTANCES)
def test_a_distance_is_what_its_name_promises(name: str) -> None:
    distance = distance_named(name)
    a, b = some(5, name, 1), some(7, name, 2)
    expected = distances_between(a.astype(float), b.astype(float), name)
    ready = distance.prepared(b)
    scores = np.array([distance.scores(query, ready) for query in distance.prepared(a)])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(distance.at_zero - scores, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, each in DISTANCES.items() if each.native])
def test_the_metric_of_an_index_orders_and_scores_as_the_distance_does(name: str) -> None:
    distance = distance_named(name)
    left, right = distance.prepared(some(1, name, 1)), distance.prepared(some(50, name, 2))
    if distance.metric == "inner product":
        metric = right @ left[0]
    else:
        metric = -((right - left) ** 2).sum(axis=1)
    scores = metric if distance.of_metric is None else distance.of_metric(metric)
    np.testing.assert_allclose(scores, distance.scores(left[0], right), atol=1e-5)
    assert (np.diff(scores[np.argsort(metric)]) >= 0).all()


RANGES = {
    "cosine": (0, 2),
    "angular": (0, 1),
    "histogram_intersection": (0, 1),
    "chi_squared": (0, 1),
    "hamming": (0, 40),
}


@pytest.mark.parametrize(("name", "ends"), RANGES.items())
def test_a_distance_reaches_the_ends_of_its_range(name: str, ends: tuple[int, int]) -> None:
    distance = distance_named(name)
    vector = np.abs(random_vectors(1, 40, seed=3))
    if name in HISTOGRAMS:
        vector[:, 20:] = 0
    opposite = vector[:, ::-1].copy() if name in HISTOGRAMS else -vector
    ready = distance.prepared(np.concatenate([vector, opposite]))
    found = distance.at_zero - distance.scores(ready[0], ready)
    np.testing.assert_allclose(found, ends, atol=1e-3)


@pytest.mark.parametrize("name", DISTANCES)
def test_identical_vectors_are_at_distance_zero(name: str) -> None:
    if name == "inner_product":
        pytest.skip("an inner product has no zero: the longer a vector, the nearer it is")
    distance = distance_named(name)
    ready = distance.prepared(some(5, name, 4))
    for vector in ready:
        (score,) = distance.scores(vector, vector[None])
        assert distance.at_zero - score == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", ["cosine", "angular", "histogram_intersection"])
def test_rounding_takes_no_score_out_of_its_range(name: str) -> None:
    distance = distance_named(name)
    ready = distance.prepared(np.abs(random_vectors(2_000, 96)))
    lowest = {"cosine": -1, "angular": 0, "histogram_intersection": -np.inf}[name]
    for vector in ready:
        scores = distance.scores(vector, np.stack([vector, -vector]))
        assert lowest <= scores.min()
        assert scores.max() <= 1


@pytest.mark.parametrize("name", DISTANCES)
def test_a_bound_leaves_rounding_room_and_no_more(name: str) -> None:
    distance = distance_named(name)
    for score in (distance.at_zero, distance.at_zero - 0.3):
        least = distance.least(score, 2**-19, 4.0)
        assert least <= score
        room = {"angular": 7e-4, "true_euclidean": 3e-3}.get(name, 1e-5)
        assert score - least <= room
    beyond = distance.at_zero + 0.1
    if name != "inner_product":
        assert distance.least(beyond, 0.2, 4.0) == beyond
    assert distance.least(-math.inf, 2**-19, 4.0) == -math.inf


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

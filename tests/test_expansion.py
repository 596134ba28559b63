"""The expanded query against the papers' sum, written out value by value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import random_vectors

from lookalike.expansion import expanded
from lookalike.types import Vectors


def by_hand(query: Vectors, neighbours: Vectors, alpha: float) -> list[float]:
    total, summed = 1.0, [float(value) for value in query[0]]
    for neighbour in neighbours.tolist():
        product = sum(a * b for a, b in zip(query[0].tolist(), neighbour, strict=True))
        cosine = product / math.hypot(*query[0].tolist()) / math.hypot(*neighbour)
        weight = cosine**alpha if cosine > 0 else 0.0
        total += weight
        summed = [a + weight * b for a, b in zip(summed, neighbour, strict=True)]
    return [value / total for value in summed]


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
def test_neighbours_weigh_their_cosine_to_the_power_of_alpha(alpha: float) -> None:
    query, neighbours = random_vectors(1), random_vectors(9, seed=1)
    found = expanded(query, neighbours, alpha)
    assert found.shape == query.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], by_hand(query, neighbours, alpha), rtol=1e-5, atol=1e-6)


def test_without_neighbours_a_query_stays_as_it_is() -> None:
    query = random_vectors(1)
    np.testing.assert_array_equal(expanded(query, query[:0]), query)


def test_what_points_the_other_way_counts_nothing() -> None:
    query = np.array([[1, 0, 0]], np.float32)
    away = np.array([[-1, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)
    for alpha in (0.0, 1.0):
        np.testing.assert_array_equal(expanded(query, away, alpha), query)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e17])
def test_no_size_of_values_makes_it_nan(scale: float) -> None:
    query, neighbours = random_vectors(1) * np.float32(scale), random_vectors(4, seed=1)
    assert np.isfinite(expanded(query, neighbours * np.float32(scale))).all()
    assert np.isfinite(expanded(query, neighbours)).all()

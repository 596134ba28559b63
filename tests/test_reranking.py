"""k-reciprocal distances against the paper's definitions, written out with sets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import clustered_vectors

from lookalike.reranking import k_reciprocal
from lookalike.types import Vectors


def unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def by_sets(vectors: Vectors, k1: int, k2: int, own: float) -> list[float]:
    """Equations 3, 4, 5, 7, 8, 10, 11 and 12 of Zhong et al. 2017; squared distances by rows."""
    every = vectors.astype(float).tolist()
    count = range(len(every))
    apart = [[sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in every] for x in every]
    apart = [[value / max(row) for value in row] for row in apart]
    order = [sorted(count, key=lambda j, i=i: (j != i, apart[i][j])) for i in count]  # type: ignore[misc]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    members = []
    for i in count:
        first = reciprocal(i, k1)
        taken = set(first)
        for j in first:
            others = reciprocal(j, round(k1 / 2))
            if len(first & others) > 2 / 3 * len(others):
                taken |= others
        members.append(taken)
    weights = []
    for i in count:
        row = [math.exp(-apart[i][j]) if j in members[i] else 0.0 for j in count]
        weights.append([value / sum(row) for value in row])
    means = []
    for i in count:
        near = order[i][:k2]
        means.append([sum(weights[j][g] for j in near) / len(near) for g in count])
    found = []
    for i in count[1:]:
        least = sum(map(min, means[0], means[i]))
        most = sum(map(max, means[0], means[i]))
        found.append((1 - own) * (1 - least / most) + own * apart[0][i])
    return found


@pytest.mark.parametrize("count", [2, 3, 5, 20, 21, 22, 60, 120])
@pytest.mark.parametrize(("k1", "k2", "own"), [(20, 6, 0.3), (7, 1, 0.0), (4, 3, 1.0)])
def test_distances_are_those_of_the_paper(count: int, k1: int, k2: int, own: float) -> None:
    vectors = unit(clustered_vectors(count, 8, clusters=4, seed=count))
    found = k_reciprocal(vectors, k1, k2, own)
    np.testing.assert_allclose(found, by_sets(vectors, k1, k2, own), atol=1e-5)


def test_a_crowd_that_is_near_but_keeps_to_itself_falls_behind_the_querys_own_kind() -> None:
    """The query amid 20 pictures that lie loosely around it; 30 lie close together beside it."""
    rng = np.random.default_rng(0)
    loosely = rng.normal((1, 0, 0, 0), 0.2, (20, 4))
    crowd = rng.normal((1, 0.3, 0, 0), 0.01, (30, 4))
    vectors = unit(np.concatenate([[[1, 0, 0, 0]], loosely, crowd]).astype(np.float32))
    kin = np.arange(50) < 20
    by_cosine, again = np.argsort(-vectors[1:] @ vectors[0]), np.argsort(k_reciprocal(vectors))
    assert kin[by_cosine][:20].mean() < 0.5
    assert kin[again][:20].mean() > 0.8


@pytest.mark.parametrize("count", [1, 2, 30])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_or_empty_vectors_are_never_nan(count: int, value: float) -> None:
    found = k_reciprocal(np.full((count, 1), value, np.float32))
    assert found.shape == (count - 1,)
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()

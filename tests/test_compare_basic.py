"""`basic`: the cosine of global vectors, against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from samples import photographs
from scipy.spatial.distance import cosine as cosine_distance
from subjects import Present, Stored, Vectored

from lookalike.compare.basic import Basic, BasicOptions
from lookalike.types import Vectors


def vector(*values: float) -> Vectors:
    return np.array([values], np.float32)


def score(a: dict[str, Vectors], b: dict[str, Vectors]) -> float | None:
    [found] = Basic(BasicOptions()).compare(Vectored(a), [Vectored(b)])
    assert (found.score is None) == bool(found.unavailable)
    return found.score


def test_it_is_the_cosine_of_the_models_vectors() -> None:
    a, b = (Present(picture) for picture in photographs()[:2])
    [found] = Basic(BasicOptions()).compare(a, [Stored(b)])
    [(name, of_a)] = a.vectors.items()
    expected = 1 - cosine_distance(of_a[0].astype(float), b.vectors[name][0].astype(float))
    assert found.score == pytest.approx(expected, abs=1e-12)


def test_length_does_not_count_and_opposites_are_minus_one() -> None:
    assert score({"v": vector(3, 4)}, {"v": vector(30, 40)}) == pytest.approx(1, abs=1e-12)
    assert score({"v": vector(3, 4)}, {"v": vector(-3, -4)}) == pytest.approx(-1, abs=1e-12)
    assert score({"v": vector(3, 4)}, {"v": vector(4, -3)}) == pytest.approx(0, abs=1e-12)


def test_it_never_leaves_its_scale_by_rounding() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        values = rng.normal(size=(1, 7)).astype(np.float32)
        longer = values * np.float32(1.7)
        assert score({"v": values}, {"v": values.copy()}) == 1
        for factor in (1, -1):
            found = score({"v": values}, {"v": factor * longer})
            assert found is not None
            assert abs(found) <= 1


def test_several_embeddings_count_alike_and_those_of_one_side_not_at_all() -> None:
    a = {"v": vector(1, 0), "w": vector(1, 0, 0), "only a": vector(1)}
    b = {"w": vector(0, 1, 0), "v": vector(2, 0), "only b": vector(5, 5)}
    assert score(a, b) == 0.5


def test_zeros_have_no_direction() -> None:
    a = {"v": vector(0, 0), "w": vector(1, 0)}
    assert score(a, {"v": vector(1, 0), "w": vector(3, 4)}) == pytest.approx(0.6)
    assert score({"v": vector(0, 0)}, {"v": vector(0, 0)}) is None
    assert score({"v": vector(1, 0)}, {"v": vector(0, 0)}) is None
    assert score({"v": vector(1, 0)}, {"w": vector(1, 0)}) is None

"""The fused scores against the formulas, computed here in another way."""

from __future__ import annotations

import pytest

from lookalike.fusion import best, reciprocal_rank, weighted

SCORES = {"a": {"x": 0.9, "y": 0.5, "z": 0.1}, "b": {"y": 8.0, "x": 7.0}}
WEIGHTS = {"a": 1.0, "b": 3.0}


def test_reciprocal_rank_is_that_of_the_paper_scaled_to_one() -> None:
    most = 1 / 61 + 3 / 61
    expected = {
        "x": (1 / 61 + 3 / 62) / most,
        "y": (1 / 62 + 3 / 61) / most,
        "z": (1 / 63) / most,
    }
    assert reciprocal_rank(SCORES, WEIGHTS) == pytest.approx(expected)


def test_what_all_have_first_has_the_score_one() -> None:
    fused = reciprocal_rank({"a": {"x": 0.2, "y": 0.1}, "b": {"x": 9.0}}, WEIGHTS)
    assert fused["x"] == pytest.approx(1.0)
    assert max(fused.values()) <= 1.0


def test_weighted_is_the_mean_of_those_that_all_know() -> None:
    assert weighted(SCORES, WEIGHTS) == pytest.approx(
        {"x": (0.9 + 3 * 7.0) / 4, "y": (0.5 + 3 * 8.0) / 4}
    )


def test_the_best_come_first_and_equal_ones_by_id() -> None:
    assert best({"b": 0.5, "c": 0.9, "a": 0.5}, 2) == ["c", "a"]
    assert best({}, 5) == []

"""The curve that is fitted to scores, against an independent fit; what a catalogue keeps of it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from lookalike.calibration import Calibration, Counted, Scorer, Sigmoid, fitted, read


def scipys(copies: Any, others: Any) -> tuple[float, float]:
    """Slope and offset by Platt's own targets and SciPy's minimiser, from its own start."""
    values = np.concatenate([copies, others])
    high, low = (len(copies) + 1) / (len(copies) + 2), 1 / (len(others) + 2)
    targets = np.r_[np.full(len(copies), high), np.full(len(others), low)]

    def loss(at: Any) -> float:
        p = 1 / (1 + np.exp(-(at[0] * values + at[1])))
        return float(-(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum())

    found = minimize(
        loss, [0.1, 0.0], method="Nelder-Mead", options={"fatol": 1e-12, "xatol": 1e-9}
    )
    return float(found.x[0]), float(found.x[1])


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_is_what_another_minimiser_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    copies, others = rng.normal(0.5, 1, 80), rng.normal(-0.7, 1.3, 50)
    curve = fitted(copies, others, higher_is_better=True)
    assert not curve.logarithmic  # some scores are negative
    assert (curve.slope, curve.offset) == pytest.approx(scipys(copies, others), rel=1e-4)


def test_counts_are_fitted_by_their_logarithm_where_that_is_likelier() -> None:
    rng = np.random.default_rng(0)
    copies, others = rng.integers(8, 400, 60).astype(float), rng.integers(0, 12, 60).astype(float)
    curve = fitted(copies, others, higher_is_better=True)
    assert curve.logarithmic
    found = scipys(np.log1p(copies), np.log1p(others))
    assert (curve.slope, curve.offset) == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize("rises", [True, False])
def test_a_better_score_is_never_less_probable(rises: bool) -> None:
    rng = np.random.default_rng(1)
    better, worse = rng.normal(3, 2, 40), rng.normal(0, 2, 40)
    sign = 1 if rises else -1
    curve = fitted(sign * better, sign * worse, higher_is_better=rises)
    probabilities = curve.of(sign * np.linspace(-1e6, 1e6, 1001))
    assert (np.diff(probabilities) >= 0).all()
    assert probabilities[0] < 0.01 < 0.99 < probabilities[-1]


@pytest.mark.parametrize("score", [0.0, -1e308, 1e308, -1.0, 5e-324])
@pytest.mark.parametrize("logarithmic", [True, False])
def test_extremes_are_finite(score: float, logarithmic: bool) -> None:
    with np.errstate(over="ignore"):
        assert 0 <= Sigmoid(7.5, -3.0, logarithmic)(score) <= 1


def test_scores_that_do_not_overlap_give_a_finite_slope() -> None:
    curve = fitted(np.array([0.9, 0.8]), np.array([0.1]), higher_is_better=True)
    assert math.isfinite(curve.slope)
    assert 0.5 < curve(0.9) < 1


def test_scores_that_say_the_contrary_say_nothing() -> None:
    curve = fitted(np.array([0.1, 0.2]), np.array([0.8, 0.9]), higher_is_better=True)
    assert curve(0.0) == curve(1.0)


def test_equal_scores_say_nothing() -> None:
    curve = fitted(np.full(3, 7.0), np.full(3, 7.0), higher_is_better=True)
    assert curve(7.0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("copies", "others"), [([], [1.0]), ([1.0], []), ([math.nan], [1.0]), ([1.0], [math.inf])]
)
def test_what_cannot_be_fitted_is_refused(copies: list[float], others: list[float]) -> None:
    with pytest.raises(ValueError, match="score"):
        fitted(np.array(copies), np.array(others), higher_is_better=True)


def test_what_is_kept_comes_back_as_it_was() -> None:
    scorer = Scorer(
        "a model", False, Sigmoid(-1.5, 2.0, True), 8.0, 0.01, (0.0, 0.03), 300, 0.9, 0.99,
        {"flip": Counted(10, 9)},
    )  # fmt: skip
    calibration = Calibration(0.01, 300, 0, 12.5, {"phash": scorer}, 2, 3, 4, {"orb": "why"})
    text = json.dumps(calibration.to_json(), allow_nan=False)
    assert read(text) == calibration


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"wanted": "x"}', '{"scorers": 3}'])
def test_what_is_not_ours_is_none(text: str | None) -> None:
    assert read(text) is None

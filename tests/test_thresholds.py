from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lookalike.evaluate.metrics import Judged
from lookalike.evaluate.thresholds import (
    best_wrong,
    clopper_pearson,
    threshold_curve,
    threshold_for,
)


def judged(pattern: str, scores: list[float], total: int | None = None) -> Judged:
    relevant = np.array([letter == "+" for letter in pattern], np.bool_)
    return Judged(
        relevant, pattern.count("+") if total is None else total, np.array(scores, np.float32)
    )


ANSWERS = [
    judged("+-", [9, 4]),
    judged("-+-", [8, 7, 1]),
    judged("++", [6, 5], total=3),
    judged("--", [3, 2]),
    judged("", [], total=1),
]


def random_answers(seed: int, count: int) -> list[Judged]:
    rng = np.random.default_rng(seed)
    answers = []
    for _ in range(count):
        relevant = rng.random(8) < 0.3
        scores = np.round(relevant * 0.8 + rng.normal(size=8), 1)
        order = np.argsort(-scores, kind="stable")
        answers.append(
            Judged(relevant[order], int(relevant.sum()) + 1, scores[order].astype(np.float32))
        )
    return answers


def rates(answers: list[Judged], threshold: float) -> tuple[float, float]:
    """False positives and recall by looking at every hit."""
    wrong = sum(bool((each.scores[~each.relevant] >= threshold).any()) for each in answers)
    right = sum(int((each.scores[each.relevant] >= threshold).sum()) for each in answers)
    return wrong / len(answers), right / sum(each.total for each in answers)


def test_the_best_wrong_hit_of_each_query() -> None:
    assert best_wrong(ANSWERS).tolist() == [4, 8, -math.inf, 3, -math.inf]


@pytest.mark.parametrize(
    ("wanted", "above", "rate", "recall"),
    [
        (0.0, 8, 0.0, 1 / 6),
        (0.19, 8, 0.0, 1 / 6),
        (0.2, 4, 0.2, 4 / 6),
        (0.4, 3, 0.4, 4 / 6),
        (0.6, -math.inf, 0.6, 4 / 6),
        (1.0, -math.inf, 0.6, 4 / 6),
    ],
)
def test_the_threshold_is_the_lowest_that_keeps_wrong_hits_as_rare_as_wanted(
    wanted: float, above: float, rate: float, recall: float
) -> None:
    found = threshold_for(ANSWERS, wanted)
    expected = np.nextafter(np.float32(above), np.float32(math.inf)) if above > 0 else above
    assert found.threshold == expected
    assert found.false_positive_rate == rate
    assert found.recall == pytest.approx(recall)


@pytest.mark.parametrize("wanted", [0.0, 0.01, 0.07, 0.1, 0.5])
def test_a_threshold_gives_what_it_says_and_the_next_score_below_too_much(wanted: float) -> None:
    for seed in range(10):
        answers = random_answers(seed, 100)
        found = threshold_for(answers, wanted)
        assert (found.false_positive_rate, found.recall) == rates(answers, found.threshold)
        assert found.false_positive_rate <= wanted
        below = max(score for each in answers for score in each.scores if score < found.threshold)
        assert rates(answers, below)[0] > wanted


def test_the_curve_has_what_every_threshold_gives() -> None:
    answers = random_answers(3, 50)
    curve = threshold_curve(answers)
    assert (np.diff(curve.threshold) < 0).all()
    for threshold, rate, recall in zip(*curve, strict=True):
        assert (rate, recall) == rates(answers, threshold)


def test_a_threshold_holds_for_other_queries_as_often_as_its_interval_says() -> None:
    # Scores are even between 0 and 1, so that the true rate is 1 less the threshold.
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        answers = [judged("-", [score]) for score in rng.random(60)]
        found = threshold_for(answers, 0.1)
        held += 1 - found.threshold <= found.interval.high
    # 97.5% of 400 are 390, with a standard deviation of 3.1.
    assert 379 <= held <= 399


@pytest.mark.parametrize("trials", [1, 2, 10, 365, 100_000])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.97, 1.0])
def test_the_interval_of_a_rate_is_that_of_scipy(trials: int, share: float) -> None:
    successes = round(trials * share)
    for confidence in (0.9, 0.95):
        theirs = stats.binomtest(successes, trials).proportion_ci(confidence, "exact")
        assert clopper_pearson(successes, trials, confidence) == pytest.approx(
            (theirs.low, theirs.high), rel=1e-6, abs=1e-12
        )


def test_no_wrong_hit_in_a_hundred_queries_is_no_proof_of_less_than_three_in_a_hundred() -> None:
    found = threshold_for([judged("+", [1])] * 100, 0.001)
    assert found.false_positive_rate == 0
    assert found.interval == pytest.approx((0, 1 - 0.025 ** (1 / 100)))


def test_queries_without_anything_have_no_recall() -> None:
    assert math.isnan(threshold_for([judged("-", [1])], 0.5).recall)
    assert np.isnan(threshold_curve([judged("-", [1])]).recall).all()
    assert len(threshold_curve([]).threshold) == 0


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0 to 1, not 1\.5"):
        threshold_for(ANSWERS, 1.5)
    with pytest.raises(ValueError, match="no queries"):
        threshold_for([], 0.1)

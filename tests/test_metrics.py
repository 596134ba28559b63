from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lookalike.evaluate.metrics import (
    Judged,
    Metric,
    OperatingPoint,
    average_precision,
    interpolated_precision,
    mean,
    mean_of_each_class,
    micro_average_precision,
    n_s,
    ndcg_at,
    per_query,
    pooled,
    precision_at,
    precision_recall,
    recall_at,
    recall_at_precision,
    reciprocal_rank,
    revisited_precision_at,
    trapezoid_average_precision,
)


def judged(pattern: str, total: int | None = None, scores: Sequence[float] | None = None) -> Judged:
    """`+` is a right hit and `-` a wrong one, best first; as many relevant as found unless said."""
    relevant = np.array([letter == "+" for letter in pattern], np.bool_)
    falling = np.arange(len(pattern), 0, -1) if scores is None else scores
    return Judged(
        relevant, pattern.count("+") if total is None else total, np.array(falling, np.float32)
    )


def random_answers(seed: int, queries: int = 40, levels: int | None = None) -> list[Judged]:
    """Rankings of 0 to 30 hits with some relevant, of some the system found none or not all.

    `levels`: how many scores there are, so that some are equal.
    """
    rng = np.random.default_rng(seed)
    answers = []
    for _ in range(queries):
        count = int(rng.integers(0, 31))
        relevant = rng.random(count) < rng.choice([0.1, 0.5, 0.9])
        scores = np.sort(rng.random(count) if levels is None else rng.integers(0, levels, count))
        total = int(np.count_nonzero(relevant) + rng.choice([0, 0, 3]))
        answers.append(Judged(relevant, total, scores[::-1].astype(np.float32)))
    return answers


# By hand: + - - + - with three relevant, one not found. Precision is 1 at rank 1, 2/4 at rank 4.
HAND = judged("+--+-", total=3)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (average_precision, (1 + 2 / 4) / 3),
        # Before rank 1 precision is 1, before rank 4 it is 1/3.
        (trapezoid_average_precision, ((1 + 1) / 2 + (1 / 3 + 2 / 4) / 2) / 3),
        (lambda answer: precision_at(answer, 1), 1.0),
        (lambda answer: precision_at(answer, 4), 2 / 4),
        (lambda answer: precision_at(answer, 10), 2 / 10),
        (lambda answer: revisited_precision_at(answer, 3), 1 / 3),
        (lambda answer: revisited_precision_at(answer, 10), 2 / 4),
        (lambda answer: recall_at(answer, 1), 1 / 3),
        (lambda answer: recall_at(answer, 10), 2 / 3),
        (reciprocal_rank, 1.0),
        # Gains 1/log2(2) and 1/log2(5); the best three are at ranks 1, 2, 3.
        (
            lambda answer: ndcg_at(answer, 5),
            (1 + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 1 / math.log2(4)),
        ),
        (lambda answer: ndcg_at(answer, 2), 1 / (1 + 1 / math.log2(3))),
        (n_s, 2.0),
    ],
)
def test_each_measure_of_one_answer_is_what_its_definition_gives_by_hand(
    metric: Metric, value: float
) -> None:
    assert metric(HAND) == pytest.approx(value, abs=1e-12)


def test_a_first_hit_at_rank_three_has_a_reciprocal_rank_of_a_third() -> None:
    late = judged("--+")
    assert reciprocal_rank(late) == pytest.approx(1 / 3)
    # Before rank 3 precision is 0.
    assert trapezoid_average_precision(late) == pytest.approx((0 + 1 / 3) / 2)


PER_QUERY: list[Metric] = [
    average_precision,
    trapezoid_average_precision,
    reciprocal_rank,
    lambda answer: precision_at(answer, 4),
    lambda answer: revisited_precision_at(answer, 10),
    lambda answer: recall_at(answer, 4),
    lambda answer: ndcg_at(answer, 10),
    lambda answer: n_s(answer) / 4,
]


@pytest.mark.parametrize("metric", PER_QUERY)
def test_a_perfect_ranking_gets_one_and_nothing_found_gets_zero(metric: Metric) -> None:
    assert metric(judged("++++------")) == pytest.approx(1)
    assert metric(judged("----------", total=4)) == 0
    assert metric(judged("", total=4)) == 0


@pytest.mark.parametrize("metric", PER_QUERY)
def test_a_query_to_which_nothing_is_relevant_has_no_value(metric: Metric) -> None:
    assert math.isnan(metric(judged("---")))
    assert math.isnan(metric(judged("")))


@pytest.mark.parametrize("metric", PER_QUERY)
def test_what_follows_the_last_relevant_hit_changes_nothing(metric: Metric) -> None:
    for answer in random_answers(1):
        longer = Judged(
            np.append(answer.relevant, [False] * 5),
            answer.total,
            np.append(answer.scores, np.full(5, -1, np.float32)),
        )
        assert metric(longer) == pytest.approx(metric(answer), nan_ok=True)


@pytest.mark.parametrize("metric", PER_QUERY)
def test_a_relevant_hit_that_moves_up_never_lowers_a_measure(metric: Metric) -> None:
    for answer in random_answers(2):
        swaps = np.flatnonzero(~answer.relevant[:-1] & answer.relevant[1:])
        for at in swaps:
            better = answer.relevant.copy()
            better[[at, at + 1]] = True, False
            after = metric(Judged(better, answer.total, answer.scores))
            assert after >= metric(answer) - 1e-12


@pytest.fixture(scope="module")
def ranx_values() -> Callable[[list[Judged], str], npt.NDArray[Any]]:
    """What ranx, an evaluation library of information retrieval, says of each answer."""
    os.environ["NUMBA_DISABLE_JIT"] = "1"  # compiling takes longer than all else here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranx = pytest.importorskip("ranx")

    def values(answers: list[Judged], metric: str) -> npt.NDArray[Any]:
        qrels, run = {}, {}
        for number, answer in enumerate(answers):
            hits = [f"hit{rank}" for rank in range(len(answer.relevant))]
            right = [hit for hit, relevant in zip(hits, answer.relevant, strict=True) if relevant]
            missing = [f"missing{each}" for each in range(answer.total - len(right))]
            qrels[f"q{number:03}"] = dict.fromkeys(right + missing, 1)
            run[f"q{number:03}"] = dict(zip(hits, map(float, answer.scores), strict=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(
                ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), metric, return_mean=False)
            )

    return values


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("map", average_precision),
        ("mrr", reciprocal_rank),
        ("precision@5", lambda answer: precision_at(answer, 5)),
        ("recall@5", lambda answer: recall_at(answer, 5)),
        ("recall@20", lambda answer: recall_at(answer, 20)),
        ("ndcg@5", lambda answer: ndcg_at(answer, 5)),
        ("ndcg@30", lambda answer: ndcg_at(answer, 30)),
    ],
)
def test_measures_agree_with_ranx_on_random_rankings(
    ranx_values: Callable[[list[Judged], str], npt.NDArray[Any]], name: str, metric: Metric
) -> None:
    # ranx knows no query without hits, or without a relevant picture.
    answers = [each for each in random_answers(3, 100) if len(each.relevant) and each.total]
    assert len(answers) > 50
    np.testing.assert_allclose(
        per_query(metric, answers), ranx_values(answers, name), atol=1e-12, rtol=0
    )


def walked(answer: Judged) -> float:
    """The area as compute_ap.cpp of the Oxford buildings has it: a trapezoid for every rank."""
    area, old_recall, old_precision, found = 0.0, 0.0, 1.0, 0
    for rank, relevant in enumerate(answer.relevant, 1):
        found += bool(relevant)
        recall, precision = found / answer.total, found / rank
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return area


def test_the_trapezoid_convention_is_that_of_the_oxford_program() -> None:
    for answer in random_answers(4, 200):
        if answer.total:
            area = trapezoid_average_precision(answer)
            assert area == pytest.approx(walked(answer), abs=1e-12)
            assert area <= average_precision(answer) + 1e-12


def test_queries_without_relevant_pictures_are_left_out_of_a_mean_and_counted() -> None:
    values = per_query(average_precision, [judged("+"), judged("-"), judged("-+"), judged("")])
    assert mean(values) == (0.75, 2, 2)
    empty = mean(per_query(average_precision, [judged("--")]))
    assert math.isnan(empty.value)
    assert empty[1:] == (0, 1)


def test_the_mean_of_each_class_is_over_its_own_queries_alone() -> None:
    values = np.array([1.0, 0.0, 0.5, 0.2, math.nan])
    classes = ["cup", "cup", "cup", "ant", "bee"]
    each = mean_of_each_class(values, classes)
    assert list(each) == ["ant", "bee", "cup"]
    assert each["cup"] == (0.5, 3, 0)
    assert each["ant"] == (0.2, 1, 0)
    assert each["bee"][1:] == (0, 1)
    with pytest.raises(ValueError, match="5 values, but the classes of 1"):
        mean_of_each_class(values, ["cup"])


def brute_micro(answers: Sequence[Judged]) -> float:
    """Every pair sorted, wrong ones first among equal scores; the definition, one by one."""
    pairs = sorted(
        (-float(score), bool(relevant))
        for answer in answers
        for score, relevant in zip(answer.scores, answer.relevant, strict=True)
    )
    right, total = 0, 0.0
    for rank, (_, relevant) in enumerate(pairs, 1):
        right += relevant
        total += right / rank if relevant else 0
    return total / sum(answer.total for answer in answers)


@pytest.mark.parametrize("levels", [None, 3, 12])
def test_micro_average_precision_is_that_of_all_pairs_sorted_one_by_one(levels: int | None) -> None:
    for seed in range(10):
        answers = random_answers(seed, 15, levels)
        assert micro_average_precision(answers) == pytest.approx(brute_micro(answers), abs=1e-12)


def test_micro_average_precision_by_hand() -> None:
    # Pooled: .9+ .8- .7+ .6- .5+ with four relevant.
    answers = [
        judged("+-", scores=[0.9, 0.6]),
        judged("++", total=3, scores=[0.7, 0.5]),
        judged("-", scores=[0.8]),
    ]
    assert micro_average_precision(answers) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)


def test_the_wrong_hit_of_a_query_without_copies_counts_in_pooled_measures() -> None:
    right = judged("+", scores=[0.5])
    assert micro_average_precision([right]) == 1
    assert micro_average_precision([right, judged("-", scores=[0.9])]) == 0.5
    assert micro_average_precision([right, judged("-", scores=[0.1])]) == 1


def test_equal_scores_of_different_queries_are_put_in_the_worst_order() -> None:
    same = [judged("+", scores=[0.5]), judged("-", scores=[0.5])]
    assert micro_average_precision(same) == 0.5
    assert micro_average_precision(same[::-1]) == 0.5


def test_equal_scores_within_an_answer_keep_the_order_that_the_user_sees() -> None:
    assert average_precision(judged("+-", scores=[0.5, 0.5])) == 1
    assert average_precision(judged("-+", scores=[0.5, 0.5])) == 0.5


def test_scores_that_grow_without_changing_order_change_no_pooled_measure() -> None:
    answers = random_answers(5)
    larger = [Judged(each.relevant, each.total, np.exp(each.scores * 3)) for each in answers]
    assert micro_average_precision(larger) == pytest.approx(micro_average_precision(answers))
    first, second = (recall_at_precision(pooled(each), 0.4) for each in (answers, larger))
    assert first is not None
    assert second is not None
    assert first[:2] == second[:2]


def test_recall_at_a_precision_is_the_best_that_a_threshold_reaches() -> None:
    # Precision after each: 1, 1/2, 2/3, 3/4, 3/5.
    pool = pooled([judged("+-++-", total=4, scores=[9, 8, 7, 6, 5])])
    assert recall_at_precision(pool, 0.9) == OperatingPoint(0.25, 1.0, 9)
    assert recall_at_precision(pool, 0.7) == OperatingPoint(0.75, 0.75, 6)
    # A lower threshold finds no more, and is less precise.
    assert recall_at_precision(pool, 0.6) == OperatingPoint(0.75, 0.75, 6)
    assert recall_at_precision(pooled([judged("-+", scores=[2, 1])]), 0.9) is None
    assert recall_at_precision(pooled([]), 0.9) is None
    assert recall_at_precision(pooled([judged("--")]), 0.9) is None


def test_recall_at_a_precision_agrees_with_trying_every_threshold() -> None:
    for seed in range(20):
        answers = random_answers(seed, 12, levels=8)
        total = sum(each.total for each in answers)
        best = None
        for threshold in range(8):
            kept = np.concatenate([each.relevant[each.scores >= threshold] for each in answers])
            if len(kept) and kept.mean() >= 0.6:
                best = max(best or 0, kept.sum() / total)
        point = recall_at_precision(pooled(answers), 0.6)
        assert (point and point.recall) == (pytest.approx(best) if best else None)


def test_the_curve_has_a_point_for_each_score_and_ends_at_all_that_was_found() -> None:
    curve = precision_recall(
        pooled([judged("+-", scores=[0.9, 0.5]), judged("+", total=3, scores=[0.5])])
    )
    np.testing.assert_allclose(curve.threshold, [0.9, 0.5], rtol=1e-6)
    np.testing.assert_allclose(curve.precision, [1, 2 / 3])
    np.testing.assert_allclose(curve.recall, [1 / 4, 2 / 4])
    assert len(precision_recall(pooled([])).threshold) == 0


def test_interpolated_precision_is_the_best_at_each_recall_or_beyond() -> None:
    # Recalls 1/2 and 1 are reached with precisions 1/2 and 2/3.
    np.testing.assert_allclose(interpolated_precision(judged("-++")), np.full(11, 2 / 3))
    # Three tenths of the relevant pictures, with precisions 1, 2/3 and 3/4.
    np.testing.assert_allclose(
        interpolated_precision(judged("+-++", total=10)), [1, 1, 0.75, 0.75] + [0.0] * 7
    )
    assert np.isnan(interpolated_precision(judged("--"))).all()
    assert (interpolated_precision(judged("", total=2)) == 0).all()


@pytest.mark.parametrize("levels", [11, 101])
def test_interpolated_precision_agrees_with_its_definition(levels: int) -> None:
    for answer in random_answers(6):
        if answer.total:
            points = [
                (int(answer.relevant[:n].sum()), answer.relevant[:n].mean())
                for n in range(1, len(answer.relevant) + 1)
            ]
            expected = [
                max(
                    (p for found, p in points if found * (levels - 1) >= level * answer.total),
                    default=0.0,
                )
                for level in range(levels)
            ]
            expected[0] = max((p for found, p in points if found), default=0.0)
            np.testing.assert_allclose(interpolated_precision(answer, levels), expected)


def test_the_n_s_score_of_a_set_is_the_mean_over_its_queries() -> None:
    answers = [judged("++++"), judged("+-+-++"), judged("+---", total=4)]
    assert mean(per_query(n_s, answers)).value == pytest.approx((4 + 2 + 1) / 3)


def test_what_cannot_be_an_answer_is_refused() -> None:
    scores = np.zeros(2, np.float32)
    with pytest.raises(ValueError, match="must both be"):
        Judged(np.zeros(3, np.bool_), 1, scores)
    with pytest.raises(ValueError, match="more hits are relevant"):
        Judged(np.ones(2, np.bool_), 1, scores)
    with pytest.raises(ValueError, match="NaN"):
        Judged(np.ones(2, np.bool_), 2, np.array([1, math.nan], np.float32))
    for metric in (precision_at, recall_at, ndcg_at):
        with pytest.raises(ValueError, match="k must be 1 or more, not 0"):
            metric(HAND, 0)

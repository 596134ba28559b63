from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lookalike.evaluate.metrics import (
    Judged,
    Values,
    area,
    average_precision,
    micro_average_precision,
    most_recall,
    pooled,
    precision_recall,
    recall_at_precision,
)
from lookalike.evaluate.significance import (
    compare,
    compare_pooled,
    holm,
    interval,
    pooled_interval,
    pooled_resamples,
)


def values(seed: int, count: int = 60) -> Values:
    """Average precisions as they are: many near 1, some 0."""
    return np.random.default_rng(seed).beta(0.8, 0.5, count)


def answers(seed: int, count: int = 30, noise: float = 1.0) -> list[Judged]:
    """Ten hits a query; right ones have higher scores, the less `noise` the more clearly."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        relevant = rng.random(10) < 0.3
        scores = (relevant + noise * rng.normal(size=10)).astype(np.float32)
        order = np.argsort(-scores)
        made.append(Judged(relevant[order], int(relevant.sum()) + 1, scores[order]))
    return made


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    for seed in range(3):
        given = values(seed)
        ours = interval(given, resamples=20_000)
        theirs = stats.bootstrap(
            (given,), np.mean, method="percentile", n_resamples=20_000, rng=seed
        ).confidence_interval
        # The error of a percentile out of 20,000 draws is a few hundredths of a standard error.
        error = given.std() / math.sqrt(len(given))
        assert ours == pytest.approx(tuple(theirs), abs=0.1 * error)


def test_the_interval_of_a_mean_of_many_is_that_of_the_normal_distribution() -> None:
    given = np.random.default_rng(0).normal(5, 2, 4_000)
    error = given.std() / math.sqrt(len(given))
    expected = (given.mean() - 1.96 * error, given.mean() + 1.96 * error)
    assert interval(given) == pytest.approx(expected, abs=0.1 * error)
    wider = interval(given, confidence=0.99)
    assert wider == pytest.approx(
        (given.mean() - 2.576 * error, given.mean() + 2.576 * error), abs=0.15 * error
    )


def test_the_interval_of_two_queries_has_a_closed_answer() -> None:
    # A quarter of the draws is 0 twice, a quarter 1 twice.
    assert interval(np.array([0.0, 1.0])) == (0, 1)
    assert interval(np.array([0.0, 1.0]), confidence=0.4) == (0.5, 0.5)


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    intervals = [interval(rng.random(50), resamples=500, seed=seed) for seed in range(400)]
    covered = sum(low <= 0.5 <= high for low, high in intervals)
    # 95% of 400 are 380, with a standard deviation of 4.4; a bootstrap of 50 is a little short.
    assert 360 <= covered <= 395


def test_queries_without_a_value_play_no_part() -> None:
    given = values(4)
    with_none = np.concatenate([[math.nan], given, [math.nan]])
    assert interval(with_none) == interval(given)
    assert compare(with_none, with_none + 0.1) == compare(given, given + 0.1)


def test_one_query_says_nothing_of_others() -> None:
    for given in (np.array([0.5]), np.array([0.5, math.nan]), np.zeros(0)):
        assert np.isnan(interval(given)).all()
        compared = compare(given, given)
        assert math.isnan(compared.p_value)
        assert np.isnan(compared.interval).all()
    assert np.isnan(pooled_interval(answers(0, 1), area)).all()
    assert np.isnan(pooled_interval([], area)).all()


def test_the_same_seed_gives_the_same_and_another_seed_another() -> None:
    given = values(5)
    assert interval(given, seed=7) == interval(given, seed=7)
    assert interval(given, seed=7) != interval(given, seed=8)


def test_draws_in_parts_are_the_draws_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = values(6), values(7)
    whole = interval(first), compare(first, second)
    monkeypatch.setattr("lookalike.evaluate.significance._AT_ONCE", 1_000)
    assert (interval(first), compare(first, second)) == whole


@pytest.mark.parametrize("count", [2, 3, 8, 13])
def test_the_p_value_of_few_queries_is_exactly_that_of_all_exchanges(count: int) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        first, second = rng.random(count), rng.random(count) * 0.8
        difference = first - second
        as_large = [
            abs(np.dot(signs, difference)) >= abs(difference.sum()) - 1e-12
            for signs in itertools.product((1, -1), repeat=count)
        ]
        assert compare(first, second).p_value == pytest.approx(np.mean(as_large))


def test_p_values_are_those_of_scipy() -> None:
    for seed, count in itertools.product(range(3), (10, 40)):
        first = values(seed, count)
        second = np.clip(first - 0.04 + 0.15 * np.random.default_rng(seed).normal(size=count), 0, 1)
        theirs = stats.permutation_test(
            (first, second),
            lambda a, b, axis: np.mean(a - b, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=9_999,
            rng=seed,
        ).pvalue
        ours = compare(first, second, resamples=9_999)
        sampling = 4 * math.sqrt(theirs * (1 - theirs) / 9_999)
        assert ours.p_value == pytest.approx(theirs, abs=2 * sampling if count == 40 else 1e-12)


def test_ten_queries_that_all_improve_alike_have_the_least_p_value_there_is() -> None:
    first = values(8, 10)
    assert compare(first + 0.1, first).p_value == 2 / 2**10
    assert compare(first, first + 0.1).p_value == 2 / 2**10


def test_a_system_does_not_differ_from_itself() -> None:
    for count in (5, 200):
        compared = compare(values(9, count), values(9, count))
        assert compared == (0, (0, 0), 1, count)


def test_the_difference_and_its_interval_turn_round_with_the_systems() -> None:
    first, second = values(10), values(11)
    one, other = compare(first, second), compare(second, first)
    assert one.difference == -other.difference == pytest.approx((first - second).mean())
    assert one.p_value == other.p_value
    assert one.interval == pytest.approx((-other.interval.high, -other.interval.low), abs=1e-9)


def test_p_values_without_a_difference_are_spread_evenly() -> None:
    rng = np.random.default_rng(2)
    found = [compare(*rng.random((2, 30)), resamples=300, seed=seed).p_value for seed in range(300)]
    assert stats.kstest(found, "uniform").pvalue > 0.001


def test_values_of_other_queries_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="not of the same queries"):
        compare(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="not of the same queries"):
        compare(np.array([0.5, math.nan]), np.array([math.nan, 0.5]))
    with pytest.raises(ValueError, match="not of the same queries"):
        compare_pooled(np.zeros(3), np.zeros(2), 0, 3)


def test_the_interval_of_a_pooled_measure_is_that_of_pooling_each_draw_anew() -> None:
    given = [*answers(12), Judged(np.zeros(2, np.bool_), 0, np.array([3, 0.5], np.float32))]
    rng = np.random.default_rng(0)
    anew = [
        micro_average_precision([given[each] for each in rng.integers(0, 31, 31)])
        for _ in range(1_000)
    ]
    ours = pooled_interval(given, area)
    assert ours == pytest.approx(tuple(np.quantile(anew, [0.025, 0.975])), abs=0.02)
    assert ours.low < micro_average_precision(given) < ours.high


def test_the_same_draws_with_the_same_seed_are_exactly_the_same_pools() -> None:
    given = answers(13, 12, noise=0.5)
    rng = np.random.default_rng(0)
    draws = rng.integers(0, 12, (200, 12))
    anew = [area(precision_recall(pooled([given[each] for each in draw]))) for draw in draws]
    expected = np.quantile(anew, [0.025, 0.975])
    ours = pooled_interval(given, area, resamples=200)
    assert ours == pytest.approx(tuple(expected), abs=1e-6)


def test_the_area_under_a_curve_of_different_scores_is_average_precision() -> None:
    pool = pooled(answers(16, 40, noise=0.7))
    assert len(np.unique(pool.scores)) == len(pool.scores)
    assert area(precision_recall(pool)) == pytest.approx(average_precision(pool))


def test_many_relevant_pictures_are_thinned_out_without_harm() -> None:
    rng = np.random.default_rng(17)
    given = []
    for _ in range(40):
        relevant = rng.random(400) < 0.25
        scores = (relevant + rng.normal(0, 1, 400)).astype(np.float32)
        order = np.argsort(-scores)
        given.append(Judged(relevant[order], int(relevant.sum()), scores[order]))
    assert sum(each.total for each in given) > 3_000
    draws = np.random.default_rng(0).integers(0, 40, (100, 40))
    anew = [micro_average_precision([given[each] for each in draw]) for draw in draws]
    ours = pooled_interval(given, area, resamples=100)
    assert ours == pytest.approx(tuple(np.quantile(anew, [0.025, 0.975])), abs=0.002)


def test_a_clearly_better_system_is_better_in_a_pooled_measure() -> None:
    good, bad = answers(14, 60, noise=0.2), answers(14, 60, noise=2.0)
    one, other = (pooled_resamples(each, area) for each in (good, bad))
    true = micro_average_precision(good) - micro_average_precision(bad)
    found = compare_pooled(one, other, true, 60)
    assert 0 < found.interval.low < true < found.interval.high
    assert found.p_value < 0.01
    assert compare_pooled(one, one, 0, 60).interval == (0, 0)


def test_recall_at_a_precision_has_an_interval() -> None:
    given = answers(15, 60, noise=0.4)
    point = recall_at_precision(pooled(given), 0.9)
    assert point is not None
    found = pooled_interval(given, most_recall)
    assert most_recall(precision_recall(pooled(given))) == point.recall
    assert found.low <= point.recall <= found.high
    assert found.high - found.low < 0.5


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []
    one, none, other = holm([0.02, math.nan, 0.03])
    assert [one, other] == pytest.approx([0.04, 0.04])
    assert math.isnan(none)


def test_resamples_compare_as_pools_of_the_same_draws_do() -> None:
    one, other = answers(0, noise=0.6), answers(1, noise=1.5)
    kept = [pooled_resamples(each, area, resamples=500) for each in (one, other)]
    found = compare_pooled(kept[0], kept[1], 0.2, 30)
    draws = np.random.default_rng(0).integers(0, 30, (500, 30))
    first, second = (
        np.array([area(precision_recall(pooled([given[n] for n in draw]))) for draw in draws])
        for given in (one, other)
    )
    expected = np.quantile(first - second, [0.025, 0.975])
    assert found.interval == pytest.approx(tuple(expected), abs=1e-6)
    assert (found.difference, found.queries) == (0.2, 30)
    # As many resamples of one and of the other sign as the p-value says.
    signs = np.sort([np.mean(kept[0] <= kept[1]), np.mean(kept[0] >= kept[1])])
    assert found.p_value == pytest.approx(min(1, 2 * signs[0]), abs=2 / 500)


def test_equals_do_not_differ_in_a_pooled_measure_and_opposites_do() -> None:
    good, bad = answers(0, noise=0.1), answers(0, noise=50)
    one, other = (pooled_resamples(each, area, resamples=500) for each in (good, bad))
    assert compare_pooled(one, one, 0, 30).p_value == 1
    assert compare_pooled(one, other, 0.5, 30).p_value == pytest.approx(2 / 501)


def test_one_query_has_no_resamples() -> None:
    few = pooled_resamples(answers(0, count=1), area, resamples=50)
    assert np.isnan(few).all()
    assert math.isnan(compare_pooled(few, few, 0, 1).p_value)
    with pytest.raises(ValueError, match="not of the same queries"):
        compare_pooled(few, few[:10], 0, 1)

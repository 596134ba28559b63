"""How sure a measure is, and whether two systems differ: bootstrap and randomisation over queries.

What is drawn again are queries, never hits: those of one query depend on each other. All of it is
seeded, so that the same numbers give the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .metrics import Judged, PrecisionRecall, Values

_AT_ONCE = 1 << 22
"""How many draws are in memory at once."""
_THRESHOLDS = 1_000
"""On the score, at which the curve of pooled answers is known; between them nothing is lost that
would show beside how far resamples differ."""

Measure = Callable[[PrecisionRecall], float]
"""A number of the curve of pooled answers, such as `metrics.area`."""


class Interval(NamedTuple):
    """Where a measure lies with some confidence; NaN where fewer than two queries have a value."""

    low: float
    high: float


class Comparison(NamedTuple):
    """Two systems on the same queries."""

    difference: float
    """The mean of the first less that of the second."""
    interval: Interval
    """Of the difference."""
    p_value: float
    """How likely a difference as large in either direction is, were the two the same."""
    queries: int
    """How many have a value."""


def interval(
    values: Values, *, resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """The bootstrap percentile interval of the mean over queries.

    `values`: float64 [q], NaN where nothing is relevant to a query, which is left out. Efron and
    Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.
    """
    counted = values[~np.isnan(values)]
    means = [counted[chosen].mean(axis=1) for chosen in _draws(len(counted), resamples, seed)]
    return _middle(means, confidence)


def pooled_interval(
    answers: Sequence[Judged],
    measure: Measure,
    *,
    resamples: int = 1_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The bootstrap percentile interval of a measure of the pooled answers, such as micro-AP.

    `measure` is told the curve of the pooled answers, at 1,000 thresholds at most. Queries to which
    nothing is relevant are drawn as well. Draws with no relevant picture in them have no value and
    are left out.
    """
    return _middle([_Pool(answers).measured(measure, resamples, seed)], confidence)


def compare(
    first: Values,
    second: Values,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Whether two systems differ in a mean over the same queries: a paired randomisation test.

    `first`, `second`: float64 [q], a measure of each query's answer by either, NaN where nothing
    is relevant to it. Were the systems the same, each query's two values might as well be the
    other way round: the p-value, two-sided, is the share of such exchanges whose means differ by
    no less. All of them are looked at where there are at most `resamples`, else so many at random,
    with what was observed as one of them. Fisher's test, as Smucker, Allan and Carterette advise,
    "A comparison of statistical significance tests for information retrieval evaluation", CIKM
    2007. NaN where fewer than two queries have a value.
    """
    if first.shape != second.shape or (np.isnan(first) != np.isnan(second)).any():
        raise ValueError("the values are not of the same queries")
    differences = (first - second)[~np.isnan(first)]
    if len(differences) < 2:
        nowhere = Interval(math.nan, math.nan)
        return Comparison(math.nan, nowhere, math.nan, len(differences))
    return Comparison(
        float(differences.mean()),
        interval(differences, resamples=resamples, confidence=confidence, seed=seed),
        _randomisation(differences, resamples, seed),
        len(differences),
    )


def pooled_resamples(
    answers: Sequence[Judged], measure: Measure, *, resamples: int = 1_000, seed: int = 0
) -> Values:
    """A pooled measure of each of many resamples of the queries, float64 [resamples].

    The same seed draws the same queries of any system's answers, so that these can be kept in place
    of the answers and compared pair by pair, see `compare_pooled`. NaN where a resample has nothing
    relevant in it.
    """
    every = _Pool(answers).measured(measure, resamples, seed)
    return every if len(every) else np.full(resamples, math.nan)


def compare_pooled(
    first: Values, second: Values, difference: float, queries: int, *, confidence: float = 0.95
) -> Comparison:
    """Whether two systems differ in a pooled measure, by their `pooled_resamples`.

    `difference`: what was observed. The p-value is twice the share of the resamples on whose side
    of zero fewer lie, the observed one among them: the confidence at which the percentile interval
    of the difference just reaches zero. Efron and Tibshirani, 1993, section 15.4.
    """
    if first.shape != second.shape or (np.isnan(first) != np.isnan(second)).any():
        raise ValueError("the resamples are not of the same queries")
    differences = (first - second)[~np.isnan(first)]
    if not len(differences):
        return Comparison(math.nan, Interval(math.nan, math.nan), math.nan, queries)
    sides = np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0)
    p_value = min(1.0, 2 * (min(sides) + 1) / (len(differences) + 1))
    return Comparison(difference, _middle([differences], confidence), p_value, queries)


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value corrected for there being several, in the same order; NaN stays NaN.

    The smallest of m times m, the next times m - 1 and so on, never less than the one before, at
    most 1: the chance of calling any of those different that are not stays below what one asks of
    each. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 1979.
    """
    given = np.asarray(p_values, np.float64)
    corrected = np.full(len(given), math.nan)
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    times = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(given[order] * times), 1.0)
    return corrected.tolist()


def _randomisation(differences: Values, resamples: int, seed: int) -> float:
    count = len(differences)
    # Sums in another order differ in their last bits: what should be equal must count as such.
    least = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    exact = 2**count <= resamples
    signs = _every_sign(count) if exact else _random_signs(count, resamples, seed)
    as_large = sum(int(np.count_nonzero(np.abs(each @ differences) >= least)) for each in signs)
    return as_large / 2**count if exact else (as_large + 1) / (resamples + 1)


def _every_sign(count: int) -> Iterator[npt.NDArray[np.int64]]:
    """Every way to put plus or minus before `count` numbers, int64 [ways, count], in parts."""
    for start, end in _parts(2**count, count):
        numbers = np.arange(start, end)[:, None]
        yield 1 - 2 * (numbers >> np.arange(count) & 1)


def _random_signs(count: int, ways: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    for start, end in _parts(ways, count):
        yield 1 - 2 * rng.integers(0, 2, (end - start, count))


def _draws(count: int, resamples: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Which of `count` queries each resample has, int64 [resamples, count], in parts."""
    if count < 2:  # one query alone says nothing of how others would differ
        return
    rng = np.random.default_rng(seed)
    for start, end in _parts(resamples, count):
        yield rng.integers(0, count, (end - start, count))


def _parts(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    step = max(1, _AT_ONCE // columns)
    return ((start, min(start + step, rows)) for start in range(0, rows, step))


def _middle(values: Sequence[Values], confidence: float) -> Interval:
    """What lies between the lowest and the highest, as many of either left out."""
    every = np.concatenate(values) if values else np.zeros(0)
    every = every[~np.isnan(every)]
    if not len(every):
        return Interval(math.nan, math.nan)
    outside = (1 - confidence) / 2
    low, high = np.quantile(every, [outside, 1 - outside])
    return Interval(float(low), float(high))


class _Pool:
    """How many hits of each query reach each of some thresholds: a resample adds these up."""

    def __init__(self, answers: Sequence[Judged]) -> None:
        found = [each.scores[each.relevant] for each in answers]
        scores = np.sort(np.unique(np.concatenate([np.zeros(0, np.float32), *found])))[::-1]
        chosen = np.linspace(0, len(scores) - 1, min(_THRESHOLDS, len(scores)), dtype=np.int64)
        self.thresholds = scores[chosen]
        self.hits = np.array([self._reaching(each.scores) for each in answers], np.float32)
        self.rights = np.array([self._reaching(each) for each in found], np.float32)
        self.totals = np.array([each.total for each in answers], np.float64)

    def measured(self, measure: Measure, resamples: int, seed: int) -> Values:
        """The measure of each resample that has a relevant picture in it; NaN of others."""
        every = [np.zeros(0)]
        count = len(self.totals)
        for part in _draws(count, resamples, seed):
            offsets = count * np.arange(len(part))[:, np.newaxis]
            times = np.bincount((part + offsets).ravel(), minlength=count * len(part))
            every.append(self._measured(measure, times.reshape(len(part), count)))
        return np.concatenate(every)

    def _measured(self, measure: Measure, times: npt.NDArray[np.int64]) -> Values:
        """`times`: int64 [resamples, q], how often each query was drawn."""
        hits, rights = (times.astype(np.float32) @ each for each in (self.hits, self.rights))
        totals = times @ self.totals
        precision = np.divide(rights, hits, out=np.ones(hits.shape), where=hits > 0)
        return np.array(
            [
                measure(PrecisionRecall(precision[i], rights[i] / total, self.thresholds))
                if total
                else math.nan
                for i, total in enumerate(totals)
            ]
        )

    def _reaching(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """How many of one query's scores are at least each threshold, int64 [t]."""
        return len(scores) - np.searchsorted(np.sort(scores), self.thresholds, side="left")

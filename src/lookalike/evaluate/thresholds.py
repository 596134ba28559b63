"""Which threshold on the score keeps wrong hits as rare as wanted, and how sure that is.

A false positive is a query for which at least one wrong hit reaches the threshold. Queries are
counted, and not pairs of query and hit, because the pairs of one query depend on each other, and
because an answer that was cut off at its k best shows its best wrong hit, but not the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .metrics import Judged
from .significance import Interval


class Threshold(NamedTuple):
    """What a threshold gives: hits are kept whose score is at least this."""

    threshold: float
    false_positive_rate: float
    """Share of the queries for which a wrong hit is kept."""
    interval: Interval
    """Where that rate lies for other queries of the same kind."""
    recall: float
    """Share of all relevant pictures that are kept; NaN if there is none."""


class Curve(NamedTuple):
    """What each threshold gives, the highest first."""

    threshold: npt.NDArray[np.float32]
    """float32 [t]: every score that occurs."""
    false_positive_rate: npt.NDArray[np.float64]
    """float64 [t], rising, 0 to 1."""
    recall: npt.NDArray[np.float64]
    """float64 [t], rising, 0 to 1; NaN if nothing is relevant."""


def threshold_for(
    answers: Sequence[Judged], wanted: float, *, confidence: float = 0.95
) -> Threshold:
    """The lowest threshold at which at most a share `wanted` of these queries has a wrong hit.

    `wanted`: 0 to 1. With n queries, m of them allowed to go wrong, it is the next float32 above
    the (m+1)th highest of their best wrong scores, or -inf where none is needed. The interval is
    Clopper and Pearson's ("The use of confidence or fiducial limits", Biometrika 1934). Its upper
    end holds although the threshold was chosen by the same queries (Wilks, "Determination of sample
    sizes for setting tolerance limits", 1941). A rate far below 1/n cannot be told from n queries:
    the upper end says so.
    """
    if not 0 <= wanted <= 1:
        raise ValueError(f"a rate must be 0 to 1, not {wanted}")
    if not answers:
        raise ValueError("there are no queries")
    wrong = np.sort(best_wrong(answers))[::-1]
    allowed = math.floor(wanted * len(wrong) + 1e-9)  # 0.07 of 100 are 7
    kept, at = int(np.count_nonzero(wrong > -math.inf)), -math.inf
    if kept > allowed:
        at = float(np.nextafter(wrong[allowed], np.float32(math.inf)))
        kept = int(np.count_nonzero(wrong >= at))
    return Threshold(
        at,
        kept / len(wrong),
        clopper_pearson(kept, len(wrong), confidence),
        float(_recall(answers, np.array([at], np.float32))[0]),
    )


def threshold_curve(answers: Sequence[Judged]) -> Curve:
    """Every score that occurs as a threshold, with what it gives."""
    scores = [np.zeros(0, np.float32), *(answer.scores for answer in answers)]
    thresholds = np.unique(np.concatenate(scores))[::-1]
    wrong = np.sort(best_wrong(answers))
    kept = len(wrong) - np.searchsorted(wrong, thresholds, side="left")
    return Curve(thresholds, kept / max(len(wrong), 1), _recall(answers, thresholds))


def best_wrong(answers: Sequence[Judged]) -> npt.NDArray[np.float32]:
    """The best score of a wrong hit of each query, float32 [q]; -inf where none is wrong."""
    lowest = np.float32(-math.inf)
    return np.array(
        [np.max(each.scores[~each.relevant], initial=lowest) for each in answers], np.float32
    )


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """The exact interval of a rate, of which `successes` of `trials` independent ones were seen."""
    outside = (1 - confidence) / 2
    low = _rate_where(successes - 1, trials, 1 - outside) if successes else 0.0
    high = _rate_where(successes, trials, outside) if successes < trials else 1.0
    return Interval(low, high)


def _rate_where(successes: int, trials: int, probability: float) -> float:
    """The rate at which so few successes or fewer have this probability."""
    counts = np.arange(successes + 1)
    steps = np.log(trials - counts[1:] + 1) - np.log(counts[1:])
    ways = np.concatenate([[0.0], np.cumsum(steps)])  # logarithm of trials over counts
    low, high = 0.0, 1.0
    for _ in range(60):  # halved to beyond what a float can tell apart
        rate = (low + high) / 2
        logs = ways + counts * math.log(rate) + (trials - counts) * math.log1p(-rate)
        if np.exp(logs).sum() > probability:
            low = rate
        else:
            high = rate
    return (low + high) / 2


def _recall(
    answers: Sequence[Judged], thresholds: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    total = sum(answer.total for answer in answers)
    if not total:
        return np.full(len(thresholds), math.nan)
    right = np.sort(np.concatenate([answer.scores[answer.relevant] for answer in answers]))
    return (len(right) - np.searchsorted(right, thresholds, side="left")) / total

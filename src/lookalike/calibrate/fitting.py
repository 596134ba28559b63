"""The scores of copies and of non-matches -> the curve and the threshold of one scorer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..calibration import Counted, Scorer, Scores, fitted
from ..collection import Collection
from ..evaluate.metrics import Judged
from ..evaluate.thresholds import Threshold, threshold_for
from .asking import Asked, higher_is_better
from .judged import PAIRS, ScoredPair


def fitted_scorer(
    name: str,
    collection: Collection,
    asked: Sequence[Asked],
    pairs: Sequence[ScoredPair],
    wanted: float,
) -> Scorer | str:
    """What this score means, or why that cannot be said.

    A false positive is a query for which the best of the wrong hits passes. Of each picture the
    first query alone counts there, as several edits of one are not independent. `wanted`: 0 to 1.
    """
    rises = higher_is_better(name, collection)
    sign = 1.0 if rises else -1.0
    copies = [(each.edit, each.right.get(name)) for each in asked]
    copies += [(PAIRS, pair.scores.get(name)) for pair in pairs if pair.same]
    wrong = [each.wrong.get(name) for each in asked if each.is_first]
    wrong += [pair.scores.get(name) for pair in pairs if not pair.same]
    right_scores = _finite([score for _, score in copies])
    wrong_scores = _finite(wrong)
    if not len(right_scores):
        return "no copy was found by it" if copies else "there was no copy to be found"
    if not len(wrong_scores):
        return "nothing but the pictures themselves, or the same as they, was found by it"
    are_counts = _are_whole(right_scores) and _are_whole(wrong_scores)
    sigmoid = fitted(right_scores, wrong_scores, higher_is_better=rises)
    at = _threshold(sign * wrong_scores, len(wrong), wanted)
    better = sign * right_scores[sign * right_scores >= at.threshold]
    threshold = at.threshold
    if len(better):  # no copy lies below, no more than the allowed non-matches above
        ends = sorted((sign * threshold, sign * float(better.min())))
        # Of counts what is between 6 and 850 is rather 70 than 430.
        scale = replace(sigmoid, logarithmic=True) if are_counts and rises else sigmoid
        threshold = sign * scale.between(*ends)
    if are_counts:
        threshold = float(math.ceil(threshold))
    edits = _counted(copies, sign, threshold)
    found, total = (sum(each[i] for each in edits.values()) for i in (1, 0))
    return Scorer(
        made_for=collection.engine.made_for(name),
        higher_is_better=rises,
        sigmoid=sigmoid,
        threshold=sign * threshold,
        false_positives=at.false_positive_rate,
        bounds=(at.interval.low, at.interval.high),
        non_matches=len(wrong),
        recall=found / total,
        auc=_auc(sign * right_scores, len(copies), sign * wrong_scores, len(wrong)),
        edits=edits,
    )


def _finite(scores: Sequence[float | None]) -> Scores:
    return np.array([score for score in scores if score is not None], np.float64)


def _threshold(wrong: Scores, queries: int, wanted: float) -> Threshold:
    """The lowest at which at most the wanted share of the queries go wrong; higher is better."""
    lowest = np.float32(-math.inf)
    best = np.concatenate([wrong, np.full(queries - len(wrong), lowest)]).astype(np.float32)
    answers = [Judged(np.zeros(1, np.bool_), 0, best[i : i + 1]) for i in range(queries)]
    found = threshold_for(answers, wanted)
    if found.threshold == -math.inf:  # even the worst that was seen may pass
        return found._replace(threshold=float(wrong.min()))
    return found


def _are_whole(scores: Scores) -> bool:
    """Whether they are counts, between which a threshold makes no sense."""
    return bool((scores == np.round(scores)).all())


def _counted(
    copies: Sequence[tuple[str, float | None]], sign: float, threshold: float
) -> Mapping[str, Counted]:
    """Copies asked with and found, by edit."""
    counted: dict[str, Counted] = {}
    for edit, score in copies:
        asked, found = counted.get(edit, (0, 0))
        passes = score is not None and sign * score >= threshold
        counted[edit] = Counted(asked + 1, found + passes)
    return counted


def _auc(right: Scores, copies: int, wrong: Scores, queries: int) -> float:
    """How often a copy scores better than a non-match, ties half; lacking scores are the worst."""
    below = np.searchsorted(np.sort(wrong), right, side="left")
    upto = np.searchsorted(np.sort(wrong), right, side="right")
    lacking = queries - len(wrong)
    won = float((below + upto).sum()) / 2 + len(right) * lacking
    tied = (copies - len(right)) * lacking / 2
    return (won + tied) / (copies * queries)

"""An evaluation -> the little of it that a comparison keeps, while the collection is still open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..collection import Collection
from ..evaluate import significance
from ..evaluate.harness import POOLED, Asked, Evaluation, Judgement
from ..evaluate.metrics import Judged, Values, interpolated_precision, pooled
from ..evaluate.thresholds import Curve, threshold_curve, threshold_for
from .values import Found, RecipeResult, WorstQuery

_LEVELS = 101
_POINTS = 200
_WORST = 12
_RESAMPLES = 2_000
"""Of the queries, for pooled measures: the least p-value is a thousandth."""
_ALL_WRONG = 0.995
"""No threshold is of use below the score at which so many queries have a wrong hit."""


def decides(evaluation: Evaluation) -> tuple[Judgement, str]:
    """The setup and the measure that a comparison is decided by."""
    decisive = evaluation.truth.truth.protocol.decisive
    (judgement,) = (each for each in evaluation.judgements if each.setup == decisive)
    return judgement, next(iter(judgement.measures))


def result_of(
    name: str,
    collection: Collection,
    evaluation: Evaluation,
    rate: float,
    false_positives: float,
) -> RecipeResult:
    """`rate`: pictures indexed a second."""
    judgement, measure = decides(evaluation)
    return RecipeResult(
        name,
        collection.recipe.summary,
        tuple(each.query.name for each in evaluation.asked),
        judgement.measures,
        _tested(judgement, measure),
        _precision(judgement, measure),
        judgement.groups,
        threshold_for(judgement.answers, false_positives),
        thinned(threshold_curve(judgement.answers)),
        tuple(_worst(collection, evaluation.asked, judgement, measure)),
        evaluation.cost,
        rate,
        evaluation.to_json(),
        evaluation.notes,
    )


def mean_precision(answers: Sequence[Judged]) -> npt.NDArray[np.float64]:
    """The mean over queries of interpolated precision, float64 [101]; NaN if none has a value."""
    every = [interpolated_precision(each, _LEVELS) for each in answers if each.total]
    return np.mean(every, axis=0) if every else np.full(_LEVELS, np.nan)


def thinned(curve: Curve) -> Curve:
    """At most some hundred points, evenly by score, of the part in which thresholds are chosen."""
    count = len(curve.threshold)
    if not count:
        return curve
    end = min(int(np.searchsorted(curve.false_positive_rate, _ALL_WRONG)), count - 1)
    scores = curve.threshold[: end + 1].astype(np.float64)
    levels = np.linspace(scores[0], scores[-1], _POINTS)
    # The last score that is at least each level: what passes there is what passes the level.
    at = np.unique(np.searchsorted(-scores, -levels, side="right") - 1)
    return Curve(curve.threshold[at], curve.false_positive_rate[at], curve.recall[at])


def _precision(judgement: Judgement, measure: str) -> npt.NDArray[np.float64]:
    """Of single answers, or of all as one ranking where the measure is of that."""
    if measure in judgement.values:
        return mean_precision(judgement.answers)
    return interpolated_precision(pooled(judgement.answers), _LEVELS)


def _tested(judgement: Judgement, measure: str) -> Values:
    """What the paired test looks at."""
    if measure in judgement.values:
        return judgement.values[measure]
    _, of_curve = POOLED[measure]
    return significance.pooled_resamples(judgement.answers, of_curve, resamples=_RESAMPLES)


def _worst(
    collection: Collection, asked: Sequence[Asked], judgement: Judgement, measure: str
) -> list[WorstQuery]:
    """Those with the least value, of the queries that could be read and not answered perfectly."""
    values = judgement.values[measure if measure in judgement.values else "map"]
    most = 4.0 if measure == "n_s" else 1.0
    order = np.argsort(values, kind="stable").tolist()  # NaN last
    poor = [n for n in order if values[n] < most - 1e-9 and asked[n].error is None]
    return [
        _shown(collection, asked[number], judgement.answers[number], float(values[number]))
        for number in poor[:_WORST]
    ]


def _shown(collection: Collection, asked: Asked, answer: Judged, value: float) -> WorstQuery:
    query = asked.query
    first = int(np.argmax(answer.relevant)) + 1 if answer.relevant.any() else None
    return WorstQuery(
        query.name,
        query.place,
        query.box,
        query.group,
        value,
        answer.total,
        first,
        tuple(Found(collection[id].path, right, score) for id, right, score in asked.first),
    )

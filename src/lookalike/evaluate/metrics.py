"""How good answers are: the measures of the papers, as functions of judged rankings.

One ranked answer is a `Judged`. What counts neither as right nor as wrong (junk, the query itself)
has been taken out of it before, so that it takes no rank. A measure of one answer is a number, NaN
where nothing is relevant to the query, as it has no value there; `mean` leaves such queries out and
says how many they were. Pooled measures look at the answers of all queries as one ranking by score,
in which every wrong hit counts, also those of queries to which nothing is relevant.

Ties. Within one answer the order that the system gave is the order in which a user sees the hits:
it counts. Between the answers of different queries there is no such order: equal scores are put in
the worst one, wrong hits first, as DISC21's own evaluation does, so that no system gains by giving
many hits one score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
"""float64 [q]: a measure of each query's answer; NaN where nothing is relevant to the query."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One ranked answer, best first, without junk; or the pooled answers of many queries."""

    relevant: npt.NDArray[np.bool_]
    """bool [n]: which hits are right."""
    total: int
    """How many relevant pictures there are, found or not."""
    scores: npt.NDArray[np.float32]
    """float32 [n], higher is better. Only pooled measures look at them."""

    def __post_init__(self) -> None:
        if self.relevant.ndim != 1 or self.scores.shape != self.relevant.shape:
            raise ValueError(
                f"relevant and scores must both be [n], not {list(self.relevant.shape)} "
                f"and {list(self.scores.shape)}"
            )
        if np.count_nonzero(self.relevant) > self.total:
            raise ValueError(f"more hits are relevant than the {self.total} that there are")
        if np.isnan(self.scores).any():
            raise ValueError("a score is NaN")


Metric = Callable[[Judged], float]


def average_precision(answer: Judged) -> float:
    """Mean, over all relevant pictures, of the precision at the rank where each was found, 0 to 1.

    What was not found counts 0. The usual definition in information retrieval (Buckley and
    Voorhees, "Evaluating evaluation measure stability", SIGIR 2000; `map` of trec_eval and ranx).
    """
    if not answer.total:
        return math.nan
    ranks = _ranks(answer)
    return float((np.arange(1, len(ranks) + 1) / ranks).sum() / answer.total)


def trapezoid_average_precision(answer: Judged) -> float:
    """The area under the precision-recall curve, joined by straight lines, 0 to 1.

    Each relevant picture found adds the mean of the precision at its rank and of the precision
    just before it, which at the first rank is 1. The published numbers of Oxford5k and Paris6k
    (Philbin et al., "Object retrieval with large vocabularies and fast spatial matching", CVPR
    2007, program compute_ap.cpp), ROxford and RParis (Radenović et al., CVPR 2018), Holidays and
    Copydays (Jégou et al., ECCV 2008, program holidays_map.py) are of this kind. It is at most
    `average_precision`.
    """
    if not answer.total:
        return math.nan
    ranks = _ranks(answer)
    found = np.arange(1, len(ranks) + 1)
    before = np.divide(found - 1, ranks - 1, out=np.ones(len(ranks)), where=ranks > 1)
    return float((before + found / ranks).sum() / 2 / answer.total)


def precision_at(answer: Judged, k: int) -> float:
    """Share of the first `k` hits that are relevant; of `k`, also where there are fewer hits."""
    return _found(answer, k) / k if answer.total else math.nan


def revisited_precision_at(answer: Judged, k: int) -> float:
    """The mP@k of ROxford and RParis: precision at `k`, or at the last relevant hit if earlier.

    So that a query with fewer than `k` relevant pictures can reach 1. Radenović et al.,
    "Revisiting Oxford and Paris", CVPR 2018, program revisitop/python/evaluate.py.
    """
    if not answer.total:
        return math.nan
    ranks = _ranks(answer)
    return precision_at(answer, min(k, int(ranks[-1]))) if len(ranks) else 0.0


def recall_at(answer: Judged, k: int) -> float:
    """Share of the relevant pictures that are among the first `k` hits.

    Papers on metric learning call recall@k whether any of them is relevant (Song et al., CVPR
    2016): at 1 that is `precision_at` 1.
    """
    return _found(answer, k) / answer.total if answer.total else math.nan


def reciprocal_rank(answer: Judged) -> float:
    """1 over the rank of the first relevant hit, 0 without one; its mean is MRR.

    Voorhees, "The TREC-8 question answering track report", 1999.
    """
    if not answer.total:
        return math.nan
    ranks = _ranks(answer)
    return 1 / float(ranks[0]) if len(ranks) else 0.0


def ndcg_at(answer: Judged, k: int) -> float:
    """Normalised discounted cumulative gain of the first `k` hits with gains of 0 and 1.

    A relevant hit at rank r gains 1/log2(r + 1); the sum is divided by that of the best ranking.
    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.
    """
    _check_k(k)
    if not answer.total:
        return math.nan
    ranks = _ranks(answer)
    best = np.arange(1, min(k, answer.total) + 1)
    gained, most = (np.sum(1 / np.log2(each + 1)) for each in (ranks[ranks <= k], best))
    return float(gained / most)


def n_s(answer: Judged) -> float:
    """How many of the first four hits are relevant, 0 to 4: its mean is the N-S score of UKBench.

    Four pictures show each object there, and the query is one of them: it must not have been taken
    out. Nistér and Stewénius, "Scalable recognition with a vocabulary tree", CVPR 2006.
    """
    return float(_found(answer, 4)) if answer.total else math.nan


def per_query(metric: Metric, answers: Sequence[Judged]) -> Values:
    """The measure of each answer, NaN where nothing is relevant to the query."""
    return np.array([metric(answer) for answer in answers], np.float64)


class Mean(NamedTuple):
    """A mean over the queries that have a value."""

    value: float
    """NaN if none has."""
    counted: int
    left_out: int
    """Those without a value, as nothing is relevant to them."""


def mean(values: Values) -> Mean:
    """The macro average: every query counts the same. Of average precision, it is mAP."""
    counted = values[~np.isnan(values)]
    value = float(counted.mean()) if len(counted) else math.nan
    return Mean(value, len(counted), len(values) - len(counted))


def mean_of_each_class(values: Values, classes: Sequence[str]) -> dict[str, Mean]:
    """The mean over the queries of each class, by class in alphabetical order.

    `classes`: that of each query, as long as `values`.
    """
    names, which = np.unique(np.asarray(classes, dtype=object), return_inverse=True)
    if len(which) != len(values):
        raise ValueError(f"{len(values)} values, but the classes of {len(which)} queries")
    return {str(name): mean(values[which == number]) for number, name in enumerate(names)}


def pooled(answers: Sequence[Judged]) -> Judged:
    """The hits of all queries as one ranking by score, wrong ones first among equal scores."""
    if not answers:
        return Judged(np.zeros(0, np.bool_), 0, np.zeros(0, np.float32))
    relevant = np.concatenate([answer.relevant for answer in answers])
    scores = np.concatenate([answer.scores for answer in answers])
    order = worst_order(relevant, scores)
    return Judged(relevant[order], sum(answer.total for answer in answers), scores[order])


def worst_order(
    relevant: npt.NDArray[np.bool_], scores: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Positions of hits by falling score, int64 [n]; wrong ones first among equal scores."""
    return np.lexsort((relevant, -scores))


def micro_average_precision(answers: Sequence[Judged]) -> float:
    """Average precision of the pooled answers: one ranking of all pairs of query and hit.

    It asks for scores that can be compared between queries, as one threshold for all does.
    Perronnin, Liu and Renders, "A family of contextual measures of similarity between
    distributions", CVPR 2009; the measure of DISC21 (Douze et al., arXiv 2106.09672, 2021).
    """
    return average_precision(pooled(answers))


class PrecisionRecall(NamedTuple):
    """Precision and recall of all hits whose score is at least each threshold, falling."""

    precision: npt.NDArray[np.float64]
    """float64 [t], 0 to 1."""
    recall: npt.NDArray[np.float64]
    """float64 [t], rising, 0 to 1; NaN if nothing is relevant."""
    threshold: npt.NDArray[np.float32]
    """float32 [t], each a score that occurs."""


def precision_recall(pool: Judged) -> PrecisionRecall:
    """The curve of pooled answers (see `pooled`), a point for each score that occurs.

    Hits with equal scores pass a threshold together or not at all, so they are one point.
    """
    last = np.append(pool.scores[1:] != pool.scores[:-1], True)[: len(pool.scores)]
    ends = np.flatnonzero(last)
    found = np.cumsum(pool.relevant)[ends]
    recall = found / pool.total if pool.total else np.full(len(ends), math.nan)
    return PrecisionRecall(found / (ends + 1), recall, pool.scores[ends])


def area(curve: PrecisionRecall) -> float:
    """The mean of precision over recall, 0 to 1: average precision, if scores differ."""
    return float(np.diff(curve.recall, prepend=0.0) @ curve.precision) if len(curve.recall) else 0.0


def most_recall(curve: PrecisionRecall, precision: float = 0.9) -> float:
    """The most recall with at least this precision, 0 where it is nowhere reached."""
    return float(np.max(curve.recall[curve.precision >= precision], initial=0.0))


class OperatingPoint(NamedTuple):
    """What one threshold on the score gives."""

    recall: float
    precision: float
    threshold: float


def recall_at_precision(pool: Judged, precision: float = 0.9) -> OperatingPoint | None:
    """The most recall that a threshold reaches with at least this precision; None if none does.

    With 0.9 the R@P90 of DISC21, of pooled answers (see `pooled`).
    """
    curve = precision_recall(pool)
    enough = np.flatnonzero(curve.precision >= precision)
    if not len(enough) or not pool.total or not pool.relevant.any():
        return None
    best = enough[np.argmax(curve.recall[enough])]  # the highest threshold of those with as much
    return OperatingPoint(
        float(curve.recall[best]), float(curve.precision[best]), float(curve.threshold[best])
    )


def interpolated_precision(answer: Judged, levels: int = 11) -> npt.NDArray[np.float64]:
    """The most precision at each recall or beyond it, float64 [levels], recall 0 to 1 evenly.

    Of one answer or of pooled ones; NaN where nothing is relevant, 0 beyond the recall reached. 11
    levels are TREC's and VOC 2007's, 101 those of COCO. The curve of a system is the mean over its
    queries. Manning, Raghavan and Schütze, "Introduction to information retrieval", 2008, 8.4.
    """
    if not answer.total:
        return np.full(levels, math.nan)
    ranks = _ranks(answer)
    found = np.arange(1, len(ranks) + 1)
    best_beyond = np.maximum.accumulate((found / ranks)[::-1])[::-1]
    # In whole numbers: a recall of 3/10 must count as reached at level 0.3.
    needed = -(-np.arange(levels) * answer.total // (levels - 1))
    first = np.searchsorted(found, needed)
    return np.append(best_beyond, 0.0)[first]


def _ranks(answer: Judged) -> npt.NDArray[np.int64]:
    """Where the relevant hits are, from 1, int64 [found]."""
    return np.flatnonzero(answer.relevant) + 1


def _found(answer: Judged, k: int) -> int:
    """How many of the first `k` hits are relevant."""
    _check_k(k)
    return int(np.count_nonzero(answer.relevant[:k]))


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k}")

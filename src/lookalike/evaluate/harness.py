"""Ground truth and a collection -> how good its answers are, how sure that is, what they cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from ..collection import Collection
from . import metrics, significance
from .asking import Cost, OnQuery, Ranking, ask, cost
from .metrics import Judged, Mean, Metric, Values, per_query, pooled
from .significance import Interval, interval, pooled_interval
from .truth import Protocol, Resolved, ResolvedQuery, Setup

_WHOLE = 10_000
"""A collection up to this many pictures is ranked whole for each query."""
_DEPTH = 1_000
"""Else so many hits are looked at: what is relevant beyond them counts as not found."""
_FIRST = 5
"""Hits that are kept of each answer, to be shown."""
_UNREADABLE_NAMED = 5


@dataclass(frozen=True, slots=True)
class Measure:
    """One number, and how sure it is."""

    value: float
    interval: Interval
    """95%, by a bootstrap over queries."""
    queries: int
    """How many have a value."""


class FirstHit(NamedTuple):
    """One of the best hits that count as right or wrong."""

    id: str
    right: bool
    score: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A query that was asked, and what of its answer is still of use once that is judged."""

    query: ResolvedQuery
    first: tuple[FirstHit, ...]
    """Five at most, under the setup that decides, without junk and the query itself."""
    error: str | None
    """Why it could not be read: then it has found nothing."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answers of a collection to all queries, under one setup of the ground truth."""

    setup: Setup
    answers: tuple[Judged, ...]
    """In the order of the queries."""
    measures: Mapping[str, Measure]
    """By name, those first that papers report on such ground truth."""
    values: Mapping[str, Values]
    """Of measures that single queries have, each query's: float64 [q], NaN for none."""
    groups: Mapping[str, Mean]
    """The mean of the first measure over the queries of each class, landmark or kind of edit."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came out."""

    recipe: str
    pictures: int
    depth: int
    """How many hits of each query were looked at."""
    truth: Resolved
    asked: tuple[Asked, ...]
    judgements: tuple[Judgement, ...]
    """One for each setup; most ground truth has one."""
    cost: Cost
    notes: tuple[str, ...]
    """What was odd, and how it was understood."""

    def to_json(self) -> dict[str, Any]:
        """As `lookalike evaluate --json` prints it."""
        return {
            "recipe": self.recipe,
            "truth": str(self.truth.truth.path),
            "layout": self.truth.truth.layout,
            "pictures": self.pictures,
            "queries": len(self.asked),
            "depth": self.depth,
            "setups": {each.setup: _judged_json(each) for each in self.judgements},
            "cost": {
                "p50_ms": 1e3 * self.cost.p50,
                "p95_ms": 1e3 * self.cost.p95,
                "p99_ms": 1e3 * self.cost.p99,
                "queries_per_second": self.cost.rate,
                "bytes_a_picture": self.cost.bytes_a_picture,
                "peak_memory_bytes": self.cost.peak_memory,
            },
            "notes": list(self.notes),
        }


def evaluate(
    collection: Collection,
    truth: Resolved,
    *,
    depth: int | None = None,
    on_query: OnQuery | None = None,
) -> Evaluation:
    """Ask every query, judge the answers, time some of them.

    `depth`: how many hits of each are looked at; unless given all of them, or 1,000 where there are
    more than 10,000 pictures.
    """
    pictures = len(collection)
    depth = min(depth or (pictures if pictures <= _WHOLE else _DEPTH), max(pictures, 1))
    asked, answers = _asked(ask(collection, truth, depth, on_query), truth.truth.protocol)
    return Evaluation(
        collection.recipe.name,
        pictures,
        depth,
        truth,
        asked,
        tuple(judged(each, truth, setup) for setup, each in answers.items()),
        cost(collection, truth.queries),
        (*truth.notes, *_unreadable(asked)),
    )


def judged(answers: Sequence[Judged], truth: Resolved, setup: Setup) -> Judgement:
    """All measures of the answers to all queries, in their order, judged under this setup."""
    protocol = truth.truth.protocol
    wanted = [name for each in protocol.measures for name in _SEVERAL.get(each, (each,))]
    single = dict(_SINGLE)
    if protocol.trapezoid:
        single["map"] = metrics.trapezoid_average_precision
    single |= {name: _REPORTED[name] for name in wanted if name in _REPORTED}
    values = {name: per_query(metric, answers) for name, metric in single.items()}
    measures = {name: _measure(each) for name, each in values.items()}
    together = pooled(answers)
    for name, (metric, of_curve) in POOLED.items():
        sure = pooled_interval(answers, of_curve)
        measures[name] = Measure(metric(together), sure, len(answers))
    order = [*wanted, *(name for name in measures if name not in wanted)]
    classes = [each.group or "" for each in truth.queries]
    main = next((name for name in wanted if name in values), "map")
    return Judgement(
        setup,
        tuple(answers),
        {name: measures[name] for name in order},
        values,
        metrics.mean_of_each_class(values[main], classes) if any(classes) else {},
    )


def _asked(
    rankings: Iterable[Ranking], protocol: Protocol
) -> tuple[tuple[Asked, ...], dict[Setup, list[Judged]]]:
    """Each ranking judged under every setup as it comes; its ids would be 100 times as large."""
    asked, answers = [], {setup: list[Judged]() for setup in protocol.setups}
    for each in rankings:
        for setup, judged_so_far in answers.items():
            judged_so_far.append(each.query.judge(each.ids, each.scores, setup))
        asked.append(Asked(each.query, _first(each, protocol.decisive), each.error))
    return tuple(asked), answers


def _first(ranking: Ranking, setup: Setup) -> tuple[FirstHit, ...]:
    counted = (
        FirstHit(id, bool(right[0]), score)
        for id, score in zip(ranking.ids, ranking.scores, strict=True)
        if len(right := ranking.query.judge([id], [score], setup).relevant)
    )
    return tuple(itertools.islice(counted, _FIRST))


def _recall_at_p90(pool: Judged) -> float:
    point = metrics.recall_at_precision(pool)
    return (0.0 if pool.total else math.nan) if point is None else point.recall


_SINGLE: dict[str, Metric] = {
    "map": metrics.average_precision,
    "p@1": partial(metrics.precision_at, k=1),
    "p@10": partial(metrics.precision_at, k=10),
    "recall@1": partial(metrics.recall_at, k=1),
    "recall@10": partial(metrics.recall_at, k=10),
    "recall@100": partial(metrics.recall_at, k=100),
    "ndcg@10": partial(metrics.ndcg_at, k=10),
    "mrr": metrics.reciprocal_rank,
}
"""Measures of single queries, on whatever ground truth."""
_REPORTED: dict[str, Metric] = {
    "n_s": metrics.n_s,
    **{f"mp@{k}": partial(metrics.revisited_precision_at, k=k) for k in (1, 5, 10)},
}
"""Those that go with some ground truth only."""
_SEVERAL = {"revisited_precision": ("mp@1", "mp@5", "mp@10")}
POOLED: dict[str, tuple[Metric, significance.Measure]] = {
    "micro_ap": (metrics.average_precision, metrics.area),
    "recall_at_p90": (_recall_at_p90, metrics.most_recall),
}
"""Measures of the answers to all queries as one ranking, and the same of its curve."""


def _measure(values: Values) -> Measure:
    mean = metrics.mean(values)
    return Measure(mean.value, interval(values), mean.counted)


def _unreadable(asked: Sequence[Asked]) -> list[str]:
    failed = [each for each in asked if each.error is not None]
    if not failed:
        return []
    named = [f"{each.query.name}: {each.error}" for each in failed[:_UNREADABLE_NAMED]]
    more = len(failed) - len(named)
    return [
        f"queries that cannot be read, which count as having found nothing: {len(failed):,}",
        *named,
        *([f"and {more:,} more"] if more else []),
    ]


def _judged_json(judgement: Judgement) -> dict[str, Any]:
    return {
        "measures": {
            name: {
                "value": _number(each.value),
                "low": _number(each.interval.low),
                "high": _number(each.interval.high),
                "queries": each.queries,
            }
            for name, each in judgement.measures.items()
        },
        "groups": {
            name: {"value": _number(mean.value), "queries": mean.counted}
            for name, mean in judgement.groups.items()
        },
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value

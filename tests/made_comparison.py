"""Comparisons of recipes as they might come out, made of random answers with real measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lookalike.comparison import Found, NotRun, RecipeComparison, RecipeResult, WorstQuery
from lookalike.comparison.distilling import mean_precision, thinned
from lookalike.comparison.judging import against_best, ordered, verdict
from lookalike.evaluate.asking import Cost
from lookalike.evaluate.harness import judged
from lookalike.evaluate.metrics import Judged
from lookalike.evaluate.thresholds import threshold_curve, threshold_for
from lookalike.evaluate.truth import Resolved, ResolvedQuery, Truth

WANTED = 0.02


def resolved(groups: Sequence[str], each: int, relevant: int = 5) -> Resolved:
    """`each` queries of every group, each with pictures of its own that are right."""
    queries = tuple(
        ResolvedQuery(
            name := f"{group}/{number}",
            f"/pictures/{name}.jpg",
            None,
            frozenset(f"{name}-{n}" for n in range(relevant)),
            frozenset(),
            frozenset(),
            frozenset(),
            None,
            group,
        )
        for group in groups
        for number in range(each)
    )
    return Resolved(Truth(Path("/pictures"), "class-folders", (), ()), queries, ())


def answers(truth: Resolved, skill: float, seed: int = 0, depth: int = 30) -> list[Judged]:
    """Answers in which right pictures have scores that are higher by `skill`."""
    rng = np.random.default_rng(seed)
    made = []
    for number, query in enumerate(truth.queries):
        names = [*sorted(query.relevant), *(f"wrong-{n}" for n in range(depth))]
        right = np.array([name in query.relevant for name in names])
        harder = 1 + 0.05 * (number % 10)
        scores = (0.3 + right * skill / harder + 0.1 * rng.normal(size=len(names))) / 2
        order = np.argsort(-scores)
        ids, found = [names[n] for n in order], scores[order].astype(np.float32)
        made.append(query.judge(ids, found.tolist()))
    return made


def result(
    name: str,
    truth: Resolved,
    skill: float,
    cost: Cost,
    *,
    worst: Sequence[WorstQuery] = (),
    notes: tuple[str, ...] = (),
) -> RecipeResult:
    """A recipe that answers with this skill."""
    judgement = judged(answers(truth, skill), truth, "all")
    return RecipeResult(
        name,
        f"What {name} is.",
        tuple(query.name for query in truth.queries),
        judgement.measures,
        judgement.values["map"],
        mean_precision(judgement.answers),
        judgement.groups,
        threshold_for(judgement.answers, WANTED),
        thinned(threshold_curve(judgement.answers)),
        tuple(worst),
        cost,
        1 / cost.p50,
        {},
        notes,
    )


def cost(milliseconds: float, bytes_a_picture: float) -> Cost:
    """As measured, were all searches alike."""
    seconds = milliseconds / 1e3
    return Cost(seconds, 1.1 * seconds, 1.3 * seconds, 1.5 / seconds, bytes_a_picture, 10**9)


def comparison(
    results: Sequence[RecipeResult],
    not_run: tuple[NotRun, ...] = (),
    folder: Path = Path("/home/somebody/pictures"),
) -> RecipeComparison:
    """Of these results."""
    order = ordered(results)
    against = against_best(order, pooled=False)
    return RecipeComparison(
        folder,
        folder,
        "class-folders",
        "all",
        "map",
        False,
        WANTED,
        1234,
        tuple(order),
        against,
        not_run,
        verdict(order, against),
        (),
        {"processor": "One of many, 8 cores", "lookalike": "0.1.0", "numpy": "2.4.6"},
        "2026-11-21T21:00:00+00:00",
        754.0,
    )


def worst(pictures: Sequence[Path], count: int) -> list[WorstQuery]:
    """Queries with these pictures."""
    return [
        WorstQuery(
            f"query {number}",
            str(pictures[number % len(pictures)]),
            None,
            pictures[number % len(pictures)].parent.name,
            0.01 * number,
            5,
            number + 2 if number else None,
            tuple(
                Found(str(pictures[(number + n) % len(pictures)]), n == 3, 0.8 - 0.1 * n)
                for n in range(1, 6)
            ),
        )
        for number in range(count)
    ]

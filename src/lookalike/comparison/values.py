"""What a comparison of recipes comes to, as values: no collection is open behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..evaluate.asking import Cost
from ..evaluate.harness import Measure
from ..evaluate.metrics import Mean, Values
from ..evaluate.thresholds import Curve, Threshold
from ..evaluate.truth import Setup
from ..types import Box

SIGNIFICANT = 0.05
"""A difference is called one where chance alone gives as large a one less often than this."""


@dataclass(frozen=True, slots=True)
class Found:
    """One hit of a query."""

    place: str
    right: bool
    score: float


@dataclass(frozen=True, slots=True)
class WorstQuery:
    """A query that a recipe answers badly."""

    name: str
    place: str
    box: Box | None
    """The part of the picture that was asked with; None for all of it."""
    group: str | None
    value: float
    relevant: int
    """How many pictures are right, found or not."""
    first_right: int | None
    """The rank, from 1, of the first right hit; None where none was looked at."""
    found: tuple[Found, ...]
    """The first hits, without junk and the query itself."""


@dataclass(frozen=True, slots=True, eq=False)
class RecipeResult:
    """How one recipe did."""

    name: str
    """Unlike those of the others."""
    summary: str
    queries: tuple[str, ...]
    """Their names, the same of all recipes."""
    measures: Mapping[str, Measure]
    """Under the setup of the comparison, the one that decides first."""
    values: Values
    """What the paired test looks at, float64: the measure that decides, of each query, NaN for
    none; of a pooled one, of each resample of the queries."""
    precision: npt.NDArray[np.float64]
    """float64 [101]: interpolated precision at recall 0 to 1, the mean over queries; where the
    measure that decides is a pooled one, of all answers as one ranking."""
    groups: Mapping[str, Mean]
    threshold: Threshold
    """For the share of false positives that was wanted."""
    curve: Curve
    """Some hundred points of it."""
    worst: tuple[WorstQuery, ...]
    cost: Cost
    pictures_per_second: float
    """Of indexing; NaN where nobody has seen the collection being made."""
    figures: Mapping[str, Any]
    """All of the evaluation, as JSON values."""
    notes: tuple[str, ...]

    @property
    def quality(self) -> Measure:
        """The measure that decides."""
        return next(iter(self.measures.values()))


@dataclass(frozen=True, slots=True)
class NotRun:
    """A recipe that has no figures, and why."""

    name: str
    reason: str
    asked_for: bool
    """Whether the user named it, or it could have been expected to run."""


@dataclass(frozen=True, slots=True)
class Against:
    """A recipe beside the best one."""

    difference: float
    """Of the measure that decides: never above 0."""
    low: float
    high: float
    """95% interval of the difference."""
    p_value: float
    """Corrected by Holm for all the pairs with the best."""

    @property
    def is_worse(self) -> bool:
        """Whether chance is not enough to explain the difference."""
        return self.p_value < SIGNIFICANT


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which recipe to take; names of recipes, None where no quality is known."""

    take: str | None
    best: str | None
    fast: str | None
    """The fastest of those within a point of the best."""
    small: str | None
    """That with the fewest bytes a picture of them."""
    sentence: str
    reasons: tuple[str, ...]
    """One sentence for each of `best`, `fast` and `small`, and what else must be known."""


@dataclass(frozen=True, slots=True, eq=False)
class RecipeComparison:
    """All of it."""

    folder: Path
    truth: Path
    layout: str
    setup: Setup
    measure: str
    """The name of the one that decides."""
    pooled: bool
    """Whether it is of all answers as one ranking, which is tested by resampling."""
    false_positives: float
    """The share that was wanted."""
    pictures: int
    results: tuple[RecipeResult, ...]
    """The best first; those without quality last."""
    against: Mapping[str, Against]
    """Each but the best beside it."""
    not_run: tuple[NotRun, ...]
    verdict: Verdict
    notes: tuple[str, ...]
    """What was odd, once for all recipes."""
    surroundings: Mapping[str, str]
    """Machine and versions."""
    started: str
    """Date and time, ISO 8601."""
    seconds: float

    @property
    def second_measure(self) -> str:
        """What is shown beside the measure that decides: what papers do, or precision at 10."""
        if not self.results:
            return "p@10"
        names = list(self.results[0].measures)
        if "mp@10" in names:
            return "mp@10"
        return names[1] if names[1] in ("micro_ap", "recall_at_p90", "map") else "p@10"

    def tied(self, name: str) -> bool:
        """Whether a recipe is the best, or not significantly worse."""
        if name == self.verdict.best:
            return True
        return name in self.against and not self.against[name].is_worse

    def to_json(self) -> dict[str, Any]:
        """As `lookalike compare-recipes --json` prints it."""
        verdict = asdict(self.verdict)
        return {
            "folder": str(self.folder),
            "truth": str(self.truth),
            "layout": self.layout,
            "setup": self.setup,
            "measure": self.measure,
            "pictures": self.pictures,
            "queries": len(self.results[0].queries) if self.results else 0,
            "verdict": verdict | {"reasons": list(self.verdict.reasons)},
            "recipes": [self._result_json(each) for each in self.results],
            "not_run": [{"recipe": each.name, "reason": each.reason} for each in self.not_run],
            "notes": list(self.notes),
            "surroundings": dict(self.surroundings),
            "seed": 0,
            "started": self.started,
            "seconds": round(self.seconds, 1),
        }

    def _result_json(self, result: RecipeResult) -> dict[str, Any]:
        against = self.against.get(result.name)
        point = result.threshold
        # One process ran all recipes, so its peak is of no single one.
        cost = {n: v for n, v in result.figures["cost"].items() if n != "peak_memory_bytes"}
        return {
            **result.figures,
            "cost": cost,
            "recipe": result.name,
            "summary": result.summary,
            "pictures_per_second": finite(result.pictures_per_second),
            "not_significantly_worse": self.tied(result.name),
            "against_the_best": against
            and {name: finite(value) for name, value in asdict(against).items()},
            "threshold": {
                "wanted_false_positive_rate": self.false_positives,
                "score": finite(point.threshold),
                "false_positive_rate": finite(point.false_positive_rate),
                "low": finite(point.interval.low),
                "high": finite(point.interval.high),
                "recall": finite(point.recall),
            },
            "precision_at_recall": [finite(value) for value in result.precision.tolist()],
        }


def finite(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if math.isfinite(value) else None

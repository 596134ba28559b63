"""Ground truth as values: what is asked, what is right, and by which rules that is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from ...types import Box
from ..metrics import Judged
from .problems import Source

Layout = Literal[
    "class-folders",
    "csv",
    "qrels",
    "oxford",
    "roxford",
    "holidays",
    "ukbench",
    "copydays",
    "disc21",
]

Setup = Literal["all", "easy", "medium", "hard"]
"""Which of the relevant pictures are looked for. ROxford and RParis have the latter three."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How the numbers of papers are counted on pictures of one layout."""

    measures: tuple[str, ...]
    """By which they are reported, the first before all: `map`, `micro_ap`, `recall_at_p90`,
    `n_s`, `revisited_precision`."""
    trapezoid: bool = False
    """Whether `map` is of `metrics.trapezoid_average_precision`."""
    setups: tuple[Setup, ...] = ("all",)

    @property
    def decisive(self) -> Setup:
        """The setup by which systems are compared: medium, where there are several."""
        return "medium" if "medium" in self.setups else self.setups[0]


PROTOCOLS: Mapping[Layout, Protocol] = {
    "class-folders": Protocol(("map",)),
    "csv": Protocol(("map",)),
    "qrels": Protocol(("map",)),
    "oxford": Protocol(("map",), trapezoid=True),
    "roxford": Protocol(
        ("map", "revisited_precision"), trapezoid=True, setups=("easy", "medium", "hard")
    ),
    "holidays": Protocol(("map",), trapezoid=True),
    "ukbench": Protocol(("n_s", "map")),
    "copydays": Protocol(("map", "micro_ap"), trapezoid=True),
    "disc21": Protocol(("micro_ap", "recall_at_p90")),
}


@dataclass(frozen=True, slots=True)
class TruthQuery:
    """One query, and what is right, by the names that the ground truth uses.

    Queries of one class share their `relevant`, so that a class of n pictures takes n names and not
    n². A query may be among them: `itself` says whether it counts.
    """

    name: str
    picture: str
    """What the ground truth calls the picture to ask with."""
    relevant: frozenset[str]
    place: str | None = None
    """Where that picture lies; None if it is still to be found, by its name, in the collection."""
    junk: frozenset[str] = frozenset()
    """Neither right nor wrong: taken out of the answer before it is judged."""
    hard: frozenset[str] = frozenset()
    """Those of `relevant` that are hard to find; the others are easy."""
    group: str | None = None
    """Its class, landmark or kind of edit."""
    box: Box | None = None
    """The part of the picture that is asked with."""
    itself: str | None = None
    """The name that its own picture has if it is in the collection: it is left out of the answer.
    None where nothing is left out, and to find itself is right or wrong like any other picture."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Queries and what is right, as read; `against` says which stored pictures that is."""

    path: Path
    layout: Layout
    queries: tuple[TruthQuery, ...]
    roots: tuple[Path, ...]
    """Folders at which its names may begin."""
    expected: frozenset[str] = frozenset()
    """What else must be in the collection, as without it the numbers of papers do not compare."""
    ignored: frozenset[str] = frozenset()
    """What is no part of what is searched in, and is junk to every query if it is stored."""
    said: Mapping[str, Source] = field(default_factory=dict)
    """Where a name is first said; `path` itself for what is not in here."""
    notes: tuple[str, ...] = ()
    """What was odd, and how it was understood; to be shown beside the numbers."""

    @property
    def protocol(self) -> Protocol:
        """How papers count on it."""
        return PROTOCOLS[self.layout]


@dataclass(frozen=True, slots=True)
class ResolvedQuery:
    """One query, and what is right, by the ids of stored pictures."""

    name: str
    place: str
    """Of the picture to ask with."""
    record: str | None
    """Its id, if it is in the collection."""
    relevant: frozenset[str]
    """May have `left_out` in it, which then does not count."""
    junk: frozenset[str]
    hard: frozenset[str]
    ignored: frozenset[str]
    """Junk to every query."""
    left_out: str | None
    """The id that is taken out of the answer, as it is the query itself."""
    group: str | None = None
    box: Box | None = None

    def judge(self, ids: Sequence[str], scores: Sequence[float], setup: Setup = "all") -> Judged:
        """An answer, best first, without what counts neither as right nor as wrong.

        `ids`: of stored pictures, each once; `scores`: one each, higher is better. Under `easy`
        the hard pictures are junk, under `hard` the easy ones; `medium` looks for all.
        """
        if len(set(ids)) < len(ids):
            raise ValueError(f"an answer to {self.name} has a picture twice")
        relevant, junk = self._sides(setup)
        out = junk | {self.left_out}
        kept = np.array([id not in out and id not in self.ignored for id in ids], np.bool_)
        right = np.array([id in relevant for id in ids], np.bool_)
        total = len(relevant) - (self.left_out in relevant)
        return Judged(right[kept], total, np.asarray(scores, np.float32)[kept])

    def _sides(self, setup: Setup) -> tuple[frozenset[str], frozenset[str]]:
        """What is relevant, and what is junk. Radenović et al., CVPR 2018, section 3.3."""
        if setup == "easy":
            return self.relevant - self.hard, self.junk | self.hard
        if setup == "hard":
            return self.hard, self.junk | (self.relevant - self.hard)
        return self.relevant, self.junk


@dataclass(frozen=True, slots=True)
class Resolved:
    """Ground truth of the pictures of one collection."""

    truth: Truth
    queries: tuple[ResolvedQuery, ...]
    notes: tuple[str, ...]
    """Those of the truth, and what was odd about the collection."""

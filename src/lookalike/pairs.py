"""Two pictures compared with each other: scores, and where the one lies in the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .engine import Engine
from .errors import BadQuery
from .kinships import of_pair
from .subjects import One
from .types import Evidence, Kinship, LocalFeatures, Picture

USUAL = ("verified",)
"""The comparators that are asked unless others are named."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """What comparators say of two pictures, the first taken as the query."""

    scores: Mapping[str, float | None]
    """By comparator, in its own scale; None where it could not compare."""
    unavailable: Mapping[str, str]
    """By comparator that could not: why."""
    evidence: Evidence | None
    kinship: Kinship | None
    """What the second is to the first, where a comparator looked for that."""
    first: One
    second: One

    def to_json(self) -> dict[str, Any]:
        """What `lookalike match --json` and the service print."""
        return {
            "scores": {
                name: None if score is None else round(score, 6)
                for name, score in self.scores.items()
            },
            "unavailable": dict(self.unavailable),
            "kinship": self.kinship,
            "evidence": self.evidence.to_json() if self.evidence else None,
            "size_a": list(self.first.size),
            "size_b": list(self.second.size),
        }

    @property
    def nothing_found(self) -> bool:
        """Whether something in common was looked for, in vain."""
        looked = not self.scores.keys().isdisjoint(USUAL)
        return looked and self.evidence is None and self.kinship is None

    @property
    def pictures(self) -> tuple[Picture, Picture]:
        """Both, decoded; `PictureError` if one has gone."""
        return self.first.picture, self.second.picture

    @property
    def local_features(self) -> tuple[LocalFeatures, LocalFeatures]:
        """Of both; `PictureError` if they cannot be had."""
        return self.first.local_features, self.second.local_features


def compared(engine: Engine, first: One, second: One, compare: str | Sequence[str] = USUAL) -> Pair:
    """What each of these comparators says; `UnknownName` for one that there is not."""
    comparators = engine.comparators(compare)
    if not comparators:
        raise BadQuery("name at least one comparator")
    said = {name: each.compare(first, [second])[0] for name, each in comparators.items()}
    evidence = next((each.evidence for each in said.values() if each.evidence), None)
    return Pair(
        {name: each.score for name, each in said.items()},
        {name: each.unavailable for name, each in said.items() if each.unavailable},
        evidence,
        of_pair(evidence, first, second) if not said.keys().isdisjoint(USUAL) else None,
        first,
        second,
    )

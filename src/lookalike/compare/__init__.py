"""A query and its candidates -> scores and evidence: the second look. One file a family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..types import Evidence, LocalFeatures, Picture, Vectors


class Subject(Protocol):
    """A picture that is compared, as query or as candidate.

    What a comparator asks for is fetched when it first does, and kept for the next comparator.
    `PictureError` where it cannot be had: the file has gone, and it is not stored.
    """

    @property
    def picture(self) -> Picture:
        """Decoded, perhaps smaller than its original."""
        ...

    @property
    def local_features(self) -> LocalFeatures:
        """Of the collection's kind: stored ones, or made of the picture and then kept."""
        ...

    @property
    def vectors(self) -> Mapping[str, Vectors]:
        """By embedding, float32 [1, dim]."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the original in pixels, upright."""
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one comparator says of one candidate."""

    score: float | None
    """In the comparator's own scale, finite; None where it could not compare."""
    unavailable: str | None = None
    """Why not."""
    evidence: Evidence | None = None
    """Where the query lies in the candidate, if the comparator looked for that."""


class Comparator(Protocol):
    """Looks again at the best candidates. Safe to use from several threads at once.

    The class has `Options`, a frozen dataclass, and is made with them: `Kind(options)`.
    """

    higher_is_better: bool
    """Which way its scale goes."""

    def compare(self, query: Subject, candidates: Sequence[Subject]) -> list[Comparison]:
        """One for each candidate, in order; it does not depend on the others, nor on their order.

        What cannot be compared is said in its `Comparison`, never raised.
        """
        ...

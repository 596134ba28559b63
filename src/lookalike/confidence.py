"""How sure it is that a hit is a copy; and whether there is one at all, or nothing like it here."""

from __future__ import annotations

from collections.abc import Sequence

from .engine import LOCAL, Engine
from .errors import NotCalibrated
from .types import Hit


class Confidence:
    """Which score of a hit tells, and what it means in this collection."""

    def __init__(self, engine: Engine, compared: Sequence[str], embedding: str | None) -> None:
        """`compared`: the comparators that look at the hits, in order.

        The last of them tells; where there is none, the vectors of `embedding`, or of the first.
        """
        self._engine = engine
        self._scorer = compared[-1] if compared else embedding or next(iter(engine.dims(None)))
        self._is_vectors = not compared
        found = engine.calibration
        self._measured = found.scorers.get(self._scorer) if found is not None else None

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return self._measured is not None

    def check(self) -> None:
        """`NotCalibrated` if nothing is."""
        if self._measured is None:
            path = self._engine.folder
            option = "" if self._is_vectors else f" --compare {self._scorer}"
            raise NotCalibrated(path, self._scorer, option)

    def told(self, hits: Sequence[Hit], *, confident: bool) -> list[Hit]:
        """The hits with their probability; with `confident` those alone that pass for copies."""
        measured = self._measured
        if measured is None:
            return list(hits)
        told = []
        for hit in hits:
            score = self._score(hit)
            if score is not None:
                hit = hit._replace(probability=measured.sigmoid(score))  # noqa: PLW2901
            if not confident or (score is not None and measured.passes(score)):
                told.append(hit)
        return told

    def _score(self, hit: Hit) -> float | None:
        if self._is_vectors:
            return vector_score(hit, self._scorer, self._engine)
        return hit.scores.get(self._scorer)


def vector_score(hit: Hit, embedding: str, engine: Engine) -> float | None:
    """Of the vectors alone; a hit's own score may be of fused ranks, which mean nothing."""
    is_fused = any(name == LOCAL or name in engine.extractors for name in hit.scores)
    return hit.scores.get(embedding) if is_fused else hit.score

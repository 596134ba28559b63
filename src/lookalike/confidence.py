"""How sure it is that a hit is a copy; and whether there is one at all, or nothing like it here."""

from __future__ import annotations

from collections.abc import Sequence

from .engine import LOCAL, Engine
from .errors import NotCalibrated
from .types import Hit

VERIFIED = "verified"
"""The comparator that says whether a picture is a copy."""
USUAL_INLIERS = 10
"""Matches that agree, from which on a picture is called a copy where nothing is calibrated.

Measured on 534 photographs of 60 classes (Caltech-101) and their edits (`edits.EDITS`): of 194
edited pictures without a copy none had so many (95% confidence: at most 1.9%), and 98.5% of 200
copies had.
"""


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
        self._verified = found.scorers.get(VERIFIED) if found is not None else None

    def check(self) -> None:
        """`NotCalibrated` if nothing is."""
        if self._measured is None:
            path = self._engine.address
            option = "" if self._is_vectors else f" --compare {self._scorer}"
            raise NotCalibrated(path, self._scorer, option)

    def told(self, hits: list[Hit], *, confident: bool) -> list[Hit]:
        """The hits with their probability; with `confident` those alone that pass for copies."""
        measured = self._measured
        if measured is None:
            return hits
        told = []
        for hit in hits:
            score = self._score(hit)
            if score is not None and (not confident or measured.passes(score)):
                told.append(hit._replace(probability=measured.sigmoid(score)))
            elif not confident:
                told.append(hit)
        return told

    def is_found(self, hit: Hit) -> bool:
        """Whether geometry has found as much of the query in it as in a copy."""
        inliers = hit.scores.get(VERIFIED)
        if inliers is None:
            return False
        return self._verified.passes(inliers) if self._verified else inliers >= USUAL_INLIERS

    def _score(self, hit: Hit) -> float | None:
        if self._is_vectors:
            return vector_score(hit, self._scorer, self._engine)
        return hit.scores.get(self._scorer)


def vector_score(hit: Hit, embedding: str, engine: Engine) -> float | None:
    """Of the vectors alone; a hit's own score may be of fused ranks, which mean nothing."""
    is_fused = any(name == LOCAL or name in engine.extractors for name in hit.scores)
    return hit.scores.get(embedding) if is_fused else hit.score

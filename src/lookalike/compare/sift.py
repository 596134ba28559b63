"""The usual count of good matches: nearest neighbours that pass the ratio test, no geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import Comparison, Subject
from .matching import nearest
from .subjects import Described, with_features


@dataclass(frozen=True, slots=True)
class SiftOptions:
    """What a good match is."""

    ratio: float = 0.75
    """The nearest is good if its distance is less than this part of the next nearest's."""

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio must be more than 0 and at most 1, not {self.ratio}")


class Sift:
    """Good matches by Lowe's ratio test (2004), from the query to the candidate.

    0 to the query's number of keypoints. Several of the query's may match one of the candidate's,
    as in `cv2.BFMatcher.knnMatch`. It counts with whatever local features the recipe has.
    """

    Options: ClassVar = SiftOptions
    higher_is_better = True

    def __init__(self, options: SiftOptions) -> None:
        self._ratio = options.ratio

    def compare(self, query: Subject, candidates: Sequence[Subject]) -> list[Comparison]:
        """The number of good matches with each."""
        return with_features(query, candidates, self._compare)

    def _compare(self, query: Described, candidates: list[Described]) -> list[Comparison]:
        theirs = [candidate.features.descriptors for candidate in candidates]
        found = nearest(query.features.descriptors, theirs)
        return [Comparison(float(len(each.passing(self._ratio)))) for each in found]

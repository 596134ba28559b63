"""The count of mutual nearest neighbours: for any local features, keypoints or patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import Comparison, Subject
from .matching import mutual
from .subjects import Described, with_features


@dataclass(frozen=True, slots=True)
class MutualOptions:
    """There are none."""


class Mutual:
    """How many pairs of local features are each other's nearest in the other picture.

    0 to the number of features of the picture that has fewer. The plain count, not a share: a share
    would put a picture of three keypoints, of which two happen to pair, before one of which 200 do.
    """

    Options: ClassVar = MutualOptions
    higher_is_better = True

    def __init__(self, options: MutualOptions) -> None:
        pass

    def compare(self, query: Subject, candidates: Sequence[Subject]) -> list[Comparison]:
        """The number of pairs with each."""
        return with_features(query, candidates, self._compare)

    def _compare(self, query: Described, candidates: list[Described]) -> list[Comparison]:
        theirs = [candidate.features.descriptors for candidate in candidates]
        return [Comparison(float(len(each))) for each in mutual(query.features.descriptors, theirs)]

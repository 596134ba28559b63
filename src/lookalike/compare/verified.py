"""Is it the same thing, and where? Matches that agree on one place in the candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..types import Evidence, LocalFeatures
from . import Comparison, Subject
from .geometry import located, unmirrored
from .matching import Matches, is_sift, mirrored_places, mutual, mutual_mirrored
from .subjects import Described, with_features

_ENOUGH = 256
"""Keypoints of a query in which a candidate that shares anything with it shows; of more, every
second is looked at first. Of 400 edited copies none was lost by it."""


@dataclass(frozen=True, slots=True)
class VerifiedOptions:
    """Which matches geometry gets to see."""

    ratio: float = 0.85
    """A match counts if the next nearest is farther than the match by this (Lowe 2004)."""
    mirrored: bool = True
    """Whether the query is also looked for as in a mirror, where the features are SIFT."""

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio must be more than 0 and at most 1, not {self.ratio}")


class Verified:
    """How many mutual nearest neighbours pass the ratio test and agree on one map: inliers.

    0 or 4 and more. Needs keypoints that turn with the picture (SIFT, ORB, AKAZE) to find it
    turned; SIFT alone finds it in a mirror.
    """

    Options: ClassVar = VerifiedOptions
    higher_is_better = True

    def __init__(self, options: VerifiedOptions) -> None:
        self._options = options

    def compare(self, query: Subject, candidates: Sequence[Subject]) -> list[Comparison]:
        """The inliers of each, with the evidence where there are any."""
        return with_features(query, candidates, self._compare)

    def _compare(self, query: Described, candidates: list[Described]) -> list[Comparison]:
        """By a part of the query first, and by all of it where that agrees on anything."""
        if len(query.features.xy) <= _ENOUGH:
            return self._compare_all(query, candidates)
        part = query._replace(features=_every_second(query.features))
        found = self._compare_all(part, candidates)
        promising = [
            candidate
            for candidate, comparison in zip(candidates, found, strict=True)
            if comparison.evidence
        ]
        whole = iter(self._compare_all(query, promising))
        return [next(whole) if each.evidence else each for each in found]

    def _compare_all(self, query: Described, candidates: list[Described]) -> list[Comparison]:
        descriptors = [candidate.features.descriptors for candidate in candidates]
        if self._options.mirrored and is_sift(query.features):
            both = mutual_mirrored(query.features.descriptors, descriptors)
            in_mirror = query._replace(features=mirrored_places(query.features, query.size[0]))
            return [
                _best(
                    self._located(query, candidate, as_is),
                    self._located(in_mirror, candidate, mirrored),
                    query.size,
                )
                for candidate, (as_is, mirrored) in zip(candidates, both, strict=True)
            ]
        found = mutual(query.features.descriptors, descriptors)
        return [
            _comparison(self._located(query, candidate, matches))
            for candidate, matches in zip(candidates, found, strict=True)
        ]

    def _located(self, query: Described, candidate: Described, matches: Matches) -> Evidence | None:
        passing = matches.passing(self._options.ratio)
        return located(query.features, query.size, candidate.features, candidate.size, passing)


def _every_second(features: LocalFeatures) -> LocalFeatures:
    return LocalFeatures(
        features.xy[::2], features.scale[::2], features.angle[::2], features.descriptors[::2]
    )


def _best(as_is: Evidence | None, mirrored: Evidence | None, size: tuple[int, int]) -> Comparison:
    """What more agrees on; a picture that is its own mirror image is not called mirrored."""
    if mirrored is None or (as_is is not None and as_is.inliers >= mirrored.inliers):
        return _comparison(as_is)
    return _comparison(unmirrored(mirrored, size))


def _comparison(found: Evidence | None) -> Comparison:
    return Comparison(0.0 if found is None else float(found.inliers), evidence=found)

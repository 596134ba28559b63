"""Whose local features can be compared with the query's, and why those of others cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..errors import PictureError
from ..types import LocalFeatures
from . import Comparison, Subject
from .matching import Descriptors


class Described(NamedTuple):
    """A picture as its local features tell it."""

    features: LocalFeatures
    size: tuple[int, int]
    """Width and height of the original in pixels."""


def with_features(
    query: Subject,
    candidates: Sequence[Subject],
    compare: Callable[[Described, list[Described]], list[Comparison]],
) -> list[Comparison]:
    """`compare` for those that have local features like the query's, in order; why not for others.

    A picture without any keypoint is compared like every other: it has zero matches.
    """
    ours = _described(query)
    if isinstance(ours, Comparison):
        why = f"the query's local features cannot be had: {ours.unavailable}"
        return [Comparison(None, unavailable=why)] * len(candidates)
    described = [_of_kind(_described(candidate), ours) for candidate in candidates]
    there = [each for each in described if isinstance(each, Described)]
    compared = iter(compare(ours, there))
    return [each if isinstance(each, Comparison) else next(compared) for each in described]


def _described(subject: Subject) -> Described | Comparison:
    try:
        return Described(subject.local_features, subject.size)
    except PictureError as error:
        return Comparison(None, unavailable=str(error))


def _of_kind(described: Described | Comparison, query: Described) -> Described | Comparison:
    if isinstance(described, Comparison):
        return described
    theirs, ours = described.features.descriptors, query.features.descriptors
    if len(theirs) and len(ours) and _kind(theirs) != _kind(ours):
        why = f"its local features are {_kind(theirs)}, the query's are {_kind(ours)}"
        return Comparison(None, unavailable=why)
    return described


def _kind(descriptors: Descriptors) -> str:
    return f"{descriptors.dtype} of {descriptors.shape[1]}"

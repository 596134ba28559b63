"""Comparing pixels: each picture is described once, and the query's description with each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..errors import PictureError
from ..types import Pixels
from . import Comparison, Subject

_Description = TypeVar("_Description")


def compare_pixels(
    query: Subject,
    candidates: Sequence[Subject],
    describe: Callable[[Pixels], _Description],
    judge: Callable[[_Description, _Description], Comparison],
) -> list[Comparison]:
    """What `judge` says of the query's description and each candidate's, in order.

    A candidate whose picture cannot be had says so in its own `Comparison`; where the query's
    cannot, all say so. No more than one candidate's description is kept at a time.
    """
    try:
        of_query = describe(query.picture.pixels)
    except PictureError as error:
        reason = f"the query's picture cannot be had: {error}"
        return [Comparison(None, unavailable=reason)] * len(candidates)
    return [_judged(of_query, candidate, describe, judge) for candidate in candidates]


def _judged(
    of_query: _Description,
    candidate: Subject,
    describe: Callable[[Pixels], _Description],
    judge: Callable[[_Description, _Description], Comparison],
) -> Comparison:
    try:
        pixels = candidate.picture.pixels
    except PictureError as error:
        return Comparison(None, unavailable=str(error))
    return judge(of_query, describe(pixels))

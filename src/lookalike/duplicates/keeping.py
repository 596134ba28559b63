"""Which of several pictures that show the same is worth keeping, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from .. import subjects
from ..collection import Collection
from ..errors import PictureError
from ..types import Picture, Pixels, Record

SIDE = 1_024
"""Sharpness is that of a picture whose longest side has been shrunk to so many pixels."""
_AS_SHARP = 0.9
"""A part of the greatest sharpness that counts as the same."""

Sharpnesses = Callable[[Sequence[Record]], Mapping[str, float]]
"""By id; pictures that cannot be read have none."""


def best(records: Sequence[Record], sharpnesses: Sharpnesses) -> tuple[Record, str]:
    """The one to keep, and why.

    It is the largest in pixels; of several the sharpest; of those the one with most bytes, as it is
    compressed least; of those the one that was added first. The order of records is of no account.
    """
    if len(records) == 1:
        return records[0], "the first place where it was found"
    left = _with_most(records, _pixels)
    if len(left) == 1:
        return left[0], f"the largest, {left[0].width} x {left[0].height}"
    sharpness = sharpnesses(left)
    greatest = max(sharpness.values(), default=0.0)
    sharp = [each for each in left if sharpness.get(each.id, -1.0) >= _AS_SHARP * greatest]
    if len(sharp) == 1:
        return sharp[0], "of the largest the sharpest"
    left = _with_most(sharp or left, lambda each: each.size)
    if len(left) == 1:
        return left[0], "of the largest and sharpest the least compressed"
    return min(left, key=lambda each: (each.added, each.path, each.id)), "as good as others, older"


def order(record: Record) -> tuple[float, ...]:
    """Who leads before whom, as far as that is known without reading pictures."""
    return (-_pixels(record), -record.size, record.added)


def sharpnesses(collection: Collection, records: Sequence[Record]) -> dict[str, float]:
    """The sharpness of pictures, by id; those that cannot be read are left out."""
    found = subjects.made(
        collection.engine,
        records,
        collection.original_of,
        SIDE,
        lambda pictures: list(map(_sharpness, pictures)),
    )
    return {
        record.id: sharpness
        for record, sharpness in zip(records, found, strict=True)
        if not isinstance(sharpness, PictureError)
    }


def _sharpness(picture: Picture) -> float:
    return sharpness_of(picture.pixels)


def sharpness_of(pixels: Pixels) -> float:
    """How much edges stand out, 0 or more: the variance of the Laplacian of brightness.

    `pixels`: uint8 [h, w, 3]. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy",
    ICPR 2000. Comparable between pictures of the same thing alone.
    """
    height, width = pixels.shape[:2]
    shrink = SIDE / max(height, width)
    if shrink < 1:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def _pixels(record: Record) -> int:
    return record.width * record.height


def _with_most(records: Sequence[Record], of: Callable[[Record], int]) -> list[Record]:
    most = max(map(of, records))
    return [record for record in records if of(record) == most]

"""How many corners of one picture are found in the other, whichever way it is turned.

ORB: Rublee, Rabaud, Konolige and Bradski, "ORB: an efficient alternative to SIFT or SURF", 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from ..types import Pixels
from . import Comparison, Subject
from .pixels import compare_pixels

_KEYPOINTS = 500
_LONGEST_SIDE = 480
_SMALLEST_SIDE = 8  # in a line of pixels OpenCV fails
_BITS = 256
_NEAR = 50
"""Two descriptors that differ in fewer bits show the same, as most small programs have it."""

_Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class OrbOptions:
    """Nothing to choose."""


class Orb:
    """The share of keypoints not found again: 0 identical, 1 nothing alike; lower is better.

    Up to 500 keypoints of each picture, its longest side at most 480 pixels. Found again are those
    that are each other's nearest and differ in fewer than 50 of 256 bits; the share is that of the
    picture which has more keypoints. Small programs differ here: many divide by the mutual matches
    instead, and a picture with one keypoint is then soon identical; others take the matches' mean
    Hamming distance, where unrelated pictures lie at 0.26. Here these lie at 0.99 (one in a hundred
    below 0.95), edited copies of photographs about 300 x 200 at 0.66: both are medians.

    Where ORB finds no keypoint in one of the two (a clear sky, a tiny picture), there is nothing to
    say: unavailable, unless both are the same grey pixels.
    """

    Options: ClassVar = OrbOptions
    higher_is_better: ClassVar = False

    def __init__(self, options: OrbOptions) -> None:
        """There is nothing to set."""

    def compare(self, query: Subject, candidates: Sequence[Subject]) -> list[Comparison]:
        """One for each candidate, in order."""
        return compare_pixels(query, candidates, _described, _unfound)


class _Described(NamedTuple):
    """What ORB sees of a picture."""

    grey: _Grey
    signs: npt.NDArray[np.float32]
    """float32 [n, 256]: 1 for a bit that is set, -1 for one that is not."""


def _described(pixels: Pixels) -> _Described:
    grey = _grey(pixels)
    found = None
    if min(grey.shape) >= _SMALLEST_SIDE:
        # A detector of its own for each call: they keep state, and a new one costs 1 µs.
        found = cv2.ORB.create(nfeatures=_KEYPOINTS).detectAndCompute(grey, None)[1]
    packed = np.empty((0, _BITS // 8), np.uint8) if found is None else np.asarray(found, np.uint8)
    return _Described(grey, np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1)


def _grey(pixels: Pixels) -> _Grey:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    share = _LONGEST_SIDE / max(height, width)
    if share < 1:
        size = (max(1, round(width * share)), max(1, round(height * share)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def _unfound(a: _Described, b: _Described) -> Comparison:
    # By the pixels, as a keypoint of a texture that repeats may have a twin for its nearest.
    if np.array_equal(a.grey, b.grey):
        return Comparison(0.0)
    if not len(a.signs):
        return Comparison(None, unavailable="ORB finds no keypoint in the query")
    if not len(b.signs):
        return Comparison(None, unavailable="ORB finds no keypoint in this picture")
    # Products of signs are exact, and six times as fast as OpenCV's cross-checked matcher.
    differing = (_BITS - a.signs @ b.signs.T) / 2
    of_a, of_b = differing.argmin(axis=1), differing.argmin(axis=0)
    every = np.arange(len(of_a))
    found = (of_b[of_a] == every) & (differing[every, of_a] < _NEAR)
    return Comparison(1 - int(found.sum()) / max(differing.shape))

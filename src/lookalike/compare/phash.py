"""Perceptual hashes: a picture's coarse light and dark in 64 bits.

Krawetz, "Looks like it", hackerfactor.com, 2011, as the library imagehash computes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from ..types import Pixels
from . import Comparison, Subject
from .pixels import compare_pixels

_HASH_SIDE = 8
_SIDE = 4 * _HASH_SIDE
_Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PHashOptions:
    """Nothing to choose."""


class PHash:
    """How many of 64 bits differ: 0 identical, about 32 unrelated, 64 opposite; lower is better.

    The bits are those of `imagehash.phash(picture)` at its usual size of 8, for the pixels as we
    have them: upright, sRGB, perhaps smaller than the original. Where there is nothing to see (a
    picture of six pixels) some lie on the threshold itself, and rounding decides.
    """

    Options: ClassVar = PHashOptions
    higher_is_better: ClassVar = False

    def __init__(self, options: PHashOptions) -> None:
        """There is nothing to set."""

    def compare(self, query: Subject, candidates: Sequence[Subject]) -> list[Comparison]:
        """One for each candidate, in order."""
        return compare_pixels(query, candidates, _bits, _differing)


def _bits(pixels: Pixels) -> _Bits:
    """Which low frequencies are stronger than their median, bool [8, 8]."""
    # Grey and small by Pillow, as OpenCV rounds otherwise and averages otherwise.
    grey = Image.fromarray(pixels).convert("L")
    small = grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    every = np.asarray(cv2.dct(np.asarray(small, np.float64)), np.float64)
    frequencies = every[:_HASH_SIDE, :_HASH_SIDE]
    # OpenCV's transform is orthonormal; imagehash's leaves the constant terms twice as strong.
    frequencies[0] *= math.sqrt(2)
    frequencies[:, 0] *= math.sqrt(2)
    return np.asarray(frequencies > np.median(frequencies))


def _differing(a: _Bits, b: _Bits) -> Comparison:
    return Comparison(float(np.count_nonzero(a != b)))

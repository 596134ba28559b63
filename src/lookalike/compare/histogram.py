"""How alike the colours are, wherever they lie in the picture.

Intersection: Swain and Ballard, "Color indexing", 1991. Correlation: as
`cv2.compareHist` has it of a flat histogram (of three dimensions OpenCV 5.0 takes a wrong mean).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from ..types import Pixels
from . import Comparison, Subject
from .pixels import compare_pixels

Method = Literal["correlation", "intersection"]

_BINS = (8, 8, 8)
"""Of hue, saturation and value. Without value, all grey pictures would be one."""
_RANGES = (0, 180, 0, 256, 0, 256)
"""OpenCV's hue is half the degrees."""

_Shares = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HistogramOptions:
    """How two histograms are compared."""

    method: Method = "intersection"
    """Among 40 photographs of Caltech-101 the original of an edited copy came first in 79% by
    intersection, 67% by correlation, which the most frequent colour decides nearly alone."""

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ValueError(f"method must be {' or '.join(get_args(Method))}, not {self.method!r}")


class Histogram:
    """Of hue, saturation and value, 8 bins each: 1 identical, 0 none alike; higher is better.

    `intersection`: the share of pixels that have a counterpart of their colour. `correlation`:
    Pearson's, of the 512 bins; where it is negative (no less alike than 0, only rarer) it is 0.
    Turning or flipping a picture changes nothing.
    """

    Options: ClassVar = HistogramOptions
    higher_is_better: ClassVar = True

    def __init__(self, options: HistogramOptions) -> None:
        self._judge = _correlation if options.method == "correlation" else _intersection

    def compare(self, query: Subject, candidates: Sequence[Subject]) -> list[Comparison]:
        """One for each candidate, in order."""
        return compare_pixels(query, candidates, _shares, self._judge)


def _shares(pixels: Pixels) -> _Shares:
    """Of the pixels in each bin, float64 [512], summing to 1."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, list(_BINS), list(_RANGES))
    shares: _Shares = np.asarray(counts, np.float64).ravel() / (hsv.shape[0] * hsv.shape[1])
    return shares


def _intersection(a: _Shares, b: _Shares) -> Comparison:
    if np.array_equal(a, b):  # rounding would make it nearly 1
        return Comparison(1.0)
    return Comparison(min(float(np.minimum(a, b).sum()), 1.0))


def _correlation(a: _Shares, b: _Shares) -> Comparison:
    if np.array_equal(a, b):
        return Comparison(1.0)
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.linalg.norm(a) * np.linalg.norm(b))
    # Only a picture that has as many pixels of each colour has no spread: it goes with no other.
    return Comparison(float(np.clip(a @ b / spread, 0, 1)) if spread else 0.0)

"""From a picture of any size to the square that a network takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..types import Picture, Pixels, Vectors

Resize = Literal["squash", "crop"]
Interpolation = Literal["linear", "cubic"]
Three = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pixels become a network's input; part of the fingerprint of whoever uses it."""

    size: int
    """Side of the square in pixels."""
    resize: Resize = "squash"
    """`squash` takes all of the picture, `crop` a square out of its middle."""
    crop: float = 1.0
    """With `crop`: the side of that square as a share of the picture's short side."""
    interpolation: Interpolation = "linear"
    """How a smaller picture is enlarged; a larger one is shrunk by the mean over areas."""
    mean: Three = (0.0, 0.0, 0.0)
    """Taken from values of 0 to 1, by channel."""
    std: Three = (1.0, 1.0, 1.0)
    """What is left is divided by this."""

    @property
    def shortest_side(self) -> int:
        """A picture whose short side is at least this long loses nothing here by being shrunk."""
        return self.size if self.resize == "squash" else math.ceil(self.size / self.crop)

    def shown(self, picture: Picture) -> tuple[float, float, float, float]:
        """Left, top, width and height of what the square shows, in pixels of the original."""
        height, width = picture.pixels.shape[:2]
        left, top, wide, high = 0, 0, width, height
        if self.resize == "crop":
            left, top, wide = _middle(width, height, self.crop)
            high = wide
        x, y = picture.original_size[0] / width, picture.original_size[1] / height
        return left * x, top * y, wide * x, high * y

    def squares(self, pictures: Sequence[Picture]) -> Pixels:
        """`pictures`: n of them -> uint8 [n, size, size, 3]."""
        return np.stack([self._square(picture.pixels) for picture in pictures])

    def normalised(self, pictures: Sequence[Picture]) -> Vectors:
        """`pictures`: n of them -> float32 [n, 3, size, size], less the mean, by the deviation."""
        scale = (1.0 / (255.0 * np.array(self.std))).astype(np.float32)
        shift = (np.array(self.mean) / np.array(self.std)).astype(np.float32)
        values = self.squares(pictures) * scale - shift
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))

    def _square(self, pixels: Pixels) -> Pixels:
        import cv2

        if self.resize == "crop":
            pixels = _centre(pixels, self.crop)
        size = self.size
        if pixels.shape[:2] == (size, size):
            return pixels
        shrinks = pixels.shape[0] >= size and pixels.shape[1] >= size
        cubic = self.interpolation == "cubic"
        # Averaging areas is only defined downwards, and there it alone does not alias.
        way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(pixels, (size, size), interpolation=way), np.uint8)


def _centre(pixels: Pixels, share: float) -> Pixels:
    height, width = pixels.shape[:2]
    left, top, side = _middle(width, height, share)
    return pixels[top : top + side, left : left + side]


def _middle(width: int, height: int, share: float) -> tuple[int, int, int]:
    """Left, top and side of a square in the middle; `share`: of the short side."""
    side = max(1, round(share * min(width, height)))
    return (width - side) // 2, (height - side) // 2, side

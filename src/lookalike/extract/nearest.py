"""The nearest of some centres to each of many points, exactly and on the calling thread alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..types import Vectors

# numpy's OpenBLAS takes every core for products of more than 2^18 multiplications, and many lanes
# at once then wait for one another. Blocks of 32 x 64 x 128 are no more than that, and numpy goes
# through them in C: 1,184 descriptors and 1,000 words take 2.5 ms on one core, `faiss.knn` on one
# thread 10 ms, and one large product the time of both cores. It is only speed that depends on it.
_POINTS, _CENTRES = 32, 64
_POINTS_AT_ONCE = 8 * _POINTS


class Nearest:
    """Centres, laid out for comparing."""

    def __init__(self, centres: Vectors) -> None:
        """`centres`: float32 [k, d]."""
        k, dim = centres.shape
        blocks = -(-k // _CENTRES)
        padded = np.zeros((blocks * _CENTRES, dim), np.float32)
        padded[:k] = centres
        self._blocks = np.ascontiguousarray(
            padded.reshape(blocks, _CENTRES, dim).transpose(0, 2, 1)
        )
        # |x - c|² / 2 is |x|² / 2 - x·c + |c|² / 2, of which the first is the same for all c.
        self._halves = np.full(len(padded), np.inf, np.float32)
        self._halves[:k] = (centres * centres).sum(axis=1) / 2

    def to(self, points: Vectors) -> npt.NDArray[np.int64]:
        """`points`: float32 [n, d] -> int64 [n], which centre is nearest to each."""
        count = len(points)
        padded = np.zeros((-(-count // _POINTS) * _POINTS, points.shape[1]), np.float32)
        padded[:count] = points
        nearest = np.empty(len(padded), np.int64)
        room = np.empty((min(_POINTS_AT_ONCE, len(padded)), len(self._halves)), np.float32)
        for start in range(0, len(padded), _POINTS_AT_ONCE):
            some = padded[start : start + _POINTS_AT_ONCE]
            closeness = room[: len(some)]
            self._products(some, closeness)
            closeness -= self._halves
            closeness.argmax(axis=1, out=nearest[start : start + len(some)])
        return nearest[:count]

    def _products(self, points: Vectors, out: npt.NDArray[Any]) -> None:
        """Of each point with each centre, by blocks, into float32 [n, centres]."""
        by_block = out.reshape(-1, _POINTS, len(self._blocks), _CENTRES).transpose(0, 2, 1, 3)
        np.matmul(points.reshape(-1, 1, _POINTS, points.shape[1]), self._blocks, out=by_block)

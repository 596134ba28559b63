"""The nearest of some centres to each of many points, exactly, and k-means made of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from ..types import Vectors

# numpy's OpenBLAS takes every core for products of more than 2^18 multiplications, and many lanes
# at once then wait for one another. Smaller blocks it computes where it is called, and numpy goes
# through them in C: 1,184 descriptors and 1,000 words take 2.5 ms on one core, where `faiss.knn`
# takes 10 on one thread. It is only speed that depends on it.
_LARGEST_PRODUCT = 2**18
_POINTS = 32
_POINTS_AT_ONCE = 8 * _POINTS
_PART = 16 * _POINTS_AT_ONCE


class Nearest:
    """Centres, laid out for comparing. Keeps to the calling thread."""

    def __init__(self, centres: Vectors) -> None:
        """`centres`: float32 [k, d]."""
        k, dim = centres.shape
        size = max(1, _LARGEST_PRODUCT // (_POINTS * dim))
        padded = np.zeros((-(-k // size) * size, dim), np.float32)
        padded[:k] = centres
        self._blocks = np.ascontiguousarray(padded.reshape(-1, size, dim).transpose(0, 2, 1))
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
        blocks, dim, size = self._blocks.shape
        by_block = out.reshape(-1, _POINTS, blocks, size).transpose(0, 2, 1, 3)
        np.matmul(points.reshape(-1, 1, _POINTS, dim), self._blocks, out=by_block)


def means(
    points: Vectors, k: int, rounds: int, seed: int, on_progress: Callable[[float], None]
) -> Vectors:
    """k-means (Lloyd), on all cores: float32 [n, d], n >= k -> float32 [k, d].

    The same on any number of cores. A centre that nothing is nearest to starts anew at some point.
    """
    rng = np.random.default_rng(seed)
    centres = points[np.sort(rng.choice(len(points), k, replace=False))]
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores, "lookalike-means") as threads:
        for done in range(rounds):
            parts = [points[at : at + _PART] for at in range(0, len(points), _PART)]
            owners = np.concatenate(list(threads.map(Nearest(centres).to, parts)))
            order = np.argsort(owners, kind="stable")
            present, starts, counts = np.unique(
                owners[order], return_index=True, return_counts=True
            )
            centres = points[rng.integers(0, len(points), k)]
            sums = np.add.reduceat(points[order], starts, axis=0)
            centres[present] = sums / counts[:, np.newaxis].astype(np.float32)
            on_progress((done + 1) / rounds)
    return centres

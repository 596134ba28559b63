"""Vectors of the shipped model in any number, as many as there are no pictures for.

Real vectors of pictures, extended: each one more lies on the line between a real vector and one of
its ten nearest, and then a little off it, by a random mix of how real vectors differ from their
mean. So they have the spectrum and the crowding of real ones, though not what only pictures could
add. They are made block by block, the same each time, and never all in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

import lookalike
from lookalike.distances import distance_named
from lookalike.index.projection import Projection

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
BLOCK = 10_000
_NEAR = 10
_MIXED = 4
_OFF = 0.7
"""How far off the line, in lengths of it: then the nearest are as far, and as many dimensions
matter (maximum likelihood), as among as many real vectors."""
_QUERIES = 1 << 40
"""The number of a block that no collection reaches."""


def real_vectors(folder: Path, dim: int) -> Vectors:
    """float32 [n, dim] of a collection's pictures, projected as `pca` does where `dim` is less."""
    with lookalike.open(folder) as collection:
        every = np.concatenate([collection.vector(record.id) for record in collection])
    cosine = distance_named("cosine")
    vectors = cosine.prepared(every)
    if dim == vectors.shape[1]:
        return vectors
    return cosine.prepared(Projection.learn(vectors, dim).apply(vectors))


class Extended:
    """Any number of vectors of length 1, and the real one that each comes from."""

    def __init__(self, real: Vectors) -> None:
        self._real = real
        self._near = faiss.knn(real, real, _NEAR + 1)[1][:, 1:]
        apart = real - real.mean(axis=0)
        self._apart = apart / np.linalg.norm(apart, axis=1).mean()

    @property
    def dim(self) -> int:
        """Values of each."""
        return int(self._real.shape[1])

    def blocks(self, count: int) -> Iterator[tuple[int, Vectors, Rows]]:
        """The first `count`, a block at a time: where it starts, the vectors, and their origins."""
        for number, start in enumerate(range(0, count, BLOCK)):
            vectors, origins = self._block(number)
            yield start, vectors[: count - start], origins[: count - start]

    def origins(self, count: int) -> Iterator[tuple[int, Rows]]:
        """Where each of the first `count` comes from, a block at a time."""
        for number, start in enumerate(range(0, count, BLOCK)):
            yield start, self._drawn(np.random.default_rng(number))[: count - start]

    def queries(self, count: int) -> Vectors:
        """Others of the same kind."""
        return self._block(_QUERIES)[0][:count]

    def region(self, share: float) -> Rows:
        """Real vectors that lie together, as those of one class do: about this share of all."""
        wanted = max(1, round(share * len(self._real)))
        members: Rows = faiss.knn(self._real[:1], self._real, wanted)[1][0]
        return members

    def _block(self, number: int) -> tuple[Vectors, Rows]:
        random = np.random.default_rng(number)
        origins = self._drawn(random)
        line = self._real[self._near[origins, random.integers(_NEAR, size=BLOCK)]]
        line -= self._real[origins]
        lengths = np.linalg.norm(line, axis=1)
        line *= random.random((BLOCK, 1), np.float32)
        line += self._real[origins]
        for _ in range(_MIXED):
            shares = random.standard_normal(BLOCK, np.float32) * lengths * (_OFF / _MIXED**0.5)
            line += (
                shares[:, np.newaxis] * self._apart[random.integers(len(self._real), size=BLOCK)]
            )
        line /= np.linalg.norm(line, axis=1, keepdims=True)
        return line, origins

    def _drawn(self, random: np.random.Generator) -> Rows:
        return random.integers(len(self._real), size=BLOCK)

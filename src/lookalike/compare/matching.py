"""Which local features of two pictures belong together: array functions, no pictures.

Descriptors are float32 [n, width] of length 1, compared by Euclidean distance, or uint8 [n, bytes]
that hold bits, compared by Hamming distance. Both become a matrix product: the nearest by distance
is the largest inner product, of the bits as -1 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..types import LocalFeatures

Descriptors = npt.NDArray[Any]
"""float32 [n, width] of length 1, or uint8 [n, bytes] that hold bits."""
_Floats = npt.NDArray[np.float32]
_Positions = npt.NDArray[np.int64]

SIFT_WIDTH = 128

# SIFT's values are 4 rows of 4 cells of 8 directions, in a frame that turns with the keypoint. In a
# mirror the rows change sides and every direction turns the other way.
_ROW, _CELL, _DIRECTION = np.unravel_index(np.arange(SIFT_WIDTH), (4, 4, 8))
MIRRORED_SIFT: _Positions = np.ravel_multi_index(
    (3 - _ROW, _CELL, -_DIRECTION % 8), (4, 4, 8)
).astype(np.int64)
"""`descriptors[:, MIRRORED_SIFT]` are those of the picture in a mirror, but for rounding."""
_ONE = slice(0, SIFT_WIDTH // 2)
"""The rows that change places with `_OTHER`."""
_OTHER = MIRRORED_SIFT[_ONE]


_UNSHARED = 4 * 65536
"""Multiplications in one product up to which OpenBLAS uses one thread."""
_LEAST_ROWS = 4
"""Of a piece; with fewer, pieces are slower than they save."""


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Pairs of features, one line each."""

    query: _Positions
    """int64 [n], positions among the query's features, each once."""
    candidate: _Positions
    """int64 [n], positions among the candidate's features."""
    distance: _Floats
    """float32 [n], Euclidean (0 to 2), or the number of different bits."""
    second: _Floats
    """float32 [n], from the same query feature to the next nearest; infinite if there is none."""

    def __len__(self) -> int:
        return len(self.query)

    def passing(self, ratio: float) -> Matches:
        """Those much nearer than the next nearest (Lowe 2004): distance < ratio * second.

        Where there is no second there is nothing to judge by, and the match does not pass.
        """
        kept = np.isfinite(self.second) & (self.distance < ratio * self.second)
        return Matches(
            self.query[kept], self.candidate[kept], self.distance[kept], self.second[kept]
        )


def nearest(query: Descriptors, candidates: Sequence[Descriptors]) -> list[Matches]:
    """For each candidate, the nearest of its features to every one of the query's."""
    return [products.nearest() for products in _products(query, candidates)]


def mutual(query: Descriptors, candidates: Sequence[Descriptors]) -> list[Matches]:
    """For each candidate, the pairs of which each is the other's nearest: each feature once.

    Of several equally near ones the first counts.
    """
    return [products.mutual() for products in _products(query, candidates)]


def mutual_mirrored(query: _Floats, candidates: Sequence[_Floats]) -> list[tuple[Matches, Matches]]:
    """`mutual` with the query as it is, and as in a mirror: for SIFT, float32 [n, 128].

    A value and the one whose place it takes in the mirror are kept as sum and difference. Only the
    differences change sign then, so both queries together cost the multiplications of one.
    """
    found = []
    folded, products, changed = _Folded(), _Products(None), _Memory()
    # Half, as the products of sums and those of differences add up to twice the wanted.
    sums, differences = (
        np.ascontiguousarray(each.T)
        for each in folded.of(np.multiply(query, 0.5, dtype=np.float32))
    )
    for candidate in candidates:
        their_sums, their_differences = folded.of(candidate)
        block = products.of(sums, their_sums)
        antisymmetric = _product(differences, their_differences, changed)
        block += antisymmetric
        as_is = products.mutual()
        block -= np.multiply(antisymmetric, 2, out=antisymmetric)
        found.append((as_is, products.mutual()))
    return found


def is_sift(features: LocalFeatures) -> bool:
    """Whether these can be mirrored without their picture."""
    descriptors = features.descriptors
    return descriptors.dtype == np.float32 and descriptors.shape[1] == SIFT_WIDTH


def mirrored_places(features: LocalFeatures, width: float) -> LocalFeatures:
    """The features of a picture so wide where they are in a mirror; descriptors as they were."""
    angle = (180 - features.angle) % 360
    return LocalFeatures(in_mirror(features.xy, width), features.scale, angle, features.descriptors)


def in_mirror(xy: _Floats, width: float) -> _Floats:
    """Places [n, 2] in a picture so wide, left and right exchanged."""
    mirrored = xy.copy()
    mirrored[:, 0] = width - 1 - xy[:, 0]
    return mirrored


class _Memory:
    """Used again and again: fresh memory costs more than what is computed in it."""

    def __init__(self) -> None:
        self._floats = np.empty(0, np.float32)

    def of(self, rows: int, columns: int) -> _Floats:
        """float32 [rows, columns] with anything in it, instead of what was given out before."""
        if self._floats.size < rows * columns:
            self._floats = np.empty(rows * columns, np.float32)
        return self._floats[: rows * columns].reshape(rows, columns)


class _Products:
    """Inner products of the query's features, in rows, and one candidate's."""

    def __init__(self, bits: int | None) -> None:
        self._bits = bits
        self._memory, self._rows = _Memory(), _Memory()
        self._block = self._memory.of(0, 0)

    def of(self, query: _Floats, candidate: _Floats) -> _Floats:
        """[n, d], [d, m] -> [n, m], which the caller may change."""
        self._block = _product(query, candidate, self._memory)
        return self._block

    def nearest(self) -> Matches:
        if not self._block.size:
            return _NONE
        return self._matches(np.arange(len(self._block)), self._block.argmax(axis=1))

    def mutual(self) -> Matches:
        if not self._block.size:
            return _NONE
        best = self._block.argmax(axis=1)
        top = self._block[np.arange(len(best)), best]
        query = np.flatnonzero(top == self._block.max(axis=0)[best])
        candidate, first = np.unique(best[query], return_index=True)
        return self._matches(query[first], candidate)

    def _matches(self, query: _Positions, candidate: _Positions) -> Matches:
        out = self._rows.of(len(query), self._block.shape[1])
        rows = np.take(self._block, query, axis=0, out=out, mode="clip")
        lines = np.arange(len(query))
        top = rows[lines, candidate]
        rows[lines, candidate] = -np.inf
        second = rows.max(axis=1)
        return Matches(query, candidate, _distance(top, self._bits), _distance(second, self._bits))


def _products(query: Descriptors, candidates: Sequence[Descriptors]) -> Iterator[_Products]:
    """With each candidate, valid until the next."""
    of_query, products = _signed(query), _Products(_bits(query))
    for candidate in candidates:
        products.of(of_query, np.ascontiguousarray(_signed(candidate).T))
        yield products


def _product(a: _Floats, b: _Floats, memory: _Memory) -> _Floats:
    """[n, d], [d, m], both C-contiguous -> [n, m].

    In pieces so small that OpenBLAS does not share them out: its threads wait for each other, which
    takes many times longer than the product when the cores have other work.
    """
    out = memory.of(len(a), b.shape[1])
    rows = _UNSHARED // max(1, b.size)
    if rows < _LEAST_ROWS:
        return np.matmul(a, b, out=out)
    pieces = len(a) // rows
    whole = pieces * rows
    into = out[:whole].reshape(pieces, rows, b.shape[1])
    np.matmul(a[:whole].reshape(pieces, rows, b.shape[0]), b, out=into)
    np.matmul(a[whole:], b, out=out[whole:])
    return out


class _Folded:
    """SIFT's values as sums and differences of those that change places in a mirror."""

    def __init__(self) -> None:
        self._every, self._other, self._sums, self._differences = (_Memory() for _ in range(4))

    def of(self, descriptors: _Floats) -> tuple[_Floats, _Floats]:
        """float32 [n, 128] -> [64, n] twice, valid until the next."""
        count = len(descriptors)
        every = self._every.of(SIFT_WIDTH, count)
        every[:] = descriptors.T
        one, out = every[_ONE], self._other.of(len(_OTHER), count)
        other = np.take(every, _OTHER, axis=0, out=out, mode="clip")
        return (
            np.add(one, other, out=self._sums.of(*out.shape)),
            np.subtract(one, other, out=self._differences.of(*out.shape)),
        )


def _distance(products: _Floats, bits: int | None) -> _Floats:
    if bits is not None:
        return np.asarray((bits - products) / 2, np.float32)
    return np.asarray(np.sqrt(np.maximum(2 - 2 * products, 0)), np.float32)


def _bits(descriptors: Descriptors) -> int | None:
    return 8 * descriptors.shape[1] if descriptors.dtype == np.uint8 else None


def _signed(descriptors: Descriptors) -> _Floats:
    """float32 as they are; bits as -1 and 1, whose products are whole and exact."""
    if descriptors.dtype == np.uint8:
        return np.unpackbits(descriptors, axis=1).astype(np.float32) * 2 - 1
    return np.asarray(descriptors, np.float32)


_NONE = Matches(
    np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32)
)

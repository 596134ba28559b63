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
_ONE = np.flatnonzero(np.arange(SIFT_WIDTH) < MIRRORED_SIFT)
_OTHER = MIRRORED_SIFT[_ONE]


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
    return [_nearest(block, width) for block, width in _products(query, candidates)]


def mutual(query: Descriptors, candidates: Sequence[Descriptors]) -> list[Matches]:
    """For each candidate, the pairs of which each is the other's nearest: each feature once.

    Of several equally near ones the first counts.
    """
    return [_mutual(block, width) for block, width in _products(query, candidates)]


def mutual_mirrored(query: _Floats, candidates: Sequence[_Floats]) -> list[tuple[Matches, Matches]]:
    """`mutual` with the query as it is, and as in a mirror: for SIFT, float32 [n, 128].

    A value and the one whose place it takes in the mirror are kept as sum and difference. Only the
    differences change sign then, so both queries together cost the multiplications of one.
    """
    found = []
    sums, differences = _folded(query)
    same, changed, block = (_Block() for _ in range(3))
    for candidate in candidates:
        their_sums, their_differences = _folded(candidate)
        symmetric = same.product(sums, their_sums)
        antisymmetric = changed.product(differences, their_differences)
        out = block.of(*symmetric.shape)
        as_is = _mutual(np.add(symmetric, antisymmetric, out=out), None)
        in_mirror = _mutual(np.subtract(symmetric, antisymmetric, out=out), None)
        found.append((as_is, in_mirror))
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


class _Block:
    """Memory for one product after the other; it stays in the processor's cache."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.float32)

    def of(self, rows: int, columns: int) -> _Floats:
        if self._memory.size < rows * columns:
            self._memory = np.empty(rows * columns, np.float32)
        return self._memory[: rows * columns].reshape(rows, columns)

    def product(self, a: _Floats, b: _Floats) -> _Floats:
        """[n, d], [m, d] -> [n, m], valid until the next."""
        return np.matmul(a, b.T, out=self.of(len(a), len(b)))


def _products(
    query: Descriptors, candidates: Sequence[Descriptors]
) -> Iterator[tuple[_Floats, int | None]]:
    """Inner products [n, m] with each candidate, valid until the next; bits, or None for floats."""
    of_query, block = _signed(query), _Block()
    for candidate in candidates:
        yield block.product(of_query, _signed(candidate)), _bits(query)


def _mutual(products: _Floats, bits: int | None) -> Matches:
    if not products.size:
        return _NONE
    best = products.argmax(axis=1)
    top = products[np.arange(len(best)), best]
    query = np.flatnonzero(top == products.max(axis=0)[best])
    candidate, first = np.unique(best[query], return_index=True)
    return _matches(products, query[first], candidate, bits)


def _nearest(products: _Floats, bits: int | None) -> Matches:
    if not products.size:
        return _NONE
    return _matches(products, np.arange(len(products)), products.argmax(axis=1), bits)


def _matches(
    products: _Floats, query: _Positions, candidate: _Positions, bits: int | None
) -> Matches:
    rows, lines = products[query], np.arange(len(query))
    top = rows[lines, candidate]
    rows[lines, candidate] = -np.inf
    return Matches(query, candidate, _distance(top, bits), _distance(rows.max(axis=1), bits))


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


def _folded(descriptors: _Floats) -> tuple[_Floats, _Floats]:
    """Sums and differences, float32 [n, 64] each; their products add up to those of all 128."""
    one, other = np.take(descriptors, _ONE, axis=1), np.take(descriptors, _OTHER, axis=1)
    half = np.float32(0.5**0.5)
    return (one + other) * half, (one - other) * half


_NONE = Matches(
    np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32)
)

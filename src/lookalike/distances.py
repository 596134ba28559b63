"""Distances: what a user asks for by name, and the score it becomes inside.

Inside, a higher score is better, always; `Distance.at_zero` turns it back into what the name
promises. Names that lshash also has mean what they mean there; docs/indexes.md says where another
would serve better.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .errors import UnknownName
from .types import Vectors

Metric = Literal["inner product", "squared euclidean"]
Scores = npt.NDArray[np.float32]
Norm = Literal["none", "euclidean", "sum"]
Compared = npt.NDArray[np.floating[Any] | np.integer[Any]]
Exact = Callable[[Vectors, Vectors], Compared]

_LARGEST = 1e36
"""Of a vector's squared length, so that those of differences are finite, too."""
_BLOCK = 1 << 24
"""Values that are compared with a query at a time."""


@dataclass(frozen=True, slots=True)
class Distance:
    """One way of saying how far two vectors are apart."""

    name: str
    metric: Metric
    """What an index finds the nearest by: the inner product, or minus the squared distance."""
    norm: Norm
    """Of what vectors are first made 1, as an all-zero one cannot be."""
    at_zero: float
    """The score at distance 0: a distance is this less the score."""
    of_metric: Callable[[Scores], Scores] | None = None
    """The metric's score -> the score, rising with it; None where the two are the same."""
    to_metric: Callable[[float], float] | None = None
    """The other way round."""
    lowest: float = -math.inf
    """No score is below this, nor above the next, but for rounding, which is taken away."""
    highest: float = math.inf
    exact: Exact | None = None
    """(query [dim], vectors [n, dim]) -> scores [n], where they order otherwise than the metric."""

    @property
    def native(self) -> bool:
        """Whether the metric orders as the distance does, so that an index needs no second look."""
        return self.exact is None

    @property
    def normalised(self) -> bool:
        """Whether vectors are brought to unit length first. An all-zero vector stays zero."""
        return self.norm == "euclidean"

    def prepared(self, vectors: Vectors) -> Vectors:
        """`vectors`: float32 [n, dim] -> the same as an index holds them; never in place."""
        if self.norm == "none":
            return vectors
        # In double precision, where no square of a float32 overflows or vanishes.
        if self.norm == "euclidean":
            sizes = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        else:
            sizes = np.abs(vectors).sum(axis=1, dtype=np.float64)
        sizes = sizes[:, np.newaxis]
        ready: Vectors = np.divide(vectors, sizes, out=np.zeros_like(vectors), where=sizes > 0)
        return ready

    def scores(self, query: Vectors, vectors: Vectors) -> Scores:
        """One query, float32 [dim], against `vectors`, float32 [n, dim], all prepared: float32 [n].

        Linear in their number.
        """
        every = np.empty(len(vectors), np.float32)
        step = max(1, _BLOCK // max(1, len(query)))
        for start in range(0, len(vectors), step):
            every[start : start + step] = self._scored(query, vectors[start : start + step])
        return np.clip(every, self.lowest, self.highest, out=every)

    def least(self, score: float, precision: float, size: float) -> float:
        """What comes out at the least where the true score is `score`, as all is rounded.

        `precision`: to which values are compared, as a share of them; `size`: the squared length
        of the query as it came.
        """
        if not self.lowest < score <= self.highest or math.isinf(score):
            return score
        if self.exact is not None:
            return score - precision * max(abs(score), self.at_zero)
        own = score if self.to_metric is None else self.to_metric(score)
        if self.normalised:
            own -= precision
        elif self.metric == "inner product":
            own -= precision * max(abs(own), size)
        else:
            own -= precision * (abs(own) + size)
        return own if self.of_metric is None else float(self.of_metric(np.array([own]))[0])

    def _scored(self, query: Vectors, vectors: Vectors) -> Compared:
        if self.exact is not None:
            return self.exact(query, vectors)
        scores: Scores
        if self.metric == "inner product":
            scores = vectors @ query
        else:
            apart = vectors - query
            scores = -np.einsum("ij,ij->i", apart, apart)
        return scores if self.of_metric is None else self.of_metric(scores)


def _minus_root(scores: Scores) -> Scores:
    return np.negative(np.sqrt(np.maximum(-scores, 0)))


def _part_of_half_turn(cosines: Scores) -> Scores:
    """1 for the same direction, 0 for the opposite."""
    return np.subtract(1, np.arccos(np.clip(cosines, -1, 1)) / np.float32(np.pi))


def _cosine_of_part(score: float) -> float:
    return math.cos(math.pi * (1 - score))


def _minus_square(score: float) -> float:
    return -score * score


def _between_means(query: Vectors, vectors: Vectors) -> Compared:
    apart: Compared = vectors.mean(axis=1, dtype=np.float64) - query.mean(dtype=np.float64)
    squares: Compared = np.square(apart)
    return np.negative(squares)


def _absolute(query: Vectors, vectors: Vectors) -> Compared:
    apart: Scores = np.abs(vectors - query).sum(axis=1)
    return np.negative(apart)


def _shared(query: Vectors, vectors: Vectors) -> Compared:
    return np.asarray(np.minimum(vectors, query).sum(axis=1))


def _chi_squared(query: Vectors, vectors: Vectors) -> Compared:
    both = np.abs(vectors) + np.abs(query)
    apart = vectors - query
    parts = np.divide(apart * apart, both, out=np.zeros_like(both), where=both > 0)
    total: Compared = parts.sum(axis=1) / -2
    return total


def differing_bits(query: Vectors, vectors: Vectors) -> Compared:
    """Minus the number of places where one is above 0 and the other is not."""
    differing: Compared = -np.count_nonzero((vectors > 0) != (query > 0), axis=1)
    return differing


_NATIVE = (
    # 1 - cosine of the angle: 0 same direction, 1 at right angles, 2 opposite.
    Distance("cosine", "inner product", "euclidean", 1.0, lowest=-1.0, highest=1.0),
    # The angle, as a share of half a turn: 0 same direction, 0.5 at right angles, 1 opposite.
    Distance(
        "angular",
        "inner product",
        "euclidean",
        1.0,
        of_metric=_part_of_half_turn,
        to_metric=_cosine_of_part,
        lowest=0.0,
        highest=1.0,
    ),
    # Minus the inner product: any number, and the longer of two vectors is the nearer.
    Distance("inner_product", "inner product", "none", 0.0),
    # The sum of squared differences, from 0 up, as FAISS and lshash mean `euclidean`.
    Distance("euclidean", "squared euclidean", "none", 0.0, highest=0.0),
    # Its square root, from 0 up: the length of a ruler.
    Distance(
        "true_euclidean",
        "squared euclidean",
        "none",
        0.0,
        of_metric=_minus_root,
        to_metric=_minus_square,
        highest=0.0,
    ),
)


def _with_exact(name: str, norm: Norm, at_zero: float, exact: Exact) -> Distance:
    """One for which an index finds candidates by L2, which are ranked exactly."""
    return Distance(name, "squared euclidean", norm, at_zero, exact=exact, highest=at_zero)


_EXACT = (
    # The squared difference of the two means, from 0 up.
    _with_exact("centred_euclidean", "none", 0.0, _between_means),
    # The sum of absolute differences, from 0 up.
    _with_exact("l1", "none", 0.0, _absolute),
    # How many bits of two codes differ, 0 to their number: of the signs, or of an LSH's keys.
    _with_exact("hamming", "none", 0.0, differing_bits),
    # Of histograms that sum to 1, what they do not share: 0 identical, 1 nothing in common.
    _with_exact("histogram_intersection", "sum", 1.0, _shared),
    # Half the squared differences, each over its sum; histograms sum to 1: 0 identical, 1 disjoint.
    _with_exact("chi_squared", "sum", 0.0, _chi_squared),
)
DISTANCES = {distance.name: distance for distance in (*_NATIVE, *_EXACT)}


def comparable(vectors: Vectors) -> npt.NDArray[np.bool_]:
    """Which of `vectors`, float32 [n, dim], are finite, and their squares in single precision."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    sound: npt.NDArray[np.bool_] = squares < _LARGEST
    return sound


def distance_named(name: str) -> Distance:
    """The distance that goes by this name; `UnknownName` suggests the nearest."""
    if name not in DISTANCES:
        raise UnknownName("distance", name, DISTANCES)
    return DISTANCES[name]

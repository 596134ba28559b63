"""Distances: what a user asks for by name, and the score it becomes inside.

Inside, a higher score is better, always; `Distance.at_zero` turns it back into what the name
promises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .errors import UnknownName
from .types import Vectors

Metric = Literal["inner product", "squared euclidean"]


@dataclass(frozen=True, slots=True)
class Distance:
    """One way of saying how far two vectors are apart."""

    name: str
    metric: Metric
    """What an index computes: the score is the inner product, or minus the squared distance."""
    normalised: bool
    """Whether vectors are brought to unit length first. An all-zero vector stays zero."""

    def prepared(self, vectors: Vectors) -> Vectors:
        """`vectors`: float32 [n, dim] -> the same as an index holds them; never in place."""
        if not self.normalised:
            return vectors
        # In double precision, where no square of a float32 overflows or vanishes.
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))[:, np.newaxis]
        unit: Vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
        return unit

    @property
    def at_zero(self) -> float:
        """The score at distance 0: a distance is this less the score."""
        return 1.0 if self.normalised else 0.0


DISTANCES = {
    distance.name: distance
    for distance in (
        # 1 - cosine of the angle: 0 same direction, 1 at right angles, 2 opposite.
        Distance("cosine", "inner product", normalised=True),
        # The sum of squared differences, from 0 up, as FAISS and lshash mean `euclidean`.
        Distance("euclidean", "squared euclidean", normalised=False),
    )
}


def distance_named(name: str) -> Distance:
    """The distance that goes by this name; `UnknownName` suggests the nearest."""
    if name not in DISTANCES:
        raise UnknownName("distance", name, DISTANCES)
    return DISTANCES[name]

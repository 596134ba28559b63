"""The collection's own principal components: shorter vectors that suit its pictures better."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from ..types import Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Centring, and the axes along which vectors vary most (Jégou and Chum, 2012)."""

    mean: npt.NDArray[np.float32]
    """float32 [dim]."""
    axes: npt.NDArray[np.float32]
    """float32 [dim, components], orthonormal columns, the most varying first."""

    @classmethod
    def learn(cls, vectors: Vectors, components: int) -> Self:
        """From `vectors`: float32 [n, dim], of which there are more than `components`."""
        mean = vectors.mean(axis=0, dtype=np.float64)
        centred = vectors - mean
        _, axes = np.linalg.eigh(centred.T @ centred)  # by ascending variance
        leading = np.ascontiguousarray(axes[:, ::-1][:, :components], np.float32)
        return cls(mean.astype(np.float32), leading)

    @property
    def components(self) -> int:
        """The length of a projected vector."""
        return int(self.axes.shape[1])

    def apply(self, vectors: Vectors) -> Vectors:
        """`vectors`: float32 [n, dim] -> float32 [n, components]; never in place."""
        return np.asarray((vectors - self.mean) @ self.axes, np.float32)

    def save(self, path: Path) -> None:
        """Write it to a new file."""
        with path.open("wb") as file:
            np.savez(file, mean=self.mean, axes=self.axes)

    @classmethod
    def load(cls, path: Path) -> Self:
        """A saved one; `ValueError`, `OSError` or `KeyError` if it is damaged."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["mean"], arrays["axes"])

"""Vectors -> the nearest of them. FAISS underneath; only the embedded store looks in here.

A `Structure` arranges vectors by position and is never changed once it is searched.
`segments.SegmentedIndex` makes of it something that can be added to and removed from meanwhile;
`cache` keeps it on disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from ..distances import Metric
from ..types import Neighbours, Vectors


class Structure(Protocol):
    """An arrangement of vectors at positions 0 to n - 1. Built by one thread, read by many."""

    Options: ClassVar[type[Any]]
    """Typed options of this kind, a dataclass."""
    kind: ClassVar[str]
    """The name in the registry."""

    @classmethod
    def create(cls, dim: int, metric: Metric, options: Any, expected: int) -> Structure:
        """An empty one, meant for about `expected` vectors."""
        ...

    @classmethod
    def load(cls, path: Path, options: Any, *, mapped: bool) -> Self:
        """A saved one: `mapped` is read only and paged in by need, else it may be added to."""
        ...

    def add(self, vectors: Vectors) -> None:
        """Append `vectors`: float32 [n, dim]. `TypeError` if mapped, where FAISS would abort."""
        ...

    def search(self, queries: Vectors, k: int, allowed: npt.NDArray[np.bool_] | None) -> Neighbours:
        """The `k` nearest positions of each query among `allowed`: bool [n], or among all."""
        ...

    def save(self, path: Path) -> None:
        """Write it to a new file."""
        ...

    @property
    def vectors(self) -> Vectors:
        """A read-only view of what was added, float32 [n, dim]."""
        ...

"""Vectors -> the nearest of them. FAISS underneath; only the embedded store looks in here.

A `Structure` arranges vectors by position and is never changed once it is searched.
`segments.SegmentedIndex` makes of it something that can be added to and removed from meanwhile;
`cache` keeps it on disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from ..distances import Distance
from ..types import Effort, Footprint, Neighbours, Vectors

Positions = npt.NDArray[np.int64]
"""int64 [n], ascending."""
Mask = npt.NDArray[np.bool_]
"""bool [n], by position."""


class Kind(Protocol):
    """What makes structures: a structure's own class, or one that chooses among several."""

    Options: ClassVar[type[Any]]
    """Typed options, a dataclass."""
    knobs: ClassVar[frozenset[str]]
    """The fields of `Effort` that its searches heed."""

    @classmethod
    def create(
        cls, dim: int, distance: Distance, options: Any, expected: int, workspace: Path
    ) -> Structure:
        """An empty one for about `expected` vectors, which may use files in `workspace`."""
        ...

    @classmethod
    def suits(cls, structure: Structure, options: Any, expected: int) -> bool:
        """Whether one that was made earlier would do for about `expected` vectors."""
        ...

    @classmethod
    def bytes_for(cls, dim: int, distance: Distance, options: Any, expected: int) -> Footprint:
        """What the structure of so many vectors is going to take, without making one."""
        ...


class Structure(Protocol):
    """An arrangement of vectors at positions 0 to n - 1. Built by one thread, read by many."""

    kind: ClassVar[str]
    """The name in the registry."""

    @classmethod
    def load(cls, folder: Path, options: Any, *, mapped: bool) -> Self:
        """A saved one: `mapped` is read only and paged in by need, else it may be added to."""
        ...

    @property
    def training_vectors(self) -> int:
        """How many vectors it wants to see before the first is added, 0 for none."""
        ...

    def train(self, sample: Vectors) -> None:
        """Learn from `sample`: float32 [n, dim], before anything is added."""
        ...

    def add(self, vectors: Vectors) -> None:
        """Append `vectors`: float32 [n, dim]. `TypeError` if mapped, where FAISS would abort."""
        ...

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None, effort: Effort | None
    ) -> Neighbours:
        """The `k` nearest positions of each query among `allowed`, or among all; -1 past the end.

        Never fewer than there are: what its usual way does not reach, it looks for farther off.
        """
        ...

    def reach(
        self, query: Vectors, k: int | None, allowed: Mask | None, effort: Effort | None
    ) -> Positions | None:
        """What this effort looks at for one query, float32 [1, dim]; None for everything.

        `k`: how many hits it is for, None for as many as there are. What is not `allowed` may
        be among it.
        """
        ...

    def among(self, queries: Vectors, k: int, positions: Positions) -> Neighbours:
        """The `k` nearest of these positions, each looked at; -1 past the end."""
        ...

    def at(self, positions: Positions | slice) -> Vectors:
        """The vectors there, float32 [n, dim], by the metric's precision; not to be written to."""
        ...

    def save(self, folder: Path) -> None:
        """Write it into an empty folder."""
        ...

    @property
    def memory_bytes(self) -> int:
        """What a search would have in memory; the rest it reads from the file, a few rows each."""
        ...

    def __len__(self) -> int: ...


@runtime_checkable
class Coding(Protocol):
    """A kind that gives vectors binary codes of its own, which `hamming` then compares."""

    @classmethod
    def coded(cls, distance: Distance, options: Any, dim: int) -> Distance:
        """The distance, between these codes if it is of codes; what cannot be coded is refused."""
        ...


@runtime_checkable
class Rounding(Protocol):
    """A structure that ranks by vectors of less than single precision."""

    @property
    def precision(self) -> float:
        """How far a value may be from what was added, as a share of it."""
        ...

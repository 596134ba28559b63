"""Exact search: every vector is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import faiss

from ..distances import Distance
from ..types import Effort, Footprint, Neighbours, Vectors
from . import Mask, Positions, Structure, faiss_calls


@dataclass(frozen=True, slots=True)
class FlatOptions:
    """Nothing to choose."""


class Flat:
    """All vectors in a row, compared one by one: exact, linear in their number."""

    Options: ClassVar = FlatOptions
    kind: ClassVar = "flat"
    knobs: ClassVar = frozenset[str]()
    training_vectors: ClassVar = 0

    def __init__(self, index: faiss.IndexFlat, *, mapped: bool = False) -> None:
        self._index = index
        self._mapped = mapped

    @classmethod
    def create(
        cls,
        dim: int,
        distance: Distance,
        options: FlatOptions,  # noqa: ARG003
        expected: int,  # noqa: ARG003
        workspace: Path,  # noqa: ARG003
    ) -> Self:
        """An empty one."""
        return cls(faiss.IndexFlat(dim, faiss_calls.metric_number(distance.metric)))

    @classmethod
    def suits(cls, structure: Structure, options: FlatOptions, expected: int) -> bool:  # noqa: ARG003
        """Any of this kind does."""
        return structure.kind == cls.kind

    @classmethod
    def bytes_for(
        cls,
        dim: int,
        distance: Distance,  # noqa: ARG003
        options: FlatOptions,  # noqa: ARG003
        expected: int,
    ) -> Footprint:
        """The vectors."""
        return Footprint(4 * dim * expected, 4 * dim * expected)

    @classmethod
    def load(cls, folder: Path, options: FlatOptions, *, mapped: bool) -> Self:  # noqa: ARG003
        """A saved one."""
        return cls(faiss_calls.read(folder / faiss_calls.FILE, mapped=mapped), mapped=mapped)

    def train(self, sample: Vectors) -> None:
        """There is nothing to learn."""

    def add(self, vectors: Vectors) -> None:
        """Append `vectors`: float32 [n, dim]."""
        if self._mapped:
            raise TypeError("a mapped structure cannot be added to")
        self._index.add(vectors)

    def search(
        self,
        queries: Vectors,
        k: int,
        allowed: Mask | None,
        effort: Effort | None,  # noqa: ARG002
    ) -> Neighbours:
        """Exact, with or without a restriction."""
        return faiss_calls.all_of(self._index, queries, k, allowed)

    def reach(
        self, query: Vectors, k: int | None, allowed: Mask | None, effort: Effort | None
    ) -> None:
        """Everything."""

    def among(self, queries: Vectors, k: int, positions: Positions) -> Neighbours:
        """The `k` nearest of these positions."""
        return faiss_calls.among(self._index, queries, k, positions)

    def at(self, positions: Positions | slice) -> Vectors:
        """The vectors there, float32 [n, dim]."""
        return faiss_calls.flat_vectors(self._index)[positions]

    def save(self, folder: Path) -> None:
        """Write it into an empty folder."""
        faiss.write_index(self._index, str(folder / faiss_calls.FILE))

    @property
    def memory_bytes(self) -> int:
        """All of it."""
        return 4 * int(self._index.d) * len(self)

    def __len__(self) -> int:
        return int(self._index.ntotal)

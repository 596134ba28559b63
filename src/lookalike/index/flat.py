"""Exact search: every vector is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import faiss
import numpy as np
import numpy.typing as npt

from ..distances import Metric
from ..types import Neighbours, Vectors
from . import faiss_calls


@dataclass(frozen=True, slots=True)
class FlatOptions:
    """Nothing to choose."""


class Flat:
    """All vectors in a row, compared one by one: exact, linear in their number."""

    Options: ClassVar = FlatOptions
    kind: ClassVar = "flat"

    def __init__(self, index: faiss.IndexFlat, *, mapped: bool = False) -> None:
        self._index = index
        self._mapped = mapped

    @classmethod
    def create(cls, dim: int, metric: Metric, options: FlatOptions, expected: int) -> Self:  # noqa: ARG003
        """An empty one."""
        return cls(faiss.IndexFlat(dim, faiss_calls.metric_number(metric)))

    @classmethod
    def load(cls, path: Path, options: FlatOptions, *, mapped: bool) -> Self:  # noqa: ARG003
        """A saved one."""
        return cls(faiss_calls.read(path, mapped=mapped), mapped=mapped)

    def add(self, vectors: Vectors) -> None:
        """Append `vectors`: float32 [n, dim]."""
        if self._mapped:
            raise TypeError("a mapped structure cannot be added to")
        self._index.add(vectors)

    def search(self, queries: Vectors, k: int, allowed: npt.NDArray[np.bool_] | None) -> Neighbours:
        """Exact, with or without a restriction."""
        return faiss_calls.all_of(self._index, queries, k, allowed)

    def save(self, path: Path) -> None:
        """Write it to a new file."""
        faiss.write_index(self._index, str(path))

    @property
    def vectors(self) -> Vectors:
        """A view of the stored vectors, float32 [n, dim]."""
        return faiss_calls.flat_vectors(self._index)

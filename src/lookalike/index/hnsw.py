"""Hierarchical navigable small world graphs (Malkov and Yashunin, 2018, arXiv:1603.09320)."""

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
class HNSWOptions:
    """The knobs of the paper, by its names."""

    m: int = 24
    """Links of a vector on each level (twice as many on the lowest): memory, and recall."""
    ef_construction: int = 200
    """How many candidates are weighed when a vector is linked: build time, and recall."""
    ef_search: int = 64
    """How many candidates a search keeps: its time, and recall."""


class HNSW:
    """A graph walked greedily towards the query: nearly exact in logarithmic time."""

    Options: ClassVar = HNSWOptions
    kind: ClassVar = "hnsw"

    def __init__(self, index: faiss.IndexHNSWFlat, options: HNSWOptions) -> None:
        self._index = index
        self._storage = faiss.downcast_index(index.storage)
        self._ef_search = options.ef_search
        # Making FAISS's parameter object costs as much as a tenth of a search: made once.
        self._usual = faiss.SearchParametersHNSW(efSearch=options.ef_search)

    @classmethod
    def create(cls, dim: int, metric: Metric, options: HNSWOptions, expected: int) -> Self:  # noqa: ARG003
        """An empty one."""
        index = faiss.IndexHNSWFlat(dim, options.m, faiss_calls.metric_number(metric))
        index.hnsw.efConstruction = options.ef_construction
        return cls(index, options)

    @classmethod
    def load(cls, path: Path, options: HNSWOptions, *, mapped: bool) -> Self:
        """A saved one."""
        return cls(faiss_calls.read(path, mapped=mapped), options)

    def add(self, vectors: Vectors) -> None:
        """Link `vectors`, float32 [n, dim], into the graph."""
        self._index.add(vectors)

    def search(self, queries: Vectors, k: int, allowed: npt.NDArray[np.bool_] | None) -> Neighbours:
        """Nearly exact. Under a restriction the effort grows as the allowed share shrinks.

        The walk passes through forbidden vectors without counting them, so keeping recall needs
        as many more candidates as there are forbidden ones among them.
        """
        if allowed is None and k <= self._ef_search:
            return faiss_calls.search(self._index, queries, k, self._usual)
        effort = max(self._ef_search, k)
        if allowed is None:
            parameters = faiss.SearchParametersHNSW(efSearch=effort)
        else:
            share = max(int(np.count_nonzero(allowed)), 1) / len(allowed)
            parameters = faiss.SearchParametersHNSW(
                efSearch=min(int(effort / share) + 1, len(allowed)),
                sel=faiss_calls.selector(allowed),
            )
        return faiss_calls.search(self._index, queries, k, parameters)

    def save(self, path: Path) -> None:
        """Write it to a new file."""
        faiss.write_index(self._index, str(path))

    @property
    def vectors(self) -> Vectors:
        """A view of the stored vectors, float32 [n, dim]."""
        return faiss_calls.flat_vectors(self._storage)

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

_WALK_SHARE = 0.25
"""A walk past more than this share of the vectors costs more than looking at the allowed ones."""


@dataclass(frozen=True, slots=True)
class HNSWOptions:
    """The knobs of the paper, by its names."""

    m: int = 24
    """Links of a vector on each level (twice as many on the lowest): memory, and recall."""
    ef_construction: int = 200
    """How many candidates are weighed when a vector is linked: build time, and recall."""
    ef_search: int = 64
    """How many candidates a search keeps: its time, and recall."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("m", 2, 512),
            ("ef_construction", 1, 10_000),
            ("ef_search", 1, 10_000),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be {least} to {most}, not {getattr(self, name)}")


class HNSW:
    """A graph walked greedily towards the query: nearly exact in logarithmic time."""

    Options: ClassVar = HNSWOptions
    kind: ClassVar = "hnsw"

    def __init__(
        self, index: faiss.IndexHNSWFlat, options: HNSWOptions, *, mapped: bool = False
    ) -> None:
        self._index = index
        self._mapped = mapped
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
        return cls(faiss_calls.read(path, mapped=mapped), options, mapped=mapped)

    def add(self, vectors: Vectors) -> None:
        """Link `vectors`, float32 [n, dim], into the graph."""
        if self._mapped:
            raise TypeError("a mapped structure cannot be added to")
        self._index.add(vectors)

    def search(self, queries: Vectors, k: int, allowed: npt.NDArray[np.bool_] | None) -> Neighbours:
        """Nearly exact, also under a restriction, and never short of what there is.

        A restricted walk is the plain one with more effort, as the allowed share shrinks, of which
        the forbidden are left out. FAISS's own selector would not do: it ends its walk among the
        nearest, and if the allowed ones lie elsewhere (cats, asked for with a dog) it returns
        few of them or strange ones, without a sign. Here a walk that ends too early comes up
        short, and that query is answered by looking at every allowed vector.
        """
        if allowed is None and k <= self._ef_search:
            found = faiss_calls.search(self._index, queries, k, self._usual)
        elif allowed is None:
            effort = faiss.SearchParametersHNSW(efSearch=k)
            found = faiss_calls.search(self._index, queries, k, effort)
        else:
            found = self._walked(queries, k, allowed)
        if faiss_calls.is_short(found):
            short = found.rows[:, -1] < 0
            rows, scores = faiss_calls.all_of(self._storage, queries[short], k, allowed)
            found.rows[short], found.scores[short] = rows, scores
        return found

    def _walked(self, queries: Vectors, k: int, allowed: npt.NDArray[np.bool_]) -> Neighbours:
        """The first `k` allowed among the nearest of all; -1 where the walk met too few."""
        share = max(int(np.count_nonzero(allowed)), 1) / len(allowed)
        effort = min(int(max(self._ef_search, 2 * k) / share) + 1, len(allowed))
        if effort > _WALK_SHARE * len(allowed):
            return _none(len(queries), k)
        parameters = faiss.SearchParametersHNSW(efSearch=effort)
        nearest = faiss_calls.search(self._index, queries, effort, parameters)
        forbidden = (nearest.rows < 0) | ~allowed[nearest.rows]
        first = np.argsort(forbidden, axis=1, kind="stable")[:, :k]
        found = _none(len(queries), k)
        within = np.take_along_axis(~forbidden, first, axis=1)
        width = first.shape[1]
        found.rows[:, :width][within] = np.take_along_axis(nearest.rows, first, axis=1)[within]
        found.scores[:, :width][within] = np.take_along_axis(nearest.scores, first, axis=1)[within]
        return found

    def save(self, path: Path) -> None:
        """Write it to a new file."""
        faiss.write_index(self._index, str(path))

    @property
    def vectors(self) -> Vectors:
        """A view of the stored vectors, float32 [n, dim]."""
        return faiss_calls.flat_vectors(self._storage)


def _none(queries: int, k: int) -> Neighbours:
    return Neighbours(
        np.full((queries, k), -1, np.int64), np.full((queries, k), -np.inf, np.float32)
    )

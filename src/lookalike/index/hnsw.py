"""Hierarchical navigable small world graphs (Malkov and Yashunin, 2018, arXiv:1603.09320)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import faiss
import numpy as np

from ..distances import Distance
from ..types import Effort, Footprint, Neighbours, Vectors
from . import Mask, Positions, Structure, faiss_calls, reordering

_EF_SEARCH = 64
_GROWS_FROM = 100_000
_OTHERWISE = 10
"""Candidates for each hit, where a distance orders them otherwise than the graph's metric."""
_OTHERWISE_LEAST = 200
_POSITIONS = "positions.npy"
_WALK_SHARE = 0.25
"""A walk past more than this share of the vectors costs more than looking at the allowed ones."""


@dataclass(frozen=True, slots=True)
class HNSWOptions:
    """The knobs of the paper, by its names."""

    m: int = 24
    """Links of a vector on each level (twice as many on the lowest): memory, and recall."""
    ef_construction: int = 200
    """How many candidates are weighed when a vector is linked: build time, and recall."""
    ef_search: int = 0
    """How many candidates a search keeps: its time, and recall. 0: 64, and from 100,000 vectors on
    three times as many for each tenfold, as recall falls otherwise."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("m", 2, 512),
            ("ef_construction", 1, 10_000),
            ("ef_search", 0, 10_000),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be {least} to {most}, not {getattr(self, name)}")


class HNSW:
    """A graph walked greedily towards the query: nearly exact in logarithmic time."""

    Options: ClassVar = HNSWOptions
    kind: ClassVar = "hnsw"
    knobs: ClassVar = frozenset({"ef_search"})
    training_vectors: ClassVar = 0

    def __init__(
        self,
        index: faiss.IndexHNSWFlat,
        options: HNSWOptions,
        positions: reordering.Nodes | None = None,
        *,
        mapped: bool = False,
    ) -> None:
        """`positions`: those of the nodes, and -1 for none; None where each node is at its own."""
        self._index = index
        self._positions = positions
        self._nodes_found: reordering.Nodes | None = None
        self._mapped = mapped
        self._storage = faiss.downcast_index(index.storage)
        self._options = options
        self._counted()
        # Making FAISS's parameter object costs as much as a tenth of a search: made once.
        self._made: dict[int, Any] = {}

    @classmethod
    def create(
        cls,
        dim: int,
        distance: Distance,
        options: HNSWOptions,
        expected: int,  # noqa: ARG003
        workspace: Path,  # noqa: ARG003
    ) -> Self:
        """An empty one."""
        metric = faiss_calls.metric_number(distance.metric)
        index = faiss.IndexHNSWFlat(dim, options.m, metric)
        index.hnsw.efConstruction = options.ef_construction
        return cls(index, options)

    @classmethod
    def suits(cls, structure: Structure, options: HNSWOptions, expected: int) -> bool:  # noqa: ARG003
        """If it was linked with these knobs."""
        if not isinstance(structure, cls):
            return False
        links = structure._index.hnsw
        wanted = 2 * options.m, options.ef_construction
        return (links.nb_neighbors(0), links.efConstruction) == wanted

    @classmethod
    def bytes_for(
        cls,
        dim: int,
        distance: Distance,  # noqa: ARG003
        options: HNSWOptions,
        expected: int,
    ) -> Footprint:
        """Vectors; 2m links, and m on each level above, with 1 in m; level, offset, place."""
        links = 2 * options.m + options.m / (options.m - 1)
        total = round(expected * (4 * dim + 4 * links + 20))
        return Footprint(total, total)

    @classmethod
    def load(cls, folder: Path, options: HNSWOptions, *, mapped: bool) -> Self:
        """A saved one."""
        index = faiss_calls.read(folder / faiss_calls.FILE, mapped=mapped)
        positions = np.load(folder / _POSITIONS, mmap_mode="r" if mapped else None)
        if len(positions) != index.ntotal + 1:
            raise ValueError(f"{_POSITIONS} is of {len(positions) - 1} vectors, not {index.ntotal}")
        return cls(index, options, np.asarray(positions), mapped=mapped)

    def train(self, sample: Vectors) -> None:
        """There is nothing to learn."""

    def add(self, vectors: Vectors) -> None:
        """Link `vectors`, float32 [n, dim], into the graph."""
        if self._mapped:
            raise TypeError("a mapped structure cannot be added to")
        self._index.add(vectors)
        if self._positions is not None:
            added = np.arange(self._count, int(self._index.ntotal))
            self._positions = np.concatenate([self._positions[:-1], added, [-1]])
            self._nodes_found = None
        self._counted()

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None, effort: Effort | None
    ) -> Neighbours:
        """Nearly exact, also under a restriction, and never short of what there is.

        A restricted walk is the plain one with more effort, as the allowed share shrinks, of which
        the forbidden are left out. FAISS's own selector would not do: it ends its walk among the
        nearest, and if the allowed ones lie elsewhere (cats, asked for with a dog) it returns
        few of them or strange ones, without a sign. Here a walk that ends too early comes up
        short, and that query is answered by looking at every allowed vector.
        """
        ef = self._usual_ef if effort is None else self._ef(effort)
        if ef >= self._count:  # a walk could still miss what no link leads to
            return self._among_all(queries, k, allowed)
        if allowed is None:
            parameters = self._parameters(max(k, ef))
            found = self._at_positions(faiss_calls.search(self._index, queries, k, parameters))
        else:
            found = self._walked(queries, k, allowed, ef)
        if faiss_calls.is_short(found):
            short = found.rows[:, -1] < 0
            rows, scores = self._among_all(queries[short], k, allowed)
            found.rows[short], found.scores[short] = rows, scores
        return found

    def reach(
        self, query: Vectors, k: int | None, allowed: Mask | None, effort: Effort | None
    ) -> Positions | None:
        """Everything; for `k` hits, more of the metric's nearest than that."""
        if k is None:
            return None
        wanted = min(max(_OTHERWISE * k, _OTHERWISE_LEAST, self._ef(effort)), len(self))
        found = self.search(query, wanted, allowed, effort).rows[0]
        return np.sort(found[found >= 0])

    def among(self, queries: Vectors, k: int, positions: Positions) -> Neighbours:
        """The `k` nearest of these positions."""
        nodes = self._nodes[positions]
        return self._at_positions(faiss_calls.among(self._storage, queries, k, nodes))

    def at(self, positions: Positions | slice) -> Vectors:
        """The vectors there, float32 [n, dim]."""
        if isinstance(positions, slice) and positions.stop == 0:  # before all nodes are found
            return np.empty((0, int(self._index.d)), np.float32)
        return faiss_calls.flat_vectors(self._storage)[self._nodes[positions]]

    def save(self, folder: Path) -> None:
        """Write it into an empty folder, in the order that makes its searches fast."""
        if not self._mapped:
            order = reordering.breadth_first(self._index)
            reordering.renumber(self._index, order)
            self._positions = np.append(
                order if self._positions is None else self._positions[order], -1
            )
            self._nodes_found = None
        assert self._positions is not None
        faiss.write_index(self._index, str(folder / faiss_calls.FILE))
        np.save(folder / _POSITIONS, self._positions)

    @property
    def memory_bytes(self) -> int:
        """Vectors, links and positions."""
        links = self._index.hnsw.nb_neighbors(0) * 4  # the levels above hold a few percent more
        return len(self) * (4 * int(self._index.d) + int(links) + 8)

    def __len__(self) -> int:
        return self._count

    def _counted(self) -> None:
        self._count = int(self._index.ntotal)  # asking FAISS takes longer than all else here
        self._usual_ef = self._options.ef_search or usual_ef(self._count)

    @property
    def _nodes(self) -> reordering.Nodes:
        """The node of each position, int64 [n]."""
        nodes = self._nodes_found
        if nodes is None:
            nodes = np.arange(self._count)
            if self._positions is not None:
                nodes[self._positions[:-1]] = np.arange(self._count)
            self._nodes_found = nodes
        return nodes

    def _at_positions(self, found: Neighbours) -> Neighbours:
        """What FAISS has found, by node, by position; -1 is kept."""
        if self._positions is None:
            return found
        return Neighbours(self._positions[found.rows], found.scores)

    def _among_all(self, queries: Vectors, k: int, allowed: Mask | None) -> Neighbours:
        if allowed is not None and self._positions is not None:
            allowed = allowed[self._positions[:-1]]
        return self._at_positions(faiss_calls.all_of(self._storage, queries, k, allowed))

    def _ef(self, effort: Effort | None) -> int:
        if effort is None or effort.ef_search is None:
            return self._usual_ef
        return effort.ef_search

    def _parameters(self, ef: int) -> Any:
        made = self._made.get(ef)
        if made is None:
            made = self._made[ef] = faiss.SearchParametersHNSW(efSearch=ef)
        return made

    def _walked(self, queries: Vectors, k: int, allowed: Mask, ef: int) -> Neighbours:
        """The first `k` allowed among the nearest of all; -1 where the walk met too few."""
        share = max(int(np.count_nonzero(allowed)), 1) / len(allowed)
        effort = min(int(max(ef, 2 * k) / share) + 1, len(allowed))
        if effort > _WALK_SHARE * len(allowed):
            return faiss_calls.none(len(queries), k)
        parameters = faiss.SearchParametersHNSW(efSearch=effort)
        nearest = self._at_positions(faiss_calls.search(self._index, queries, effort, parameters))
        forbidden = (nearest.rows < 0) | ~allowed[nearest.rows]
        first = np.argsort(forbidden, axis=1, kind="stable")[:, :k]
        found = faiss_calls.none(len(queries), k)
        within = np.take_along_axis(~forbidden, first, axis=1)
        width = first.shape[1]
        found.rows[:, :width][within] = np.take_along_axis(nearest.rows, first, axis=1)[within]
        found.scores[:, :width][within] = np.take_along_axis(nearest.scores, first, axis=1)[within]
        return found


def usual_ef(count: int) -> int:
    """How many candidates a search of so many vectors keeps, where nobody says it."""
    tenfolds = max(0.0, math.log10(max(count, 1) / _GROWS_FROM))
    return round(_EF_SEARCH * 3**tenfolds)

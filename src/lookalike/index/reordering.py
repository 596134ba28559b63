"""The nodes of a graph so numbered that those that a walk meets together lie together in memory.

Breadth first from the entry, so a vector's links lead to places near by: a walk then waits less for
memory (Coleman et al., 2022, arXiv:2104.03221).
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from . import faiss_calls

Nodes = npt.NDArray[np.int64]
"""int64 [n]: numbers of nodes."""
_AT_ONCE = 4_096
"""Nodes whose links are looked at together, so that these need no memory worth counting."""
_COLUMNS = 16
"""Values of each vector that are moved at a time: moving all would need the memory twice."""


def breadth_first(index: Any) -> Nodes:
    """The nodes of an IndexHNSW in the order that a walk through the lowest level meets them."""
    count, graph = int(index.ntotal), index.hnsw
    links = _Links(graph, count)
    order, met = np.empty(count, np.int64), np.zeros(count, np.bool_)
    frontier = np.array([graph.entry_point] if count else [], np.int64)
    met[frontier] = True
    done = 0
    while done < count:
        if len(frontier) == 0:  # no link leads to the rest
            frontier = np.flatnonzero(~met)
            met[frontier] = True
        order[done : done + len(frontier)] = frontier
        done += len(frontier)
        parts = [np.empty(0, np.int64)]
        for start in range(0, len(frontier), _AT_ONCE):
            following = links.of(frontier[start : start + _AT_ONCE]).ravel()
            following = following[(following >= 0) & ~met[following]]
            _, firsts = np.unique(following, return_index=True)
            parts.append(following[np.sort(firsts)].astype(np.int64))
            met[parts[-1]] = True
        frontier = np.concatenate(parts)
    return order


def renumber(index: Any, order: Nodes) -> None:
    """Have node `order[i]` of an IndexHNSWFlat be node i, vectors and links."""
    index.hnsw.permute_entries(faiss.swig_ptr(order))
    vectors = faiss_calls.flat_vectors(faiss.downcast_index(index.storage))
    for start in range(0, vectors.shape[1], _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        vectors[:, columns] = vectors[order, columns]


class _Links:
    """The links on the lowest level of a graph, read where FAISS has them."""

    def __init__(self, graph: Any, count: int) -> None:
        self._width = np.arange(graph.nb_neighbors(0))
        self._every = faiss.rev_swig_ptr(graph.neighbors.data(), graph.neighbors.size())
        self._offsets = faiss.rev_swig_ptr(graph.offsets.data(), count)

    def of(self, nodes: Nodes) -> npt.NDArray[np.int32]:
        """Of these nodes, int32 [n, links], -1 where there is none."""
        starts = self._offsets[nodes].astype(np.int64)
        links: npt.NDArray[np.int32] = self._every[starts[:, np.newaxis] + self._width]
        return links

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
_COLUMNS = 16
"""Values of each vector that are moved at a time: moving all would need the memory twice."""


def breadth_first(index: Any) -> Nodes:
    """The nodes of an IndexHNSW in the order that a walk through the lowest level meets them."""
    count, graph = int(index.ntotal), index.hnsw
    links = _links(graph, count)
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
        following = links[frontier].ravel()
        following = following[following >= 0]
        following = following[~met[following]]
        _, firsts = np.unique(following, return_index=True)
        frontier = following[np.sort(firsts)].astype(np.int64)
        met[frontier] = True
    return order


def renumber(index: Any, order: Nodes) -> None:
    """Have node `order[i]` of an IndexHNSWFlat be node i, vectors and links."""
    index.hnsw.permute_entries(faiss.swig_ptr(order))
    vectors = faiss_calls.flat_vectors(faiss.downcast_index(index.storage))
    for start in range(0, vectors.shape[1], _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        vectors[:, columns] = vectors[order, columns]


def _links(graph: Any, count: int) -> npt.NDArray[np.int32]:
    """The links on the lowest level, int32 [n, links], -1 where there is none."""
    width = graph.nb_neighbors(0)
    every = faiss.vector_to_array(graph.neighbors)
    offsets = faiss.vector_to_array(graph.offsets)[:count].astype(np.int64)
    lowest: npt.NDArray[np.int32] = every[offsets[:, np.newaxis] + np.arange(width)]
    return lowest

"""What all our structures need of FAISS: reading, selecting, scores the right way up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from ..distances import Metric
from ..types import Effort, Neighbours, Vectors
from . import Mask, Positions

FILE = "structure.faiss"
"""What a structure's main file is called."""
_LANES = 4
"""Parts of many positions that one query is compared with at the same time."""


def metric_number(metric: Metric) -> int:
    """FAISS's number of a metric."""
    return int(faiss.METRIC_INNER_PRODUCT if metric == "inner product" else faiss.METRIC_L2)


def metric_of(index: Any) -> Metric:
    """The metric of a FAISS index."""
    inner = index.metric_type == faiss.METRIC_INNER_PRODUCT
    return "inner product" if inner else "squared euclidean"


def one_by_one(
    search_one: Callable[..., Neighbours],
    queries: Vectors,
    k: int,
    allowed: Mask,
    effort: Effort | None,
) -> Neighbours:
    """The answers of a structure's search to each query on its own."""
    found = none(len(queries), k)
    for i in range(len(queries)):
        rows, scores = search_one(queries[i : i + 1], k, allowed, effort)
        found.rows[i, : rows.shape[1]], found.scores[i, : rows.shape[1]] = rows[0], scores[0]
    return found


def search(index: Any, queries: Vectors, k: int, parameters: Any) -> Neighbours:
    """`index.search`, as scores of which the higher is better."""
    distances, positions = index.search(queries, k, params=parameters)
    if index.metric_type == faiss.METRIC_L2:
        np.negative(distances, out=distances)
    return Neighbours(positions, distances)


def exact(queries: Vectors, vectors: Vectors, k: int, metric: Metric) -> Neighbours:
    """The `k` nearest rows of `vectors` by brute force, without an index."""
    k = min(k, len(vectors))
    distances, positions = faiss.knn(queries, vectors, k, metric=metric_number(metric))
    if metric == "squared euclidean":
        np.negative(distances, out=distances)
    return Neighbours(positions, distances)


def all_of(flat: Any, queries: Vectors, k: int, allowed: Mask | None) -> Neighbours:
    """The `k` nearest positions in a flat index, of those that are `allowed`, or of all."""
    parameters = None
    if allowed is not None:
        parameters = faiss.SearchParameters(sel=selector(allowed))
    found = search(flat, queries, k, parameters)
    found.scores[found.rows < 0] = -np.inf
    return found


def among(flat: Any, queries: Vectors, k: int, positions: Positions) -> Neighbours:
    """The `k` nearest of these positions of an IndexFlat, without copying their vectors."""
    count = len(positions)
    k = min(k, count)
    found = none(len(queries), k)
    if k == 0:
        return found
    lanes = min(_LANES, faiss.omp_get_max_threads()) if count > 1_000 else 1
    padded = np.resize(positions, (lanes, -(-count // lanes)))
    scores = np.empty(padded.shape, np.float32)
    for i, query in enumerate(queries):
        repeated = np.repeat(query[np.newaxis], lanes, axis=0)
        flat.compute_distance_subset(
            lanes,
            faiss.swig_ptr(repeated),
            padded.shape[1],
            faiss.swig_ptr(scores),
            faiss.swig_ptr(padded),
        )
        ours = scores.reshape(-1)[:count]
        if flat.metric_type == faiss.METRIC_L2:
            ours = -ours
        found.rows[i], found.scores[i] = best(positions, ours, k)
    return found


def best(
    positions: Positions, scores: npt.NDArray[np.float32], k: int
) -> tuple[Positions, npt.NDArray[np.float32]]:
    """The `k` of highest score of one query, best first, of equals the first."""
    if k < len(scores):
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > least)
        level = np.flatnonzero(scores == least)[: k - len(above)]
        kept = np.sort(np.concatenate([above, level]))
        positions, scores = positions[kept], scores[kept]
    order = np.argsort(-scores, kind="stable")
    return positions[order], scores[order]


def selector(allowed: Mask) -> Any:
    """FAISS's way of saying which positions count."""
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def is_short(found: Neighbours) -> bool:
    """Whether a query has found fewer than were asked for: what is missing stands at the end."""
    if len(found.rows) == 1:  # without numpy's fixed cost, which every single search would pay
        return found.rows.size > 0 and found.rows.item(-1) < 0
    return bool((found.rows[:, -1:] < 0).any())


def none(queries: int, k: int) -> Neighbours:
    """Nothing found."""
    return Neighbours(
        np.full((queries, k), -1, np.int64), np.full((queries, k), -np.inf, np.float32)
    )


def read(path: Path, *, mapped: bool) -> Any:
    """An index from its file: mapped into memory, read only; or copied, to be added to."""
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)


def flat_vectors(index: Any) -> Vectors:
    """A view of an IndexFlat's vectors, float32 [n, dim]; valid while the index lives."""
    if index.ntotal == 0:
        return np.empty((0, index.d), np.float32)
    values: npt.NDArray[np.float32] = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d)
    return values.reshape(index.ntotal, index.d)


def list_members(ivf: Any, lists: npt.NDArray[np.int64]) -> Positions:
    """The positions in these inverted lists, ascending."""
    every = [np.empty(0, np.int64), *(_ids(ivf, number) for number in lists[lists >= 0].tolist())]
    return np.sort(np.concatenate(every))


def list_numbers(ivf: Any, count: int) -> npt.NDArray[np.int32]:
    """The inverted list that each position is in: int32 [count]."""
    numbers = np.zeros(count, np.int32)
    for number in range(int(ivf.nlist)):
        numbers[_ids(ivf, number)] = number
    return numbers


def _ids(ivf: Any, number: int) -> Positions:
    size = ivf.invlists.list_size(number)
    if size == 0:
        return np.empty(0, np.int64)
    ids = ivf.invlists.get_ids(number)
    copied: Positions = faiss.rev_swig_ptr(ids, size).copy()
    ivf.invlists.release_ids(number, ids)
    return copied

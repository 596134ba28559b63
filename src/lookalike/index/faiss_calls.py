"""What all our structures need of FAISS: reading, selecting, scores the right way up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from ..distances import Metric
from ..types import Neighbours, Vectors


def metric_number(metric: Metric) -> int:
    """FAISS's number of a metric."""
    return int(faiss.METRIC_INNER_PRODUCT if metric == "inner product" else faiss.METRIC_L2)


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


def all_of(
    flat: Any, queries: Vectors, k: int, allowed: npt.NDArray[np.bool_] | None
) -> Neighbours:
    """The `k` nearest positions in an IndexFlat, of those that are `allowed`: bool [n], or all."""
    parameters = None
    if allowed is not None:
        bitmap = np.packbits(allowed, bitorder="little")
        parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bitmap))
    found = search(flat, queries, k, parameters)
    found.scores[found.rows < 0] = -np.inf
    return found


def is_short(found: Neighbours) -> bool:
    """Whether a query has found fewer than were asked for: what is missing stands at the end."""
    if len(found.rows) == 1:  # without numpy's fixed cost, which every single search would pay
        return found.rows.size > 0 and found.rows.item(-1) < 0
    return bool((found.rows[:, -1:] < 0).any())


def read(path: Path, *, mapped: bool) -> Any:
    """An index from its file: mapped into memory, read only; or copied, to be added to."""
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)


def flat_vectors(index: Any) -> Vectors:
    """A view of an IndexFlat's vectors, float32 [n, dim]; valid while the index lives."""
    if index.ntotal == 0:
        return np.empty((0, index.d), np.float32)
    values: npt.NDArray[np.float32] = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d)
    return values.reshape(index.ntotal, index.d)

"""How near an index comes to exact search, and in what time: tried with its own vectors."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import faiss
import numpy as np
import numpy.typing as npt

from ..index.segments import SegmentedIndex
from ..types import Effort, Neighbours, Rows, Trial, Vectors
from . import Sample

_WARMING = 50
"""Queries before the clock starts, so that what is mapped has been read."""
_SAME = 1e-5
"""Scores that differ by less, or by less than this share of them, are the same."""


def sampled(index: SegmentedIndex, own: Rows, queries: Vectors, k: int) -> Sample:
    """The true `k` nearest of each, itself left out, by looking at every vector.

    `own`: int64 [q], the rows of `queries`, float32 [q, dim].
    """
    nearest = _others(index.exact(queries, k + 1), own, k)
    every = _scores(index, queries, nearest)
    there = np.array([len(scores) for scores in every], np.int64)
    least = np.array([scores.min(initial=np.inf) for scores in every], np.float64)
    return Sample(queries, own, k, there, least - _SAME * np.maximum(1.0, np.abs(least)))


def tried(index: SegmentedIndex, sample: Sample, effort: Effort) -> Trial:
    """Search for each, one a call and on one thread. `k` + 1 are asked for, itself left out.

    Scores are computed anew by the distance itself, so that no index can flatter itself; equals
    of the last of the true nearest are as right as that.
    """
    wanted = sample.k + 1
    found, seconds = [], np.empty(len(sample.queries))
    with _one_thread():
        for i in range(min(_WARMING, len(sample.queries))):
            index.search(sample.queries[i : i + 1], wanted, effort=effort)
        for i in range(len(sample.queries)):
            query = sample.queries[i : i + 1]
            started = time.perf_counter()
            neighbours = index.search(query, wanted, effort=effort)
            seconds[i] = time.perf_counter() - started
            found.append(_others(neighbours, sample.own[i : i + 1], sample.k)[0])
    scores = _scores(index, sample.queries, found)
    right = sum(int((s >= least).sum()) for s, least in zip(scores, sample.least, strict=True))
    return Trial(
        effort,
        recall=right / int(sample.there.sum()),
        median_ms=1000 * float(np.median(seconds)),
        p99_ms=1000 * float(np.percentile(seconds, 99)),
        queries_per_second=len(seconds) / float(seconds.sum()),
    )


def _others(found: Neighbours, own: Rows, k: int) -> list[Rows]:
    """The first `k` rows of each query that are not its own: int64 [at most k] each."""
    return [
        rows[(rows != itself) & (rows >= 0)][:k]
        for rows, itself in zip(found.rows, own.tolist(), strict=True)
    ]


def _scores(
    index: SegmentedIndex, queries: Vectors, every: list[Rows]
) -> list[npt.NDArray[np.float32]]:
    """The scores of these rows of each query, best first."""
    return [
        index.among(queries[i : i + 1], np.sort(rows)).scores[0] for i, rows in enumerate(every)
    ]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """FAISS does all that this thread asks of it without others."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

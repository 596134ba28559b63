"""Lists of neighbours: named by row, put together from several parts or queries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..types import Neighbours, Rows
from . import Positions, faiss_calls

_AT_ONCE = 2_048


def stacked(every: list[Neighbours], k: int) -> Neighbours:
    """The `k` best of each query, [1, n] best first, as one [q, k or fewer]."""
    width = min(k, max((each.rows.shape[1] for each in every), default=0))
    found = faiss_calls.none(len(every), width)
    for i, (rows, scores) in enumerate(every):
        count = min(width, rows.shape[1])
        found.rows[i, :count], found.scores[i, :count] = rows[0, :count], scores[0, :count]
    return found


def by_row(found: Neighbours, rows: Rows) -> Neighbours:
    """Positions turned into row numbers, -1 kept."""
    if len(rows) == 0:
        return Neighbours(np.full_like(found.rows, -1), found.scores)
    named = rows[found.rows]
    if faiss_calls.is_short(found):
        missing = found.rows < 0
        named[missing] = -1
        found.scores[missing] = -np.inf
    return Neighbours(named, found.scores)


def merged(parts: list[Neighbours], queries: int, k: int) -> Neighbours:
    """The `k` best of each query in all parts, [q, n] each, best first."""
    parts = [part for part in parts if part.rows.shape[1]]
    if len(parts) == 1 and parts[0].rows.shape[1] <= k:
        return parts[0]
    if not parts:
        return Neighbours(np.empty((queries, 0), np.int64), np.empty((queries, 0), np.float32))
    rows = np.concatenate([part.rows for part in parts], axis=1)
    scores = np.concatenate([part.scores for part in parts], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Neighbours(
        np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    )


def in_parts(
    compared: Callable[[Positions], Neighbours], queries: int, k: int, positions: Positions
) -> Neighbours:
    """The `k` nearest of these positions, of which a few thousand are compared at a time.

    For vectors that are copied to be compared: so many at a time stay in the processor's cache.
    """
    starts = range(0, len(positions), _AT_ONCE)
    parts = [compared(positions[start : start + _AT_ONCE]) for start in starts]
    return merged(parts, queries, k)

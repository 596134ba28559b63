"""An index that changes while it is searched: a main structure, fresh vectors, and tombstones.

FAISS must not add while it searches and its graphs cannot remove. So the main structure is never
changed: what is added goes to a flat segment that is searched beside it, what is removed is only
marked. `wants_compaction` says when it is time to build a new main structure.

Readers take one immutable `_View` and never wait; writers make the next one under a lock.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..distances import Distance
from ..types import Neighbours, Rows, Vectors
from . import Structure, faiss_calls
from .projection import Projection

_EXACT_BELOW = 2_000
"""Ranking this many allowed vectors one by one is cheaper than any restricted walk."""
_EXACT_SHARE = 0.02
"""Below this allowed share a walk wades through more forbidden vectors than there are allowed."""
_FRESH_LEAST = 10_000
_FRESH_SHARE = 0.2
_DEAD_SHARE = 0.2

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """Vectors by position, their rows ascending, and which of them still count."""

    rows: Rows
    vectors: Vectors
    alive: Mask | None
    """bool [n], or None while all do, which is the fast case."""

    def without(self, removed: Rows) -> _Segment:
        """The same with the given rows marked as removed, where it has them."""
        positions = _positions(self.rows, removed)
        if len(positions) == 0:
            return self
        alive = np.ones(len(self.rows), np.bool_) if self.alive is None else self.alive.copy()
        alive[positions] = False
        return replace(self, alive=alive)

    def dead(self) -> Rows:
        return self.rows[:0] if self.alive is None else self.rows[~self.alive]

    def living(self, rows: Rows) -> Rows:
        """The positions of those of `rows` (ascending) that are here and alive."""
        positions = _positions(self.rows, rows)
        return positions if self.alive is None else positions[self.alive[positions]]


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    main: _Segment
    fresh: _Segment
    structure: Structure | None


class SegmentedIndex:
    """Vectors under row numbers: add, remove and search, each visible at once to every thread."""

    def __init__(self, dim: int, distance: Distance, projection: Projection | None = None) -> None:
        self.projection = projection
        self._distance = distance
        self._dim = projection.components if projection else dim
        self._buffer = np.empty((0, self._dim), np.float32)
        self._buffer_rows = np.empty(0, np.int64)
        nothing = _Segment(self._buffer_rows, self._buffer, None)
        self._view = _View(nothing, nothing, None)
        self._writing = threading.Lock()

    def __len__(self) -> int:
        view = self._view
        return sum(len(segment.rows) - len(segment.dead()) for segment in (view.main, view.fresh))

    def add(self, rows: Rows, vectors: Vectors) -> None:
        """`rows`: int64 [n] ascending and above all before; `vectors`: float32 [n, dim]."""
        with self._writing:
            fresh = self._view.fresh
            start, end = len(fresh.rows), len(fresh.rows) + len(rows)
            self._reserve(start, end)
            # Beyond what any published view sees, so readers are not disturbed.
            self._buffer[start:end] = self.prepared(vectors)
            self._buffer_rows[start:end] = rows
            alive = fresh.alive
            if alive is not None:
                alive = np.concatenate([alive, np.ones(len(rows), np.bool_)])
            segment = _Segment(self._buffer_rows[:end], self._buffer[:end], alive)
            self._view = replace(self._view, fresh=segment)

    def remove(self, rows: Rows) -> None:
        """`rows`: int64 [n]; those that are not here are passed over."""
        with self._writing:
            view = self._view
            self._view = replace(view, main=view.main.without(rows), fresh=view.fresh.without(rows))

    def search(self, queries: Vectors, k: int, allowed: Rows | None = None) -> Neighbours:
        """The `k` nearest rows of each query, best first.

        `queries`: float32 [q, dim]; `allowed`: int64 [n] ascending, or None for all.
        Few allowed rows are ranked exactly; many are left to the structure's own selection.
        """
        view, queries = self._view, self.prepared(queries)
        if allowed is None:
            return self._nearest(view, queries, k, view.main.alive, view.fresh.alive)
        in_main, in_fresh = view.main.living(allowed), view.fresh.living(allowed)
        total = max(len(view.main.rows), 1)
        if len(in_main) <= max(_EXACT_BELOW, _EXACT_SHARE * total):
            return self._ranked(view, queries, k, in_main, in_fresh)
        return self._nearest(
            view,
            queries,
            k,
            _mask(in_main, len(view.main.rows)),
            _mask(in_fresh, len(view.fresh.rows)),
        )

    def among(self, query: Vectors, rows: Rows) -> Neighbours:
        """All of these `rows`, ascending, that live here, ranked exactly for one query [1, dim]."""
        view, query = self._view, self.prepared(query)
        in_main, in_fresh = view.main.living(rows), view.fresh.living(rows)
        return self._ranked(view, query, len(rows), in_main, in_fresh)

    def exact(self, queries: Vectors, k: int) -> Neighbours:
        """The true `k` nearest, by looking at every vector."""
        view, queries = self._view, self.prepared(queries)
        main, fresh = view.main.living(view.main.rows), view.fresh.living(view.fresh.rows)
        return self._ranked(view, queries, k, main, fresh)

    def sample(self, count: int) -> Rows:
        """Living rows, evenly spread, ascending; at most `count`."""
        view = self._view
        rows = np.concatenate(
            [segment.rows[segment.living(segment.rows)] for segment in (view.main, view.fresh)]
        )
        return rows[np.linspace(0, len(rows) - 1, min(count, len(rows)), dtype=np.int64)]

    def vectors_of(self, rows: Rows) -> Vectors:
        """The vectors of living `rows` as the index holds them, float32 [n, dim], by ascending row.

        Rows that are not here are passed over.
        """
        view, rows = self._view, np.sort(rows)
        return _gathered(view, view.main.living(rows), view.fresh.living(rows))[1]

    def prepared(self, vectors: Vectors) -> Vectors:
        """`vectors` as they came, float32 [n, dim] -> as the index holds them."""
        vectors = self._distance.prepared(vectors)
        if self.projection is None:
            return vectors
        return self._distance.prepared(self.projection.apply(vectors))

    def replace_main(self, structure: Structure, rows: Rows) -> None:
        """Put a new main structure in place; what it does not hold yet and lives stays fresh.

        `rows`: int64 [n] ascending, the row of each of its positions.
        """
        with self._writing:
            view = self._view
            gone = np.concatenate([view.main.dead(), view.fresh.dead()])
            kept = view.fresh.living(view.fresh.rows)
            if len(rows):
                kept = kept[view.fresh.rows[kept] > rows[-1]]
            self._buffer, self._buffer_rows = view.fresh.vectors[kept], view.fresh.rows[kept]
            self._view = _View(
                _Segment(rows, structure.vectors, None).without(np.sort(gone)),
                _Segment(self._buffer_rows, self._buffer, None),
                structure,
            )

    @property
    def structure(self) -> Structure | None:
        """The main structure, if one has been built."""
        return self._view.structure

    @property
    def wants_compaction(self) -> bool:
        """Whether the fresh or the removed ones have become too many to search beside."""
        view = self._view
        main = len(view.main.rows)
        dead = len(view.main.dead()) + len(view.fresh.dead())
        return len(view.fresh.rows) >= max(_FRESH_LEAST, _FRESH_SHARE * main) or dead > max(
            _FRESH_LEAST, _DEAD_SHARE * main
        )

    @property
    def wants_rebuild(self) -> bool:
        """Whether so many are removed that appending to the main structure would not do."""
        main = self._view.main
        return len(main.dead()) > _DEAD_SHARE * len(main.rows)

    def fresh(self) -> tuple[Rows, Vectors]:
        """The living vectors that the main structure does not hold, as the index holds them."""
        fresh = self._view.fresh
        positions = fresh.living(fresh.rows)
        return fresh.rows[positions], fresh.vectors[positions]

    def _reserve(self, used: int, wanted: int) -> None:
        if wanted <= len(self._buffer):
            return
        capacity = max(wanted, 2 * len(self._buffer), 1024)
        buffer = np.empty((capacity, self._dim), np.float32)
        rows = np.empty(capacity, np.int64)
        buffer[:used], rows[:used] = self._buffer[:used], self._buffer_rows[:used]
        self._buffer, self._buffer_rows = buffer, rows

    def _nearest(
        self, view: _View, queries: Vectors, k: int, in_main: Mask | None, in_fresh: Mask | None
    ) -> Neighbours:
        parts = []
        if view.structure is not None and len(view.main.rows):
            found = view.structure.search(queries, min(k, len(view.main.rows)), in_main)
            parts.append(_by_row(found, view.main.rows))
        if len(view.fresh.rows):
            rows, vectors = view.fresh.rows, view.fresh.vectors
            if in_fresh is not None:
                rows, vectors = rows[in_fresh], vectors[in_fresh]
            found = faiss_calls.exact(queries, vectors, k, self._distance.metric)
            parts.append(_by_row(found, rows))
        return _merged(parts, len(queries), k)

    def _ranked(
        self, view: _View, queries: Vectors, k: int, in_main: Rows, in_fresh: Rows
    ) -> Neighbours:
        rows, vectors = _gathered(view, in_main, in_fresh)
        found = faiss_calls.exact(queries, vectors, k, self._distance.metric)
        return _merged([_by_row(found, rows)], len(queries), k)


def _gathered(view: _View, in_main: Rows, in_fresh: Rows) -> tuple[Rows, Vectors]:
    rows = np.concatenate([view.main.rows[in_main], view.fresh.rows[in_fresh]])
    return rows, np.concatenate([view.main.vectors[in_main], view.fresh.vectors[in_fresh]])


def _positions(rows: Rows, wanted: Rows) -> Rows:
    """Where `wanted` stand in the ascending `rows`; those that are not there are left out."""
    if len(rows) == 0:
        return np.empty(0, np.int64)
    places = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    found: Rows = places[rows[places] == wanted]
    return found


def _mask(positions: Rows, count: int) -> Mask:
    mask = np.zeros(count, np.bool_)
    mask[positions] = True
    return mask


def _by_row(found: Neighbours, rows: Rows) -> Neighbours:
    """Positions turned into row numbers, -1 kept."""
    if len(rows) == 0:
        return Neighbours(np.full_like(found.rows, -1), found.scores)
    named = rows[found.rows]
    if faiss_calls.is_short(found):
        missing = found.rows < 0
        named[missing] = -1
        found.scores[missing] = -np.inf
    return Neighbours(named, found.scores)


def _merged(parts: list[Neighbours], queries: int, k: int) -> Neighbours:
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

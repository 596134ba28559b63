"""An index that changes while it is searched: a main structure, fresh vectors, and tombstones.

FAISS must not add while it searches and its graphs cannot remove. So the main structure is never
changed: what is added goes to a flat segment that is searched beside it, what is removed is only
marked. `wants_compaction` says when it is time to build a new main structure.

Readers take one immutable `_View` and never wait; writers make the next one under a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..distances import Distance, Scores
from ..types import Effort, Neighbours, Rows, Vectors
from . import Mask, Positions, Rounding, Structure, faiss_calls
from .neighbours import by_row, merged, stacked
from .projection import Projection

_EXACT_BELOW = 2_000
"""Ranking this many allowed vectors one by one is cheaper than any restricted walk."""
_EXACT_SHARE = 0.02
"""Below this allowed share a walk wades through more forbidden vectors than there are allowed."""
_FRESH_LEAST = 10_000
_FRESH_SHARE = 0.2
_DEAD_SHARE = 0.2
_SINGLE = 2.0**-19
"""The precision of sums in single precision, as a share."""
_BLOCK = 65_536
"""Vectors that are copied out of a structure at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """Rows by position, ascending, and which of them still count."""

    rows: Rows
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

    def living(self, rows: Rows | None = None) -> Positions:
        """The positions of what is alive: of those of `rows` (ascending), or of all."""
        if rows is None:
            return np.arange(len(self.rows)) if self.alive is None else np.flatnonzero(self.alive)
        positions = _positions(self.rows, rows)
        return positions if self.alive is None else positions[self.alive[positions]]


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    main: _Segment
    structure: Structure | None
    fresh: _Segment
    fresh_vectors: Vectors


class _Chosen:
    """What a filter allows of a view, by position."""

    def __init__(self, view: _View, allowed: Rows, in_main: Positions, in_fresh: Positions) -> None:
        self.view = view
        self.allowed = allowed
        self.in_main = in_main
        self.in_fresh = in_fresh
        self.few = _few(len(in_main), view)
        self.main_mask = _mask(in_main, len(view.main.rows))
        self.fresh_mask = _mask(in_fresh, len(view.fresh.rows))


class SegmentedIndex:
    """Vectors under row numbers: add, remove and search, each visible at once to every thread."""

    def __init__(self, dim: int, distance: Distance, projection: Projection | None = None) -> None:
        self.projection = projection
        self._distance = distance
        self.dim = projection.components if projection else dim
        """Values of a vector as it is held."""
        self._buffer = np.empty((0, self.dim), np.float32)
        self._buffer_rows = np.empty(0, np.int64)
        nothing = _Segment(self._buffer_rows, None)
        self._view = _View(nothing, None, nothing, self._buffer)
        self._chosen: _Chosen | None = None
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
            segment = _Segment(self._buffer_rows[:end], alive)
            self._view = replace(self._view, fresh=segment, fresh_vectors=self._buffer[:end])

    def remove(self, rows: Rows) -> None:
        """`rows`: int64 [n]; those that are not here are passed over."""
        with self._writing:
            view = self._view
            self._view = replace(view, main=view.main.without(rows), fresh=view.fresh.without(rows))

    def search(
        self, queries: Vectors, k: int, allowed: Rows | None = None, effort: Effort | None = None
    ) -> Neighbours:
        """The `k` nearest rows of each query, best first; -1 past the end.

        `queries`: float32 [q, dim]; `allowed`: int64 [n] ascending, or None for all.
        Few allowed rows are ranked exactly; many are left to the structure's own selection.
        """
        view, queries = self._view, self.prepared(queries)
        if not self._distance.native:
            return stacked([self._all(view, q, k, allowed, effort) for q in _each(queries)], k)
        if allowed is None:
            found = self._nearest(view, queries, k, view.main.alive, view.fresh.alive, effort)
            return self._in_its_scale(found)
        chosen = self._chosen_of(view, allowed)
        if chosen.few:
            found = self._ranked(view, queries, k, chosen.in_main, chosen.in_fresh)
        else:
            masks = chosen.main_mask, chosen.fresh_mask
            found = self._nearest(view, queries, k, *masks, effort)
        return self._in_its_scale(found)

    def everything(
        self,
        query: Vectors,
        allowed: Rows | None = None,
        effort: Effort | None = None,
        least: float = -np.inf,
    ) -> Neighbours:
        """All that the effort reaches for one query, float32 [1, dim]: best first, [1, n].

        With `allowed`, or a `least` score, all that pass, wherever they lie. What is fresh is
        always reached. Linear in what is looked at.
        """
        return self._all(self._view, self.prepared(query), None, allowed, effort, least)

    def exceeds(
        self,
        most: int,
        query: Vectors,
        allowed: Rows | None = None,
        effort: Effort | None = None,
        least: float = -np.inf,
    ) -> bool:
        """Whether `everything` would give more than so many."""
        if len(self) <= most:
            return False
        view, query = self._view, self.prepared(query)
        in_main, in_fresh = self._reached(view, query, None, allowed, effort, least)
        count = len(in_main) + len(in_fresh)
        if least > -np.inf and count > most:
            count = self._scored(view, query, in_main, in_fresh, least).rows.size
        return count > most

    def among(self, query: Vectors, rows: Rows) -> Neighbours:
        """All of these `rows`, ascending, that live here, ranked exactly for one query [1, dim]."""
        view, query = self._view, self.prepared(query)
        return self._scored(view, query, view.main.living(rows), view.fresh.living(rows))

    def exact(self, queries: Vectors, k: int) -> Neighbours:
        """The true `k` nearest, by looking at every vector."""
        view, queries = self._view, self.prepared(queries)
        main, fresh = view.main.living(), view.fresh.living()
        if not self._distance.native:
            every = [self._scored(view, query, main, fresh) for query in _each(queries)]
            return stacked(every, k)
        parts = [
            by_row(
                faiss_calls.exact(queries, vectors, k, self._distance.metric),
                view.main.rows[positions],
            )
            for positions, vectors in _blocks(view, main)
        ]
        parts.append(self._fresh_among(view, queries, k, fresh))
        return self._in_its_scale(merged(parts, len(queries), k))

    def sample(self, count: int) -> Rows:
        """Living rows, evenly spread, ascending; at most `count`."""
        view = self._view
        rows = np.concatenate(
            [segment.rows[segment.living()] for segment in (view.main, view.fresh)]
        )
        return rows[np.linspace(0, len(rows) - 1, min(count, len(rows)), dtype=np.int64)]

    def vectors_of(self, rows: Rows) -> Vectors:
        """The vectors of living `rows` as the index holds them, float32 [n, dim], by ascending row.

        Rows that are not here are passed over.
        """
        view, rows = self._view, np.sort(rows)
        in_main, in_fresh = view.main.living(rows), view.fresh.living(rows)
        fresh = view.fresh_vectors[in_fresh]
        if view.structure is None or len(in_main) == 0:
            return fresh
        return np.concatenate([view.structure.at(in_main), fresh])

    def least(self, score: float, queries: Vectors) -> float:
        """What comes out at the least, as all is rounded, for a picture of this true score.

        `queries`: float32 [q, dim], one of which it answers.
        """
        structure = self._view.structure
        precision = structure.precision if isinstance(structure, Rounding) else 0.0
        size = float(np.einsum("ij,ij->i", queries, queries).max(initial=0))
        return self._distance.least(score, max(precision, _SINGLE), size)

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
            kept = view.fresh.living()
            if len(rows):
                kept = kept[view.fresh.rows[kept] > rows[-1]]
            self._buffer, self._buffer_rows = view.fresh_vectors[kept], view.fresh.rows[kept]
            self._view = _View(
                _Segment(rows, None).without(np.sort(gone)),
                structure,
                _Segment(self._buffer_rows, None),
                self._buffer,
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
        return len(view.fresh.rows) >= fresh_most(main) or dead > max(
            _FRESH_LEAST, _DEAD_SHARE * main
        )

    @property
    def is_behind(self) -> bool:
        """Whether a structure, once there is time, would be the better for what is fresh or gone.

        For flat ones there is nothing to be gained.
        """
        view = self._view
        changes = len(view.fresh.rows) + len(view.main.dead())
        return changes > _FRESH_SHARE * len(view.main.rows)

    @property
    def wants_rebuild(self) -> bool:
        """Whether so many are removed that appending to the main structure would not do."""
        main = self._view.main
        return len(main.dead()) > _DEAD_SHARE * len(main.rows)

    @property
    def fresh_count(self) -> int:
        """Living vectors that the main structure does not hold."""
        fresh = self._view.fresh
        return len(fresh.rows) - len(fresh.dead())

    def _chosen_of(self, view: _View, allowed: Rows) -> _Chosen:
        """What is allowed; kept, as many queries come with one filter."""
        chosen = self._chosen
        if chosen is None or chosen.view is not view or chosen.allowed is not allowed:
            in_main, in_fresh = view.main.living(allowed), view.fresh.living(allowed)
            chosen = self._chosen = _Chosen(view, allowed, in_main, in_fresh)
        return chosen

    def _reserve(self, used: int, wanted: int) -> None:
        if wanted <= len(self._buffer):
            return
        capacity = max(wanted, 2 * len(self._buffer), 1024)
        buffer = np.empty((capacity, self.dim), np.float32)
        rows = np.empty(capacity, np.int64)
        buffer[:used], rows[:used] = self._buffer[:used], self._buffer_rows[:used]
        self._buffer, self._buffer_rows = buffer, rows

    def _nearest(
        self,
        view: _View,
        queries: Vectors,
        k: int,
        in_main: Mask | None,
        in_fresh: Mask | None,
        effort: Effort | None,
    ) -> Neighbours:
        parts = []
        if view.structure is not None and len(view.main.rows):
            found = view.structure.search(queries, min(k, len(view.main.rows)), in_main, effort)
            parts.append(by_row(found, view.main.rows))
            if len(view.fresh.rows) == 0:  # as it mostly is: nothing to be merged
                return parts[0]
        if len(view.fresh.rows):
            rows, vectors = view.fresh.rows, view.fresh_vectors
            if in_fresh is not None:
                rows, vectors = rows[in_fresh], vectors[in_fresh]
            found = faiss_calls.exact(queries, vectors, k, self._distance.metric)
            parts.append(by_row(found, rows))
        return merged(parts, len(queries), k)

    def _ranked(
        self, view: _View, queries: Vectors, k: int, in_main: Positions, in_fresh: Positions
    ) -> Neighbours:
        """The nearest of these, each looked at, by the metric."""
        parts = [self._fresh_among(view, queries, k, in_fresh)]
        if view.structure is not None and len(in_main):
            found = view.structure.among(queries, k, in_main)
            parts.insert(0, by_row(found, view.main.rows))
        return merged(parts, len(queries), k)

    def _fresh_among(
        self, view: _View, queries: Vectors, k: int, positions: Positions
    ) -> Neighbours:
        vectors = view.fresh_vectors[positions]
        found = faiss_calls.exact(queries, vectors, k, self._distance.metric)
        return by_row(found, view.fresh.rows[positions])

    def _all(
        self,
        view: _View,
        query: Vectors,
        k: int | None,
        allowed: Rows | None,
        effort: Effort | None,
        least: float = -np.inf,
    ) -> Neighbours:
        """What is reached for one query, best first, [1, n]; the `k` best of it, or all."""
        in_main, in_fresh = self._reached(view, query, k, allowed, effort, least)
        rows, scores = self._scored(view, query, in_main, in_fresh, least)
        return Neighbours(rows[:, :k], scores[:, :k])

    def _reached(
        self,
        view: _View,
        query: Vectors,
        k: int | None,
        allowed: Rows | None,
        effort: Effort | None,
        least: float,
    ) -> tuple[Positions, Positions]:
        """What is ranked for one query: where in the main structure, and where beside it."""
        chosen = None if allowed is None else self._chosen_of(view, allowed)
        mask = view.main.alive if chosen is None else chosen.main_mask
        there = len(view.main.rows) if chosen is None else len(chosen.in_main)
        reached = None
        # All that pass a filter, or are near enough, are wanted wherever they lie.
        wherever = k is None and (chosen is not None or least > -np.inf)
        if view.structure is not None and not wherever and (k is None or not _few(there, view)):
            reached = view.structure.reach(query, k, mask, effort)
        if reached is not None and mask is not None:
            reached = reached[np.flatnonzero(mask[reached])]
        if reached is None or (k is not None and len(reached) < min(k, there)):
            reached = view.main.living() if chosen is None else chosen.in_main
        return reached, view.fresh.living() if chosen is None else chosen.in_fresh

    def _scored(
        self,
        view: _View,
        query: Vectors,
        in_main: Positions,
        in_fresh: Positions,
        least: float = -np.inf,
    ) -> Neighbours:
        """All of these by the distance itself that score `least` or more, best first, [1, n]."""
        rows = np.concatenate([view.main.rows[in_main], view.fresh.rows[in_fresh]])
        parts = [self._distance.scores(query[0], each) for _, each in _blocks(view, in_main)]
        parts.append(self._distance.scores(query[0], view.fresh_vectors[in_fresh]))
        scores = np.concatenate(parts)
        if least > -np.inf:
            enough = scores >= np.float64(least)  # which float32 may not hold
            rows, scores = rows[enough], scores[enough]
        order = np.argsort(-scores, kind="stable")
        return Neighbours(rows[np.newaxis, order], scores[np.newaxis, order])

    def _in_its_scale(self, found: Neighbours) -> Neighbours:
        """Scores of the metric as scores of the distance."""
        distance = self._distance
        if distance.of_metric is not None:
            scaled = distance.of_metric(found.scores)
            return Neighbours(found.rows, np.where(found.rows < 0, -np.inf, scaled))
        if not _within(found.scores, distance.lowest, distance.highest):
            np.minimum(found.scores, distance.highest, out=found.scores)
            there = found.rows >= 0
            np.maximum(found.scores, distance.lowest, out=found.scores, where=there)
        return found


def fresh_most(main: int) -> int:
    """How many may be fresh beside a main structure of so many, before it is to take them in."""
    return max(_FRESH_LEAST, int(_FRESH_SHARE * main))


def _within(scores: Scores, lowest: float, highest: float) -> bool:
    """Whether all of them, best first, [q, n], are. Every search asks: mostly, of one query."""
    if scores.size == 0:
        return True
    if len(scores) == 1:
        return scores.item(0) <= highest and scores.item(-1) >= lowest
    return bool(scores[:, 0].max() <= highest and scores[:, -1].min() >= lowest)


def _few(allowed: int, view: _View) -> bool:
    """Whether so few are allowed that each may be looked at."""
    return allowed <= max(_EXACT_BELOW, _EXACT_SHARE * len(view.main.rows))


def _blocks(view: _View, positions: Positions) -> Iterator[tuple[Positions, Vectors]]:
    """The vectors of the main structure at these positions, a block at a time."""
    if view.structure is None:
        return
    whole = len(positions) == len(view.main.rows)
    for start in range(0, len(positions), _BLOCK):
        some = positions[start : start + _BLOCK]
        yield some, view.structure.at(slice(start, start + _BLOCK) if whole else some)


def _each(queries: Vectors) -> Iterator[Vectors]:
    """Every query on its own, float32 [1, dim]."""
    return (queries[i : i + 1] for i in range(len(queries)))


def _positions(rows: Rows, wanted: Rows) -> Positions:
    """Where `wanted` stand in the ascending `rows`; those that are not there are left out."""
    if len(rows) == 0:
        return np.empty(0, np.int64)
    places = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    found: Rows = places[rows[places] == wanted]
    return found


def _mask(positions: Positions, count: int) -> Mask:
    mask = np.zeros(count, np.bool_)
    mask[positions] = True
    return mask

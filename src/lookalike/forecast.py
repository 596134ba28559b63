"""How well and how fast an index of so many vectors will find them, before there is one.

The constants were fitted to runs of the structures themselves on one core of a 2-core Intel Xeon
(AVX-512): 20,000 to 300,000 vectors of 128, 384 and 1,280 values, one query a call, k = 10, recall
against exact search. The vectors were noisy interpolations between near neighbours among 2,365 real
ones (the default recipe's, of Caltech-101), rotated into the dimensions. Your pictures may be
easier or harder to tell apart: `lookalike doctor` measures the recall of one that is there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from . import registry

K = 10
"""Hits for which recall is predicted."""
_REFERENCE_SCAN = 200e-6
"""Seconds of `trial.scan_seconds` where the constants were measured."""
_RECORDS = (160e-6, 2e-6, 25e-6)
"""Seconds of a search around the index: fixed, a hit, and a hit whose record SQLite reads."""
_EFFORTS = (16, 32, 64, 96, 128, 192, 256, 384, 512)
_PROBES = (4, 8, 16, 32, 64, 128, 256)
_REFINES = (4, 10, 30)
_MOST_OF_REACHED = 0.5
"""Candidates that get a second look, of what the lists hold: beyond, a search falls back on all."""


@dataclass(frozen=True, slots=True)
class Way:
    """One kind of index with its knobs, and what to expect of it."""

    index: str
    knobs: dict[str, int]
    recall: float
    """Recall@10 against exact search, 0 to 1."""
    seconds: float
    """A search by a ready vector, records included, on one core, the index being in memory."""

    @property
    def exact(self) -> bool:
        """Whether every vector is looked at."""
        return self.index == "flat"


@dataclass(frozen=True, slots=True)
class _Graph:
    """Seconds: fixed, and a candidate kept, by the vectors' length; and what it misses."""

    fixed: float = 45e-6
    candidate: float = 0.7e-6
    value: float = 2e-9
    growth: float = 0.15
    missed: float = 0.1
    by_effort: float = 1.0
    by_count: float = 0.5


@dataclass(frozen=True, slots=True)
class _Lists:
    """Seconds for each thing that a search in inverted lists does, and what it misses."""

    fixed: float
    member: float
    value: float
    """Of each value of each member."""
    candidate: float = 0.3e-6
    """Ranked again by its own vector."""
    uncoded: float = 0.0
    """Of the true ten, what the codes lose at four candidates a hit; it falls with their number."""


_FLAT_VALUE = 0.105e-9
_GRAPH = _Graph()
_LISTS = {
    "ivf": _Lists(fixed=20e-6, member=0.01e-6, value=0.13e-9),
    "ivfsq": _Lists(fixed=25e-6, member=0.01e-6, value=0.13e-9),
    "rabitq": _Lists(fixed=60e-6, member=0.1e-6, value=0.02e-9),
    "ivfpq": _Lists(fixed=40e-6, member=0.02e-6, value=0.02e-9, uncoded=0.02),
}
_COARSE_VALUE = 0.1e-9
_MISSED_BY_LISTS = 0.17
_BY_PROBES = 0.75
_BY_COUNT = 0.0


def ways(dim: int, count: int, scan: float, k: int = K) -> Iterator[Way]:
    """Every kind and every effort that may be worth it, for `count` vectors of `dim` values.

    `scan`: what `trial.scan_seconds` says of the machine; `k`: how many hits are asked for.
    """
    speed = scan / _REFERENCE_SCAN
    records = _RECORDS[0] + k * (_RECORDS[1] + _RECORDS[2])

    def way(index: str, knobs: dict[str, int], missed: float, seconds: float) -> Way:
        return Way(index, knobs, max(0.0, 1 - missed), speed * (seconds + records))

    yield way("flat", {}, 0.0, 15e-6 + _FLAT_VALUE * dim * count)
    for effort in _EFFORTS:
        if effort >= k and effort < count:
            yield way("hnsw", {"ef_search": effort}, *_graph(dim, count, effort))
    for index, lists in _LISTS.items():
        clusters = _clusters(count)
        for probes in _PROBES:
            if probes > clusters / 2:
                continue
            reached = count * probes / clusters
            refines = (0,) if index == "ivf" else _REFINES
            for refine in refines:
                if max(refine, 1) * k > _MOST_OF_REACHED * reached:
                    continue
                knobs = {"probes": probes, **({"refine": refine} if refine else {})}
                yield way(
                    index,
                    knobs,
                    _missed_by_lists(probes, count) + lists.uncoded * (4 / max(refine, 4)),
                    lists.fixed
                    + _COARSE_VALUE * clusters * dim
                    + reached * (lists.member + lists.value * dim)
                    + lists.candidate * refine * k,
                )


def _graph(dim: int, count: int, effort: int) -> tuple[float, float]:
    size = count / 1e5
    missed = _GRAPH.missed * math.pow(effort, -_GRAPH.by_effort) * math.pow(size, _GRAPH.by_count)
    each = (_GRAPH.candidate + _GRAPH.value * dim) * math.pow(max(size, 0.01), _GRAPH.growth)
    return min(missed, 1.0), _GRAPH.fixed + effort * each


def _missed_by_lists(probes: int, count: int) -> float:
    missed = math.pow(probes / 4, -_BY_PROBES) * math.pow(count / 1e5, _BY_COUNT)
    return min(1.0, _MISSED_BY_LISTS * missed)


def _clusters(count: int) -> int:
    """How many lists there are, unless a recipe says otherwise."""
    clusters: int = registry.load("index", "ivf").Options().clusters_for(count)
    return clusters


def building_seconds(way: Way, dim: int, count: int, cores: int, scan: float) -> float:
    """What it takes to build the index, on all cores."""
    speed = scan / _REFERENCE_SCAN
    if way.exact:
        return 0.0
    if way.index == "hnsw":
        each = 0.5e-3 * (0.3 + 0.7 * dim / 384) * (1 + 0.2 * math.log2(max(count / 2e4, 1)))
        return speed * each * count / cores
    clusters = _clusters(count)
    training = 40 * clusters * clusters * dim * 20 * 0.02e-9
    return speed * (training + count * clusters * dim * 0.02e-9) / cores

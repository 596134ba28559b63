"""How well and how fast an index of so many vectors will find them, before there is one.

The constants were fitted by hand to runs of the structures themselves, in time of one core of a
shared 2-core Intel Xeon (AVX-512), one query a call, k = 10, recall against exact search: all kinds
with 20,000 and 100,000 vectors of 384 values; with 20,000 of 1,280 all but ivfpq; with 300,000
of 128 flat, ivf and ivfsq. Every latency came out within a factor of 2.

The vectors were noisy interpolations between near neighbours among 2,365 real ones (the default
recipe's, of Caltech-101). Many of them lie denser around these few than real pictures would, and
are found better, so what is missed is that of the 20,000. How it grows with their number was
measured for graphs from 10,000 to a million (`benchmarks/growth.py`), and is assumed for lists and
codes, which missed less there. `lookalike doctor` measures the recall of a collection.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from . import registry

K = 10
"""Hits for which recall is predicted."""
_REFERENCE_SCAN = 280e-6
"""Seconds of `trial.scan_seconds` where the constants were measured."""
_AROUND = 100e-6
"""Seconds of a search around its index."""
_RECORD = 5e-6
"""Seconds for each hit, whose record is read."""
READ_SECONDS = 100e-6
"""For a vector that is ranked again and has to come from an SSD; a disk that turns takes 10 ms."""
_EFFORTS = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096)
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
    building: float
    """Seconds of one core to build it."""
    reads: int
    """Vectors that a search takes from the index's file."""

    @property
    def exact(self) -> bool:
        """Whether every vector is looked at."""
        return self.index == "flat"


@dataclass(frozen=True, slots=True)
class _Lists:
    """Seconds for each thing that a search in inverted lists does, and what it misses."""

    fixed: float
    member: float
    """A member of a list that is looked into: fixed, and for each value of its vector."""
    value: float
    coarse: float = 0.2e-9
    """A value of a centroid."""
    refined: bool = True
    candidate: float = 0.4e-6
    """Ranked again by its own vector."""
    uncoded: float = 0.0
    """Share that the codes lose with four candidates a hit, among 20,000 vectors."""
    rotated: float = 0.0
    """For each square of the vectors' length, where a query is rotated first."""
    learning: float = 0.0
    """To learn the codes, for each square of the vectors' length."""


_FLAT_VALUE = 0.22e-9
_GRAPH_FIXED = 40e-6
_GRAPH_CANDIDATE = 1.1e-6
_GRAPH_VALUE = 2e-9
"""Seconds of a candidate that the walk keeps: fixed, and for each value of its vector."""
_GRAPH_GROWTH = 0.1
_GRAPH_LINKED = 300
"""Candidates' worth of time that linking one vector takes."""
_LISTS = {
    "ivf": _Lists(fixed=20e-6, member=0.0, value=0.3e-9, refined=False),
    "ivfsq": _Lists(fixed=20e-6, member=0.0, value=0.2e-9, uncoded=0.0005),
    "rabitq": _Lists(fixed=20e-6, member=15e-9, value=0.1e-9, rotated=0.4e-9, uncoded=0.0005),
    "ivfpq": _Lists(
        fixed=20e-6,
        member=15e-9,
        value=0.055e-9,
        coarse=0.1e-9,
        rotated=0.2e-9,
        uncoded=0.02,
        learning=8e-4,
    ),
}
_COMPARED_VALUE = 0.04e-9
"""Seconds of each value of a vector and a centroid, many at a time."""
_MEASURED_COUNT = 20_000
"""Of which the shares below are; the powers of the count are assumed."""


def missed_by_graph(effort: int, count: int) -> float:
    """Share of the true ten that a walk does not come by."""
    return _share(0.024 * math.pow(effort / 16, -0.6) * math.pow(count / _MEASURED_COUNT, 0.5))


def missed_by_lists(probes: int, count: int) -> float:
    """Share of the true ten that lie in lists not looked into."""
    return _share(0.086 * math.pow(probes / 4, -0.6) * math.pow(count / _MEASURED_COUNT, 0.15))


def missed_by_codes(lists: _Lists, refine: int, count: int) -> float:
    """Share of the true ten that are not among the candidates that get a second look."""
    size = math.pow(count / _MEASURED_COUNT, 0.25)
    return _share(lists.uncoded * math.pow(refine / 4, -1.7) * size)


def ways(dim: int, count: int, scan: float, k: int = K) -> Iterator[Way]:
    """Every kind and every effort that may be worth it, for `count` vectors of `dim` values.

    `scan`: what `trial.scan_seconds` says of the machine; `k`: how many hits are asked for.
    """
    speed = scan / _REFERENCE_SCAN
    around = _AROUND + k * _RECORD

    def way(
        index: str,
        knobs: dict[str, int],
        missed: float,
        seconds: float,
        building: float = 0.0,
        reads: int = 0,
    ) -> Way:
        taken = speed * (seconds + around)
        return Way(index, knobs, max(0.0, 1 - missed), taken, speed * building, reads)

    yield way("flat", {}, 0.0, _FLAT_VALUE * dim * count)
    size = math.pow(max(count / _MEASURED_COUNT, 0.01), _GRAPH_GROWTH)
    each = (_GRAPH_CANDIDATE + _GRAPH_VALUE * dim) * size
    for effort in _EFFORTS:
        if k <= effort < count:
            missed = missed_by_graph(effort, count)
            seconds = _GRAPH_FIXED + effort * each
            yield way("hnsw", {"ef_search": effort}, missed, seconds, _GRAPH_LINKED * each * count)
    clusters: int = registry.load("index", "ivf").Options().clusters_for(count)
    learning = _COMPARED_VALUE * dim * clusters * (10 * 40 * clusters + count)
    for (index, lists), probes in product(_LISTS.items(), _PROBES):
        reached = count * probes / clusters
        for refine in _REFINES if lists.refined else (1,):
            reads = refine * k if lists.refined else 0
            if probes > clusters / 2 or refine * k > _MOST_OF_REACHED * reached:
                continue
            knobs = {"probes": probes, **({"refine": refine} if lists.refined else {})}
            missed = missed_by_lists(probes, count) + missed_by_codes(lists, refine, count)
            seconds = lists.fixed + lists.coarse * clusters * dim + lists.candidate * reads
            seconds += reached * (lists.member + lists.value * dim) + lists.rotated * dim * dim
            building = learning + lists.learning * dim * dim
            yield way(index, knobs, missed, seconds, building, reads)


def _share(value: float) -> float:
    return min(value, 1.0)

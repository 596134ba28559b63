"""Before a cluster is set up: shards, memory and nodes for so many pictures, by Elastic's figures.

Memory of vectors, and 4 m bytes of a graph's links: Elastic, "Tune approximate kNN search",
https://www.elastic.co/docs/deploy-manage/production-guidance/optimize-performance/approximate-knn-search
Shards: Elastic, "Size your shards" (10 to 50 GB, at most 200 million documents each),
https://www.elastic.co/docs/deploy-manage/production-guidance/optimize-performance/size-shards
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from . import registry
from .errors import BadQuery
from .store.elastic.kinds import BITS_FROM, Kind

SOURCES = (
    "https://www.elastic.co/docs/deploy-manage/production-guidance/optimize-performance/"
    "approximate-knn-search",
    "https://www.elastic.co/docs/deploy-manage/production-guidance/optimize-performance/size-shards",
)
RECORD = 530
"""Bytes of a picture's record on disk, beside the files of its vectors, as
`benchmarks/elastic_record.py` has measured on Elasticsearch 9.2.0. Each had one place, a path of 47
characters, no label and no metadata; both take more."""
_SHARD = 40e9
"""Bytes of one: of 10 to 50 GB, what leaves room to grow."""
_DOCUMENTS = 200e6
"""Of one shard. A picture is one; one that lies at several places has one more for each."""
_FOR_VECTORS = 0.5
"""Of a node's memory: the other half is the heap's, which takes no more than 31 GB."""
_LARGEST_HEAP = 31e9
_FULL = 0.85
"""Of a disk, from where on Elasticsearch puts no more shards on it."""


@dataclass(frozen=True, slots=True)
class ClusterWish:
    """What is asked for."""

    pictures: int
    dims: int
    kind: str = "int8_hnsw"
    replicas: int = 1
    node_memory: int = 64_000_000_000
    """Bytes of one node."""
    m: int = 16

    def options(self) -> Kind:
        """Of the kind of index; `UnknownName` if there is none of that name."""
        options = registry.load("elastic", self.kind).Options
        made: Kind = options() if self.kind == "flat" else options(m=self.m)
        return made


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """What it takes."""

    wish: ClusterWish
    vector_bytes: float
    """In memory, of one vector."""
    disk_bytes: float
    """Of one picture: its record, its vector, and what the index has of it."""
    memory: float
    """Outside the heaps, of all copies of all vectors."""
    disk: float
    shards: int
    """Without their copies."""
    nodes: int
    """That hold data."""
    bound_by: str
    """What the number of nodes comes from."""

    @property
    def formula(self) -> str:
        """Of the memory."""
        wish = self.wish
        vector = {
            "flat": "4 d",
            "hnsw": "4 d + 4 m",
            "int8_hnsw": "d + 4 + 4 m",
            "bbq_hnsw": "d/8 + 14 + 4 m",
        }[wish.kind]
        with_m = "" if wish.kind == "flat" else f", m = {wish.m}"
        copies = wish.replicas + 1
        return (
            f"n x ({vector}) x copies, n = {wish.pictures:,}, d = {wish.dims}{with_m}, "
            f"{copies} {'copies' if copies > 1 else 'copy'}"
        )

    def to_json(self) -> dict[str, Any]:
        """As `lookalike plan --dims --json` prints it."""
        return {**asdict(self), "formula": self.formula, "sources": list(SOURCES)}


def make(wish: ClusterWish) -> ClusterPlan:
    """Shards, memory and nodes; `BadQuery` for what Elasticsearch cannot hold."""
    if not 1 <= wish.dims <= 4096:
        raise BadQuery(f"--dims must be 1 to 4096, not {wish.dims}")
    if wish.kind == "bbq_hnsw" and wish.dims < BITS_FROM:
        raise BadQuery(f"bbq_hnsw wants {BITS_FROM} values or more, not {wish.dims}")
    if wish.replicas < 0 or wish.node_memory < 2e9:
        raise BadQuery("--replicas is 0 or more, and a node has 2GB of memory or more")
    options = wish.options()
    each = options.bytes_for(wish.dims)
    kept = each if wish.kind in ("flat", "hnsw") else each + 4 * wish.dims
    copies = wish.replicas + 1
    memory = each * wish.pictures * copies
    disk = (RECORD + kept) * wish.pictures * copies
    shards = max(
        1,
        math.ceil(disk / copies / _SHARD),
        math.ceil(wish.pictures / _DOCUMENTS),
    )
    heap = min(_FOR_VECTORS * wish.node_memory, _LARGEST_HEAP)
    for_memory = math.ceil(memory / (wish.node_memory - heap))
    nodes = max(for_memory, copies)
    return ClusterPlan(
        wish,
        each,
        RECORD + kept,
        memory,
        disk / _FULL,
        shards,
        nodes,
        "memory" if for_memory >= copies else "a node for each copy",
    )

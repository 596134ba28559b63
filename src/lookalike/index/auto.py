"""The kind of index by the number of vectors, and by the memory of this machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..distances import Distance
from ..machine import memory_bytes
from ..types import Footprint
from . import Kind, Structure
from .compressed import IVFPQ, CompressedOptions
from .flat import Flat, FlatOptions
from .hnsw import HNSW, HNSWOptions

_SHARE = 0.5
"""Of this machine's memory that a graph with its vectors may take."""


@dataclass(frozen=True, slots=True)
class AutoOptions(CompressedOptions):
    """Where each kind begins, and the knobs of them all."""

    flat_below: int = 20_000
    """Exact under this many vectors, where that takes a millisecond or two."""
    memory_gb: float = 0.0
    """What a graph may take before vectors are compressed; 0: half of this machine's memory."""
    m: int = 24
    ef_construction: int = 200
    ef_search: int = 0

    def __post_init__(self) -> None:
        CompressedOptions.__post_init__(self)
        if not 0 <= self.memory_gb < math.inf:
            raise ValueError(f"memory_gb must be 0 or more, not {self.memory_gb:g}")
        self.graph()

    def graph(self) -> HNSWOptions:
        """The graph's own."""
        return HNSWOptions(self.m, self.ef_construction, self.ef_search)


class Auto:
    """Exact while that is fast, a graph while memory allows, compressed inverted lists beyond."""

    Options: ClassVar = AutoOptions
    knobs: ClassVar = HNSW.knobs | IVFPQ.knobs

    @classmethod
    def create(
        cls, dim: int, distance: Distance, options: AutoOptions, expected: int, workspace: Path
    ) -> Structure:
        """An empty structure of the kind that suits `expected` vectors."""
        kind, own = _chosen(dim, options, expected)
        return kind.create(dim, distance, own, expected, workspace)

    @classmethod
    def suits(cls, structure: Structure, options: AutoOptions, expected: int) -> bool:
        """Whether it is of the kind, and the size, that would be made now, or for twice as many.

        So a collection that hovers about a bound is not rebuilt time and again.
        """
        dim = structure.at(slice(0, 0)).shape[1]
        suitable = (_chosen(dim, options, count) for count in (expected, 2 * expected))
        return any(kind.suits(structure, own, expected) for kind, own in suitable)

    @classmethod
    def bytes_for(
        cls, dim: int, distance: Distance, options: AutoOptions, expected: int
    ) -> Footprint:
        """Of the kind that would be made on this machine."""
        kind, own = _chosen(dim, options, expected)
        return kind.bytes_for(dim, distance, own, expected)


def graph_bytes(dim: int, m: int, count: int) -> int:
    """What a graph of so many vectors takes: each one's values, and its links."""
    return count * (4 * dim + 4 * 2 * m)


def _chosen(
    dim: int, options: AutoOptions, expected: int
) -> tuple[type[Kind], FlatOptions | HNSWOptions | CompressedOptions]:
    if expected < options.flat_below:
        return Flat, FlatOptions()
    memory = options.memory_gb * 1e9 or _SHARE * memory_bytes()
    if graph_bytes(dim, options.m, expected) <= memory:
        return HNSW, options.graph()
    return IVFPQ, options

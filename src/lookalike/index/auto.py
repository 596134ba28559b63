"""The kind of index by the number of vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..distances import Metric
from . import Structure
from .flat import Flat, FlatOptions
from .hnsw import HNSW, HNSWOptions


@dataclass(frozen=True, slots=True)
class AutoOptions(HNSWOptions):
    """The graph's knobs, and where it begins."""

    flat_below: int = 20_000
    """Exact under this many vectors, where that takes a millisecond or two."""


class Auto:
    """Exact while that is fast, a graph beyond."""

    Options: ClassVar = AutoOptions

    @classmethod
    def create(cls, dim: int, metric: Metric, options: AutoOptions, expected: int) -> Structure:
        """An empty structure of the kind that suits `expected` vectors."""
        if expected < options.flat_below:
            return Flat.create(dim, metric, FlatOptions(), expected)
        return HNSW.create(dim, metric, options, expected)

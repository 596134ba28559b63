"""How Elasticsearch may index vectors: its `index_options`, typed, for `[embeddings.X.elastic]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FlatOptions:
    """Nothing to choose: every vector is compared, exactly."""

    structure: ClassVar = "flat"
    compressed: ClassVar = False

    def index_options(self) -> dict[str, Any]:
        """For the mapping."""
        return {"type": self.structure}

    def bytes_for(self, dim: int) -> float:
        """Of each vector that should be in memory outside the heap."""
        return 4 * dim


@dataclass(frozen=True, slots=True)
class HNSWOptions:
    """A graph (arXiv:1603.09320) of the vectors themselves."""

    m: int = 16
    """Links of a vector: memory, and recall."""
    ef_construction: int = 100
    """How many candidates are weighed when a vector is linked: time to build, and recall."""
    ef_search: int = 100
    """How many candidates each shard keeps of a search, at least as many as hits are wanted."""

    structure: ClassVar = "hnsw"
    compressed: ClassVar = False

    def __post_init__(self) -> None:
        for name, least, most in (
            ("m", 2, 512),
            ("ef_construction", 2, 3200),
            ("ef_search", 1, 10_000),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be {least} to {most}, not {getattr(self, name)}")

    def index_options(self) -> dict[str, Any]:
        """For the mapping."""
        return {"type": self.structure, "m": self.m, "ef_construction": self.ef_construction}

    def bytes_for(self, dim: int) -> float:
        """Of each vector that should be in memory outside the heap."""
        return 4 * dim + 4 * self.m


@dataclass(frozen=True, slots=True)
class Int8HNSWOptions(HNSWOptions):
    """A graph of vectors of one byte a value; the best are ranked again by the vectors."""

    oversample: int = 2
    """Candidates for each hit that are ranked by the vectors themselves."""

    structure: ClassVar = "int8_hnsw"
    compressed: ClassVar = True

    def __post_init__(self) -> None:
        HNSWOptions.__post_init__(self)
        if not 1 <= self.oversample <= 10:
            raise ValueError(f"oversample must be 1 to 10, not {self.oversample}")

    def bytes_for(self, dim: int) -> float:
        """Of each vector that should be in memory outside the heap."""
        return dim + 4 + 4 * self.m


@dataclass(frozen=True, slots=True)
class BBQHNSWOptions(Int8HNSWOptions):
    """A graph of vectors of one bit a value (after arXiv:2405.12497), from 64 values on."""

    oversample: int = 5

    structure: ClassVar = "bbq_hnsw"

    def bytes_for(self, dim: int) -> float:
        """Of each vector that should be in memory outside the heap."""
        return dim / 8 + 14 + 4 * self.m


Kind = FlatOptions | HNSWOptions
BITS_FROM = 64
"""Values of a vector, from which on Elasticsearch has bits of them."""


class Flat:
    """Exact, linear in their number."""

    Options: ClassVar = FlatOptions
    knobs: ClassVar = frozenset[str]()


class HNSW:
    """See its options."""

    Options: ClassVar = HNSWOptions
    knobs: ClassVar = frozenset({"ef_search"})


class Int8HNSW:
    """See its options."""

    Options: ClassVar = Int8HNSWOptions
    knobs: ClassVar = frozenset({"ef_search", "refine"})


class BBQHNSW:
    """See its options."""

    Options: ClassVar = BBQHNSWOptions
    knobs: ClassVar = frozenset({"ef_search", "refine"})


def kind_for(index: str, index_options: Any, elastic: Any, dim: int) -> Kind:
    """What the recipe says of Elasticsearch, or else what comes nearest to its index.

    Lists and codes are what a single machine saves memory by: here a graph of bytes does.
    """
    if elastic is not None:
        options: Kind = elastic.options
        return options
    if index == "flat":
        return FlatOptions()
    if index == "hnsw":
        return HNSWOptions(m=index_options.m, ef_construction=index_options.ef_construction)
    if index in ("rabitq", "ivfpq") and dim >= BITS_FROM:
        return BBQHNSWOptions()
    return Int8HNSWOptions()

"""What a collection of so many pictures takes, by formulas, before there is one."""

from __future__ import annotations

from .. import registry
from ..distances import distance_named
from ..index.segments import fresh_most
from ..types import Footprint
from . import EmbeddingPlan

RECORD = 313
"""Bytes of a picture in the catalogue's `pictures` and `places` with their indexes, vectors apart.

Counted by SQLite's `dbstat` in a collection of 2,365 photographs of Caltech-101, whose paths have
51 characters and whose labels 8. A character of a path costs 2 more, as it is in an index too.
"""
_PAGE = 4096
_ROW_NUMBER = 8
"""Bytes that the index keeps of each vector's row."""


def vector_bytes(dim: int) -> float:
    """Of one vector of float32 in its SQLite table, with the empty rests of pages.

    By SQLite's file format: a payload of more than a page, less 35 bytes, goes on in pages of its
    own, of which only the last one's rest may stay in the table.
    """
    payload = 4 * dim + 5
    local, overflow = payload, 0
    if payload > _PAGE - 35:
        least = (_PAGE - 12) * 32 // 255 - 23
        local = least + (payload - least) % (_PAGE - 4)
        if local > _PAGE - 35:
            local = least
        overflow = -(-(payload - local) // (_PAGE - 4))
        local += 4
    return overflow * _PAGE + _PAGE / ((_PAGE - 8) // (local + 7))


def index_footprint(plan: EmbeddingPlan, count: int) -> Footprint:
    """Of the index of `count` vectors once it has been built, the numbers of their rows included.

    An exact one has a file only when there is more than searches take beside it.
    """
    distance = distance_named(plan.distance)
    dim = min(plan.pca or plan.dim, plan.dim)
    kind = registry.load("index", plan.index)
    structure: Footprint = kind.bytes_for(dim, distance, plan.index_options, count)
    rows = _ROW_NUMBER * count
    disk = structure.disk + rows
    if structure.disk == 4 * dim * count and count < fresh_most(0):
        disk = 0
    return Footprint(disk, structure.memory + rows)


def filling_bytes(plan: EmbeddingPlan, count: int) -> int:
    """What additions take in memory before the index takes them in, at `count` vectors."""
    return fresh_most(count) * 4 * min(plan.pca or plan.dim, plan.dim)

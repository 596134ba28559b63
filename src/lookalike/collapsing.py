"""Hits that are nearly identical to a better one are put under that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .engine import Engine
from .extract.pooling import unit
from .types import Hit

ALIKE = 0.95
"""Cosine of two pictures' vectors from which on they are nearly identical."""


def collapsed(hits: Sequence[Hit], engine: Engine) -> list[Hit]:
    """Each hit that no better one is nearly identical to, with those that are to it, in order.

    Only the first of a group is compared, so that groups do not chain: all in one are like it.
    """
    if not hits:
        return []
    name = next(iter(engine.dims(None)))
    vectors = unit(np.concatenate([engine.store.vectors(name, hit.id) for hit in hits]))
    under: dict[int, list[Hit]] = {}
    for number, hit in enumerate(hits):
        leaders = list(under)
        closeness = vectors[leaders] @ vectors[number]
        if len(leaders) and closeness.max() >= ALIKE:
            under[leaders[int(closeness.argmax())]].append(hit)
        else:
            under[number] = []
    return [hits[number]._replace(alike=tuple(others)) for number, others in under.items()]

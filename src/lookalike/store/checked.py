"""Vectors as they may be stored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..distances import comparable
from ..errors import BadQuery
from ..types import Vectors


def storable(
    vectors: Mapping[str, Vectors], dims: Mapping[str, int], count: int
) -> dict[str, Vectors]:
    """`vectors` as they are stored; `BadQuery` unless each is finite and float32 [count, dim]."""
    checked = {}
    for name, given in vectors.items():
        with np.errstate(over="ignore"):
            matrix = np.ascontiguousarray(given, np.float32)
        if matrix.shape != (count, dims[name]):
            raise BadQuery(
                f"{name} vectors of shape {matrix.shape} for {count} pictures, "
                f"expected {(count, dims[name])}"
            )
        if not comparable(matrix).all():
            raise BadQuery(
                f"{name} vectors hold NaN, infinity or values too large to be compared; "
                "nothing was stored"
            )
        checked[name] = matrix
    return checked

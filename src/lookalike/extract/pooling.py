"""From what a network gives for a picture, perhaps a vector at each position, to one vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..types import Vectors

Kind = Literal["none", "average", "gem", "cls", "tokens-average"]

FITTING: Mapping[int, tuple[Kind, ...]] = {
    2: ("none",),
    3: ("cls", "average", "tokens-average", "gem"),
    4: ("average", "gem"),
}
"""By the number of the output's axes: [n, d], [n, tokens, d], [n, d, height, width]."""


@dataclass(frozen=True, slots=True)
class Pooling:
    """One way of making one vector of many."""

    kind: Kind
    """`average` over all positions; `cls`: the first token; `tokens-average`: over all but that
    one; `gem`: the generalised mean (Radenović et al. 2018, arXiv:1711.02512)."""
    p: float = 3.0
    """Of `gem`: 1 is the average of what is positive, infinity the maximum."""

    def __call__(self, values: npt.NDArray[Any]) -> Vectors:
        """`values`: [n, d], [n, tokens, d] or [n, d, height, width], as fits -> float32 [n, d]."""
        values = np.asarray(values, np.float32)
        axes = (2, 3) if values.ndim == 4 else (1,)
        if self.kind == "cls":
            values = values[:, 0]
        elif self.kind == "tokens-average":
            values = values[:, 1:].mean(axis=1)
        elif self.kind == "average":
            values = values.mean(axis=axes)
        elif self.kind == "gem":
            # As powers of the largest's share, none of which can overflow.
            positive = np.maximum(values, 1e-6)
            largest = positive.max(axis=axes, keepdims=True)
            mean = ((positive / largest) ** self.p).mean(axis=axes, keepdims=True)
            values = (largest * mean ** (1 / self.p)).squeeze(axes)
        return np.ascontiguousarray(values)


def unit(vectors: Vectors) -> Vectors:
    """The same at length 1; what is all zeros stays so."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)

"""What turns a picture into features: one file a family, named in the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..types import Picture, Vectors


class Extractor(Protocol):
    """Turns pictures into vectors. Safe to call from several threads at once."""

    dim: int
    """The length of a vector."""
    fingerprint: str
    """Changes whenever the weights or the preprocessing do."""
    shortest_side: int
    """A decoder may shrink a picture while its short side stays at least this long, in pixels."""

    def extract(self, pictures: Sequence[Picture]) -> Vectors:
        """`pictures`: n of them -> float32 [n, dim]; a vector does not depend on its batch."""
        ...

"""Vectors that were made elsewhere: a collection of them is searched by vector only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NoReturn

from ..errors import BadQuery
from ..types import Picture


@dataclass(frozen=True, slots=True)
class ReadyOptions:
    """What the vectors are."""

    dim: int
    """Their length."""
    made_by: str
    """Any words that name the model and its preprocessing: the fingerprint."""

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"dim must be 1 or more, not {self.dim}")


class ReadyVectors:
    """Stands where an extractor would: `Collection.add_vectors` brings the vectors."""

    Options: ClassVar = ReadyOptions

    def __init__(self, options: ReadyOptions, device: str) -> None:  # noqa: ARG002
        self.dim = options.dim
        self.made_by = options.made_by
        self.fingerprint = f"vectors:{options.made_by}:{options.dim}"
        self.shortest_side = 0

    def extract(self, pictures: Sequence[Picture]) -> NoReturn:  # noqa: ARG002
        """Always `BadQuery`: there is no model here."""
        raise BadQuery(
            "this collection holds vectors that were made elsewhere: add with "
            "`add_vectors`, search with a vector"
        )

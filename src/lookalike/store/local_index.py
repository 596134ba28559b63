"""The inverted file of local features, kept in step with the catalogue, whose cache it is."""

from __future__ import annotations

from ..types import LocalFeatures, Rows
from .catalogue import Catalogue


class LocalIndex:
    """Follows the catalogue's local features and removals."""

    def __init__(self, catalogue: Catalogue, fingerprint: str) -> None:
        self._catalogue = catalogue
        self._fingerprint = fingerprint

    def of(
        self, features: LocalFeatures, count: int | None, allowed: Rows | None, *, exactly: bool
    ) -> tuple[list[int], list[float]]:
        """The rows that a query votes for, best first, and their votes."""
        raise NotImplementedError

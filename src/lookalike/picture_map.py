"""The pictures of a collection on a plane, those alike near each other."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from .collection import Collection
from .plane import Plane, on_a_plane
from .types import Record


@dataclass(frozen=True, slots=True, eq=False)
class PictureMap:
    """Where pictures lie on the plane; a state of the collection, and not changed any more."""

    records: list[Record]
    places: Plane
    """From -1 to 1."""
    total: int
    """How many pictures there are; `records` may be a sample of them."""


class Cartographer:
    """Draws the map of a collection, and keeps the last until anybody commits."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._drawing = threading.Lock()
        self._drawn: tuple[object, int, PictureMap] | None = None

    def map(self, limit: int) -> PictureMap:
        """The map of at most `limit` pictures, evenly spread over all of them."""
        with self._drawing:  # a second client waits for the same map instead of computing it
            state = self._collection.store.state()
            if self._drawn is None or self._drawn[:2] != (state, limit):
                records, vectors = self._collection.sample(limit)
                total = len(self._collection)
                self._drawn = state, limit, PictureMap(records, on_a_plane(vectors), total)
            return self._drawn[2]

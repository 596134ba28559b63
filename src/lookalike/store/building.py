"""The main structure of an index, out of the catalogue: a block at a time, never all in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..distances import Distance
from ..index import Kind, Structure, cache
from ..index.projection import Projection
from ..index.segments import SegmentedIndex
from ..machine import memory_bytes
from ..types import Rows, Vectors
from . import EmbeddingPlan, embeddings
from .catalogue import Catalogue
from .connection import Connection
from .embeddings import Embedding

LEARN_FROM = 4
"""Vectors for each principal component, before these are learned."""
_LEARN_FROM_AT_MOST = 20_000
_BLOCK = 4096
_AT_ONCE = 50_000
"""Vectors that may be taken into memory before the first index of a kind that spares it."""
_MEMORY_SHARE = 0.125
"""Of this machine's memory, that vectors which wait for an index may take at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Building:
    """What is built of one embedding's vectors, and from where."""

    catalogue: Catalogue
    number: int
    """Of the embedding."""
    plan: EmbeddingPlan
    kind: type[Kind]
    distance: Distance
    collection: str
    """The uuid of the catalogue."""
    folder: Path
    """For files that are needed meanwhile."""

    def comes_first(self, coming: int, *, beside: bool) -> bool:
        """Whether so many vectors are too many to be searched one by one until they are built of.

        `beside`: whether that would be beside an index of others. A few seconds of searches
        that compare every vector are no harm; a machine that runs out of memory is.
        """
        dim = min(self.plan.pca or self.plan.dim, self.plan.dim)
        held = 4 * dim * coming
        if held > _MEMORY_SHARE * memory_bytes():
            return True
        if beside or coming <= _AT_ONCE:
            return False
        own = self.kind.bytes_for(dim, self.distance, self.plan.index_options, coming)
        return own.memory < held / 2

    def anew(self, go_on: Callable[[], bool]) -> cache.Cached | None:
        """Of all that is stored; None once `go_on` says no."""
        with self.catalogue.reading() as connection:
            embedding = embeddings.in_use(connection, self.number)
            every = self.catalogue.rows(connection)
            projection = self._projection(connection, embedding, every)
            last_removal, _ = self.catalogue.removals_after(connection, 0)
            structure = self._trained(connection, embedding, every, projection)
            begun = cache.Cached(
                self._header(structure, 0, last_removal), structure, every[:0], projection
            )
            return self._filled(connection, embedding, begun, go_on)

    def onto(self, begun: cache.Cached, go_on: Callable[[], bool]) -> cache.Cached | None:
        """Of what there is, which may be added to, and all that was stored since."""
        with self.catalogue.reading() as connection:
            embedding = embeddings.in_use(connection, self.number)
            return self._filled(connection, embedding, begun, go_on)

    def _filled(
        self,
        connection: Connection,
        embedding: Embedding,
        begun: cache.Cached,
        go_on: Callable[[], bool],
    ) -> cache.Cached | None:
        header, structure, rows, projection = begun
        as_held = SegmentedIndex(self.plan.dim, self.distance, projection)
        every = [rows]
        for some, vectors in self.catalogue.vectors_after(connection, embedding, header.last_row):
            if not go_on():
                return None
            structure.add(as_held.prepared(vectors))
            every.append(some)
        rows = np.concatenate(every)
        last_row = int(rows[-1]) if len(rows) else 0
        header = self._header(structure, last_row, header.last_removal)
        return cache.Cached(header, structure, rows, projection)

    def _trained(
        self,
        connection: Connection,
        embedding: Embedding,
        every: Rows,
        projection: Projection | None,
    ) -> Structure:
        """An empty structure that has learned what it wants to of the collection's vectors."""
        as_held = SegmentedIndex(self.plan.dim, self.distance, projection)
        structure = self.kind.create(
            as_held.dim, self.distance, self.plan.index_options, len(every), self.folder
        )
        wanted = structure.training_vectors
        if wanted and len(every):
            sample = self._sample(connection, embedding, every, wanted, projection)
            if len(sample):  # as long as not all have been removed meanwhile
                structure.train(sample)
        return structure

    def _projection(
        self, connection: Connection, embedding: Embedding, every: Rows
    ) -> Projection | None:
        """The collection's own components, if the recipe wants them and there is enough."""
        pca = self.plan.pca
        if not pca or len(every) < LEARN_FROM * pca:
            return None
        sample = self._sample(connection, embedding, every, _LEARN_FROM_AT_MOST, None)
        return Projection.learn(sample, pca)

    def _sample(
        self,
        connection: Connection,
        embedding: Embedding,
        every: Rows,
        count: int,
        projection: Projection | None,
    ) -> Vectors:
        """At most `count` vectors, evenly spread, as the index holds them, float32 [n, dim].

        They may be many: they are put where they belong a block at a time.
        """
        as_held = SegmentedIndex(self.plan.dim, self.distance, projection)
        rows = every[np.linspace(0, len(every) - 1, min(count, len(every)), dtype=np.int64)]
        sample = np.empty((len(rows), as_held.dim), np.float32)
        end = 0
        for start in range(0, len(rows), _BLOCK):
            some = rows[start : start + _BLOCK]
            there, vectors = self.catalogue.vectors_at(connection, embedding, some)
            sample[end : end + len(there)] = as_held.prepared(vectors)
            end += len(there)
        return sample[:end]

    def _header(self, structure: Structure, last_row: int, last_removal: int) -> cache.Header:
        plan = self.plan
        return cache.Header(
            self.collection,
            plan.index,
            structure.kind,
            plan.distance,
            plan.dim,
            plan.pca,
            last_row,
            last_removal,
        )

"""Another recipe for a collection in a folder: vectors in tables beside those in use."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Mapping, Sequence

from ..errors import CannotWrite, ReindexUnderWay
from ..types import Record, Vectors
from . import EmbeddingPlan, embeddings
from .catalogue import Catalogue
from .checked import storable
from .writes import remove_if_nowhere


class ComingTables:
    """See `Coming`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Alone among all processes that would reindex; else `ReindexUnderWay`."""
        folder = self._catalogue.folder
        try:
            file = (folder / "reindex.lock").open("w")
        except OSError as error:
            raise CannotWrite(folder, error.strerror or str(error)) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ReindexUnderWay(folder) from None
            yield

    def begun(self, recipe: str) -> dict[str, bytes]:
        """What extractors learned for a reindex to this recipe that has not ended."""
        with self._catalogue.reading() as connection:
            return embeddings.begun(connection, recipe)

    def begin(
        self, recipe: str, plans: Sequence[EmbeddingPlan], learned: Mapping[str, bytes]
    ) -> None:
        """Make room for the vectors of another recipe beside those in use, or go on with it."""
        with self._catalogue.writing() as connection:
            embeddings.begin(connection, recipe, plans, learned)

    def models(self) -> set[tuple[str, int]]:
        """Of the vectors in use: the fingerprint of what made them, and their length."""
        with self._catalogue.reading() as connection:
            every = embeddings.current(connection).values()
        return {(each.fingerprint, each.dim) for each in every}

    def lacking(self, after: int, limit: int) -> list[tuple[int, Record]]:
        """Pictures that have yet to be described for the recipe to come, by row, above `after`."""
        with self._catalogue.reading() as connection:
            rows = embeddings.lacking(connection, after, limit)
            records = self._catalogue.records(connection, rows)
        return [(row, records[row]) for row in rows if row in records]

    def put(self, rows: Sequence[int], vectors: Mapping[str, Vectors]) -> None:
        """Store vectors of the recipe to come, by embedding, float32 [len(rows), dim]."""
        with self._catalogue.writing() as connection:
            coming = embeddings.coming(connection)
            dims = {name: each.dim for name, each in coming.items()}
            checked = storable(vectors, dims, len(rows))
            embeddings.put_coming(connection, rows, checked)

    def swap(self, unreadable: Sequence[int]) -> bool:
        """Let the recipe to come take over in one transaction, if no picture lacks its vectors.

        `unreadable`: rows that are forgotten with it. Whether it took over: not if others were
        added meanwhile.
        """
        with self._catalogue.writing() as connection:
            lacking = embeddings.lacking(connection, 0, len(unreadable) + 1)
            if set(lacking) - set(unreadable):
                return False
            for row in lacking:
                connection.execute("DELETE FROM places WHERE row = ?", (row,))
                remove_if_nowhere(connection, row)
            embeddings.swap(connection)
            return True

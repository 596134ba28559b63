"""The SQLite file that is the truth of an embedded collection: records, vectors, the ledger."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from ..errors import (
    CannotWrite,
    CollectionClosed,
    CollectionDamaged,
    CollectionTooNew,
    NotACollection,
)
from ..filters import Filter
from ..types import Place, Record, Rows, Vectors
from . import (
    Arrival,
    EmbeddingPlan,
    LedgerEntry,
    Outcome,
    Refusal,
    embeddings,
    ledger,
    local_features,
)
from .connection import BUSY_SECONDS, Connection, readable, translated
from .embeddings import Embedding
from .sql_filters import condition
from .writes import metadata_text, put_one, put_place, remove_if_nowhere, row_at

FILE = "catalogue.sqlite"
VERSION = 1
_APPLICATION_ID = 0x6C6F6F6B  # "look"
_AT_ONCE = 500
"""Ids in one query."""


class PackedFeatures(NamedTuple):
    """Local features as they are stored."""

    fingerprint: str
    """Of the extractor that made them."""
    by_id: Mapping[str, bytes]


class Catalogue:
    """Records, vectors and the ledger; every write is one transaction, durable when it returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / FILE
        self._idle: deque[Connection] = deque()
        self._closed = False
        if not self._path.is_file():
            raise NotACollection(folder, _why_not(folder))
        try:
            self._check_format()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(
        cls, folder: Path, about: Mapping[str, str], plans: Sequence[EmbeddingPlan]
    ) -> Catalogue:
        """Make a new one, to hold what is planned.

        Built under a temporary name and linked into place, so that a half-made one is never
        opened, and of two processes that create at once the second opens what the first made.
        """
        temporary = folder / f"{FILE}.{uuid.uuid4().hex}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with translated(folder), contextlib.closing(sqlite3.connect(temporary)) as sqlite:
                sqlite.execute("PRAGMA journal_mode=WAL")
                sqlite.executescript(files(__package__).joinpath("schema.sql").read_text("utf-8"))
                sqlite.execute(f"PRAGMA application_id={_APPLICATION_ID}")
                sqlite.execute(f"PRAGMA user_version={VERSION}")
                rows = {**about, "uuid": str(uuid.uuid4()), "created": str(time.time())}
                sqlite.executemany("INSERT INTO about VALUES (?, ?)", rows.items())
                for plan in plans:
                    embeddings.add(sqlite, plan, coming=False)
                sqlite.commit()
            _publish(temporary, folder / FILE)
        except OSError as error:
            raise CannotWrite(folder, error.strerror or str(error)) from error
        finally:
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    temporary.with_name(temporary.name + ending).unlink()
        return cls(folder)

    def about(self) -> dict[str, str]:
        """What was said of the collection when it was made."""
        with self.reading() as connection:
            return dict(connection.execute("SELECT name, value FROM about").fetchall())

    def recipe(self) -> str:
        """The text of the recipe that the collection has now."""
        about = self.about()
        if "recipe" not in about:
            raise CollectionDamaged(self.folder, "it does not say its recipe")
        return about["recipe"]

    def changed(self) -> bool:
        """Whether anybody, in any process, may have committed since this was last asked.

        Every search begins with this, so the usual case goes without context managers.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            with self.reading() as connection:
                return connection.changed()
        try:
            return connection.changed()
        except sqlite3.Error:
            return True  # whatever is wrong, the reading that follows says so
        finally:
            self._give_back(connection)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for this thread, for as long as the block lasts."""
        if self._closed:
            raise CollectionClosed(self.folder)
        with translated(self.folder):
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            try:
                yield connection
            finally:
                self._give_back(connection)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection inside a write transaction: committed at the end, or rolled back."""
        with self.reading() as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.committed()
                connection.execute("COMMIT")
            except BaseException:
                if connection.sqlite.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def put(
        self,
        arrivals: Sequence[Arrival],
        vectors: Mapping[int, Vectors],
        local: PackedFeatures | None = None,
    ) -> list[Outcome]:
        """Store all in one transaction; `vectors`: by embedding number, one row an arrival."""
        with self.writing() as connection:
            for number in vectors:
                embeddings.in_use(connection, number)
            outcomes = [
                put_one(connection, arrival, {n: each[i] for n, each in vectors.items()})
                for i, arrival in enumerate(arrivals)
            ]
            if local is not None:
                id_at = self.rows_of(connection, [arrival.sha256.hex() for arrival in arrivals])
                packed = {row: local.by_id[id] for row, id in id_at.items()}
                local_features.keep(connection, local.fingerprint, packed)
            return outcomes

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """Note paths that gave no picture. One that may be retried keeps what it gave before."""
        with self.writing() as connection:
            for refusal in refusals:
                old = row_at(connection, refusal.place.path)
                put_place(connection, refusal.place, old if refusal.retry else None, refusal)
                if old is not None and not refusal.retry:
                    remove_if_nowhere(connection, old)

    def describe(self, places: Sequence[Place]) -> None:
        """Give places that are known their label and metadata anew."""
        with self.writing() as connection:
            for place in places:
                connection.execute(
                    "UPDATE places SET label = ?1, metadata = ?2 WHERE path = ?3 "
                    "AND (label IS NOT ?1 OR metadata IS NOT ?2)",
                    (place.label, metadata_text(place), place.path),
                )

    def forget(self, paths: Sequence[str]) -> int:
        """Drop places, and the pictures that lie nowhere else; how many pictures went."""
        with self.writing() as connection:
            removed = 0
            for path in paths:
                row = row_at(connection, path)
                connection.execute("DELETE FROM places WHERE path = ?", (path,))
                removed += row is not None and remove_if_nowhere(connection, row)
            return removed

    def records(self, connection: Connection, rows: Sequence[int]) -> dict[int, Record]:
        """The records of these rows; those that are gone are left out."""
        marks = ",".join("?" * len(rows))
        places: dict[int, list[list[Any]]] = {}
        for row, *place in connection.execute(
            "SELECT row, path, label, metadata, size, modified_ns FROM places "
            f"WHERE row IN ({marks}) ORDER BY place",
            rows,
        ):
            places.setdefault(row, []).append(place)
        pictures = connection.execute(
            "SELECT row, id, format, width, height, size, added FROM pictures "
            f"WHERE row IN ({marks})",
            rows,
        ).fetchall()
        with readable(self.folder):
            return {
                row: Record(
                    id.hex(), format, width, height, size, added, tuple(map(_place, places[row]))
                )
                for row, id, format, width, height, size, added in pictures
                if row in places
            }

    def row_of(self, connection: Connection, id: str) -> int | None:
        """The row of this id, or of the only one that begins with it (at least 8 digits)."""
        if not 8 <= len(id) <= 64 or set(id) - set("0123456789abcdef"):
            return None
        first = bytes.fromhex(id.ljust(64, "0"))
        last = bytes.fromhex(id.ljust(64, "f"))
        found = connection.execute(
            "SELECT row FROM pictures WHERE id BETWEEN ? AND ? LIMIT 2", (first, last)
        ).fetchall()
        return found[0][0] if len(found) == 1 else None

    def rows_of(self, connection: Connection, ids: Sequence[str]) -> dict[int, str]:
        """The id at each row that has one of these whole ids; few queries for many."""
        found: dict[int, str] = {}
        for start in range(0, len(ids), _AT_ONCE):
            some = [bytes.fromhex(id) for id in ids[start : start + _AT_ONCE]]
            marks = ",".join("?" * len(some))
            query = f"SELECT row, id FROM pictures WHERE id IN ({marks})"
            found.update((row, id.hex()) for row, id in connection.execute(query, some))
        return found

    def newest(self, connection: Connection, offset: int, limit: int) -> list[int]:
        """Rows, the newest first."""
        found = connection.execute(
            "SELECT row FROM pictures ORDER BY row DESC LIMIT ? OFFSET ?", (limit, offset)
        )
        return [row for (row,) in found]

    def below(self, connection: Connection, row: int, limit: int) -> list[int]:
        """Rows below this one, the newest first."""
        found = connection.execute(
            "SELECT row FROM pictures WHERE row < ? ORDER BY row DESC LIMIT ?",
            (row, limit),
        )
        return [row for (row,) in found]

    def rows_in_several_places(self, connection: Connection) -> list[int]:
        """Rows of pictures that lie at more than one place, ascending."""
        found = connection.execute(
            "SELECT row FROM places WHERE row IS NOT NULL "
            "GROUP BY row HAVING count(*) > 1 ORDER BY row"
        )
        return [row for (row,) in found]

    def rows_where(self, connection: Connection, where: Filter) -> Rows:
        """The rows that pass a filter, ascending."""
        text, parameters = condition(where)
        cursor = connection.execute(
            "SELECT DISTINCT pictures.row FROM places JOIN pictures ON pictures.row = places.row "
            f"WHERE {text} ORDER BY pictures.row",
            parameters,
        )
        return np.fromiter((row for (row,) in cursor), np.int64)

    def ledger(self, paths: Sequence[str]) -> dict[str, LedgerEntry]:
        """What became of those of these paths that were ever seen."""
        with self.reading() as connection:
            rows = connection.execute(
                f"{ledger.QUERY} JOIN json_each(?) AS wanted ON wanted.value = places.path",
                (json.dumps(paths),),
            )
            return {row[0]: ledger.entry(*row) for row in rows}

    def refused(self) -> Iterator[LedgerEntry]:
        """Every path that gave no picture."""
        with self.reading() as connection:
            rows = connection.execute(f"{ledger.QUERY} WHERE reason IS NOT NULL ORDER BY path")
            entries = [ledger.entry(*row) for row in rows]
        yield from entries

    def paths_below(self, root: str) -> list[str]:
        """The paths ever seen that are `root`, or lie in it or inside it as an archive."""
        folder = root.rstrip("/")
        with self.reading() as connection:
            # '0' follows '/' in the order of characters, so this is a range of the path's index.
            rows = connection.execute(
                "SELECT path FROM places WHERE path = ?1 OR (path >= ?2 AND path < ?3) "
                "OR (path >= ?4 AND path < ?5)",
                (root, folder + "/", folder + "0", folder + "!/", folder + "!0"),
            )
            return [path for (path,) in rows]

    def count(self, connection: Connection) -> int:
        """How many pictures are stored."""
        return int(connection.execute("SELECT count(*) FROM pictures").fetchone()[0])

    def count_after(self, connection: Connection, row: int) -> int:
        """How many of them are above row `row`."""
        query = "SELECT count(*) FROM pictures WHERE row > ?"
        return int(connection.execute(query, (row,)).fetchone()[0])

    def rows(self, connection: Connection) -> Rows:
        """The rows of all pictures, ascending."""
        cursor = connection.execute("SELECT row FROM pictures ORDER BY row")
        return np.fromiter((row for (row,) in cursor), np.int64)

    def counts(self) -> dict[str, Any]:
        """What is stored, in numbers."""
        with self.reading() as connection:
            places, failed, ignored, labels = connection.execute(
                "SELECT count(row), count(*) FILTER (WHERE reason IS NOT NULL AND recognised),"
                " count(*) FILTER (WHERE reason IS NOT NULL AND NOT recognised),"
                " count(DISTINCT label) FILTER (WHERE row IS NOT NULL) FROM places"
            ).fetchone()
            original, newest = connection.execute(
                "SELECT coalesce(sum(size), 0), max(added) FROM pictures"
            ).fetchone()
            formats = connection.execute(
                "SELECT format, count(*) FROM pictures GROUP BY format ORDER BY 2 DESC"
            ).fetchall()
            pictures = self.count(connection)
            ((pages,), (page,)) = (
                connection.execute(f"PRAGMA {each}").fetchone()
                for each in ("page_count", "page_size")
            )
        return {
            "pictures": pictures,
            "places": places,
            "failed": failed,
            "ignored": ignored,
            "labels": labels,
            "formats": dict(formats),
            "original_bytes": original,
            "catalogue_bytes": pages * page,  # some of them may still be in the log
            "newest": newest,
        }

    def vectors_after(
        self, connection: Connection, embedding: Embedding, row: int, block: int = 4096
    ) -> Iterator[tuple[Rows, Vectors]]:
        """Stored vectors by ascending row, from the one after `row`, a block at a time.

        Between two blocks nothing is held open, so a slow reader is in nobody's way.
        """
        query = (
            f"SELECT row, vector FROM vectors_{embedding.number} WHERE row > ? ORDER BY row LIMIT ?"
        )
        while found := connection.execute(query, (row, block)).fetchall():
            row = found[-1][0]
            yield self._matrix(embedding, found)

    def block(
        self, numbers: Mapping[str, int], after: int, size: int
    ) -> tuple[int, list[Record], dict[str, Vectors]] | None:
        """The `size` pictures above row `after`: the last row, the records and their vectors.

        `numbers`: of the embeddings whose vectors are wanted, by name. All of one state.
        """
        with self.reading() as connection:
            connection.execute("BEGIN")
            try:
                found = connection.execute(
                    "SELECT row FROM pictures WHERE row > ? ORDER BY row LIMIT ?", (after, size)
                )
                rows = [row for (row,) in found]
                tables = {n: embeddings.in_use(connection, number) for n, number in numbers.items()}
                records = self.records(connection, rows)
                vectors = {
                    name: self.vectors_at(connection, table, np.array(rows, np.int64))[1]
                    for name, table in tables.items()
                }
            finally:
                if connection.sqlite.in_transaction:
                    connection.execute("ROLLBACK")
        if {len(records), *map(len, vectors.values())} != {len(rows)}:
            raise CollectionDamaged(self.folder, "a picture in it lacks its vectors or its place")
        return (rows[-1], [records[row] for row in rows], vectors) if rows else None

    def vectors_at(
        self, connection: Connection, embedding: Embedding, rows: Rows
    ) -> tuple[Rows, Vectors]:
        """Those of `rows` that are still there, ascending, and their vectors, float32 [n, dim]."""
        return self._matrix(
            embedding,
            connection.execute(
                f"SELECT row, vector FROM vectors_{embedding.number} "
                "WHERE row IN (SELECT value FROM json_each(?)) ORDER BY row",
                (json.dumps(rows.tolist()),),
            ).fetchall(),
        )

    def removals_after(self, connection: Connection, number: int) -> tuple[int, Rows]:
        """The number of the last removal, and the rows removed after removal `number`."""
        found = connection.execute(
            "SELECT number, row FROM removals WHERE number > ? ORDER BY number", (number,)
        ).fetchall()
        last = found[-1][0] if found else number
        return last, np.array(sorted({row for _, row in found}), np.int64)

    def set_cache(self, embedding: Embedding, token: str) -> None:
        """Make an index file the current one."""
        with self.writing() as connection:
            connection.execute(
                "UPDATE embeddings SET cache = ? WHERE number = ?", (token, embedding.number)
            )

    def integrity(self) -> str:
        """`ok`, or the first thing that is wrong with the file."""
        with self.reading() as connection:
            return str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])

    def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file.

        One that another thread is using is closed when that gives it back.
        """
        self._closed = True
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().sqlite.close()

    def _matrix(
        self, embedding: Embedding, found: Sequence[tuple[int, bytes]]
    ) -> tuple[Rows, Vectors]:
        """Rows, and their vectors as one array, float32 [n, dim]."""
        with readable(self.folder):
            matrix = np.frombuffer(b"".join(vector for _, vector in found), np.float32)
            vectors = matrix.reshape(len(found), embedding.dim)
        return np.array([row for row, _ in found], np.int64), vectors

    def _check_format(self) -> None:
        with self.reading() as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION_ID:
            raise NotACollection(self.folder, f"its {FILE} is not one of ours")
        if version > VERSION:
            raise CollectionTooNew(self.folder, version, VERSION)

    def _give_back(self, connection: Connection) -> None:
        self._idle.append(connection)
        if self._closed:  # meanwhile, by another thread
            self.close()

    def _connect(self) -> Connection:
        options = "mode=rw"
        if not os.access(self.folder, os.W_OK):
            # Nobody can have left a log that still counts in a folder that cannot be written.
            log = self._path.with_name(FILE + "-wal")
            options = "mode=ro" if log.exists() else "mode=ro&immutable=1"
        sqlite = sqlite3.connect(
            f"file:{quote(str(self._path.absolute()))}?{options}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_SECONDS,
            cached_statements=256,
        )
        sqlite.execute("PRAGMA synchronous=FULL")
        return Connection(sqlite)


def _place(columns: Sequence[Any]) -> Place:
    path, label, metadata, size, modified_ns = columns
    return Place(path, label, {} if metadata == "{}" else json.loads(metadata), size, modified_ns)


def _publish(temporary: Path, target: Path) -> None:
    """Give a file its name unless another has it by now."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not target.exists():
            temporary.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why_not(folder: Path) -> str:
    if not folder.exists():
        return "there is nothing there"
    return f"it has no {FILE}" if folder.is_dir() else "it is a file, a collection is a folder"

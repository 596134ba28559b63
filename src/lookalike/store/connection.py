"""A SQLite connection, and what its errors mean to a user."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..errors import CannotWrite, CollectionBusy, CollectionDamaged

BUSY_SECONDS = 30.0
"""How long a write waits for another process's."""


class Connection:
    """One SQLite connection, used by one thread at a time."""

    def __init__(self, sqlite: sqlite3.Connection) -> None:
        self.sqlite = sqlite
        self.execute = sqlite.execute
        self._seen = -1
        # Kept, as every search asks.
        self._version = sqlite.cursor()

    def changed(self) -> bool:
        """Whether anybody, in any process, has committed since this was last asked."""
        (version,) = self._version.execute("PRAGMA data_version").fetchone()
        changed, self._seen = version != self._seen, version
        return bool(changed)

    def committed(self) -> None:
        """Count this connection's own commit as a change, which SQLite does not."""
        self._seen = -1


@contextlib.contextmanager
def readable(folder: Path) -> Iterator[None]:
    """What a damaged file makes of the values in it, which SQLite does not notice."""
    try:
        yield
    except (TypeError, ValueError, AttributeError) as error:
        raise CollectionDamaged(
            folder, f"a value in it is not what was written ({error})"
        ) from error


@contextlib.contextmanager
def translated(folder: Path) -> Iterator[None]:
    """SQLite's errors as ours, by the primary code in the low byte."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise CollectionDamaged(folder, "text in it is not UTF-8") from error
    except sqlite3.Error as error:
        said = str(error).partition(" with text ")[0]  # what it quotes may be anything
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise CollectionBusy(folder, BUSY_SECONDS) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise CollectionDamaged(folder, f"SQLite says {said}") from error
        if code == sqlite3.SQLITE_FULL:
            raise CannotWrite(folder, "the disk is full") from error
        if code == sqlite3.SQLITE_READONLY:
            raise CannotWrite(folder, "it is read-only") from error
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM):
            raise CannotWrite(folder, str(error)) from error
        if code == sqlite3.SQLITE_ERROR and isinstance(error, sqlite3.OperationalError):
            # Tables that are not as we made them, text that is none.
            raise CollectionDamaged(folder, f"SQLite says {said}") from error
        raise

"""One state of an embedded store as files of their own, taken while others read and write it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from . import embeddings
from .catalogue import FILE, Catalogue
from .connection import Connection, translated
from .embeddings import Embedding

CACHES = ("index", "local")
"""The folders of what is kept beside the catalogue: one folder each version."""
_TRIES = 5


def take(folder: Path, into: Path) -> None:
    """Copy the catalogue as it is at one moment, and the index files that go with it.

    Nobody is kept waiting. Should an index be replaced meanwhile, the copy is taken again.
    """
    with contextlib.closing(Catalogue(folder)) as catalogue:
        for _ in range(_TRIES):
            _clear(into)
            with catalogue.reading() as connection:
                _copy(connection, into / FILE)
            with current(into) as copied:
                wanted = embeddings.caches(copied)
            copied_all = _copy_caches(folder, into, wanted)
            with catalogue.reading() as connection:
                if copied_all and wanted == embeddings.caches(connection):
                    return


@contextlib.contextmanager
def current(folder: Path) -> Iterator[Connection]:
    """A connection to the catalogue in a folder, to be read from."""
    with contextlib.closing(Catalogue(folder)) as catalogue, catalogue.reading() as connection:
        yield connection


def embeddings_in(folder: Path) -> dict[str, Embedding]:
    """The kinds of vectors that a store has, by name."""
    with current(folder) as connection:
        return embeddings.current(connection)


def cache_folders(folder: Path) -> list[Path]:
    """Those that the catalogue names, or that belong to it by their own names."""
    with current(folder) as connection:
        named = embeddings.caches(connection)
    found = [folder / "index" / name for name in sorted(named)]
    return [each for each in (*found, *sorted(folder.glob("local/*"))) if each.is_dir()]


def paths_beginning(folder: Path, prefix: str) -> list[str]:
    """The places of pictures that begin so, in order."""
    with current(folder) as connection:
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        rows = connection.execute(
            "SELECT path FROM places WHERE row IS NOT NULL AND path >= ? AND path < ? "
            "ORDER BY path",
            (prefix, after),
        )
        return [path for (path,) in rows]


def local_fingerprint(folder: Path) -> str:
    """Of what made the local features that are stored; empty if there are none."""
    with current(folder) as connection:
        found = connection.execute("SELECT value FROM about WHERE name = 'local'").fetchone()
    return found[0] if found else ""


def strange(folder: Path) -> str | None:
    """What a catalogue of ours never holds, and would act when it is written; None if nothing."""
    with current(folder) as connection:
        found = connection.execute(
            "SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index') "
            "OR upper(sql) LIKE 'CREATE VIRTUAL%' LIMIT 1"
        ).fetchone()
    return " ".join(found) if found else None


def _copy(connection: Connection, path: Path) -> None:
    """In one step, so that it is of one moment; in WAL mode writers go on meanwhile."""
    with translated(path.parent), contextlib.closing(sqlite3.connect(path)) as copy:
        connection.sqlite.backup(copy)


def _copy_caches(folder: Path, into: Path, wanted: set[str]) -> bool:
    """Whether all those that are wanted could be copied."""
    try:
        for name in wanted:
            shutil.copytree(folder / "index" / name, into / "index" / name)
    except OSError:  # it has been replaced, and so deleted
        return False
    for path in folder.glob("local/*-*-*-*"):
        try:
            shutil.copytree(path, into / "local" / path.name)
        except OSError:  # its successor says more, and is made anew where it is not copied
            shutil.rmtree(into / "local" / path.name, ignore_errors=True)
    return True


def _clear(folder: Path) -> None:
    for name in CACHES:
        shutil.rmtree(folder / name, ignore_errors=True)
    for ending in ("", "-wal", "-shm"):
        (folder / f"{FILE}{ending}").unlink(missing_ok=True)

"""The local features in a catalogue. Each function is a step inside its caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from .connection import Connection


def stored(connection: Connection, fingerprint: str, rows: Sequence[int]) -> dict[int, bytes]:
    """Packed, by row, those of these rows that have features of this extractor."""
    if not _are_of(connection, fingerprint):
        return {}
    found = connection.execute(
        "SELECT row, features FROM local_features "
        "WHERE row IN (SELECT value FROM json_each(?)) ORDER BY row",
        (json.dumps(rows),),
    )
    return dict(found.fetchall())


def after(
    connection: Connection, fingerprint: str, number: int, limit: int
) -> list[tuple[int, int, bytes]]:
    """The next so many after the one of this number: number, row, features."""
    if not _are_of(connection, fingerprint):
        return []
    return connection.execute(
        "SELECT number, row, features FROM local_features WHERE number > ? ORDER BY number LIMIT ?",
        (number, limit),
    ).fetchall()


def numbers(connection: Connection, fingerprint: str) -> list[int]:
    """Of all that are of this extractor, ascending."""
    if not _are_of(connection, fingerprint):
        return []
    found = connection.execute("SELECT number FROM local_features ORDER BY number")
    return [number for (number,) in found]


def count(connection: Connection, fingerprint: str) -> int:
    """How many pictures have features of this extractor."""
    if not _are_of(connection, fingerprint):
        return 0
    return int(connection.execute("SELECT count(*) FROM local_features").fetchone()[0])


def last_number(connection: Connection, fingerprint: str) -> int:
    """The highest that any has had; 0 for none."""
    if not _are_of(connection, fingerprint):
        return 0
    query = "SELECT seq FROM sqlite_sequence WHERE name = 'local_features'"
    found = connection.execute(query).fetchone()
    return int(found[0]) if found else 0


def at(connection: Connection, numbers: Sequence[int]) -> list[bytes]:
    """Packed, those of these numbers that are still there."""
    found = connection.execute(
        "SELECT features FROM local_features "
        "WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number",
        (json.dumps(numbers),),
    )
    return [features for (features,) in found]


def lacking(connection: Connection, fingerprint: str, after: int, limit: int) -> list[int]:
    """Rows above `after` of pictures that have no features of this extractor."""
    missing = "TRUE"
    if _are_of(connection, fingerprint):
        missing = "NOT EXISTS (SELECT 1 FROM local_features AS l WHERE l.row = pictures.row)"
    rows = connection.execute(
        f"SELECT row FROM pictures WHERE row > ? AND {missing} ORDER BY row LIMIT ?",
        (after, limit),
    )
    return [row for (row,) in rows]


def keep(connection: Connection, fingerprint: str, features: Mapping[int, bytes]) -> None:
    """Keep packed features by row of pictures that are still there, unless they have some.

    Those of another extractor, which the collection had before, go.
    """
    if not _are_of(connection, fingerprint):
        connection.execute("DELETE FROM local_features")
        connection.execute("INSERT OR REPLACE INTO about VALUES ('local', ?)", (fingerprint,))
    for row, packed in features.items():
        connection.execute(
            "INSERT INTO local_features (row, features) SELECT row, ? FROM pictures WHERE row = ? "
            "ON CONFLICT (row) DO NOTHING",
            (packed, row),
        )


def remove(connection: Connection, row: int) -> None:
    """Those of a picture that goes."""
    connection.execute("DELETE FROM local_features WHERE row = ?", (row,))


def sizes(connection: Connection) -> tuple[int, int]:
    """How many pictures have some, and their bytes."""
    count, total = connection.execute(
        "SELECT count(*), coalesce(sum(length(features)), 0) FROM local_features"
    ).fetchone()
    return int(count), int(total)


def _are_of(connection: Connection, fingerprint: str) -> bool:
    found = connection.execute("SELECT value FROM about WHERE name = 'local'").fetchone()
    return found is not None and found[0] == fingerprint

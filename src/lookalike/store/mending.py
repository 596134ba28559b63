"""What hangs in the air in a catalogue, and pictures that lost their vectors.

Each function is a step inside its caller's reading or transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..types import Vectors
from . import Loose, embeddings
from .connection import Connection
from .writes import remove_if_nowhere

_NO_PICTURE = "NOT EXISTS (SELECT 1 FROM pictures WHERE pictures.row = {table}.row)"
_NO_PLACE = "NOT EXISTS (SELECT 1 FROM places WHERE places.row = pictures.row)"


def loose(connection: Connection) -> Loose:
    """What belongs to no picture, and the pictures that lie nowhere."""
    lost = connection.execute(
        f"SELECT path FROM places WHERE row IS NOT NULL AND {_without_picture('places')} "
        "ORDER BY path"
    )
    vectors = sum(_count(connection, table) for table in _vector_tables(connection))
    nowhere = connection.execute(f"SELECT count(*) FROM pictures WHERE {_NO_PLACE}").fetchone()[0]
    return Loose(vectors, _count(connection, "local_features"), nowhere, [path for (path,) in lost])


def drop_loose(connection: Connection) -> None:
    """Delete all that; who follows the catalogue is told of the rows."""
    for table in (*_vector_tables(connection), "local_features"):
        missing = _without_picture(table)
        connection.execute(f"INSERT INTO removals (row) SELECT row FROM {table} WHERE {missing}")
        connection.execute(f"DELETE FROM {table} WHERE {missing}")
    connection.execute(f"DELETE FROM places WHERE row IS NOT NULL AND {_without_picture('places')}")
    for (row,) in connection.execute(f"SELECT row FROM pictures WHERE {_NO_PLACE}").fetchall():
        remove_if_nowhere(connection, row)


def mend(connection: Connection, ids: Sequence[str], vectors: Mapping[int, Vectors]) -> None:
    """Give pictures that are there their vectors anew; by number, float32 [len(ids), dim].

    Each moves to a new row, as indexes follow rows upwards and never look back.
    """
    for at, id in enumerate(ids):
        digest = bytes.fromhex(id)
        found = connection.execute("SELECT row FROM pictures WHERE id = ?", (digest,)).fetchone()
        if found is not None:
            row = _moved(connection, found[0], digest)
            for number, matrix in vectors.items():
                connection.execute(
                    f"INSERT INTO vectors_{number} VALUES (?, ?)", (row, matrix[at].tobytes())
                )


def _moved(connection: Connection, old: int, id: bytes) -> int:
    """The new row of a picture, which keeps its places and local features and has no vectors."""
    about = connection.execute(
        "SELECT id, format, width, height, size, added FROM pictures WHERE row = ?", (old,)
    ).fetchone()
    connection.execute("DELETE FROM pictures WHERE id = ?", (id,))
    row = connection.execute(
        "INSERT INTO pictures (id, format, width, height, size, added) VALUES (?, ?, ?, ?, ?, ?)",
        about,
    ).lastrowid
    assert row is not None
    connection.execute("UPDATE places SET row = ? WHERE row = ?", (row, old))
    connection.execute(
        "INSERT INTO local_features (row, features) "
        "SELECT ?, features FROM local_features WHERE row = ?",
        (row, old),
    )
    for table in (*_vector_tables(connection), "local_features"):
        connection.execute(f"DELETE FROM {table} WHERE row = ?", (old,))
    connection.execute("INSERT INTO removals (row) VALUES (?)", (old,))
    return row


def _vector_tables(connection: Connection) -> Iterator[str]:
    return (f"vectors_{number}" for number in embeddings.every_number(connection))


def _count(connection: Connection, table: str) -> int:
    query = f"SELECT count(*) FROM {table} WHERE {_without_picture(table)}"
    return int(connection.execute(query).fetchone()[0])


def _without_picture(table: str) -> str:
    return _NO_PICTURE.format(table=table)

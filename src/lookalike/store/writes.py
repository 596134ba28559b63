"""What writes to the catalogue: each function a step inside its caller's transaction."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import BadQuery
from ..places import disk_path
from ..types import Place
from . import Arrival, Outcome, Refusal, embeddings, local_features
from .connection import Connection


def metadata_text(place: Place) -> str:
    """As SQLite can read it: it knows neither NaN nor half a surrogate pair, nor depths of 1000.

    Letters stay as they are, since SQLite does not see through escapes in keys.
    """
    if not place.metadata:
        return "{}"
    try:
        plain = _finite(dict(place.metadata), 0)
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadQuery(f"the metadata of {place.path} cannot be kept as JSON: {error}") from error
    return text.encode("utf-8", "replace").decode()


def _finite(value: Any, depth: int) -> Any:
    """The same with null for NaN and infinity."""
    if depth > 100:
        raise ValueError("it is nested over 100 levels deep")
    if isinstance(value, dict):
        return {key: _finite(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each, depth + 1) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def put_one(
    connection: Connection, arrival: Arrival, vectors: Mapping[int, np.ndarray[Any, Any]]
) -> Outcome:
    """Store a picture, its vectors (by embedding number) and its places, as far as they are new."""
    found = connection.execute(
        "SELECT row FROM pictures WHERE id = ?", (arrival.sha256,)
    ).fetchone()
    row = found[0] if found else _insert(connection, arrival, vectors)
    place = arrival.place
    places = {each.path: each for each in (place, *arrival.others)}
    before = {row_at(connection, path) for path in places}
    if found:
        places[place.path] = _instead_of_vanished(connection, row, place, places)
    for each in places.values():
        put_place(connection, each, row, None)
    if before == {row}:
        return "unchanged"
    others = [old for old in before if old is not None and old != row]
    for old in others:
        remove_if_nowhere(connection, old)
    if others:
        return "replaced"
    return "copy" if found else "stored"


def _insert(
    connection: Connection, arrival: Arrival, vectors: Mapping[int, np.ndarray[Any, Any]]
) -> int:
    row = connection.execute(
        "INSERT INTO pictures (id, format, width, height, size, added) VALUES (?, ?, ?, ?, ?, ?)",
        (
            arrival.sha256,
            arrival.format,
            arrival.width,
            arrival.height,
            arrival.size,
            time.time(),
        ),
    ).lastrowid
    assert row is not None
    for number, vector in vectors.items():
        connection.execute(f"INSERT INTO vectors_{number} VALUES (?, ?)", (row, vector.tobytes()))
    return row


def put_place(
    connection: Connection, place: Place, row: int | None, refusal: Refusal | None
) -> None:
    """Write down what is at a path: a picture, or why there is none."""
    connection.execute(
        "INSERT INTO places (path, row, reason, retry, recognised, size, modified_ns, label,"
        " metadata, checked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
        " row = excluded.row, reason = excluded.reason, retry = excluded.retry,"
        " recognised = excluded.recognised, size = excluded.size,"
        " modified_ns = excluded.modified_ns, checked = excluded.checked,"
        # A picture that is kept until it can be read again keeps what is said of it.
        " label = iif(excluded.retry AND excluded.row NOT NULL, places.label, excluded.label),"
        " metadata ="
        " iif(excluded.retry AND excluded.row NOT NULL, places.metadata, excluded.metadata)",
        (
            place.path,
            row,
            refusal.reason if refusal else None,
            refusal.retry if refusal else False,
            refusal.recognised if refusal else True,
            place.size,
            place.modified_ns,
            place.label,
            metadata_text(place),
            time.time(),
        ),
    )


def row_at(connection: Connection, path: str) -> int | None:
    """The row of the picture at a path, if one is there."""
    found = connection.execute("SELECT row FROM places WHERE path = ?", (path,)).fetchone()
    return found[0] if found else None


def _instead_of_vanished(
    connection: Connection, row: int, place: Place, but: Container[str]
) -> Place:
    """A picture that turns up at another place while its old file is gone has been moved.

    What a list had said of the old place is said of the new one, unless that has its own. A place
    that is not on this machine says nothing of the files on it.
    """
    places = connection.execute(
        "SELECT path, label, metadata FROM places WHERE row = ?", (row,)
    ).fetchall()
    gone = [each for each in places if each[0] not in but and vanished(each[0])]
    if not gone or vanished(place.path):
        return place
    for path, label, metadata in gone:
        connection.execute("DELETE FROM places WHERE path = ?", (path,))
        if metadata != "{}" and not place.metadata:
            place = replace(place, label=label, metadata=json.loads(metadata))
    return place


def vanished(path: str) -> bool:
    """Whether there is surely no such file: one that we may not look at can be there.

    Of a member of an archive, whether the archive is gone.
    """
    if not path.startswith(("/", "file://")):
        return False
    try:
        disk_path(path.partition("!/")[0]).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def remove_if_nowhere(connection: Connection, row: int) -> bool:
    """Remove a picture that lies nowhere any more, with its vectors; whether it did."""
    if connection.execute("SELECT 1 FROM places WHERE row = ? LIMIT 1", (row,)).fetchone():
        return False
    for number in embeddings.every_number(connection):
        connection.execute(f"DELETE FROM vectors_{number} WHERE row = ?", (row,))
    local_features.remove(connection, row)
    connection.execute("DELETE FROM pictures WHERE row = ?", (row,))
    connection.execute("INSERT INTO removals (row) VALUES (?)", (row,))
    return True

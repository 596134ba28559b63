"""The kinds of vectors in a catalogue: those in use, and those that a reindex builds beside them.

Each function is a step inside its caller's reading or transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..errors import RecipeChanged
from ..types import Vectors
from . import EmbeddingPlan
from .connection import Connection

Execute = Connection | sqlite3.Connection


class Embedding(NamedTuple):
    """A table of vectors, `vectors_NUMBER`."""

    number: int
    name: str
    dim: int
    fingerprint: str
    cache: str | None


_COLUMNS = "SELECT number, name, dim, fingerprint, cache FROM embeddings"


def current(connection: Connection) -> dict[str, Embedding]:
    """Those in use, by name."""
    rows = connection.execute(f"{_COLUMNS} WHERE NOT coming ORDER BY number")
    return {name: Embedding(number, name, *rest) for number, name, *rest in rows}


def in_use(connection: Connection, number: int) -> Embedding:
    """One of those in use; `RecipeChanged` when a reindex has done away with it."""
    found = connection.execute(f"{_COLUMNS} WHERE number = ? AND NOT coming", (number,)).fetchone()
    if found is None:
        raise RecipeChanged
    return Embedding(*found)


def caches(connection: Connection) -> set[str]:
    """The tokens of the index files that are current."""
    rows = connection.execute("SELECT cache FROM embeddings WHERE cache IS NOT NULL")
    return {token for (token,) in rows}


def add(connection: Execute, plan: EmbeddingPlan, *, coming: bool) -> int:
    """Make an empty table for one more kind of vectors; its number."""
    number = connection.execute(
        "INSERT INTO embeddings (name, coming, dim, fingerprint) VALUES (?, ?, ?, ?)",
        (plan.name, coming, plan.dim, plan.fingerprint),
    ).lastrowid
    connection.execute(
        f"CREATE TABLE vectors_{number} (row INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT"
    )
    assert number is not None
    return number


def learned(connection: Connection, *, coming: bool = False) -> dict[str, bytes]:
    """What extractors have learned from the collection's pictures, by embedding."""
    rows = connection.execute(
        "SELECT name, learned FROM embeddings WHERE coming = ? AND learned IS NOT NULL", (coming,)
    )
    return dict(rows.fetchall())


def keep_learned(connection: Connection, name: str, fingerprint: str, content: bytes) -> None:
    """Keep what an extractor in use has learned, unless another process was first."""
    connection.execute(
        "UPDATE embeddings SET learned = ?, fingerprint = ? "
        "WHERE name = ? AND NOT coming AND learned IS NULL",
        (content, fingerprint, name),
    )


def tuning(connection: Connection, number: int) -> str | None:
    """What `tune` found for one of these, as JSON; None if it has not been tuned."""
    return _about(connection, _tuning_of(number))


def keep_tuning(connection: Connection, number: int, text: str) -> None:
    """Keep what `tune` found for one of those in use, in place of what was kept before."""
    in_use(connection, number)
    connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (_tuning_of(number), text))


def coming(connection: Connection) -> dict[str, Embedding]:
    """Those that a reindex is building, by name."""
    rows = connection.execute(f"{_COLUMNS} WHERE coming ORDER BY number")
    return {name: Embedding(number, name, *rest) for number, name, *rest in rows}


def begin(
    connection: Connection,
    recipe: str,
    plans: Sequence[EmbeddingPlan],
    learned: Mapping[str, bytes],
) -> None:
    """Make tables for the embeddings of another recipe; the very same are gone on with.

    `learned`: by embedding.
    """
    building = {name: each.fingerprint for name, each in coming(connection).items()}
    wanted = {plan.name: plan.fingerprint for plan in plans}
    if _about(connection, "coming") == recipe and building == wanted:
        return
    give_up(connection)
    connection.execute("INSERT INTO about VALUES ('coming', ?)", (recipe,))
    for plan in plans:
        number = add(connection, plan, coming=True)
        connection.execute(
            "UPDATE embeddings SET learned = ? WHERE number = ?", (learned.get(plan.name), number)
        )
    take_over(connection)


def take_over(connection: Connection) -> None:
    """Bring the coming vectors of the very same model as some in use up to date with these."""
    for each, same in _with_the_same(connection):
        if same is not None:
            connection.execute(
                f"INSERT INTO vectors_{each.number} SELECT * FROM vectors_{same.number} "
                f"WHERE row > (SELECT coalesce(max(row), 0) FROM vectors_{each.number})"
            )


def _with_the_same(connection: Connection) -> list[tuple[Embedding, Embedding | None]]:
    """Those coming, each with the one in use whose vectors come from the very same model."""
    used = {(each.fingerprint, each.dim): each for each in current(connection).values()}
    every = coming(connection).values()
    return [(each, used.get((each.fingerprint, each.dim))) for each in every]


def _described(connection: Connection) -> list[Embedding]:
    """Those coming whose vectors have to be made of the pictures."""
    return [each for each, same in _with_the_same(connection) if same is None]


def begun(connection: Connection, recipe: str) -> dict[str, bytes]:
    """What was learned for a reindex to this recipe that did not end; empty if there is none."""
    same = _about(connection, "coming") == recipe
    return learned(connection, coming=True) if same else {}


def give_up(connection: Connection) -> None:
    """Drop what a reindex has built so far."""
    for each in coming(connection).values():
        _drop(connection, each)
    connection.execute("DELETE FROM about WHERE name = 'coming'")


def lacking(connection: Connection, after: int, limit: int) -> list[int]:
    """Rows above `after` of pictures that have yet to be described for some coming table."""
    missing = " OR ".join(
        f"NOT EXISTS (SELECT 1 FROM vectors_{each.number} AS v WHERE v.row = pictures.row)"
        for each in _described(connection)
    )
    rows = connection.execute(
        f"SELECT row FROM pictures WHERE row > ? AND ({missing or 'FALSE'}) ORDER BY row LIMIT ?",
        (after, limit),
    )
    return [row for (row,) in rows]


def put_coming(connection: Connection, rows: Sequence[int], vectors: Mapping[str, Vectors]) -> None:
    """Store vectors of pictures that are still there; by embedding, float32 [len(rows), dim]."""
    for each in _described(connection):
        for row, vector in zip(rows, vectors[each.name], strict=True):
            connection.execute(
                f"INSERT OR REPLACE INTO vectors_{each.number} "
                "SELECT row, ? FROM pictures WHERE row = ?",
                (vector.tobytes(), row),
            )


def swap(connection: Connection) -> None:
    """Make the coming embeddings the ones in use, and their recipe the collection's."""
    take_over(connection)
    for each in current(connection).values():
        _drop(connection, each)
    connection.execute("UPDATE embeddings SET coming = 0")
    connection.execute(
        "UPDATE about SET value = (SELECT value FROM about WHERE name = 'coming') "
        "WHERE name = 'recipe'"
    )
    connection.execute("DELETE FROM about WHERE name = 'coming'")


def _tuning_of(number: int) -> str:
    return f"tuning {number}"


def _about(connection: Connection, name: str) -> str | None:
    found = connection.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
    return found[0] if found else None


def _drop(connection: Connection, embedding: Embedding) -> None:
    connection.execute(f"DROP TABLE vectors_{embedding.number}")
    connection.execute("DELETE FROM embeddings WHERE number = ?", (embedding.number,))
    connection.execute("DELETE FROM about WHERE name = ?", (_tuning_of(embedding.number),))


def every_number(connection: Connection) -> Iterator[int]:
    """The numbers of all tables, in use or coming."""
    for (number,) in connection.execute("SELECT number FROM embeddings").fetchall():
        yield number

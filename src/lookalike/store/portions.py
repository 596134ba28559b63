"""All that a collection holds, some pictures at a time: out of a catalogue, and into a new one.

As it is, with the times at which it came, and in the order in which it did: this is how a backup
travels between kinds of stores. What a process needs for it does not grow with the collection.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..types import Judgement, Record, Vectors
from . import EmbeddingPlan, LedgerEntry, embeddings, judgements, ledger, local_features
from .catalogue import FILE, Catalogue
from .connection import Connection, translated
from .writes import metadata_text, remove_if_nowhere

AT_ONCE = 256
"""Pictures of one portion."""
_LEDGER_AT_ONCE = 5_000
_ELASTIC_TUNING = "elastic tuning "
"""Before the embedding's name; a folder has no use for it, and hands it on."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Some pictures, with all that belongs to them."""

    records: Sequence[Record]
    checked: Sequence[Sequence[float]]
    """Of each place of each picture, when it was last looked at: seconds since 1970."""
    vectors: Mapping[str, Vectors]
    """By embedding, as they came, float32 [len(records), dim]."""
    local: Mapping[str, bytes]
    """Packed local features by id, of those pictures that have some."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What belongs to no single picture."""

    recipe: str
    """Its text."""
    embeddings: Mapping[str, tuple[int, str]]
    """By name: the length of the vectors, and the fingerprint of what made them."""
    learned: Mapping[str, bytes]
    """By embedding."""
    local: str
    """The fingerprint of what made the local features; empty if there are none."""
    judgements: Sequence[Judgement]
    calibration: str | None
    elastic_tuning: Mapping[str, str]
    """By embedding: what `tune` has found of an index in Elasticsearch, as JSON."""


class Outgoing:
    """A catalogue that nobody writes to."""

    def __init__(self, folder: Path) -> None:
        self._catalogue = Catalogue(folder)

    def beside(self) -> Beside:
        """What belongs to no single picture."""
        about = self._catalogue.about()
        with self._catalogue.reading() as connection:
            stored = embeddings.current(connection)
            return Beside(
                self._catalogue.recipe(),
                {name: (each.dim, each.fingerprint) for name, each in stored.items()},
                embeddings.learned(connection),
                about.get("local", ""),
                list(judgements.every(connection)),
                about.get("calibration"),
                {
                    name.removeprefix(_ELASTIC_TUNING): text
                    for name, text in about.items()
                    if name.startswith(_ELASTIC_TUNING)
                },
            )

    def portions(self) -> Iterator[Portion]:
        """Every picture, the oldest first."""
        with self._catalogue.reading() as connection:
            stored = embeddings.current(connection)
        numbers = {name: each.number for name, each in stored.items()}
        local, after = self.beside().local, 0
        while block := self._catalogue.block(numbers, after, AT_ONCE):
            after, records, vectors = block
            ids = [record.id for record in records]
            with self._catalogue.reading() as connection:
                id_at = self._catalogue.rows_of(connection, ids)
                features = local_features.stored(connection, local, list(id_at))
                checked = _checked(connection, id_at)
            yield Portion(
                records,
                [checked[id] for id in ids],
                vectors,
                {id_at[row]: data for row, data in features.items()},
            )

    def refused(self) -> Iterator[list[LedgerEntry]]:
        """Every path that gave no picture, some at a time."""
        after = ""
        while True:
            with self._catalogue.reading() as connection:
                rows = connection.execute(
                    f"{ledger.QUERY} WHERE reason IS NOT NULL AND path > ? ORDER BY path LIMIT ?",
                    (after, _LEDGER_AT_ONCE),
                )
                entries = [ledger.entry(*row) for row in rows]
            if not entries:
                return
            yield entries
            after = entries[-1].path

    def close(self) -> None:
        """Close the file."""
        self._catalogue.close()


def write(
    folder: Path,
    beside: Beside,
    portions: Iterable[Portion],
    refused: Iterable[Sequence[LedgerEntry]],
) -> None:
    """Make a catalogue of all this in a folder that has none.

    Of two pictures that both claim a place, the one has it that was found there last.
    """
    about = {"recipe": beside.recipe}
    if beside.local:
        about["local"] = beside.local
    if beside.calibration is not None:
        about["calibration"] = beside.calibration
    about |= {_ELASTIC_TUNING + name: text for name, text in beside.elastic_tuning.items()}
    plans = [
        EmbeddingPlan(name, dim, fingerprint, "", "", None)
        for name, (dim, fingerprint) in beside.embeddings.items()
    ]
    Catalogue.create(folder, about, plans).close()
    with translated(folder), contextlib.closing(_unsafe(folder / FILE)) as sqlite:
        connection = Connection(sqlite)
        with sqlite:
            for name, content in beside.learned.items():
                embeddings.keep_learned(connection, name, beside.embeddings[name][1], content)
            judgements.keep(connection, beside.judgements)
        numbers = {name: each.number for name, each in embeddings.current(connection).items()}
        row = 1
        for portion in portions:
            with sqlite:
                _put(sqlite, portion, numbers, row)
            row += len(portion.records)
        for entries in refused:
            with sqlite:
                sqlite.executemany(_REFUSED, map(_refusal, entries))
        with sqlite:
            for (gone,) in connection.execute(_NOWHERE).fetchall():
                remove_if_nowhere(connection, gone)


_PLACE = """
    INSERT OR REPLACE INTO places (path, row, size, modified_ns, label, metadata, checked)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
    WHERE NOT EXISTS (SELECT 1 FROM places WHERE path = ?1 AND checked >= ?7)
"""
_REFUSED = """
    INSERT INTO places (path, reason, retry, recognised, size, modified_ns, checked)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET
    row = CASE WHEN excluded.retry THEN places.row END, reason = excluded.reason,
    retry = excluded.retry, recognised = excluded.recognised, size = excluded.size,
    modified_ns = excluded.modified_ns, checked = excluded.checked
    WHERE excluded.checked >= places.checked
"""
_NOWHERE = """
    SELECT row FROM pictures
    WHERE NOT EXISTS (SELECT 1 FROM places WHERE places.row = pictures.row)
"""


def _unsafe(path: Path) -> sqlite3.Connection:
    """A connection that waits for no disk: what it writes counts only once all of it is there."""
    sqlite = sqlite3.connect(path)
    sqlite.execute("PRAGMA synchronous=OFF")
    return sqlite


def _put(
    sqlite: sqlite3.Connection, portion: Portion, numbers: Mapping[str, int], first: int
) -> None:
    """A portion, at rows from the first on."""
    rows = range(first, first + len(portion.records))
    at = dict(zip((record.id for record in portion.records), rows, strict=True))
    sqlite.executemany(
        "INSERT INTO pictures (row, id, format, width, height, size, added) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (at[r.id], bytes.fromhex(r.id), r.format, r.width, r.height, r.size, r.added)
            for r in portion.records
        ),
    )
    for name, matrix in portion.vectors.items():
        vectors = ((row, vector.tobytes()) for row, vector in zip(rows, matrix, strict=True))
        sqlite.executemany(f"INSERT INTO vectors_{numbers[name]} VALUES (?, ?)", vectors)
    sqlite.executemany(_PLACE, _places(portion, at))
    features = ((at[id], data) for id, data in portion.local.items())
    sqlite.executemany("INSERT INTO local_features (row, features) VALUES (?, ?)", features)


def _places(portion: Portion, at: Mapping[str, int]) -> Iterator[tuple[Any, ...]]:
    for record, times in zip(portion.records, portion.checked, strict=True):
        for place, checked in zip(record.places, times, strict=True):
            yield (
                place.path,
                at[record.id],
                place.size,
                place.modified_ns,
                place.label,
                metadata_text(place),
                checked,
            )


def _refusal(entry: LedgerEntry) -> tuple[Any, ...]:
    return (
        entry.path,
        entry.reason,
        entry.verdict == "retry",
        entry.recognised,
        entry.size,
        entry.modified_ns,
        entry.checked,
    )


def _checked(connection: Connection, id_at: Mapping[int, str]) -> dict[str, list[float]]:
    """Of each place of these pictures when it was last looked at, in the places' order, by id."""
    found: dict[str, list[float]] = {id: [] for id in id_at.values()}
    for row, checked in connection.execute(
        "SELECT row, checked FROM places WHERE row IN (SELECT value FROM json_each(?)) "
        "ORDER BY place",
        (json.dumps(list(id_at)),),
    ):
        found[id_at[row]].append(checked)
    return found

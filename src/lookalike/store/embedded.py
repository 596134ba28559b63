"""The store of one machine: a SQLite file that is the truth, an index beside it that is fast."""

from __future__ import annotations

import contextlib
import fcntl
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from .. import registry
from ..errors import (
    BadQuery,
    CannotWrite,
    ModelMismatch,
    ReindexUnderWay,
    UnknownPicture,
)
from ..filters import Filter
from ..local.packing import packed, unpacked
from ..types import (
    Effort,
    Finding,
    Judgement,
    LocalFeatures,
    Place,
    Record,
    Rows,
    Trial,
    Tuning,
    Vectors,
)
from . import (
    ANYWHERE,
    NO_LOCAL_FEATURES,
    Arrival,
    EmbeddingPlan,
    Facets,
    Kept,
    LedgerEntry,
    LocalPlan,
    Look,
    Loose,
    Outcome,
    Refusal,
    Sample,
    embeddings,
    facets,
    judgements,
    local_features,
    mending,
)
from .catalogue import Catalogue, PackedFeatures
from .checked import storable
from .connection import readable
from .embedding_index import EmbeddingIndex
from .local_index import CatalogueFeatures, SavedFiles
from .near_pairs import near_pairs
from .votes import Votes
from .writes import remove_if_nowhere

_RECORDS_KEPT = 100_000
_FILTERS_KEPT = 32
_ABOVE_ALL = 2**63 - 1
"""A row number that no picture gets."""
_CALIBRATION = "calibration"


class _Seen:
    """What was read of one state of the catalogue; dropped whole when that changes."""

    def __init__(self) -> None:
        self.state = object()
        self.records: dict[int, Record] = {}
        self.allowed: dict[Filter, Rows] = {}
        self.calibration: tuple[str | None] | None = None
        self.count: int | None = None


class EmbeddedStore:
    """See `Store`. Several processes may use one folder: each notices the others' commits."""

    def __init__(
        self,
        folder: Path,
        plans: Sequence[EmbeddingPlan],
        local: LocalPlan = NO_LOCAL_FEATURES,
    ) -> None:
        self._catalogue = Catalogue(folder)
        self._local = local
        try:
            with self._catalogue.reading() as connection:
                stored = embeddings.current(connection)
            for plan in plans:
                found = stored[plan.name].fingerprint if plan.name in stored else "none"
                if found != plan.fingerprint:
                    raise ModelMismatch(folder, plan.name, found, plan.fingerprint)
        except BaseException:
            self._catalogue.close()
            raise
        self._stored = stored
        self._indexes = {
            plan.name: EmbeddingIndex(self._catalogue, plan, stored[plan.name].number)
            for plan in plans
        }
        self._votes = Votes(
            CatalogueFeatures(self._catalogue, local.fingerprint),
            SavedFiles(self._catalogue, local.fingerprint),
        )
        self._noting = threading.Lock()
        self._changes = 0
        self._seen = _Seen()

    @staticmethod
    def create(folder: Path, recipe: str, plans: Sequence[EmbeddingPlan]) -> None:
        """Make an empty store; one that is there already is left as it is."""
        Catalogue.create(folder, {"recipe": recipe}, plans).close()

    @staticmethod
    def replace_empty(folder: Path, recipe: str, plans: Sequence[EmbeddingPlan]) -> bool:
        """Give a store without pictures another recipe; whether it had none."""
        with contextlib.closing(Catalogue(folder)) as catalogue, catalogue.writing() as connection:
            if catalogue.count(connection):
                return False
            embeddings.begin(connection, recipe, plans, {})
            embeddings.swap(connection)
            return True

    @staticmethod
    def made_with(folder: Path) -> Kept:
        """The recipe that a store has, and what the extractors have learned from its pictures."""
        with contextlib.closing(Catalogue(folder)) as catalogue, catalogue.reading() as connection:
            return Kept(catalogue.recipe(), embeddings.learned(connection))

    def put(
        self,
        arrivals: Sequence[Arrival],
        vectors: Mapping[str, Vectors],
        local: Sequence[LocalFeatures] | None = None,
    ) -> list[Outcome]:
        """Store all in one transaction; durable and findable when this returns."""
        if set(vectors) != set(self._stored):
            raise BadQuery(
                f"vectors for {', '.join(vectors) or 'nothing'}, expected {', '.join(self._stored)}"
            )
        if any(len(arrival.sha256) != 32 for arrival in arrivals):
            raise BadQuery("a picture's sha256 has 32 bytes; nothing was stored")
        dims = {name: each.dim for name, each in self._stored.items()}
        checked = storable(vectors, dims, len(arrivals))
        numbered = {self._stored[name].number: matrix for name, matrix in checked.items()}
        if local is None:
            return self._catalogue.put(arrivals, numbered)
        by_id = {
            arrival.sha256.hex(): packed(features, (arrival.width, arrival.height))
            for arrival, features in zip(arrivals, local, strict=True)
        }
        return self._catalogue.put(
            arrivals, numbered, PackedFeatures(self._local.fingerprint, by_id)
        )

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """Note paths that gave no picture. One that may be retried keeps what it gave before."""
        self._catalogue.refuse(refusals)

    def describe(self, places: Sequence[Place]) -> None:
        """Give places that are known their label and metadata anew."""
        self._catalogue.describe(places)

    def forget(self, paths: Sequence[str]) -> int:
        """Drop places, and the pictures that lie nowhere else; how many pictures went."""
        return self._catalogue.forget(paths)

    def get(self, id: str) -> Record | None:
        """The record of this id, or of the only one that begins with it."""
        seen = self._current()
        with self._catalogue.reading() as connection:
            row = self._catalogue.row_of(connection, id)
        return None if row is None else self._records(seen, [[row]]).get(row)

    def vectors(self, embedding: str, id: str) -> Vectors:
        """The stored vector of a picture as it came, float32 [1, dim]."""
        with self._catalogue.reading() as connection:
            table = embeddings.in_use(connection, self._stored[embedding].number)
            row = self._catalogue.row_of(connection, id)
            rows = np.array([] if row is None else [row], np.int64)
            _, found = self._catalogue.vectors_at(connection, table, rows)
            if len(found) == 0:  # none is, or it has just been removed
                raise UnknownPicture(id)
            return found

    def vectors_of(self, embedding: str, ids: Sequence[str]) -> dict[str, Vectors]:
        """Those of pictures that are there, as they came, float32 [1, dim], by whole id."""
        with self._catalogue.reading() as connection:
            table = embeddings.in_use(connection, self._stored[embedding].number)
            id_at = self._catalogue.rows_of(connection, ids)
            rows, found = self._catalogue.vectors_at(
                connection, table, np.array(list(id_at), np.int64)
            )
        return {id_at[row]: found[i : i + 1] for i, row in enumerate(rows.tolist())}

    def compared(self, embedding: str, vectors: Vectors) -> Vectors:
        """Vectors as they came, float32 [n, dim] -> as they are compared, perhaps shorter."""
        self._current(embedding)
        return self._indexes[embedding].vectors.prepared(vectors)

    def local_features(self, ids: Sequence[str]) -> dict[str, LocalFeatures]:
        """Those that are stored of these pictures, by id."""
        with self._catalogue.reading() as connection:
            id_at = self._catalogue.rows_of(connection, ids)
            found = local_features.stored(connection, self._local.fingerprint, list(id_at))
        with readable(self._catalogue.folder):
            return {id_at[row]: unpacked(data) for row, data in found.items()}

    def keep_local_features(self, features: Mapping[str, LocalFeatures]) -> None:
        """Keep those of pictures that have none yet, by id."""
        seen = self._current()
        with self._catalogue.reading() as connection:
            id_at = self._catalogue.rows_of(connection, list(features))
        records = self._records(seen, [list(id_at)])
        made = {
            row: packed(features[id], (records[row].width, records[row].height))
            for row, id in id_at.items()
            if row in records
        }
        if not made:  # a commit would be a change to whoever watches `state`
            return
        with self._catalogue.writing() as connection:
            for each in self._stored.values():
                embeddings.in_use(connection, each.number)
            local_features.keep(connection, self._local.fingerprint, made)

    def lacking_local_features(self, after: int, limit: int) -> list[tuple[int, Record]]:
        """Pictures without local features, by row, above `after`."""
        with self._catalogue.reading() as connection:
            rows = local_features.lacking(connection, self._local.fingerprint, after, limit)
            records = self._catalogue.records(connection, rows)
        return [(row, records[row]) for row in rows if row in records]

    def voted(
        self,
        features: Sequence[LocalFeatures],
        count: int | None,
        look: Look = ANYWHERE,
        *,
        exactly: bool = False,
    ) -> list[list[tuple[Record, float]]]:
        """The `count` records that the local features of each query vote for, best first."""
        seen = self._current()
        allowed = None if look.where is None else self._allowed(seen, look.where)
        of_one = self._votes.matched if exactly else self._votes.voted
        found = [of_one(each, count, allowed) for each in features]
        records = self._records(seen, [rows for rows, _ in found])
        return [
            [(records[row], score) for row, score in zip(*each, strict=True) if row in records]
            for each in found
        ]

    def scan(self, offset: int, limit: int) -> list[Record]:
        """Records, the newest first."""
        seen = self._current()
        with self._catalogue.reading() as connection:
            rows = self._catalogue.newest(connection, offset, limit)
        records = self._records(seen, [rows])
        return [records[row] for row in rows if row in records]

    def page(self, after: str | None, limit: int) -> tuple[list[Record], str | None]:
        """Records, the newest first, and where the next page begins: None if there is none."""
        if after is not None and not re.fullmatch("[0-9]{1,18}", after):
            raise BadQuery("this is not where a page of this collection ends")
        seen = self._current()
        with self._catalogue.reading() as connection:
            rows = self._catalogue.below(
                connection, _ABOVE_ALL if after is None else int(after), limit + 1
            )
        records = self._records(seen, [rows[:limit]])
        further = str(rows[limit - 1]) if len(rows) > limit else None
        return [records[row] for row in rows[:limit] if row in records], further

    def blocks(
        self, embeddings: Sequence[str], size: int = 1024
    ) -> Iterator[tuple[list[Record], dict[str, Vectors]]]:
        """Every record with its vectors, the oldest first, at most `size` at a time."""
        numbers = {name: self._stored[name].number for name in embeddings}
        after = 0
        while block := self._catalogue.block(numbers, after, size):
            after, records, vectors = block
            yield records, vectors

    def nearest(
        self, embedding: str, queries: Vectors, k: int | None, look: Look = ANYWHERE
    ) -> list[list[tuple[Record, float]]]:
        """The `k` nearest records of each query, float32 [q, dim], with scores, best first.

        Without `k`, all that the effort reaches, and score enough: linear in their number.
        """
        seen = self._current(embedding)
        index = self._indexes[embedding]
        allowed = None if look.where is None else self._allowed(seen, look.where)
        effort = index.usual if look.effort is None else look.effort.or_else(index.usual)
        if k is None:
            least = -math.inf if look.least is None else look.least
            every = [
                index.vectors.everything(queries[i : i + 1], allowed, effort, least)
                for i in range(len(queries))
            ]
            rows = [found.rows[0].tolist() for found in every]
            scores = [found.scores[0].tolist() for found in every]
        else:
            found = index.vectors.search(queries, k, allowed, effort)
            rows, scores = found.rows.tolist(), found.scores.tolist()
        try:
            return _with_records(seen.records, rows, scores)
        except KeyError:  # some have not been read yet, or are not there
            records = self._records(seen, rows)
        for number, each in enumerate(rows):
            there = [row in records for row in each]
            rows[number] = list(compress(each, there))
            scores[number] = list(compress(scores[number], there))
        return _with_records(records, rows, scores)

    def knobs(self, embedding: str) -> frozenset[str]:
        """The fields of `Effort` that searches by this embedding heed."""
        knobs: frozenset[str] = registry.load("index", self._indexes[embedding].kind).knobs
        return knobs

    def mentioned(
        self,
        words: str,  # noqa: ARG002
        count: int | None,  # noqa: ARG002
        look: Look = ANYWHERE,  # noqa: ARG002
    ) -> list[tuple[Record, float]]:
        """`BadQuery`: a folder keeps no words."""
        raise BadQuery(
            "words of labels and metadata are looked for in Elasticsearch alone: here a filter "
            "finds them, such as --where 'label = cat'"
        )

    def exceeds(self, most: int, embedding: str, queries: Vectors, look: Look = ANYWHERE) -> bool:
        """Whether `nearest` without `k` would give more than so many to one of the queries."""
        seen = self._current(embedding)
        index = self._indexes[embedding]
        allowed = None if look.where is None else self._allowed(seen, look.where)
        effort = index.usual if look.effort is None else look.effort.or_else(index.usual)
        least = -math.inf if look.least is None else look.least
        return any(
            index.vectors.exceeds(most, queries[i : i + 1], allowed, effort, least)
            for i in range(len(queries))
        )

    def least(self, embedding: str, score: float, queries: Vectors) -> float:
        """What `nearest` gives at the least, as all is rounded, to a picture of this true score."""
        self._current(embedding)
        return self._indexes[embedding].vectors.least(score, queries)

    def scores(self, embedding: str, query: Vectors, ids: Sequence[str]) -> dict[str, float]:
        """How well each of these pictures answers a query, float32 [1, dim], computed exactly."""
        self._current(embedding)
        with self._catalogue.reading() as connection:
            id_at = self._catalogue.rows_of(connection, ids)
        found = self._indexes[embedding].vectors.among(query, np.array(sorted(id_at), np.int64))
        scored = zip(found.rows[0].tolist(), found.scores[0].tolist(), strict=True)
        return {id_at[row]: score for row, score in scored}

    def near_pairs(
        self, embedding: str, k: int, least: float
    ) -> list[tuple[Record, Record, float]]:
        """Pairs that score at least so much, where one is among the `k` nearest of the other."""
        seen, index = self._current(embedding), self._indexes[embedding]
        with self._catalogue.reading() as connection:
            table = embeddings.in_use(connection, self._stored[embedding].number)
            pairs, scores = near_pairs(
                self._catalogue, connection, table, index.vectors, k, least, index.usual
            )
        records = self._records(seen, [np.unique(pairs).tolist()])
        return [
            (records[a], records[b], score)
            for (a, b), score in zip(pairs.tolist(), scores.tolist(), strict=True)
            if a in records and b in records
        ]

    def in_several_places(self) -> list[Record]:
        """Pictures that lie at more than one place."""
        seen = self._current()
        with self._catalogue.reading() as connection:
            rows = self._catalogue.rows_in_several_places(connection)
        records = self._records(seen, [rows])
        return [records[row] for row in rows if row in records]

    def judge(self, said: Sequence[Judgement]) -> None:
        """Keep what was said of pairs; what is said last of one counts."""
        with self._catalogue.writing() as connection:
            judgements.keep(connection, said)

    def take_back(self, a: str, b: str) -> bool:
        """Forget what was said of two pictures, by their whole ids; whether anything was."""
        with self._catalogue.writing() as connection:
            return judgements.take_back(connection, a, b)

    def judgements(self) -> list[Judgement]:
        """All that was said, in the order in which it was."""
        with self._catalogue.reading() as connection, readable(self._catalogue.folder):
            return list(judgements.every(connection))

    def learned(self) -> dict[str, bytes]:
        """What extractors have learned from the collection's pictures, by embedding."""
        with self._catalogue.reading() as connection:
            return embeddings.learned(connection)

    def keep_learned(self, embedding: str, fingerprint: str, content: bytes) -> bytes:
        """Keep what an extractor has learned; what another process kept before it comes first."""
        with self._catalogue.writing() as connection:
            embeddings.keep_learned(connection, embedding, fingerprint, content)
            return embeddings.learned(connection)[embedding]

    @contextlib.contextmanager
    def reindexing(self) -> Iterator[None]:
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

    def begun_reindex(self, recipe: str) -> dict[str, bytes]:
        """What extractors learned for a reindex to this recipe that has not ended."""
        with self._catalogue.reading() as connection:
            return embeddings.begun(connection, recipe)

    def begin_reindex(
        self, recipe: str, plans: Sequence[EmbeddingPlan], learned: Mapping[str, bytes]
    ) -> None:
        """Make room for the vectors of another recipe beside those in use, or go on with it.

        Vectors of the very same model are taken over. `learned`: by embedding.
        """
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

    def put_coming(self, rows: Sequence[int], vectors: Mapping[str, Vectors]) -> None:
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

    def ledger(self, paths: Sequence[str]) -> dict[str, LedgerEntry]:
        """What became of those of these paths that were ever seen."""
        return self._catalogue.ledger(paths)

    def refused(self) -> Iterator[LedgerEntry]:
        """Every path that gave no picture."""
        return self._catalogue.refused()

    def paths_below(self, root: str) -> list[str]:
        """The paths ever seen that are `root`, or lie in it or inside it as an archive."""
        return self._catalogue.paths_below(root)

    def stats(self) -> dict[str, Any]:
        """Counts and sizes, as JSON values."""
        counts = self._catalogue.counts()
        described = {}
        for name, index in self._indexes.items():
            self._current(name)
            described[name] = index.describe()
        return {**counts, "embeddings": described, "local_features": self._votes.describe()}

    def state(self) -> object:
        """The same object until anybody, in any process, commits."""
        return self._current().state

    def facets(self, where: Filter | None, most_labels: int) -> Facets:
        """How many pictures that pass a filter have each label, format and size."""
        with self._catalogue.reading() as connection:
            return facets.counted(connection, where, most_labels)

    def sample(self, embedding: str, limit: int) -> tuple[list[Record], Vectors]:
        """At most `limit` records, evenly spread, the oldest first; float32 [n, dim], theirs."""
        seen = self._current()
        with self._catalogue.reading() as connection:
            table = embeddings.in_use(connection, self._stored[embedding].number)
            every = self._catalogue.rows(connection)
            count = min(limit, len(every))
            chosen = every[np.arange(count) * len(every) // max(count, 1)]
            rows, vectors = self._catalogue.vectors_at(connection, table, chosen)
        records = self._records(seen, [rows.tolist()])
        there = [row in records for row in rows.tolist()]
        return [records[row] for row in rows.tolist() if row in records], vectors[there]

    def loose(self) -> Loose:
        """What belongs to nothing; nothing does unless something has been damaged."""
        with self._catalogue.reading() as connection:
            return mending.loose(connection)

    def drop_loose(self) -> None:
        """Delete all that."""
        with self._catalogue.writing() as connection:
            mending.drop_loose(connection)

    def mend(self, ids: Sequence[str], vectors: Mapping[str, Vectors]) -> None:
        """Give pictures that are there their vectors anew; findable when this returns."""
        dims = {name: each.dim for name, each in self._stored.items()}
        checked = storable(vectors, dims, len(ids))
        with self._catalogue.writing() as connection:
            for each in self._stored.values():
                embeddings.in_use(connection, each.number)
            numbered = {self._stored[name].number: each for name, each in checked.items()}
            mending.mend(connection, ids, numbered)

    def settle(self) -> None:
        """Bring the index into its best shape now, if it has fallen out of it."""
        for name, index in self._indexes.items():
            self._current(name)
            index.compact(at_leisure=True)
        if self._local.votes:
            self._votes.settle()

    def sampled(self, embedding: str, count: int, k: int) -> Sample:
        """Stored vectors, evenly spread, at most `count`, as queries with their true `k` nearest.

        None of them finds itself.
        """
        self._current(embedding)
        return self._indexes[embedding].sampled(count, k)

    def tried(self, embedding: str, sample: Sample, effort: Effort) -> Trial:
        """How much of a sample's nearest searches with this effort find, and in what time."""
        return self._indexes[embedding].tried(sample, effort)

    def keep_tuning(self, embedding: str, tuning: Tuning) -> None:
        """Have every search of every process that says no effort use the chosen one.

        Until the index is of another kind, or has other options.
        """
        self._indexes[embedding].keep(tuning)

    def calibration(self) -> str | None:
        """What was kept of scores; see `keep_calibration`."""
        seen = self._current()
        if seen.calibration is None:
            seen.calibration = (self._catalogue.about().get(_CALIBRATION),)
        return seen.calibration[0]

    def keep_calibration(self, text: str) -> None:
        """Keep what scores were found to mean, for every process, in place of what was kept."""
        with self._catalogue.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (_CALIBRATION, text))

    def check(self) -> list[Finding]:
        """Whether what is stored is sound, and found again."""
        integrity = self._catalogue.integrity()
        findings = [Finding("catalogue", sound=integrity == "ok", text=integrity)]
        for name, index in self._indexes.items():
            self._current(name)
            findings += index.check()
        return findings

    def __len__(self) -> int:
        seen = self._current()
        if seen.count is None:  # SQLite goes through all of them
            with self._catalogue.reading() as connection:
                seen.count = self._catalogue.count(connection)
        return seen.count

    def close(self) -> None:
        """End background work and close the file."""
        for index in self._indexes.values():
            index.stop()
        self._catalogue.close()

    def _current(self, embedding: str | None = None) -> _Seen:
        """What is known, and the index, brought up to date with every commit of every process."""
        if self._catalogue.changed():
            with self._noting:
                self._seen = _Seen()
                self._changes += 1
        seen, changes = self._seen, self._changes
        if embedding is not None and self._indexes[embedding].followed < changes:
            with self._catalogue.reading() as connection:
                self._indexes[embedding].follow(connection, changes)
        return seen

    def _records(self, seen: _Seen, every: Sequence[Sequence[int]]) -> dict[int, Record]:
        """Records by row, those of all these rows among them that are still there."""
        records = seen.records
        missing = {row for rows in every for row in rows if row not in records and row >= 0}
        if not missing:
            return records
        if len(records) + len(missing) > _RECORDS_KEPT:
            records = {row: records[row] for rows in every for row in rows if row in records}
        ordered = list(missing)
        with self._catalogue.reading() as connection:
            for start in range(0, len(ordered), 500):
                records.update(self._catalogue.records(connection, ordered[start : start + 500]))
        seen.records = records
        return records

    def _allowed(self, seen: _Seen, where: Filter) -> Rows:
        allowed = seen.allowed.get(where)
        if allowed is None:
            with self._catalogue.reading() as connection:
                allowed = self._catalogue.rows_where(connection, where)
            if len(seen.allowed) >= _FILTERS_KEPT:
                seen.allowed = {}
            seen.allowed[where] = allowed
        return allowed


def _with_records(
    records: Mapping[int, Record], rows: list[list[int]], scores: list[list[float]]
) -> list[list[tuple[Record, float]]]:
    return [
        [*zip(map(records.__getitem__, ids), found, strict=True)]
        for ids, found in zip(rows, scores, strict=True)
    ]

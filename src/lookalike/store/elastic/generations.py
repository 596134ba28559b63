"""Another recipe for a collection: another index is filled, and then takes over the name.

Searches go on in the old index all the while. Adding goes on, too, until the very end: then the old
index takes no writes for as long as it takes to bring over what has changed since.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import BadQuery, ReindexUnderWay
from ...types import Record, Vectors
from .. import EmbeddingPlan
from ..checked import storable
from . import conditions, documents, mapping
from .cluster import Cluster, Write
from .documents import LEFT_OUT, Source
from .lock import Lock
from .mapping import About, Field, field_of, index_of, writing_alias
from .reading import Reading
from .small import Small

_LOCK = "reindex"
_BLOCKS = "blocks"
"""Said with the lock while the index in use takes no writes."""
_SKEW_NS = 600 * 10**9
"""By which the clocks of machines may differ."""
_AT_ONCE = 500
_EVERY: conditions.Query = {"match_all": {}}


class Generations:
    """Of one collection: the index in use, and the one to come; see `Coming`."""

    def __init__(self, cluster: Cluster, pictures: Reading, about: About, small: Small) -> None:
        self._cluster = cluster
        self._pictures = pictures
        self._about = about
        self._small = small
        self._own = Reading(cluster, f"{cluster.address.name}-about")
        self._number = about.generation + 1
        self._coming = Reading(cluster, index_of(cluster.address, self._number))
        self._fields: dict[str, Field] = {}
        """To come, by embedding."""
        self._begun_ns = 0
        self._lock = Lock(self._own, _LOCK)
        cluster.may_pass = self._may_pass

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Alone among all processes that would reindex; else `ReindexUnderWay`."""
        self._may_pass()  # what one has left that died
        if not self._lock.take():
            raise ReindexUnderWay(str(self._cluster.address))
        try:
            yield
        finally:
            self._lock.release()

    def models(self) -> set[tuple[str, int]]:
        """Of the vectors in use: the fingerprint of what made them, and their length."""
        return set(self._in_use().values())

    def begun(self, recipe: str) -> dict[str, bytes]:
        """What extractors learned for a reindex to this recipe that has not ended."""
        coming = self._about_coming()
        if coming is None or coming.recipe != recipe:
            return {}
        return self._small_of(self._number, list(coming.embeddings)).learned()

    def begin(
        self, recipe: str, plans: Sequence[EmbeddingPlan], learned: Mapping[str, bytes]
    ) -> None:
        """Make the index to come, or go on with one of the same recipe and models."""
        address = self._cluster.address
        mapping.check_plans(address, plans)
        wanted = {plan.name: {"dim": plan.dim, "fingerprint": plan.fingerprint} for plan in plans}
        coming = self._about_coming()
        if coming is not None and (coming.recipe, coming.embeddings) != (recipe, wanted):
            self._cluster.remove(self._coming.index)
            self._small_of(self._number, list(coming.embeddings)).drop()
            coming = None
        if coming is None:
            body = mapping.pictures(address, recipe, plans, self._number)
            self._cluster.make(self._coming.index, body)
            coming = self._about_coming()
            assert coming is not None
        small = self._small_of(self._number, list(wanted))
        for name, content in learned.items():
            small.keep_learned(name, str(wanted[name]["fingerprint"]), content)
        self._fields = {plan.name: field_of(plan, self._number) for plan in plans}
        self._begun_ns = coming.begun_ns - _SKEW_NS

    def lacking(self, after: int, limit: int) -> list[tuple[int, Record]]:
        """Pictures that have yet to be described for the recipe to come, by row, above `after`."""
        self._renew()
        if not self._described():
            return []
        found: list[tuple[int, Record]] = []
        while len(found) < limit:
            hits = self._pictures.ordered(_EVERY, after, _AT_ONCE)
            if not hits:
                break
            done = self._coming.by_ids([hit["_id"] for hit in hits], source=False)
            found += [
                (hit["_source"]["order"], documents.record(hit["_source"]))
                for hit in hits
                if hit["_id"] not in done
            ]
            after = hits[-1]["_source"]["order"]
        return found[:limit]

    def put(self, rows: Sequence[int], vectors: Mapping[str, Vectors]) -> None:
        """Store vectors of the recipe to come, by embedding, float32 [len(rows), dim]."""
        self._renew()
        dims = {name: each.dim for name, each in self._fields.items()}
        described = {name: vectors[name] for name in self._described()}
        checked = storable(described, dims, len(rows))
        number = {row: place for place, row in enumerate(rows)}
        query = {"terms": {"order": list(rows)}}
        hits = self._pictures.hits(query)
        there = [number[hit["_source"]["order"]] for hit in hits]
        self._copy(hits, {name: each[there] for name, each in checked.items()})

    def swap(self, unreadable: Sequence[int]) -> bool:
        """Have the index to come take over, unless pictures came that it has no vectors for.

        Pictures at the rows `unreadable` are left behind. Writers wait for what has changed in the
        last moment alone: all that was there before is looked through before they have to.
        """
        since = time.time_ns() - _SKEW_NS
        self._copy_missing(_EVERY)
        if any(row not in unreadable for row, _ in self.lacking(-1, len(unreadable) + 1)):
            return False
        self._describe_anew(self._begun_ns)
        self._drop_what_has_gone()
        with self._without_writes():
            self._cluster.refresh(self._pictures.index)
            self._copy_missing(_changed(since))
            self._cluster.refresh(self._coming.index)
            left = self._left(since, unreadable)
            if left is None:
                return False
            self._describe_anew(since)
            if self._coming.count(_EVERY) + left != self._pictures.count(_EVERY):
                self._drop_what_has_gone()
            self._cluster.refresh(self._coming.index)
            self._renew(now=True)
            self._cluster.take_over(self._pictures.index, self._coming.index)
        self._small.drop()
        return True

    def _in_use(self) -> dict[str, tuple[str, int]]:
        learned = self._small.learned_by()
        return {
            name: (learned[name][0] if name in learned else said["fingerprint"], said["dim"])
            for name, said in self._about.embeddings.items()
        }

    def _taken_over(self) -> dict[str, str]:
        """By embedding to come, the one in use that has the vectors of the very same model."""
        used = {model: name for name, model in self._in_use().items()}
        return {
            name: used[each.fingerprint, each.dim]
            for name, each in self._fields.items()
            if (each.fingerprint, each.dim) in used
        }

    def _described(self) -> list[str]:
        """The embeddings to come whose vectors have to be made of the pictures."""
        taken = self._taken_over()
        return [name for name in self._fields if name not in taken]

    def _copy_missing(self, query: conditions.Query) -> None:
        """Copy what is not there yet, where all vectors are taken over."""
        if self._described():
            return
        for hits in self._pictures.every(query, ["order"], _AT_ONCE):
            self._renew()
            missing = [hit["_id"] for hit in self._not_there(hits)]
            if missing:
                self._copy(list(self._pictures.by_ids(missing).values()), {})

    def _not_there(self, hits: Sequence[Source]) -> list[Source]:
        """Those of pictures in use that the index to come has not."""
        done = self._coming.by_ids([hit["_id"] for hit in hits], source=False)
        return [hit for hit in hits if hit["_id"] not in done]

    def _left(self, since: int, unreadable: Sequence[int]) -> int | None:
        """How many pictures are to be left behind; None if one that came since lacks vectors."""
        behind = set(unreadable)
        for hits in self._pictures.every(_changed(since), ["order"], _AT_ONCE):
            self._renew()
            if any(hit["_source"]["order"] not in behind for hit in self._not_there(hits)):
                return None
        rows = list(unreadable)
        return sum(
            self._pictures.count({"terms": {"order": rows[start : start + _AT_ONCE]}})
            for start in range(0, len(rows), _AT_ONCE)
        )

    def _copy(self, hits: Sequence[Source], made: Mapping[str, Vectors]) -> None:
        """Write documents into the index to come; `made`: vectors of each, by embedding."""
        if not hits:
            return
        taken = self._taken_over()
        old = {name: f"{before}_{self._about.generation}" for name, before in taken.items()}
        vectors = dict(made)
        if old:
            ids = [hit["_id"] for hit in hits]
            names = [each for name in old.values() for each in (f"v.{name}", f"came.{name}")]
            whole = self._pictures.by_ids(ids, {"includes": names})
            hits = [hit for hit in hits if hit["_id"] in whole]
            there = [place for place, id in enumerate(ids) if id in whole]
            vectors = {name: each[there] for name, each in made.items()}
            for name, before in old.items():
                dim = self._fields[name].dim
                every = [
                    documents.vector_of(whole[hit["_id"]]["_source"], before, dim) for hit in hits
                ]
                if any(each is None for each in every):
                    raise BadQuery(f"a picture has lost its {name} vector: index it again")
                vectors[name] = np.concatenate([each for each in every if each is not None])
        if not hits:
            return
        names_of = {name: (each.name, each.distance) for name, each in self._fields.items()}
        parts = documents.vector_fields(names_of, vectors)
        index = writing_alias(self._coming.index)
        writes = [
            Write("index", index, hit["_id"], {**_record_of(hit["_source"]), **part})
            for hit, part in zip(hits, parts, strict=True)
        ]
        self._cluster.write(writes, found=False)

    def _describe_anew(self, since: int) -> None:
        """Bring over what was said of pictures since then."""
        index = writing_alias(self._coming.index)
        for hits in self._pictures.every(_changed(since), {"excludes": LEFT_OUT}, _AT_ONCE):
            self._renew()
            there = self._coming.by_ids([hit["_id"] for hit in hits], {"includes": ["changed"]})
            writes = [
                Write("update", index, hit["_id"], _record_of(hit["_source"]))
                for hit in hits
                if hit["_id"] in there
                and there[hit["_id"]]["_source"]["changed"] != hit["_source"]["changed"]
            ]
            self._cluster.write(writes, found=False)

    def _drop_what_has_gone(self) -> None:
        for hits in self._coming.every(_EVERY, False, _AT_ONCE):
            self._renew()
            there = self._pictures.by_ids([hit["_id"] for hit in hits], source=False)
            gone = [hit["_id"] for hit in hits if hit["_id"] not in there]
            index = self._coming.index
            self._cluster.write([Write("delete", index, id) for id in gone], found=False)

    @contextlib.contextmanager
    def _without_writes(self) -> Iterator[None]:
        """Who is killed in it is told by the lock, and what it has left is undone by a writer."""
        if not self._lock.say(_BLOCKS):
            raise ReindexUnderWay(str(self._cluster.address))
        try:
            self._cluster.block_writes(self._pictures.index)
            yield
        finally:
            if self._lock.renew(now=True):  # else the block is undone, or another one's
                self._cluster.allow_writes(self._pictures.index)
                self._lock.say()

    def _may_pass(self) -> bool:
        """Whether the index in use, that takes no writes, takes them again in a moment."""
        lock = Lock(self._own, _LOCK)
        if lock.left():
            return True
        if not lock.inherit(_BLOCKS):
            return False
        self._cluster.allow_writes(self._pictures.index)
        lock.say()
        lock.release()
        return True

    def _about_coming(self) -> About | None:
        found = self._cluster.index_named(self._coming.index)
        if found is None:
            return None
        return mapping.about(self._cluster.address, found[self._coming.index]["mappings"])

    def _small_of(self, generation: int, embeddings: Sequence[str]) -> Small:
        return Small(self._own, generation, embeddings)

    def _renew(self, *, now: bool = False) -> None:
        """`ReindexUnderWay` if another process, that took this one for dead, is at it by now."""
        if not self._lock.renew(now=now):
            raise ReindexUnderWay(str(self._cluster.address))


def _changed(since: int) -> conditions.Query:
    """Pictures that were written since then, in nanoseconds since 1970."""
    return {"range": {"changed": {"gte": since}}}


def _record_of(source: Source) -> dict[str, Any]:
    return {key: each for key, each in source.items() if key not in LEFT_OUT}

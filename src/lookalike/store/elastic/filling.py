"""A collection made of a catalogue: filled without its name, which it gets when all is there.

Until then nobody finds it. What a process that was killed has left is told by the lock in it, which
the next one finds expired.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import CannotRestore, ClusterUnwell
from ...types import Record, Tuning
from .. import EmbeddingPlan, LedgerEntry, LocalPlan
from ..portions import Outgoing, Portion
from . import documents, mapping
from .cluster import Cluster, Write
from .conditions import Query
from .documents import ORDER
from .lock import Lock
from .mapping import Field, field_of, writing_alias
from .reading import Reading
from .small import Small
from .store import ElasticStore

_LOCK = "restore"
_EVERY: Query = {"match_all": {}}


def check_free(cluster: Cluster) -> None:
    """`CannotRestore` if anything is there that a killed restore has not left."""
    address = cluster.address
    if cluster.index_named(address.name) is not None:
        raise CannotRestore(str(address), "it is there already: name a collection that is not")
    every = (mapping.index_of(address, 1), *mapping.companions(address))
    there = [each for each in every if cluster.index_named(each) is not None]
    about = Reading(cluster, f"{address.name}-about")
    killed = about.index in there and bool(about.by_ids([_LOCK], source=False))
    if killed and (seconds := Lock(about, _LOCK).left()):
        raise CannotRestore(
            str(address),
            "another process is at it, or was killed at it a moment ago: "
            f"try again in {seconds:.0f} seconds",
        )
    for index in there:
        if not killed and cluster.count(index, _EVERY):
            raise CannotRestore(
                str(address),
                f"the index {index} is there already: delete it, or name another collection",
            )


@contextlib.contextmanager
def filled(
    cluster: Cluster, catalogue: Path, plans: Sequence[EmbeddingPlan], local: LocalPlan
) -> Iterator[ElasticStore]:
    """The collection that a catalogue says, to be looked at; it has its name when the block ends.

    If anything is raised, nothing is left of it, as far as the cluster still answers.
    """
    check_free(cluster)
    mapping.check_plans(cluster.address, plans)
    with contextlib.closing(Outgoing(catalogue)) as outgoing:
        filling = _Filling(cluster, outgoing, plans)
        filling.claim()
        try:
            filling.make()
            filling.fill()
            yield filling.opened(plans, local)
            filling.publish()
        except BaseException:
            filling.drop()
            raise


class _Filling:
    """What is being made."""

    def __init__(
        self, cluster: Cluster, outgoing: Outgoing, plans: Sequence[EmbeddingPlan]
    ) -> None:
        self._cluster = cluster
        self._outgoing = outgoing
        self._beside = outgoing.beside()
        self._plans = plans
        self._fields: dict[str, Field] = {plan.name: field_of(plan, 1) for plan in plans}
        name = cluster.address.name
        self._pictures = mapping.index_of(cluster.address, 1)
        self._ledger, self._local, self._about = (
            f"{name}-{each}" for each in ("ledger", "local", "about")
        )
        self._bodies = mapping.companions(cluster.address)
        self._lock = Lock(Reading(cluster, self._about), _LOCK)

    def claim(self) -> None:
        """Take the lock, in the index that comes first; `CannotRestore` if another has it."""
        self._cluster.make(self._about, self._bodies.pop(self._about))
        if not self._lock.take():
            raise CannotRestore(str(self._cluster.address), "another process is at it")

    def make(self) -> None:
        """All that is empty, in place of what one that was killed has left."""
        left = [
            Write("delete", self._about, hit["_id"])
            for hits in Reading(self._cluster, self._about).every(_EVERY, False)
            for hit in hits
            if hit["_id"] != _LOCK
        ]
        self._cluster.write(left)
        for index in (self._pictures, *self._bodies):
            self._cluster.remove(index)
        for index, body in self._bodies.items():
            self._cluster.make(index, body)
        body = mapping.pictures(self._cluster.address, self._beside.recipe, self._plans, 1)
        self._cluster.make(self._pictures, body)

    def fill(self) -> None:
        """Write all of it, a portion at a time, and have it found."""
        pictures = features = refused = 0
        for portion in self._outgoing.portions():
            rows = [ORDER.next() for _ in portion.records]
            self._write(self._pictures, self._documents(portion, rows))
            self._write(self._local, self._features(portion, rows))
            pictures += len(portion.records)
            features += len(portion.local)
        for entries in self._outgoing.refused():
            ids = [documents.path_id(entry.path) for entry in entries]
            self._write(self._ledger, dict(zip(ids, map(_refused, entries), strict=True)))
            refused += len(entries)
        self._keep_what_is_small()
        for index, count in (
            (self._pictures, pictures),
            (self._local, features),
            (self._ledger, refused),
        ):
            self._cluster.refresh(index)
            found = self._cluster.count(index, _EVERY)
            if found != count:
                raise ClusterUnwell(
                    str(self._cluster.address), f"{index} has {found:,} of {count:,} documents"
                )

    def opened(self, plans: Sequence[EmbeddingPlan], local: LocalPlan) -> ElasticStore:
        """What has been filled, as a store."""
        found = self._cluster.index_named(self._pictures)
        assert found is not None
        about = mapping.about(self._cluster.address, found[self._pictures]["mappings"])
        return ElasticStore(self._cluster, self._pictures, about, plans, local)

    def publish(self) -> None:
        """Give it the collection's name."""
        self._lock.release()
        name = self._cluster.address.name
        self._cluster.ask(lambda c: c.indices.put_alias(index=self._pictures, name=name))

    def drop(self) -> None:
        """Leave nothing, the lock to the last; as far as the cluster still answers."""
        for index in (self._pictures, *self._bodies, self._about):
            self._cluster.give_up(
                lambda c, index=index: c.options(ignore_status=404).indices.delete(index=index)  # type: ignore[misc]
            )

    def _documents(self, portion: Portion, rows: Sequence[int]) -> dict[str, Mapping[str, Any]]:
        """Of a portion's pictures, by id; `rows`: what they go by in the order of coming."""
        names = {name: (each.name, each.distance) for name, each in self._fields.items()}
        vectors = documents.vector_fields(names, portion.vectors)
        found = zip(portion.records, portion.checked, rows, vectors, strict=True)
        return {
            record.id: {**_document(record, checked, row), **of_vectors}
            for record, checked, row, of_vectors in found
        }

    def _features(self, portion: Portion, rows: Sequence[int]) -> dict[str, Mapping[str, Any]]:
        return {
            record.id: {
                "fingerprint": self._beside.local,
                "row": row,
                "order": ORDER.next(),
                "bytes": len(portion.local[record.id]),
                "features": base64.b64encode(portion.local[record.id]).decode(),
            }
            for record, row in zip(portion.records, rows, strict=True)
            if record.id in portion.local
        }

    def _keep_what_is_small(self) -> None:
        small = Small(Reading(self._cluster, self._about), 1, list(self._fields))
        for name, content in self._beside.learned.items():
            small.keep_learned(name, self._beside.embeddings[name][1], content)
        small.judge(self._beside.judgements)
        if self._beside.calibration is not None:
            small.keep_calibration(self._beside.calibration)
        for name, text in self._beside.elastic_tuning.items():
            said = json.loads(text)
            small.keep_tuning(name, said["made_for"], Tuning.from_json(said["tuning"]))

    def _write(self, index: str, bodies: Mapping[str, Mapping[str, Any]]) -> None:
        alias = writing_alias(index)
        writes = [Write("index", alias, id, body) for id, body in bodies.items()]
        self._cluster.write(writes, found=False)
        if not self._lock.renew():
            raise CannotRestore(str(self._cluster.address), "another process is at it")


def _document(record: Record, checked: Sequence[float], row: int) -> dict[str, Any]:
    """A picture's, without its vectors."""
    about = {
        "id": record.id,
        "order": row,
        "added": record.added,
        "format": record.format,
        "width": record.width,
        "height": record.height,
        "side": max(record.width, record.height),
        "bytes": record.size,
    }
    draft = documents.Draft(record.id, about, {})
    for place, when in zip(record.places, checked, strict=True):
        draft.put(place)
        draft.places[place.path]["checked"] = when
    return draft.body()


def _refused(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "path": entry.path,
        "reason": entry.reason,
        "retry": entry.verdict == "retry",
        "recognised": entry.recognised,
        "size": entry.size,
        "modified_ns": entry.modified_ns,
        "checked": entry.checked,
    }

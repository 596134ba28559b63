"""A collection as it was at one moment, whoever writes to it afterwards: read in a point in time.

That is of all its indices at once, but each shard has its own moment. What a write spreads over
several documents may be half there, and is made whole as the store itself does it when it reads.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ClusterUnwell
from ...types import Judgement, Vectors
from .. import ANYWHERE, EmbeddingPlan, LedgerEntry, portions
from ..portions import AT_ONCE, Beside, Portion
from . import documents
from .cluster import Cluster
from .conditions import Query
from .documents import OF_RECORD, Source
from .mapping import About, field_of
from .nearest import Nearest
from .reading import Reading

_KEPT_OPEN = "10m"
"""From one question to the next."""
_LEDGER_AT_ONCE = 5_000
_ANYHOW = {"_shard_doc": "asc"}
_AS_THEY_CAME = {"order": {"order": "asc", "unmapped_type": "long"}}


class Moment:
    """Of one collection. To be closed, so that the cluster need keep nothing of it any more."""

    def __init__(self, cluster: Cluster, index: str, about: About) -> None:
        name = cluster.address.name
        self._cluster = cluster
        self._about = about
        self._pictures, self._ledger = index, f"{name}-ledger"
        self._local, self._beside = f"{name}-local", f"{name}-about"
        every = ",".join((index, self._ledger, self._local, self._beside))
        for each in every.split(","):
            cluster.refresh(each)  # what was acknowledged may wait to be found
        opened = cluster.ask(lambda c: c.open_point_in_time(index=every, keep_alive=_KEPT_OPEN))
        self._pit: str = opened["id"]

    def copy(self, folder: Path) -> None:
        """Write all of it as a catalogue into an empty folder."""
        beside = self._all_beside()
        portions.write(folder, beside, self._portions(beside), self._refused())

    def first(self, plan: EmbeddingPlan, query: Vectors, count: int) -> list[str] | None:
        """The ids of the nearest to a query, float32 [1, dim], as the cluster's kNN found them.

        None where that does not decide: for a distance that is not the metric's own, or a query
        without direction.
        """
        field = field_of(plan, self._about.generation)
        way = Nearest(Reading(self._cluster, self._pictures), field)
        request = way.request(field.distance.prepared(query)[0], count, ANYWHERE)
        if request is None or not field.distance.native:
            return None
        hits = self._searched(**request)["hits"]["hits"]
        return [record.id for record in documents.records_of(hits)]

    def close(self) -> None:
        """Let go of it."""
        self._cluster.give_up(lambda c: c.close_point_in_time(id=self._pit))

    def _all_beside(self) -> Beside:
        said: dict[str, list[Any]] = {}
        for hits in self._every(self._beside, True):
            for hit in hits:
                said.setdefault(hit["_source"]["kind"], []).append(
                    (hit["_id"], hit["_source"]["said"])
                )
        of_models = {
            f"{kind}-{self._about.generation}-{name}": name
            for kind in ("learned", "tuning")
            for name in self._about.embeddings
        }
        learned = {of_models[id]: each for id, each in said.get("learned", ()) if id in of_models}
        made = {
            name: (each["dim"], each["fingerprint"])
            for name, each in self._about.embeddings.items()
        }
        made |= {name: (made[name][0], each["fingerprint"]) for name, each in learned.items()}
        judged = [Judgement(**each) for _, each in said.get("judgement", ())]
        return Beside(
            self._about.recipe,
            made,
            {name: base64.b64decode(each["content"]) for name, each in learned.items()},
            self._local_fingerprint(),
            judged,
            next((each["text"] for _, each in said.get("calibration", ())), None),
            {
                of_models[id]: json.dumps(each)
                for id, each in said.get("tuning", ())
                if id in of_models
            },
        )

    def _local_fingerprint(self) -> str:
        """Of what made the local features that came last: there may be others from before."""
        of_each = {"newest": {"max": {"field": "order"}}}
        by = {"field": "fingerprint", "order": [{"newest": "desc"}], "size": 1}
        answer = self._searched(
            query=_of(self._local), size=0, aggs={"by": {"terms": by, "aggs": of_each}}
        )
        found = answer["aggregations"]["by"]["buckets"]
        return str(found[0]["key"]) if found else ""

    def _portions(self, beside: Beside) -> Iterator[Portion]:
        """Every picture, the oldest first."""
        fields = {name: f"{name}_{self._about.generation}" for name in beside.embeddings}
        sources = [each for name in fields.values() for each in (f"v.{name}", f"came.{name}")]
        wanted = {"includes": [*OF_RECORD, "place.checked", "places.checked", *sources]}
        for hits in self._every(self._pictures, wanted, _AS_THEY_CAME):
            ids, found = [hit["_id"] for hit in hits], [hit["_source"] for hit in hits]
            yield Portion(
                list(map(documents.record, found)),
                [[place["checked"] for place in documents.places_of(each)] for each in found],
                {
                    name: self._vectors(ids, found, fields[name], dim)
                    for name, (dim, _) in beside.embeddings.items()
                },
                self._features(ids, beside.local),
            )

    def _vectors(
        self, ids: Sequence[str], found: Sequence[Source], field: str, dim: int
    ) -> Vectors:
        vectors = []
        for id, each in zip(ids, found, strict=True):
            vector = documents.vector_of(each, field, dim)
            if vector is None:
                why = f"the picture {id} has lost a vector: `lookalike reconcile` mends it"
                raise ClusterUnwell(str(self._cluster.address), why)
            vectors.append(vector)
        return np.concatenate(vectors)

    def _features(self, ids: Sequence[str], fingerprint: str) -> dict[str, bytes]:
        if not fingerprint:
            return {}
        query = _of(
            self._local, {"ids": {"values": list(ids)}}, {"term": {"fingerprint": fingerprint}}
        )
        hits = self._searched(query=query, source=["features"], size=len(ids))["hits"]["hits"]
        return {hit["_id"]: base64.b64decode(hit["_source"]["features"]) for hit in hits}

    def _refused(self) -> Iterator[list[LedgerEntry]]:
        """Every path that gave no picture, as it was told of it last."""
        for hits in self._every(self._ledger, True, size=_LEDGER_AT_ONCE):
            yield [_entry(hit["_source"]) for hit in hits]

    def _every(
        self,
        index: str,
        source: Mapping[str, Any] | bool,
        by: Mapping[str, Any] = _ANYHOW,
        size: int = AT_ONCE,
    ) -> Iterator[list[dict[str, Any]]]:
        """All documents of one of the indices, a block at a time."""
        after: dict[str, Any] = {}
        while True:
            answer = self._searched(query=_of(index), sort=[by], source=source, size=size, **after)
            hits: list[dict[str, Any]] = answer["hits"]["hits"]
            if hits:
                yield hits
            if len(hits) < size:
                return
            after = {"search_after": hits[-1]["sort"]}

    def _searched(self, **request: Any) -> dict[str, Any]:
        pit = {"id": self._pit, "keep_alive": _KEPT_OPEN}
        answer = self._cluster.searched(pit=pit, **request)
        self._pit = answer.get("pit_id", self._pit)
        return answer


def _of(index: str, *more: Query) -> Query:
    return {"bool": {"filter": [{"term": {"_index": index}}, *more]}}


def _entry(said: Source) -> LedgerEntry:
    return LedgerEntry(
        said["path"],
        "retry" if said["retry"] else "skipped",
        None,
        None,
        said["reason"],
        said["recognised"],
        said["size"],
        said["modified_ns"],
        said["checked"],
    )

"""The store of a cluster: Elasticsearch's documents are the truth, and its own kNN finds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ... import registry
from ...errors import BadQuery, ClusterUnwell, ModelMismatch, UnknownPicture
from ...filters import Filter
from ...types import (
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
from .. import (
    ANYWHERE,
    NO_LOCAL_FEATURES,
    Arrival,
    EmbeddingPlan,
    Facets,
    LedgerEntry,
    LocalPlan,
    Look,
    Loose,
    Outcome,
    Refusal,
    Sample,
)
from ..checked import storable
from ..votes import Votes
from . import conditions, documents, measuring, mending, overview
from .cluster import Cluster
from .generations import Generations
from .local import Local
from .mapping import About, Field, field_of
from .nearest import Nearest
from .places import Places
from .reading import MOST, Reading
from .small import Small

_EVERY: conditions.Query = {"match_all": {}}
_PAIRS_AT_ONCE = 64
_LOOKED_THROUGH = 1000
"""Pictures at a time, of which some may lack something."""


class ElasticStore:
    """See `Store`. Any number of processes on any machines may use one at once."""

    def __init__(
        self,
        cluster: Cluster,
        index: str,
        about: About,
        plans: Sequence[EmbeddingPlan],
        local: LocalPlan = NO_LOCAL_FEATURES,
    ) -> None:
        self._cluster = cluster
        self._about = about
        name = cluster.address.name
        self._pictures = Reading(cluster, index)
        self._small = Small(
            Reading(cluster, f"{name}-about"), about.generation, list(about.embeddings)
        )
        self._check_models(plans)
        self._nearest = {
            plan.name: Nearest(self._pictures, field_of(plan, about.generation)) for plan in plans
        }
        self._plans = {plan.name: plan for plan in plans}
        self._every_local = Reading(cluster, f"{name}-local")
        self._local = Local(self._every_local, local.fingerprint)
        self._votes = Votes(self._local)
        self._places = Places(self._pictures, Reading(cluster, f"{name}-ledger"), self._local.drop)
        self.coming = Generations(cluster, self._pictures, about, self._small)
        self._state: tuple[Any, object] = (None, object())

    def _check_models(self, plans: Sequence[EmbeddingPlan]) -> None:
        learned = self._small.learned_by() if plans else {}
        for plan in plans:
            said = self._about.embeddings.get(plan.name)
            found = "none" if said is None else said["fingerprint"]
            if plan.name in learned:
                found = learned[plan.name][0]
            if found != plan.fingerprint or (said is not None and said["dim"] != plan.dim):
                where = str(self._cluster.address)
                raise ModelMismatch(where, plan.name, found, plan.fingerprint)

    def put(
        self,
        arrivals: Sequence[Arrival],
        vectors: Mapping[str, Vectors],
        local: Sequence[LocalFeatures] | None = None,
    ) -> list[Outcome]:
        """Store pictures, each whole or not at all; durable and findable when this returns."""
        if set(vectors) != set(self._about.embeddings):
            raise BadQuery(
                f"vectors for {', '.join(vectors) or 'nothing'}, "
                f"expected {', '.join(self._about.embeddings)}"
            )
        if any(len(arrival.sha256) != 32 for arrival in arrivals):
            raise BadQuery("a picture's sha256 has 32 bytes; nothing was stored")
        fields = {name: nearest.field for name, nearest in self._nearest.items()}
        dims = {name: each.dim for name, each in fields.items()}
        checked = storable(vectors, dims, len(arrivals))
        for arrival in arrivals:  # what cannot be kept is said before anything is
            for place in (arrival.place, *arrival.others):
                documents.written(place)
        outcomes = self._places.put(arrivals, _parts(checked, fields)) if arrivals else []
        if local is not None:
            kept = dict(zip([each.sha256.hex() for each in arrivals], local, strict=True))
            self.keep_local_features(kept)
        return outcomes

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """Note paths that gave no picture. One that may be retried keeps what it gave before."""
        self._places.refuse(refusals)

    def describe(self, places: Sequence[Place]) -> None:
        """Give places that are known their label and metadata anew."""
        self._places.describe(places)

    def forget(self, paths: Sequence[str]) -> int:
        """Drop places, and the pictures that lie nowhere else; how many pictures went."""
        return self._places.forget(paths)

    def get(self, id: str) -> Record | None:
        """The record of this id, or of the only one that begins with it."""
        found = self._document(id)
        return None if found is None else documents.record(found["_source"])

    def vectors(self, embedding: str, id: str) -> Vectors:
        """The stored vector of a picture as it came, float32 [1, dim]."""
        whole = id
        if len(id) < 64:
            found = self._document(id)
            whole = id if found is None else found["_id"]
        vector = self.vectors_of(embedding, [whole]).get(whole)
        if vector is None:
            raise UnknownPicture(id)
        return vector

    def vectors_of(self, embedding: str, ids: Sequence[str]) -> dict[str, Vectors]:
        """Those of pictures that are there, as they came, float32 [1, dim], by whole id."""
        return self._nearest[embedding].vectors_of(ids)

    def compared(self, embedding: str, vectors: Vectors) -> Vectors:
        """Vectors as they came, float32 [n, dim] -> as they are compared."""
        return self._nearest[embedding].field.distance.prepared(vectors)

    def local_features(self, ids: Sequence[str]) -> dict[str, LocalFeatures]:
        """Those that are stored of these pictures, by id."""
        return self._local.of(ids)

    def keep_local_features(self, features: Mapping[str, LocalFeatures]) -> None:
        """Keep those of pictures that have none yet, by id."""
        known = self._local.known(list(features))
        wanted = [id for id in features if id not in known]
        found = self._pictures.by_ids(wanted)
        self._local.keep(
            [
                (documents.record(each["_source"]), each["_source"]["order"], features[id])
                for id, each in found.items()
            ]
        )

    def lacking_local_features(self, after: int, limit: int) -> list[tuple[int, Record]]:
        """Pictures without local features, by row, above `after`."""
        lacking: list[tuple[int, Record]] = []
        while len(lacking) < limit:
            hits = self._pictures.ordered(_EVERY, after, _LOOKED_THROUGH)
            if not hits:
                break
            known = self._local.known([hit["_id"] for hit in hits])
            lacking += [_numbered(hit) for hit in hits if hit["_id"] not in known]
            after = hits[-1]["_source"]["order"]
        return lacking[:limit]

    def voted(
        self,
        features: Sequence[LocalFeatures],
        count: int | None,
        look: Look = ANYWHERE,
        *,
        exactly: bool = False,
    ) -> list[list[tuple[Record, float]]]:
        """The `count` records that the local features of each query vote for, best first."""
        allowed = None if look.where is None else self._allowed(look.where)
        of_one = self._votes.matched if exactly else self._votes.voted
        found = [of_one(each, count, allowed) for each in features]
        records = self._records_at(sorted({row for rows, _ in found for row in rows}))
        return [
            [(records[row], score) for row, score in zip(*each, strict=True) if row in records]
            for each in found
        ]

    def scan(self, offset: int, limit: int) -> list[Record]:
        """Records, the newest first."""
        return [documents.record(hit["_source"]) for hit in self._pictures.newest(offset, limit)]

    def page(self, after: str | None, limit: int) -> tuple[list[Record], str | None]:
        """Records, the newest first, and where the next page begins: None if there is none."""
        known = after is None or re.fullmatch("[0-9]{1,19}", after) is not None
        order = None if after is None or not known else int(after)
        if not known or (order is not None and order >= 2**63):
            raise BadQuery("this is not where a page of this collection ends")
        hits = self._pictures.before(order, limit + 1)
        further = str(hits[limit - 1]["_source"]["order"]) if len(hits) > limit else None
        return [documents.record(hit["_source"]) for hit in hits[:limit]], further

    def blocks(
        self, embeddings: Sequence[str], size: int = 1024
    ) -> Iterator[tuple[list[Record], dict[str, Vectors]]]:
        """Every record with its vectors, the oldest first, at most `size` at a time."""
        ways = {name: self._nearest[name] for name in embeddings}
        fields = [source for each in ways.values() for source in each.sources]
        wanted = {"includes": [*documents.OF_RECORD, *fields]}
        after = -1
        while hits := self._pictures.ordered(_EVERY, after, size, source=wanted):
            after = hits[-1]["_source"]["order"]
            vectors = {
                name: np.concatenate([self._vector_in(each, hit) for hit in hits])
                for name, each in ways.items()
            }
            yield [documents.record(hit["_source"]) for hit in hits], vectors

    def nearest(
        self, embedding: str, queries: Vectors, k: int | None, look: Look = ANYWHERE
    ) -> list[list[tuple[Record, float]]]:
        """The `k` nearest records of each query, float32 [q, dim], with scores, best first.

        Without `k`, all that score enough: read and ranked here, linear in their number.
        """
        way = self._way(embedding)
        if k is None:
            return [way.everything(queries[i : i + 1], look) for i in range(len(queries))]
        return way.search(queries, k, look)

    def knobs(self, embedding: str) -> frozenset[str]:
        """The fields of `Effort` that searches by this embedding heed."""
        structure = self._nearest[embedding].field.kind.structure
        knobs: frozenset[str] = registry.load("elastic", structure).knobs
        return knobs

    def mentioned(
        self, words: str, count: int | None, look: Look = ANYWHERE
    ) -> list[tuple[Record, float]]:
        """The `count` records whose label or metadata have some of these words, best first."""
        parts: dict[str, Any] = {"must": [{"match": {"words": words}}]}
        if look.where is not None:
            parts["filter"] = [conditions.passing(look.where)]
        hits = self._pictures.hits({"bool": parts}, size=min(count or MOST, MOST))
        return [(documents.record(hit["_source"]), hit["_score"]) for hit in hits]

    def exceeds(self, most: int, embedding: str, queries: Vectors, look: Look = ANYWHERE) -> bool:
        """Whether `nearest` without `k` would give more than so many to one of the queries."""
        way = self._way(embedding)
        return any(way.exceeds(most, queries[i : i + 1], look) for i in range(len(queries)))

    def least(self, embedding: str, score: float, queries: Vectors) -> float:
        """What `nearest` gives at the least, as all is rounded, to a picture of this true score."""
        return self._nearest[embedding].least(score, queries)

    def scores(self, embedding: str, query: Vectors, ids: Sequence[str]) -> dict[str, float]:
        """How well each of these pictures answers a query, float32 [1, dim], computed exactly."""
        way = self._nearest[embedding]
        found = way.vectors_of(ids)
        if not found:
            return {}
        scores = way.scores(query, np.concatenate(list(found.values())))
        return dict(zip(found, scores.tolist(), strict=True))

    def near_pairs(
        self, embedding: str, k: int, least: float
    ) -> list[tuple[Record, Record, float]]:
        """Pairs that score at least so much, where one is among the `k` nearest of the other."""
        way = self._way(embedding)
        pairs: dict[tuple[str, str], tuple[Record, Record, float]] = {}
        for records, vectors in self.blocks([embedding], _PAIRS_AT_ONCE):
            found = way.search(vectors[embedding], k + 1, ANYWHERE)
            for record, hits in zip(records, found, strict=True):
                for other, score in hits:
                    if other.id != record.id and score >= least:
                        first, second = sorted((record.id, other.id))
                        pairs.setdefault((first, second), (record, other, score))
        return sorted(pairs.values(), key=lambda each: -each[2])

    def in_several_places(self) -> list[Record]:
        """Pictures that lie at more than one place."""
        query = {"range": {"lies": {"gt": 1}}}
        found: list[Record] = []
        after = -1
        while hits := self._pictures.ordered(query, after):
            after = hits[-1]["_source"]["order"]
            found += [documents.record(hit["_source"]) for hit in hits]
        return found

    def judge(self, said: Sequence[Judgement]) -> None:
        """Keep what was said of pairs; what is said last of one counts."""
        self._small.judge(said)

    def take_back(self, a: str, b: str) -> bool:
        """Forget what was said of two pictures, by their whole ids; whether anything was."""
        return self._small.take_back(a, b)

    def judgements(self) -> list[Judgement]:
        """All that was said, in the order in which it was."""
        return self._small.judgements()

    def learned(self) -> dict[str, bytes]:
        """What extractors have learned from the collection's pictures, by embedding."""
        return self._small.learned()

    def keep_learned(self, embedding: str, fingerprint: str, content: bytes) -> bytes:
        """Keep what an extractor has learned; what another process kept before it comes first."""
        self._small.keep_learned(embedding, fingerprint, content)
        return self._small.learned()[embedding]

    def ledger(self, paths: Sequence[str]) -> dict[str, LedgerEntry]:
        """What became of those of these paths that were ever seen."""
        return self._places.ledger(paths)

    def refused(self) -> Iterator[LedgerEntry]:
        """Every path that gave no picture."""
        return self._places.refused()

    def paths_below(self, root: str) -> list[str]:
        """The paths ever seen that are `root`, or lie in it or inside it as an archive."""
        return self._places.paths_below(root)

    def stats(self) -> dict[str, Any]:
        """Counts and sizes, as JSON values."""
        failed, ignored = self._places.counts()
        return {
            **overview.counts(self._pictures),
            "failed": failed,
            "ignored": ignored,
            "cluster": overview.health(self._cluster),
            "embeddings": {
                name: {
                    **overview.described(self._pictures, self._plans[name], way.field),
                    "tuning": tuning.to_json() if (tuning := self._tuning(name)) else None,
                }
                for name, way in self._nearest.items()
            },
            "local_features": self._votes.describe(),
        }

    def state(self) -> object:
        """The same object until anybody, in any process, commits."""
        now = overview.state(self._pictures)
        if self._state[0] != now:
            self._state = (now, object())
        return self._state[1]

    def facets(self, where: Filter | None, most_labels: int) -> Facets:
        """How many pictures that pass a filter have each label, format and size."""
        return overview.facets(self._pictures, where, most_labels)

    def sample(self, embedding: str, limit: int) -> tuple[list[Record], Vectors]:
        """At most `limit` records, by chance, the oldest first; float32 [n, dim], theirs."""
        way = self._nearest[embedding]
        hits = measuring.chosen(self._pictures, limit, [*documents.OF_RECORD, *way.sources])
        there = [(hit, way.vector_in(hit["_source"])) for hit in hits]
        vectors = [each for _, each in there if each is not None]
        empty = np.empty((0, way.field.dim), np.float32)
        return (
            [documents.record(hit["_source"]) for hit, each in there if each is not None],
            np.concatenate([empty, *vectors]),
        )

    def loose(self) -> Loose:
        """What belongs to nothing; nothing does unless something has been damaged."""
        return mending.loose(self._pictures, self._every_local)

    def drop_loose(self) -> None:
        """Delete all that."""
        mending.drop_loose(self._pictures, self._every_local)

    def mend(self, ids: Sequence[str], vectors: Mapping[str, Vectors]) -> None:
        """Give pictures that are there their vectors anew; findable when this returns."""
        fields = {name: each.field for name, each in self._nearest.items()}
        dims = {name: each.dim for name, each in fields.items()}
        mending.mend(self._pictures, ids, fields, storable(vectors, dims, len(ids)))

    def settle(self) -> None:
        """Have all that was written found."""
        self._cluster.refresh(self._pictures.index)

    def sampled(self, embedding: str, count: int, k: int) -> Sample:
        """Stored vectors, at most `count`, as queries with their true `k` nearest."""
        return measuring.sampled(self._pictures, self._nearest[embedding], count, k)

    def tried(self, embedding: str, sample: Sample, effort: Effort) -> Trial:
        """How much of a sample's nearest searches with this effort find, and in what time."""
        return measuring.tried(self._pictures, self._nearest[embedding], sample, effort)

    def keep_tuning(self, embedding: str, tuning: Tuning) -> None:
        """Have every search of every process that says no effort use the chosen one."""
        self._small.keep_tuning(embedding, self._made_for(embedding), tuning)

    def calibration(self) -> str | None:
        """What was kept of scores; see `keep_calibration`."""
        return self._small.calibration()

    def keep_calibration(self, text: str) -> None:
        """Keep what scores were found to mean, for every process, in place of what was kept."""
        self._small.keep_calibration(text)

    def check(self) -> list[Finding]:
        """Whether the cluster is well, what is stored is sound, and found again."""
        cluster = overview.cluster(self._cluster)
        if not cluster.sound:  # nothing else can be asked for
            return [cluster]
        return [
            cluster,
            overview.records(self._pictures),
            *(measuring.finding(self._pictures, way) for way in self._nearest.values()),
        ]

    def __len__(self) -> int:
        return self._pictures.count(_EVERY)

    def close(self) -> None:
        """Close the connections."""
        self._cluster.close()

    def _document(self, id: str) -> documents.Source | None:
        if not 8 <= len(id) <= 64 or set(id) - set("0123456789abcdef"):
            return None
        if len(id) == 64:
            return self._pictures.by_ids([id]).get(id)
        found = self._pictures.hits({"prefix": {"id": id}}, size=2)
        return found[0] if len(found) == 1 else None

    def _way(self, embedding: str) -> Nearest:
        """How the nearest are found, with the effort that `tune` has chosen."""
        way = self._nearest[embedding]
        tuning = self._tuning(embedding)
        way.usual = None if tuning is None else tuning.chosen.effort
        return way

    def _tuning(self, embedding: str) -> Tuning | None:
        return self._small.tuning(embedding, self._made_for(embedding))

    def _made_for(self, embedding: str) -> dict[str, Any]:
        return self._nearest[embedding].field.kind.index_options()

    def _vector_in(self, way: Nearest, hit: documents.Source) -> Vectors:
        vector = way.vector_in(hit["_source"])
        if vector is None:
            where = str(self._cluster.address)
            raise ClusterUnwell(where, f"the picture {hit['_id']} has lost its vector")
        return vector

    def _allowed(self, where: Filter) -> Rows:
        """The rows that pass a filter, ascending."""
        blocks = self._pictures.every(conditions.passing(where), ["order"])
        rows = [hit["_source"]["order"] for hits in blocks for hit in hits]
        return np.array(sorted(rows), np.int64)

    def _records_at(self, rows: Sequence[int]) -> dict[int, Record]:
        found: dict[int, Record] = {}
        for start in range(0, len(rows), _LOOKED_THROUGH):
            terms = {"terms": {"order": list(rows[start : start + _LOOKED_THROUGH])}}
            found |= dict(_numbered(hit) for hit in self._pictures.hits(terms))
        return found


def _numbered(hit: documents.Source) -> tuple[int, Record]:
    return hit["_source"]["order"], documents.record(hit["_source"])


def _parts(checked: Mapping[str, Vectors], fields: Mapping[str, Field]) -> list[dict[str, Any]]:
    names = {name: (each.name, each.distance) for name, each in fields.items()}
    return documents.vector_fields(names, checked)

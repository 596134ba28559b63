"""The nearest records of a query, by Elasticsearch's kNN; or all, ranked here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...filters import Filter
from ...types import Effort, Record, Vectors
from .. import Look
from . import conditions, documents
from .cluster import is_partial
from .conditions import Query
from .documents import OF_RECORD
from .kinds import FlatOptions, HNSWOptions, Int8HNSWOptions
from .mapping import Field
from .reading import MOST, Reading

Found = list[tuple[Record, float]]
Scores = npt.NDArray[np.float32]
_AT_ONCE = 64
"""Queries in one request."""
_BLOCK = 500
"""Documents that are ranked here at a time."""
_OTHERWISE = 10
_OTHERWISE_LEAST = 200
"""Candidates for each hit, and at the least, where a distance orders otherwise than the metric."""
_SINGLE = 4e-6
"""Of a score, which Elasticsearch gives in single precision, and not as it is."""


class Nearest:
    """Of one kind of vectors."""

    def __init__(self, pictures: Reading, field: Field) -> None:
        self._pictures = pictures
        self.field = field
        self.usual: Effort | None = None
        """What `tune` has chosen."""

    def search(self, queries: Vectors, k: int, look: Look) -> list[Found]:
        """The `k` nearest records of each query, float32 [q, dim], with scores, best first."""
        if k < 1:
            return [[] for _ in queries]
        prepared = self.field.distance.prepared(queries)
        found: list[Found] = []
        for start in range(0, len(queries), _AT_ONCE):
            found += self._some(prepared[start : start + _AT_ONCE], k, look)
        return found

    def everything(self, query: Vectors, look: Look) -> Found:
        """Every record that a filter passes, with a score of at least `look.least`, best first.

        `query`: float32 [1, dim]. Linear in their number: all of them are read and ranked here.
        """
        least = -math.inf if look.least is None else look.least
        found: Found = []
        for records, scores in self._ranked(query, look.where):
            found += [
                (record, score)
                for record, score in zip(records, scores.tolist(), strict=True)
                if score >= least
            ]
        return sorted(found, key=lambda each: -each[1])

    def exceeds(self, most: int, query: Vectors, look: Look) -> bool:
        """Whether that would be more than so many."""
        if look.least is None:
            return self._pictures.count(_passing(look.where)) > most
        count = 0
        for _, scores in self._ranked(query, look.where):
            count += int((scores >= look.least).sum())
            if count > most:
                return True
        return False

    def least(self, score: float, queries: Vectors) -> float:
        """What comes out at the least, as all is rounded, for a picture of this true score."""
        size = float(np.einsum("ij,ij->i", queries, queries).max(initial=0))
        return self.field.distance.least(score, _SINGLE, max(size, 1.0))

    def vectors_of(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """Those of pictures that are there, as they came, float32 [1, dim], by id."""
        found = self._pictures.by_ids(ids, {"includes": self.sources})
        return {
            id: vector
            for id, each in found.items()
            if (vector := self.vector_in(each["_source"])) is not None
        }

    def vector_in(self, source: documents.Source) -> Vectors | None:
        """The vector in a document, float32 [1, dim], as it came."""
        return documents.vector_of(source, self.field.name, self.field.dim)

    @property
    def sources(self) -> list[str]:
        """What of a document its vector is made of."""
        return [self.field.path, f"came.{self.field.name}"]

    def scores(self, query: Vectors, vectors: Vectors) -> Scores:
        """One query, float32 [1, dim], against vectors as they came: float32 [n]."""
        distance = self.field.distance
        return distance.scores(distance.prepared(query)[0], distance.prepared(vectors))

    def _some(self, queries: Vectors, k: int, look: Look) -> list[Found]:
        distance = self.field.distance
        if k > MOST or (isinstance(self.field.kind, FlatOptions) and not distance.native):
            return [self._first(query[np.newaxis], k, look) for query in queries]
        wanted = k if distance.native else min(max(_OTHERWISE * k, _OTHERWISE_LEAST), MOST)
        answers = self._asked(queries, wanted, look)
        found = [
            self._read(query, [] if answer is None else answer["hits"]["hits"])[:k]
            for query, answer in zip(queries, answers, strict=True)
        ]
        partial = any(answer is not None and is_partial(answer) for answer in answers)
        if partial or all(len(each) >= k for each in found):
            return found
        # There are not so many; or the graph has not come by them.
        there = self._pictures.count(_passing(look.where))
        return [
            each if len(each) >= min(k, there) else self._first(query[np.newaxis], k, look)
            for query, each in zip(queries, found, strict=True)
        ]

    def _first(self, query: Vectors, k: int, look: Look) -> Found:
        return self.everything(query, Look(look.where, look.effort))[:k]

    def _asked(self, queries: Vectors, k: int, look: Look) -> list[dict[str, Any] | None]:
        """The answer to each, in as few requests as that takes; None to one that is not asked."""
        requests = [self.request(query, k, look) for query in queries]
        cluster, index = self._pictures.cluster, self._pictures.index
        if len(requests) == 1:
            (request,) = requests
            if request is None:
                return [None]
            return [cluster.searched(whole=False, index=index, **request)]
        asked = [request for request in requests if request is not None]
        answers = iter(cluster.searched_many(index, asked) if asked else ())
        return [None if request is None else next(answers) for request in requests]

    def request(self, query: Vectors, k: int, look: Look) -> dict[str, Any] | None:
        """One search; None for a query that has no direction, which finds nothing by it."""
        if self.field.distance.normalised and not query.any():
            return None
        kind = self.field.kind
        effort = (look.effort or Effort()).or_else(self.usual)
        knn: dict[str, Any] = {
            "field": self.field.path,
            "query_vector": query,
            "k": k,
            "num_candidates": k,
        }
        if isinstance(kind, HNSWOptions):
            knn["num_candidates"] = min(max(effort.ef_search or kind.ef_search, k), MOST)
        if isinstance(kind, Int8HNSWOptions):
            oversample = effort.refine or kind.oversample
            knn["rescore_vector"] = {"oversample": float(min(oversample, max(MOST // k, 1)))}
            knn["num_candidates"] = min(max(knn["num_candidates"], oversample * k), MOST)
            # So that the graph's candidates are ranked again, and not the hits' alone.
            knn["k"] = knn["num_candidates"]
        if look.where is not None:
            knn["filter"] = conditions.passing(look.where)
        # The search option `knn` asks every shard twice. As a query it is asked of each vector that
        # is met whether its document is nested in another, which is too much where all are met.
        scanned = isinstance(kind, FlatOptions)
        return {
            **({"knn": knn} if scanned else {"query": {"knn": knn}}),
            "size": k,
            # Out of the column of records alone, as stored fields have to be unpacked.
            "stored_fields": "_none_",
            "docvalue_fields": ["record"],
            "track_total_hits": False,
        }

    def _read(self, query: Vectors, hits: list[dict[str, Any]]) -> Found:
        """Records with our scores, of one query, float32 [dim], best first."""
        if not self.field.distance.native:
            return self._read_otherwise(query, hits)
        scores = self._turned(np.array([hit["_score"] for hit in hits], np.float64))
        return list(zip(documents.records_of(hits), scores.tolist(), strict=True))

    def _read_otherwise(self, query: Vectors, hits: list[dict[str, Any]]) -> Found:
        """The same by the vectors themselves, where the metric is not the distance."""
        records = documents.records_of(hits)
        stored = self.vectors_of([record.id for record in records])
        there = [record for record in records if record.id in stored]
        if not there:
            return []
        vectors = np.concatenate([stored[record.id] for record in there])
        scores = self.scores(query[np.newaxis], vectors)
        order = np.argsort(-scores, kind="stable")
        return [(there[i], float(scores[i])) for i in order.tolist()]

    def _turned(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Elasticsearch's scores as ours: it has each above 0, and gives them as float32."""
        distance = self.field.distance
        if distance.metric != "inner product":
            own = 1 - 1 / scores  # of 1 / (1 + squared distance)
        elif distance.normalised:
            own = 2 * scores - 1
        else:
            own = np.where(scores < 1, 1 - 1 / scores, scores - 1)
        if distance.of_metric is not None:
            own = np.asarray(distance.of_metric(own.astype(np.float32)), np.float64)
        return np.clip(own, distance.lowest, distance.highest)

    def _ranked(
        self, query: Vectors, where: Filter | None
    ) -> Iterator[tuple[list[Record], Scores]]:
        """All records that pass, a block at a time, with their scores."""
        source = {"includes": [*OF_RECORD, *self.sources]}
        for hits in self._pictures.every(_passing(where), source, _BLOCK):
            vectors = [self.vector_in(hit["_source"]) for hit in hits]
            there = [n for n, each in enumerate(vectors) if each is not None]
            if there:
                matrix = np.concatenate([each for each in vectors if each is not None])
                records = [documents.record(hits[n]["_source"]) for n in there]
                yield records, self.scores(query, matrix)


def _passing(where: Filter | None) -> Query:
    return {"match_all": {}} if where is None else conditions.passing(where)

"""How near searches come to exact ones, and in what time: tried with stored vectors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...types import Effort, Finding, Trial
from .. import ANYWHERE, Look, Sample
from .nearest import Nearest
from .reading import MOST, Reading

_WARMING = 20
"""Queries before the clock starts."""
_SAME = 1e-5
"""Scores that differ by less, or by less than this share of them, are the same."""
_CHECKED = 100


def chosen(pictures: Reading, limit: int, source: Sequence[str]) -> list[dict[str, Any]]:
    """At most `limit` documents, by chance but always the same, the oldest first."""
    random = {"random_score": {"seed": 0, "field": "order"}}
    query = {"function_score": {"query": {"match_all": {}}, **random}}
    wanted = {"includes": ["order", *source]}
    hits = pictures.hits(query, size=min(limit, MOST), source=wanted) if limit > 0 else []
    return sorted(hits, key=lambda hit: int(hit["_source"]["order"]))


def sampled(pictures: Reading, way: Nearest, count: int, k: int) -> Sample:
    """Stored vectors as queries, with how good their true `k` nearest are, itself left out."""
    hits = chosen(pictures, count, way.sources)
    there = [(hit, way.vector_in(hit["_source"])) for hit in hits]
    own = np.array([h["_source"]["order"] for h, each in there if each is not None], np.int64)
    empty = np.empty((0, way.field.dim), np.float32)
    queries = np.concatenate([empty, *(each for _, each in there if each is not None)])
    best = np.full((len(queries), k), -np.inf)
    for block in pictures.every({"match_all": {}}, {"includes": ["order", *way.sources]}):
        pairs = [(hit["_source"]["order"], way.vector_in(hit["_source"])) for hit in block]
        rows = np.array([row for row, each in pairs if each is not None], np.int64)
        if len(rows):
            vectors = np.concatenate([each for _, each in pairs if each is not None])
            for number, query in enumerate(queries):
                scores = way.scores(query[np.newaxis], vectors)[rows != own[number]]
                every = np.concatenate([best[number], scores])
                best[number] = np.sort(every)[::-1][:k]
    least = np.array([each[each > -np.inf].min(initial=np.inf) for each in best])
    there_are = (best > -np.inf).sum(axis=1).astype(np.int64)
    return Sample(queries, own, k, there_are, least - _SAME * np.maximum(1.0, np.abs(least)))


def tried(pictures: Reading, way: Nearest, sample: Sample, effort: Effort) -> Trial:
    """Search for each, one a call. Scores are computed anew, so that none can flatter itself."""
    look = Look(effort=effort)
    own_ids = _ids_at(pictures, sample.own.tolist())
    for i in range(min(_WARMING, len(sample.queries))):
        way.search(sample.queries[i : i + 1], sample.k + 1, look)
    seconds = np.empty(len(sample.queries))
    right = 0
    for i in range(len(sample.queries)):
        query = sample.queries[i : i + 1]
        started = time.perf_counter()
        (found,) = way.search(query, sample.k + 1, look)
        seconds[i] = time.perf_counter() - started
        itself = own_ids.get(int(sample.own[i]))
        ids = [record.id for record, _ in found if record.id != itself][: sample.k]
        vectors = way.vectors_of(ids)
        if vectors:
            scores = way.scores(query, np.concatenate(list(vectors.values())))
            right += int((scores >= sample.least[i]).sum())
    return Trial(
        effort,
        recall=right / max(int(sample.there.sum()), 1),
        median_ms=1000 * float(np.median(seconds)),
        p99_ms=1000 * float(np.percentile(seconds, 99)),
        queries_per_second=len(seconds) / float(seconds.sum()),
    )


def finding(pictures: Reading, way: Nearest) -> Finding:
    """Whether some of the stored vectors find themselves."""
    hits = chosen(pictures, _CHECKED, way.sources)
    there = [(hit["_id"], way.vector_in(hit["_source"])) for hit in hits]
    pairs = [(id, each) for id, each in there if each is not None and each.any()]
    name = f"{way.field.name.rpartition('_')[0]} index"
    if not pairs:
        return Finding(name, sound=True, text="empty")
    queries = np.concatenate([each for _, each in pairs])
    found = way.search(queries, 10, ANYWHERE)
    # The same vector may be another picture's as well.
    best = [hits[0][1] if hits else -np.inf for hits in found]
    own = [float(way.scores(q[np.newaxis], q[np.newaxis])[0]) for q in queries]
    right = sum(b >= o - _SAME * max(1.0, abs(o)) for b, o in zip(best, own, strict=True))
    share = right / len(pairs)
    text = f"{way.field.kind.structure}: {right} of {len(pairs)} tried vectors find themselves"
    return Finding(name, sound=share >= 0.95, text=text)


def _ids_at(pictures: Reading, rows: Sequence[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for start in range(0, len(rows), 1000):
        terms = {"terms": {"order": list(rows[start : start + 1000])}}
        hits = pictures.hits(terms, source=["order"])
        found |= {hit["_source"]["order"]: hit["_id"] for hit in hits}
    return found

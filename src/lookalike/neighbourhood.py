"""What the neighbours of a query say of it: the query expanded, its hits ranked again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from .engine import Engine
from .expansion import expanded as expanded_by
from .extract.pooling import unit
from .queries import Question
from .reranking import k_reciprocal
from .types import Hit, LocalFeatures, Vectors

K_RECIPROCAL = "k-reciprocal"
"""What the new distance is called among a hit's scores: 0 to 1, lower is better."""


def expanded(
    engine: Engine,
    question: Question,
    vectors: Mapping[str, Vectors],
    local: Sequence[LocalFeatures] | None,
    but: Collection[str],
) -> dict[str, Vectors]:
    """Each query in the midst of its first hits, those that the same question would have.

    `vectors`: by embedding, float32 [q, dim], as what comes back; the same hits count for each.
    `but`: the ids of pictures that are no neighbours.
    """
    wanted = question.expand or 0
    first = replace(question, k=wanted + len(but), offset=0)
    found = [
        [hit.id for hit in hits if hit.id not in but][:wanted]
        for hits in engine.hits(vectors, first, wanted, local)
    ]
    every = list({id for ids in found for id in ids})
    return {name: _in_the_midst(engine, name, each, found, every) for name, each in vectors.items()}


def _in_the_midst(
    engine: Engine,
    embedding: str,
    queries: Vectors,
    found: Sequence[Sequence[str]],
    every: Sequence[str],
) -> Vectors:
    distance = engine.distance(embedding)
    stored = engine.store.vectors_of(embedding, every)
    queries = distance.prepared(queries)
    none = np.zeros((0, queries.shape[1]), np.float32)
    each = [
        expanded_by(
            queries[i : i + 1],
            distance.prepared(np.concatenate([none, *(stored[id] for id in ids if id in stored)])),
        )
        for i, ids in enumerate(found)
    ]
    return np.concatenate([none, *each])


def reranked(
    engine: Engine, query: Mapping[str, Vectors], hits: Sequence[Hit], count: int
) -> list[Hit]:
    """The first `count` hits in the order of the neighbours that each shares with the query.

    `query`: by embedding, float32 [1, dim]; several stand side by side, each by its weight, so
    that their squared distances add up. Hits beyond follow as they came, and before them what
    has been removed meanwhile.
    """
    stored = {
        name: engine.store.vectors_of(name, [hit.id for hit in hits[:count]]) for name in query
    }
    there = [hit for hit in hits[:count] if all(hit.id in each for each in stored.values())]
    known = {hit.id for hit in there}
    rest = [hit for hit in hits if hit.id not in known]
    parts = []
    for name, vector in query.items():
        every = np.concatenate([vector, *(stored[name][hit.id] for hit in there)])
        parts.append(engine.weight(name) ** 0.5 * unit(engine.store.compared(name, every)))
    apart = k_reciprocal(unit(np.concatenate(parts, axis=1))).tolist()
    ranked = [
        hit._replace(scores={**hit.scores, K_RECIPROCAL: round(distance, 6)})
        for hit, distance in zip(there, apart, strict=True)
    ]
    order = sorted(range(len(ranked)), key=apart.__getitem__)
    return [*(ranked[number] for number in order), *rest]

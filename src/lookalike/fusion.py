"""The answers of several embeddings to one query -> one list, best first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

_SMOOTHING = 60
"""How little the first ranks differ: the value that Cormack et al. found best, and all use."""

Scores = Mapping[str, Mapping[str, float]]
"""By embedding: the score of each picture, by id, the best first."""


def reciprocal_rank(scores: Scores, weights: Mapping[str, float]) -> dict[str, float]:
    """Each picture's fused score, 0 to 1; 1 for the one that every embedding has first.

    Only ranks count (Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion", 2009), so scores of
    different scales may be fused. A picture that an embedding did not find gets nothing from it.
    """
    fused: defaultdict[str, float] = defaultdict(float)
    most = sum(weights[name] for name in scores) / (_SMOOTHING + 1)
    for name, found in scores.items():
        for rank, id in enumerate(found, start=1):
            fused[id] += weights[name] / (_SMOOTHING + rank) / most
    return dict(fused)


def weighted(scores: Scores, weights: Mapping[str, float]) -> dict[str, float]:
    """The weighted mean of the scores of each picture that all embeddings have a score for."""
    total = sum(weights[name] for name in scores)
    ids = set.intersection(*(set(found) for found in scores.values()))
    return {id: sum(weights[name] * scores[name][id] for name in scores) / total for id in ids}


def best(fused: Mapping[str, float], count: int) -> Sequence[str]:
    """The `count` ids of the highest scores, best first; equal ones by id, so that pages agree."""
    return sorted(fused, key=lambda each: (-fused[each], each))[:count]

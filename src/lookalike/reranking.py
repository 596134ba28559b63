"""A query's candidates, ranked by how many neighbours each shares with the query."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .types import Vectors

MOST = 1_000
"""Candidates that may be ranked again."""

Distances = npt.NDArray[np.float64]
Nearest = npt.NDArray[np.int64]
Sets = npt.NDArray[np.bool_]


def k_reciprocal(vectors: Vectors, k1: int = 20, k2: int = 6, own: float = 0.3) -> Distances:
    """How far each candidate is from the query, 0 to 1, by the neighbours that they share.

    `vectors`: float32 [1 + n, dim] of length 1, the query's first. Two pictures are reciprocal
    neighbours where each is among the `k1` nearest of the other; a picture's set of these takes in
    the half-sized sets of its members that lie in it by two thirds. The distance is Jaccard's of
    two such sets, whose members weigh the less the farther off they are, each set a mean over its
    picture's `k2` nearest; `own` is what the distance of the vectors themselves counts beside it.
    float64 [n]. Zhong, Zheng, Cao and Li, "Re-ranking person re-identification with k-reciprocal
    encoding", CVPR 2017, all of it among the query and its candidates alone. Costs n * n * dim
    multiplications, and memory for n * n numbers.
    """
    apart = _apart(vectors)
    nearest = _nearest(apart, k1 + 1)
    sets = _reciprocal(nearest, nearest[:, : round(k1 / 2) + 1])
    weights = np.where(sets, np.exp(-apart), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    near = nearest[:, :k2]
    of_query = weights[near[0]].mean(axis=0)
    shown = np.flatnonzero(of_query)  # what the query's set lacks, none shares with it
    of_each = weights[:, shown][near].mean(axis=1)
    shared = np.minimum(of_query[shown], of_each).sum(axis=1)
    jaccard = 1 - shared / (2 - shared)
    distances: Distances = np.clip((1 - own) * jaccard + own * apart[0], 0, 1)
    return distances[1:]


def _apart(vectors: Vectors) -> Distances:
    """Squared distances, each row as a share of its largest: [m, m], 0 to 1."""
    apart = np.maximum(2 - 2 * (vectors @ vectors.T).astype(np.float64), 0)
    np.fill_diagonal(apart, 0)
    most = apart.max(axis=1, keepdims=True)
    shares: Distances = np.divide(apart, most, out=np.zeros_like(apart), where=most > 0)
    return shares


def _nearest(apart: Distances, k: int) -> Nearest:
    """The `k` nearest of each, the first being itself, int64 [m, k]; all if there are fewer."""
    keys = apart.copy()
    np.fill_diagonal(keys, -1)
    if k < len(keys):
        chosen = np.argpartition(keys, k, axis=1)[:, :k]
        order = np.take_along_axis(keys, chosen, axis=1).argsort(axis=1, kind="stable")
        return np.take_along_axis(chosen, order, axis=1)
    return keys.argsort(axis=1, kind="stable")


def _reciprocal(nearest: Nearest, half: Nearest) -> Sets:
    """The set of each picture's reciprocal neighbours, with those that join it: bool [m, m].

    `half`: the first half of `nearest`.
    """
    sets, small = _mutual(nearest), _mutual(half)
    rows = np.arange(len(nearest))[:, np.newaxis]
    others = half[nearest]  # [m, k, h]: of each neighbour the nearest
    in_small = small[nearest[:, :, np.newaxis], others]
    in_both = in_small & sets[rows[:, :, np.newaxis], others]
    joins = sets[rows, nearest] & (3 * in_both.sum(axis=2) > 2 * in_small.sum(axis=2))
    which, neighbour, place = np.nonzero(joins[:, :, np.newaxis] & in_small)
    sets[which, others[which, neighbour, place]] = True
    return sets


def _mutual(nearest: Nearest) -> Sets:
    """Which pictures are among each other's nearest, bool [m, m]."""
    there = np.zeros((len(nearest), len(nearest)), np.bool_)
    np.put_along_axis(there, nearest, values=True, axis=1)
    return there & there.T

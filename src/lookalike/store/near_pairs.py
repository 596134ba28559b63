"""Which stored pictures are near each other: each asks for its nearest, some thousand at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..index.segments import SegmentedIndex
from ..types import Effort
from .catalogue import Catalogue
from .connection import Connection
from .embeddings import Embedding

_AT_ONCE = 2_048
"""Vectors that are asked with at a time."""

Pairs = npt.NDArray[np.int64]
"""int64 [n, 2]: rows, the lower one first."""


def near_pairs(
    catalogue: Catalogue,
    connection: Connection,
    embedding: Embedding,
    vectors: SegmentedIndex,
    k: int,
    least: float,
    effort: Effort | None,
) -> tuple[Pairs, npt.NDArray[np.float32]]:
    """Pairs that score at least so much, as far as one is among the `k` nearest of the other.

    Each once, with its score, float32 [n], the best first.
    """
    pairs: list[Pairs] = [np.empty((0, 2), np.int64)]
    scores = [np.empty(0, np.float32)]
    for rows, asked in catalogue.vectors_after(connection, embedding, 0, _AT_ONCE):
        found = vectors.search(asked, k + 1, None, effort)  # one more, as each finds itself
        near = (found.scores >= least) & (found.rows >= 0) & (found.rows != rows[:, None])
        lines, places = np.nonzero(near)
        both = np.stack([rows[lines], found.rows[lines, places]], axis=1)
        pairs.append(np.sort(both, axis=1))
        scores.append(found.scores[lines, places])
    return _once(np.concatenate(pairs), np.concatenate(scores))


def _once(pairs: Pairs, scores: npt.NDArray[np.float32]) -> tuple[Pairs, npt.NDArray[np.float32]]:
    """Each pair that both of its pictures found once; of equal scores the lowest rows first."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs, scores = pairs[order], scores[order]
    first = np.ones(len(pairs), np.bool_)
    first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    pairs, scores = pairs[first], scores[first]
    best = np.argsort(-scores, kind="stable")
    return pairs[best], scores[best]

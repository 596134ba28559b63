"""Every picture of a collection, matched with the query one by one: exact, and as slow as that is.

For each picture all its descriptors are compared with all of the query: for 500 of each some 3 ms
of a core, so 100,000 pictures take minutes. The inverted file is for those who cannot wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..types import Rows, Vectors
from .vocabulary import comparable


def votes(
    queries: npt.NDArray[Any],
    blocks: Iterable[tuple[Rows, Sequence[npt.NDArray[Any]]]],
    count: int,
) -> tuple[Rows, npt.NDArray[np.float32]]:
    """The `count` pictures with most mutual nearest neighbours, and how many: most first.

    `queries`: the descriptors of one picture, [n, width]. `blocks`: rows with the descriptors of
    each, read as they come and not kept. int64 [m] and float32 [m], m <= count; of equals those
    come first whose matches are nearer, then the lowest row. Pictures without a match are left out.
    `ValueError` for descriptors of different kinds.
    """
    values = comparable(queries)
    every_row, matched, closeness = [], [], []
    for rows, features in blocks:
        for row, descriptors in zip(rows.tolist(), features, strict=True):
            if descriptors.shape[1:] != queries.shape[1:] or descriptors.dtype != queries.dtype:
                raise ValueError(
                    f"descriptors of {descriptors.dtype} {list(descriptors.shape[1:])} are not "
                    f"compared with those of {queries.dtype} {list(queries.shape[1:])}"
                )
            distances = _mutual(values, comparable(descriptors))
            if len(distances):
                every_row.append(row)
                matched.append(len(distances))
                closeness.append(-float(distances.sum()) / len(distances))
    found = np.array(every_row, np.int64)
    best = np.lexsort((found, -np.array(closeness), -np.array(matched)))[:count]
    return found[best], np.array(matched, np.float32)[best]


def _mutual(queries: Vectors, candidates: Vectors) -> npt.NDArray[np.float32]:
    """Squared distances, float32 [m], of the pairs that are each other's nearest."""
    if len(queries) == 0 or len(candidates) == 0:
        return np.empty(0, np.float32)
    distances = queries @ candidates.T
    distances *= -2
    distances += np.einsum("ij,ij->i", candidates, candidates)
    distances += np.einsum("ij,ij->i", queries, queries)[:, np.newaxis]
    forth, back = distances.argmin(axis=1), distances.argmin(axis=0)
    mutual = np.flatnonzero(back[forth] == np.arange(len(queries)))
    return np.asarray(distances[mutual, forth[mutual]], np.float32)

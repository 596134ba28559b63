"""Votes of a query's descriptors for pictures, out of postings.

Each descriptor's nearest by Hamming distance of their signatures count, one a picture, the more
the nearer they are than the next: Jégou, Douze and Schmid, "On the burstiness of visual elements",
2009, for one vote a picture; Lowe's ratio test, 2004, for how much nearer.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .postings import Mask, Segment
from .vocabulary import BITS, Signatures, Words

FARTHEST = 20
"""Signatures that differ in more of their 64 bits say nothing."""
_NEAREST = 10
"""So many pictures get a vote of each descriptor; the next says what is no match."""
_POSTINGS_AT_ONCE = 1 << 18


class Matches(NamedTuple):
    """Which descriptors have something near in which pictures."""

    descriptors: npt.NDArray[np.int64]
    """int64 [n], of the query."""
    distances: npt.NDArray[np.uint8]
    """uint8 [n], bits that differ."""
    pictures: npt.NDArray[np.int64]
    """int64 [n], counted through all segments."""


def votes(
    segments: Sequence[Segment],
    allowed: Sequence[Mask | None],
    words: Words,
    signatures: Signatures,
) -> npt.NDArray[np.float32]:
    """Of each picture of all segments, float32 [pictures], 0 or more.

    `words`, `signatures`: [q, m], the nearest words of each descriptor, and its signature in each.
    `allowed`: which pictures may have votes; None for all.
    """
    found, first = [], 0
    for segment, mask in zip(segments, allowed, strict=True):
        found += [
            match._replace(pictures=match.pictures + first)
            for match in _near(segment, mask, words, signatures)
        ]
        first += len(segment.rows)
    if not found:
        return np.zeros(first, np.float32)
    descriptors, distances, pictures = map(np.concatenate, zip(*found, strict=True))
    return _weighed(Matches(descriptors, distances, pictures), len(words), first)


def _near(
    segment: Segment, allowed: Mask | None, words: Words, signatures: Signatures
) -> list[Matches]:
    """All postings within FARTHEST of a descriptor of the query, a block of them at a time."""
    asked, starts = words.ravel(), segment.offsets[words.ravel()]
    lengths = segment.offsets[asked + 1] - starts
    ends = np.cumsum(lengths)
    found = []
    total = int(ends[-1]) if len(ends) else 0
    edges = np.searchsorted(ends, np.arange(0, total, _POSTINGS_AT_ONCE), side="right").tolist()
    edges = sorted({*edges, len(ends)})
    for begin, end in itertools.pairwise(edges):
        these = slice(begin, end)
        length, stop = lengths[these], np.cumsum(lengths[these])
        at = np.arange(stop[-1]) + np.repeat(starts[these] - (stop - length), length)
        differing = segment.signatures[at] ^ np.repeat(signatures.ravel()[these], length)
        distances = np.bitwise_count(differing)
        near = np.flatnonzero(distances <= FARTHEST)
        pictures = segment.pictures[at[near]]
        if allowed is not None:
            kept = allowed[pictures]
            near, pictures = near[kept], pictures[kept]
        pair = begin + np.searchsorted(stop, near, side="right")
        descriptors = pair // words.shape[1]
        found.append(Matches(descriptors, distances[near], pictures.astype(np.int64)))
    return found


def _weighed(matches: Matches, queries: int, pictures: int) -> npt.NDArray[np.float32]:
    # One number says all, and is sorted faster than three: descriptor, distance, picture.
    keys = (matches.descriptors << 40) | (matches.distances.astype(np.int64) << 32)
    keys = np.sort(keys | matches.pictures)
    descriptors, distances = keys >> 40, (keys >> 32) & 0xFF
    picture = keys & 0xFFFFFFFF
    first = _first_of_each(descriptors, picture)
    descriptors, distances, picture = descriptors[first], distances[first], picture[first]
    starts = np.searchsorted(descriptors, np.arange(queries))
    rank = np.arange(len(descriptors)) - starts[descriptors]
    # The distance of the first that is no match, by descriptor.
    limit = np.full(queries, FARTHEST + 1)
    beyond = rank == _NEAREST
    limit[descriptors[beyond]] = distances[beyond]
    counted = rank < _NEAREST
    weights = 1 - distances[counted] / np.maximum(limit[descriptors[counted]], 1)
    return np.bincount(picture[counted], weights, minlength=pictures).astype(np.float32)


def _first_of_each(
    descriptors: npt.NDArray[np.int64], pictures: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Where each pair is met first, ascending."""
    return np.sort(np.unique((descriptors << 32) | pictures, return_index=True)[1])


assert BITS <= 255

"""Every query of a ground truth asked of a collection, and what asking costs."""

from __future__ import annotations

import itertools
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..collection import Collection
from ..decoding import DecodePool
from ..errors import PictureError
from ..sources import encoded_at
from ..types import Hit
from .truth import Resolved, ResolvedQuery

OnQuery = Callable[[int, int], None]
"""Told how many queries have been asked, and how many there are."""

_TIMED = 200
"""Queries that are asked one after the other, to be timed."""
_TIMED_K = 10
_FULL_SIZE = 1_000_000
"""A shortest side that no picture has, so that none is shrunk as it is decoded."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The answer to one query, best first."""

    query: ResolvedQuery
    ids: tuple[str, ...]
    scores: tuple[float, ...]
    """Higher is better."""
    error: str | None = None
    """Why the query could not be read: then it has found nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What searching takes, a picture as query, its decoding and its features included."""

    p50: float
    """Seconds, as are the next two; of a search for ten hits, one at a time."""
    p95: float
    p99: float
    rate: float
    """Queries a second, all cores at work on many."""
    bytes_a_picture: float
    """On disk: record, vectors, index."""
    peak_memory: int
    """Bytes that this process has held at most; not those that decode for it."""


def ask(
    collection: Collection, truth: Resolved, depth: int, on_query: OnQuery | None = None
) -> Iterator[Ranking]:
    """The first `depth` hits of each query, in order. One that cannot be read finds nothing."""
    done = 0
    for boxed, group in itertools.groupby(truth.queries, lambda query: query.box is not None):
        queries = list(group)
        answers = _of_parts if boxed else _of_pictures
        for query, (hits, error) in zip(queries, answers(collection, queries, depth), strict=True):
            done += 1
            if on_query is not None:
                on_query(done, len(truth.queries))
            yield Ranking(
                query,
                tuple(hit.id for hit in hits),
                tuple(hit.score for hit in hits),
                None if error is None else str(error),
            )


def cost(collection: Collection, queries: Sequence[ResolvedQuery]) -> Cost:
    """Measured with some of these queries, evenly spread, whole pictures, after a warm-up."""
    chosen = np.linspace(0, len(queries) - 1, min(_TIMED, len(queries)), dtype=np.int64)
    places = [queries[number].place for number in chosen.tolist()]
    started = time.perf_counter()
    # Exhausted, so that the machine is warm for those that are timed one by one.
    answered = sum(1 for _ in collection.search_many(places, k=_TIMED_K))
    rate = answered / (time.perf_counter() - started)
    seconds = [taken for place in places if (taken := _seconds(collection, place)) is not None]
    p50, p95, p99 = np.percentile(seconds or [np.nan], (50, 95, 99)).tolist()
    return Cost(p50, p95, p99, rate, _bytes_a_picture(collection), _peak_memory())


def _of_pictures(
    collection: Collection, queries: Sequence[ResolvedQuery], depth: int
) -> Iterator[tuple[Sequence[Hit], PictureError | None]]:
    places = [query.place for query in queries]
    for answer in collection.search_many(places, k=depth):
        yield answer.hits, answer.error


def _of_parts(
    collection: Collection, queries: Sequence[ResolvedQuery], depth: int
) -> Iterator[tuple[Sequence[Hit], PictureError | None]]:
    with DecodePool(1) as pool:
        for query in queries:
            assert query.box is not None
            try:
                pixels = pool.decode(encoded_at(query.place), _FULL_SIZE).pixels
                yield collection.search(query.box.crop(pixels), k=depth), None
            except PictureError as error:
                yield [], error


def _seconds(collection: Collection, place: str) -> float | None:
    started = time.perf_counter()
    try:
        collection.search(place, k=_TIMED_K)
    except PictureError:
        return None
    return time.perf_counter() - started


def _bytes_a_picture(collection: Collection) -> float:
    stats = collection.stats()
    caches = sum(each["cache_bytes"] for each in stats["embeddings"].values())
    total: float = (stats["catalogue_bytes"] + caches) / max(stats["pictures"], 1)
    return total


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak

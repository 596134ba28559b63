"""A question -> the hits of a collection, and where the next page of them begins."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..collection import Collection
from ..stages import stage
from ..types import Hit
from . import cursors
from .answers import Found, FoundPicture
from .problems import Refused
from .questions import Example, Wanted
from .reading import Question
from .served import Served, record_of
from .shelf import Shelved

if TYPE_CHECKING:
    from ..queries import Query

Search = Callable[..., list[Hit]]
"""What searches, by the keywords of `Collection.search`."""

_turns = threading.BoundedSemaphore((os.cpu_count() or 1) + 1)
"""More threads that compute would only wait for each other, as Python runs one at a time."""


def answered(question: Question, shelved: Shelved, served: Served) -> Found:
    """The answer to one search."""
    asked, collection = question.asked, shelved.collection
    like: list[Query] = [upload.data for upload in question.pictures]
    like += [given(each, collection, served) for each in asked.like]
    unlike: list[Query] = [upload.data for upload in question.unlike]
    unlike += [given(each, collection, served) for each in asked.unlike]
    weights = asked.weights or [1.0] * len(question.pictures)
    weights = [*weights, *(each.weight for each in asked.like)]
    parts = [upload.data for upload in (*question.pictures, *question.unlike)]

    def search(**wanted: Any) -> list[Hit]:
        return collection.search(*like, unlike=unlike, weights=weights or None, **wanted)

    return page_of(search, asked, shelved, parts)


def page_of(search: Search, wanted: Wanted, shelved: Shelved, parts: list[bytes]) -> Found:
    """One page of what a search finds. `parts`: what is asked with, beside what is wanted."""
    with _turn(shelved.collection):
        return _page_of(search, wanted, shelved, parts)


def _page_of(search: Search, wanted: Wanted, shelved: Shelved, parts: list[bytes]) -> Found:
    limit, keywords, pictures = wanted.count, wanted.keywords(), len(shelved.collection)
    question = cursors.digest([shelved.name.encode(), wanted.told_apart().encode(), *parts])
    began, depth = time.perf_counter(), limit
    if wanted.cursor is None or limit is None:
        at, hits = wanted.offset, search(**keywords)
    else:
        cursor = cursors.read(wanted.cursor, question)
        depth = cursor.depth
        found = search(**{**keywords, "k": cursor.reach(limit, pictures), "depth": depth})
        at, hits = cursor.behind(found, limit)
    took = round((time.perf_counter() - began) * 1000, 1)
    following = None
    if limit is not None and depth is not None and len(hits) == limit:
        following = str(cursors.Cursor(question, at + limit, hits[-1].id, pictures, depth))
    shown = [FoundPicture.of(hit, shelved.name) for hit in hits]
    return Found(hits=shown, next=following, took_ms=took)


@contextlib.contextmanager
def _turn(collection: Collection) -> Iterator[None]:
    """One of the few at once; all at once where the network takes those that wait in one call."""
    if collection.engine.pipeline.joined is not None:
        yield
        return
    with stage("queue"):
        _turns.acquire()
    try:
        yield
    finally:
        _turns.release()


def given(example: Example, collection: Collection, served: Served) -> Query:
    """What an example asks with; fetched, or looked up."""
    if example.id is not None:
        return record_of(collection, example.id)
    if example.vector is not None:
        return np.array(example.vector, np.float32)
    return fetched(example.url or "", served)


def fetched(url: str, served: Served) -> bytes:
    """The bytes behind an address; refused with 403 where that is not switched on."""
    if served.fetch is None:
        detail = "this service fetches nothing: start it with `--fetch-urls`"
        raise Refused(403, "no-urls", detail)
    return served.fetch(url)

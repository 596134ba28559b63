"""What a file of features brings -> a collection, a block at a time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..collection import Collection
from ..decoding import DecodePool, Encoded
from ..errors import PictureError
from ..ingest import Report, encoded
from ..sources import Item, named
from ..store import Arrival, Refusal
from ..types import Picture, Vectors
from .reading import FeatureFile
from .rows import Block, blocks

_DECODED_AT_ONCE = 16


def store(
    features: FeatureFile,
    collection: Collection,
    dims: Mapping[str, int],
    tell: Callable[[int], None],
) -> Report:
    """Store all of it, a transaction a block; pictures known by path alone are read first."""
    report, done = Report(), 0
    workers = os.cpu_count() or 1
    with (
        DecodePool(workers, collection.limits) as decoder,
        ThreadPoolExecutor(workers) as threads,
        contextlib.closing(blocks(features, dims)) as every,
    ):
        for block in every:
            if block.arrivals:
                _put(collection, block.arrivals, block.vectors, report)
            else:
                _read_and_put(collection, decoder, threads, block, report)
            done += len(block.paths)
            tell(done)
    collection.settle()
    report.seconds = time.monotonic() - report.started
    return report


def _put(
    collection: Collection,
    arrivals: Sequence[Arrival],
    vectors: Mapping[str, Vectors],
    report: Report,
) -> None:
    outcomes = collection.store.put(arrivals, vectors)
    report.stored += outcomes.count("stored")
    report.copies += outcomes.count("copy")
    report.replaced += outcomes.count("replaced")
    report.unchanged += outcomes.count("unchanged")


def _read_and_put(
    collection: Collection,
    decoder: DecodePool,
    threads: ThreadPoolExecutor,
    block: Block,
    report: Report,
) -> None:
    """Decode the pictures of a block, for their sha256 and size, and store those that can be."""
    items = [named(path) for (path,) in block.paths]
    chunks = [items[i : i + _DECODED_AT_ONCE] for i in range(0, len(items), _DECODED_AT_ONCE)]
    read = [
        each for done in threads.map(lambda chunk: _read(decoder, chunk), chunks) for each in done
    ]
    arrivals, rows, refusals = [], [], []
    for row, (item, found) in enumerate(zip(items, read, strict=True)):
        if isinstance(found, PictureError):
            refusals.append(Refusal(item.place, found.reason, found.retry, recognised=True))
        else:
            width, height = found.original_size
            arrivals.append(
                Arrival(found.sha256, found.format, width, height, found.byte_size, item.place)
            )
            rows.append(row)
    if arrivals:
        _put(collection, arrivals, {n: each[rows] for n, each in block.vectors.items()}, report)
    if refusals:
        collection.store.refuse(refusals)
        report.failed += len(refusals)


def _read(decoder: DecodePool, items: Sequence[Item]) -> list[Picture | PictureError]:
    every = [encoded(item) for item in items]
    decoded = iter(decoder.decode_batch([e for e in every if isinstance(e, Encoded)], 1))
    return [next(decoded) if isinstance(each, Encoded) else each for each in every]

"""Encoded pictures -> features: the first two steps of every ingest and every query.

A lane is one decoding process and one thread that runs the networks; while one lane computes,
others decode, so that as many lanes as cores keep them all busy.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .decoding import DecodePool, Encoded
from .errors import PictureError
from .extract import Descriptors, Extractor, LocalExtractor, Trainable
from .joining import Joined, is_faster
from .picture import from_pixels
from .stages import stage
from .types import Limits, LocalFeatures, Picture, Vectors

_BATCH = 16
_BATCH_BYTES = 64_000_000
_TRIED_WITH = (320, 480, 3)
"""The shape of a picture, of noise."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What a picture became; its pixels are not kept."""

    sha256: bytes
    format: str
    original_size: tuple[int, int]
    """Width and height in pixels."""
    byte_size: int
    vectors: Mapping[str, Vectors]
    """By embedding, float32 [1, dim]."""
    local: LocalFeatures | None = None
    """Where the recipe has them made of every picture."""


class FeaturePipeline:
    """Decodes and describes, on all cores. Safe to use from several threads at once."""

    def __init__(
        self,
        extractors: Mapping[str, Extractor],
        limits: Limits,
        local: LocalExtractor | None = None,
    ) -> None:
        """`local`: what makes local features of every picture, if something does."""
        self._extractors = extractors
        self._local = local
        sides = [each.shortest_side for each in extractors.values()]
        self._shortest_side = max([*sides, local.shortest_side] if local else sides)
        self._lanes = (os.cpu_count() or 1) + 1
        self.decoder = DecodePool(self._lanes, limits)
        self.joined: Joined[Picture, Features] | None = None
        """Takes pictures of several threads at once, once `warm` has found that to be faster."""

    def of_pictures(self, pictures: Sequence[Picture]) -> list[Features]:
        """Decoded pictures -> their features, in order."""
        with stage("extract"):
            vectors = {name: each.extract(pictures) for name, each in self._extractors.items()}
            local = self._local.extract_local(pictures) if self._local else None
        return [
            Features(
                picture.sha256,
                picture.format,
                picture.original_size,
                picture.byte_size,
                {name: matrix[i : i + 1] for name, matrix in vectors.items()},
                local[i] if local else None,
            )
            for i, picture in enumerate(pictures)
        ]

    def of_one(self, given: Encoded | Picture) -> Features:
        """One picture's; `PictureError` if it cannot be decoded."""
        picture = given
        if isinstance(picture, Encoded):
            picture = self.decoder.decode(picture, self._shortest_side)
        joined = self.joined
        return joined(picture) if joined is not None else self.of_pictures([picture])[0]

    def of_batch(self, batch: Sequence[Encoded | PictureError]) -> list[Features | PictureError]:
        """Encoded pictures -> their features, or why there are none, in order; on one lane."""
        return self._described(batch, self.of_pictures)

    def stream(
        self, pairs: Iterable[tuple[_Item, Encoded | PictureError]]
    ) -> Iterator[list[tuple[_Item, Features | PictureError]]]:
        """Things and their encoded pictures -> each thing with its features, some at a time.

        In order. All lanes work at once; at most two batches a lane are under way, so an endless
        stream needs no more memory than that.
        """
        return self._in_lanes(pairs, self.of_batch)

    def decoded(
        self,
        pairs: Iterable[tuple[_Item, Encoded | PictureError]],
        shortest_side: int,
        describe: Callable[[Sequence[Picture]], Sequence[_Result]],
    ) -> Iterator[list[tuple[_Item, _Result | PictureError]]]:
        """The same with anything else that is made of pictures, at least so many pixels wide."""
        return self._in_lanes(pairs, lambda batch: self._described(batch, describe, shortest_side))

    def samples(
        self, every: Iterable[Encoded | PictureError], extractor: Trainable
    ) -> Iterator[Descriptors]:
        """What an extractor learns from, of each of these pictures that can be decoded."""
        pairs = ((None, each) for each in every)
        for done in self._in_lanes(pairs, lambda batch: self._described(batch, extractor.sample)):
            for _, sample in done:
                if not isinstance(sample, PictureError):
                    yield sample

    def warm(self) -> None:
        """Start what the first picture would wait for: a decoding process, and the networks.

        Also finds out whether pictures of several threads are described faster together.
        """
        self.decoder.warm()
        noise = np.random.default_rng(0).integers(0, 256, _TRIED_WITH, np.uint8)
        if is_faster(self.of_pictures, from_pixels(noise)):
            self.joined = Joined(self.of_pictures, self._calls_at_once, _BATCH)

    def close(self) -> None:
        """End the decoding processes."""
        self.decoder.close()

    @property
    def _calls_at_once(self) -> int:
        """Of the networks: one a core, or on a GPU one that computes and one that prepares."""
        devices = {getattr(each, "device", "cpu") for each in self._extractors.values()}
        return 2 if devices - {"cpu"} else os.cpu_count() or 1

    def _described(
        self,
        batch: Sequence[Encoded | PictureError],
        describe: Callable[[Sequence[Picture]], Sequence[_Result]],
        shortest_side: int | None = None,
    ) -> list[_Result | PictureError]:
        """What `describe` makes of those that can be decoded, all together; in order."""
        readable = [each for each in batch if isinstance(each, Encoded)]
        decoded = iter(self.decoder.decode_batch(readable, shortest_side or self._shortest_side))
        every = [next(decoded) if isinstance(each, Encoded) else each for each in batch]
        pictures = [each for each in every if isinstance(each, Picture)]
        described = iter(describe(pictures) if pictures else ())
        return [next(described) if isinstance(each, Picture) else each for each in every]

    def _in_lanes(
        self,
        pairs: Iterable[tuple[_Item, Encoded | PictureError]],
        work: Callable[[Sequence[Encoded | PictureError]], list[_Result]],
    ) -> Iterator[list[tuple[_Item, _Result]]]:
        threads = ThreadPoolExecutor(self._lanes, "lookalike-lane")
        try:
            yield from in_order(pairs, lambda batch: threads.submit(work, batch), 2 * self._lanes)
        finally:
            # Whoever interrupts does not wait for the pictures that are being decoded.
            threads.shutdown(wait=False, cancel_futures=True)


def in_order(
    pairs: Iterable[tuple[_Item, Encoded | PictureError]],
    submit: Callable[[list[Encoded | PictureError]], Future[list[_Result]]],
    most: int,
) -> Iterator[list[tuple[_Item, _Result]]]:
    """Things and what is made of their pictures elsewhere, a batch at a time, `most` under way."""
    under_way: deque[tuple[list[_Item], Future[list[_Result]]]] = deque()
    for batch in _batches(pairs):
        future = submit([encoded for _, encoded in batch])
        under_way.append(([item for item, _ in batch], future))
        while under_way and (len(under_way) >= most or under_way[0][1].done()):
            yield _finished(*under_way.popleft())
    while under_way:
        yield _finished(*under_way.popleft())


def _batches(
    pairs: Iterable[tuple[_Item, Encoded | PictureError]],
) -> Iterator[list[tuple[_Item, Encoded | PictureError]]]:
    """As many as a lane takes at once; fewer if they hold much data."""
    batch: list[tuple[_Item, Encoded | PictureError]] = []
    held = 0
    for item, encoded in pairs:
        batch.append((item, encoded))
        held += len(encoded.data or b"") if isinstance(encoded, Encoded) else 0
        if len(batch) >= _BATCH or held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _finished(items: list[_Item], future: Future[list[_Result]]) -> list[tuple[_Item, _Result]]:
    return list(zip(items, future.result(), strict=True))

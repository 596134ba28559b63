"""What this machine does, measured in seconds: pictures described, and vectors looked through."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from .decoding import DecodePool, Encoded
from .errors import LookalikeError
from .extract import Extractor, Trainable
from .features import FeaturePipeline
from .picture import thumbnail
from .types import Limits

_SECONDS = 3.0
"""For so long pictures are described, after the first ones."""
_WARM = 16
_PHOTOGRAPHS = (
    *("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg"),
    *("ihc.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg"),
)
_LONGEST = 2000
_YARDSTICK = (5_000, 384)


@dataclass(frozen=True, slots=True)
class Trial:
    """Pictures through a recipe's own pipeline, all cores at work."""

    pictures_per_second: float
    megapixels: float
    """Of a picture, on average: the rate depends on it, decoding most of all."""
    one_seconds: float
    """For a single picture on its own, as a query has it described."""


def of_pictures(extractors: Mapping[str, Extractor]) -> Trial | str:
    """Describe the colour photographs of scikit-image's wheel, as JPEGs, over and over.

    An extractor that has yet to learn only takes the sample to learn from, which is most of its
    work. In place of a rate: why these extractors cannot be tried, as they have no network here.
    """
    try:
        photographs, megapixels = _photographs()
        learners = {name: each for name, each in extractors.items() if isinstance(each, Trainable)}
        others = {name: each for name, each in extractors.items() if name not in learners}
        timed = [_timed(others, photographs, _described)] if others else []
        for name, learner in learners.items():
            timed.append(_timed({name: extractors[name]}, photographs, partial(_sampled, learner)))
    except LookalikeError as error:
        return str(error)
    seconds, alone = (sum(each) for each in zip(*timed, strict=True))
    return Trial(1 / seconds, megapixels, alone)


def scan_seconds() -> float:
    """For one query through 5,000 vectors of 384 values, exactly, on one core: the yardstick.

    In time of the processor, the least of several, so that what else runs here counts little.
    """
    import faiss

    count, dim = _YARDSTICK
    vectors = np.random.default_rng(0).random((count, dim), np.float32)
    index = faiss.IndexFlat(dim, faiss.METRIC_INNER_PRODUCT)
    index.add(vectors)
    taken = []
    for query in vectors[:25]:
        started = time.thread_time()
        index.search(query[np.newaxis], 10)
        taken.append(time.thread_time() - started)
    return min(taken)


_Run = Callable[[FeaturePipeline, Iterable[Encoded]], Iterator[object]]
"""Something for each picture, as it is done."""


def _timed(
    extractors: Mapping[str, Extractor], photographs: list[Encoded], run: _Run
) -> tuple[float, float]:
    """Seconds a picture with all cores at work, and of one alone."""
    pipeline = FeaturePipeline(extractors, Limits())
    try:
        done = run(pipeline, cycle(photographs))
        for _ in islice(done, _WARM):
            pass
        started, count = time.perf_counter(), 0
        while (taken := time.perf_counter() - started) < _SECONDS:
            count += sum(1 for _ in islice(done, _WARM))
        alone = []
        for photograph in photographs:
            started = time.perf_counter()
            list(run(pipeline, [photograph]))
            alone.append(time.perf_counter() - started)
        return taken / count, statistics.median(alone)
    finally:
        pipeline.close()


def _described(pipeline: FeaturePipeline, every: Iterable[Encoded]) -> Iterator[object]:
    for done in pipeline.stream((None, each) for each in every):
        for _, features in done:
            if isinstance(features, LookalikeError):
                raise features
            yield features


def _sampled(
    learner: Trainable, pipeline: FeaturePipeline, every: Iterable[Encoded]
) -> Iterator[object]:
    return pipeline.samples(every, learner)


def _photographs() -> tuple[list[Encoded], float]:
    """As JPEGs, and their mean megapixels."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "data"
    encoded, pixels = [], 0
    with DecodePool(1) as pool:
        for name in _PHOTOGRAPHS:
            decoded = pool.decode(Encoded(name, path=folder / name), 0)
            pixels += decoded.original_size[0] * decoded.original_size[1]
            encoded.append(Encoded(name, data=thumbnail(decoded, _LONGEST)))
    return encoded, pixels / len(encoded) / 1e6

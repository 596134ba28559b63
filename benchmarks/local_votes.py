"""Votes of local features as a collection grows: time to build, disk, memory, time of a query.

    python benchmarks/local_votes.py --data FOLDER [--counts 900 10000 100000] [--json FILE]
        [--threads 2]

The first 900 are pictures of FOLDER with RootSIFT of up to 500 keypoints. Beyond them pictures are
made up, for the load: each has the postings of a real one, under one of the eight nearest words of
each descriptor and with 5 of 16 bits of its signature turned, so that lists are as long and
signatures as near as those of real pictures are. A query is a real picture, made smaller by a third
and saved again as JPEG of quality 40; its features are ready. Times are
of the wall and of the processors: the former say little on a machine that is busy.

The yardstick is FAISS alone with the same descriptors, those of real pictures: the five nearest of
each in an IVF1024,SQ8, eight probes, whose votes weigh 1 - d / d5.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from measured import machine
from million import resident
from PIL import Image

from lookalike.extract.local import KeypointExtractor, KeypointOptions
from lookalike.local.inverted_file import InvertedFile
from lookalike.local.postings import Segment
from lookalike.local.vocabulary import Vocabulary
from lookalike.picture import from_pixels
from lookalike.types import LocalFeatures

REAL, QUERIES = 900, 100
AT_ONCE = 10_000
COUNT = 100
Postings = npt.NDArray[Any]


def main() -> None:
    """A line for each size, and one for the yardstick."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[900, 10_000, 100_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    faiss.omp_set_num_threads(given.threads)
    paths = sorted(given.data.glob("*/*.jpg"))
    chosen = [paths[at] for at in np.linspace(0, len(paths) - 1, REAL).astype(int)]
    extractor = KeypointExtractor(KeypointOptions(), "cpu")
    stored = [described(extractor, path, edited=False) for path in chosen]
    descriptors = [each.descriptors for each in stored]
    asked = np.linspace(0, REAL - 1, QUERIES).astype(int)
    queries = [described(extractor, chosen[at], edited=True) for at in asked]
    print("pictures   words  postings  learn s  build s  file MB  memory MB", end="")
    print("  p50 ms  p99 ms  cpu p50 ms  recall@1  recall@10")
    rows = []
    for count in given.counts:
        row = measured(count, descriptors, asked, queries)
        rows.append(row)
        print(
            f"{count:8,}  {row['words']:6,}  {row['postings']:8,}  {row['learn_s']:7.1f}"
            f"  {row['build_s']:7.1f}  {row['file_mb']:7.1f}  {row['memory_mb']:9.1f}"
            f"  {row['p50_ms']:6.1f}  {row['p99_ms']:6.1f}  {row['cpu_p50_ms']:10.1f}"
            f"  {row['recall_1']:8.3f}  {row['recall_10']:9.3f}",
            flush=True,
        )
    yardstick = yardstick_measured(descriptors, asked, queries)
    ratio = yardstick["cpu_p50_ms"] / rows[0]["cpu_p50_ms"]
    print(
        f"FAISS alone, {REAL}: p50 {yardstick['p50_ms']:.1f} ms, cpu {yardstick['cpu_p50_ms']:.1f}"
    )
    print(f"  recall@1 {yardstick['recall_1']:.3f}; it takes {ratio:.2f} times as long as ours")
    if given.json:
        content = {"machine": machine(), "load": os.getloadavg()[0], "threads": given.threads}
        content |= {"votes": rows, "yardstick": yardstick, "ratio": round(ratio, 3)}
        given.json.write_text(json.dumps(content, indent=2) + "\n")


def described(extractor: KeypointExtractor, path: Path, *, edited: bool) -> LocalFeatures:
    """Its features."""
    with Image.open(path) as opened:
        image: Image.Image = opened.convert("RGB")
    if edited:
        image = image.resize((image.width * 2 // 3, image.height * 2 // 3))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=40)
        image = Image.open(stream)
    picture = from_pixels(np.asarray(image))
    return extractor.extract_local([picture])[0]


def measured(
    count: int,
    descriptors: list[npt.NDArray[np.float32]],
    asked: npt.NDArray[Any],
    queries: list[LocalFeatures],
) -> dict[str, Any]:
    """Build it, write it, open it mapped and ask it."""
    begun = time.perf_counter()
    vocabulary = Vocabulary.learn(np.concatenate(descriptors), count)
    learned = time.perf_counter()
    inverted = InvertedFile(vocabulary)
    inverted.add(np.arange(REAL), descriptors)
    made = MadeUp(vocabulary, descriptors)
    for first in range(REAL, count, AT_ONCE):
        rows = np.arange(first, min(first + AT_ONCE, count))
        inverted.take_in(made.segment(rows))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "votes"
        inverted.save(place)
        built = time.perf_counter()
        del inverted, made
        before = resident()
        inverted = InvertedFile.load(place)
        found = timed(lambda query: inverted.votes(query.descriptors, COUNT)[0], asked, queries)
        return {
            "pictures": count,
            "words": len(vocabulary),
            "postings": inverted.postings,
            "learn_s": round(learned - begun, 2),
            "build_s": round(built - learned, 2),
            "file_mb": round(sum(f.stat().st_size for f in place.iterdir()) / 1e6, 1),
            "memory_mb": round((resident() - before) / 1e6, 1),
            **found,
        }


class MadeUp:
    """Postings of pictures that do not exist."""

    def __init__(self, vocabulary: Vocabulary, descriptors: list[npt.NDArray[np.float32]]) -> None:
        self._vocabulary = vocabulary
        values = np.concatenate(descriptors)
        self._words = vocabulary.nearest(values, 8)
        self._signatures = vocabulary.signatures(values, self._words)
        self._keypoints = np.array([len(each) for each in descriptors], np.uint32)
        self._ends = np.cumsum(self._keypoints.astype(np.int64))
        self._rng = np.random.default_rng(0)

    def segment(self, rows: npt.NDArray[np.int64]) -> Segment:
        """Some of them."""
        like = self._rng.integers(0, REAL, len(rows))
        keypoints = self._keypoints[like]
        ends = np.cumsum(keypoints.astype(np.int64))
        at = np.arange(ends[-1]) + np.repeat(self._ends[like] - ends, keypoints)
        chosen = self._rng.integers(0, self._words.shape[1], len(at))
        return Segment.of(
            rows,
            keypoints,
            self._words[at, chosen],
            self._signatures[at, chosen] ^ self._turned(len(at)),
            len(self._vocabulary),
        )

    def _turned(self, count: int) -> Postings:
        """uint64 [count], each bit set in 5 of 16 cases."""
        a, b, c, d = self._rng.integers(0, 2**64, (4, count), np.uint64)
        return np.asarray((a & b) | (~a & b & c & ~d), np.uint64)


def timed(
    ask: Callable[[LocalFeatures], npt.NDArray[np.int64]],
    asked: npt.NDArray[Any],
    queries: list[LocalFeatures],
) -> dict[str, float]:
    """Each query once to warm up and once for the clock."""
    for query in queries:
        ask(query)
    walls, processors, first, tenth = [], [], 0, 0
    for wanted, query in zip(asked, queries, strict=True):
        wall, processor = time.perf_counter(), time.process_time()
        rows = ask(query)
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
        first += wanted in rows[:1]
        tenth += wanted in rows[:10]
    return {
        "p50_ms": round(float(np.median(walls)) * 1e3, 2),
        "p99_ms": round(float(np.quantile(walls, 0.99)) * 1e3, 2),
        "cpu_p50_ms": round(float(np.median(processors)) * 1e3, 2),
        "recall_1": round(first / len(queries), 4),
        "recall_10": round(tenth / len(queries), 4),
    }


def yardstick_measured(
    descriptors: list[npt.NDArray[np.float32]],
    asked: npt.NDArray[Any],
    queries: list[LocalFeatures],
) -> dict[str, float]:
    """An IVF of all descriptors of the real pictures."""
    values = np.concatenate(descriptors)
    owners = np.repeat(np.arange(REAL), [len(each) for each in descriptors])
    index = faiss.index_factory(values.shape[1], "IVF1024,SQ8")
    index.train(values[:: max(1, len(values) // 100_000)])
    index.add(values)
    index.nprobe = 8

    def votes(found: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        squares, positions = index.search(found, 5)
        distances = np.sqrt(np.maximum(squares, 0))
        weights = 1 - distances / np.maximum(distances[:, 4:], 1e-6)
        given = np.bincount(owners[positions.ravel()], weights.ravel(), minlength=REAL)
        return np.asarray(given, np.float64)

    def ask(query: LocalFeatures) -> npt.NDArray[np.int64]:
        if len(query.xy) == 0:
            return np.empty(0, np.int64)
        return np.argsort(-votes(query.descriptors)).astype(np.int64)

    return timed(ask, asked, queries)


if __name__ == "__main__":
    main()

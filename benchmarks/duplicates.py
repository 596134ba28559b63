"""Duplicates among many pictures: near pairs by a collection's index, beside bare FAISS.

    python benchmarks/duplicates.py [--pictures 100000] [--json FILE]

Vectors of 384 values in clusters, a twentieth of them planted beside another (cosine 0.9), as
pictures of which nothing but the vector is there: looking for candidates and grouping them, with a
comparison that costs nothing. The yardstick is FAISS's own exact range search over the same vectors
(`IndexFlatIP.range_search`), which looks at every pair: some 2,000 queries, evenly chosen, stand
for all. Processor seconds of all threads are printed beside those of the clock, as a busy machine
stretches only these.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from measured import machine

import lookalike
from lookalike.duplicates.candidates import LIKELY, Candidates
from lookalike.duplicates.grouping import grouped
from lookalike.duplicates.values import Relation, pair_of
from lookalike.types import Record

Array = npt.NDArray[np.float32]
DIM = 384
_PLANTED = 20
_AT_ONCE = 4_096
_ASKED = 2_000
RECIPE = f"""
name = "benchmark"
[embeddings.v]
distance = "cosine"
extractor = {{ name = "vectors", dim = {DIM}, made_by = "benchmark" }}
index = {{ name = "auto" }}
"""


def main() -> None:
    """Build, then print how long each step takes, and how much of what was planted is found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    vectors, planted = made(given.pictures)
    with tempfile.TemporaryDirectory() as folder:
        row = measured(Path(folder), vectors, planted)
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), **row}, indent=1) + "\n")


def made(count: int) -> tuple[Array, list[tuple[int, int]]]:
    """float32 [count, DIM] of length 1, and which pairs of them are nearly the same."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(max(1, count // 100), DIM))
    vectors = centres[rng.integers(0, len(centres), count)] + rng.normal(size=(count, DIM))
    copies = count // _PLANTED
    sources = rng.choice(np.arange(copies, count), copies, replace=False)
    vectors[:copies] = vectors[sources] + 0.484 * rng.normal(size=(copies, DIM)) * np.sqrt(2)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), list(zip(range(copies), sources.tolist(), strict=True))


class Figures(dict[str, Any]):
    """What was measured, printed as soon as it is known."""

    def __setitem__(self, name: str, value: float) -> None:
        super().__setitem__(name, value)
        print(f"{name:28} {value:,.4g}", flush=True)

    def add(self, name: str, seconds: npt.NDArray[np.float64]) -> None:
        """By the clock, and of the processors."""
        self[name], self[f"{name}_cpu"] = seconds.tolist()


def now() -> npt.NDArray[np.float64]:
    """Seconds by the clock, and of the processors so far."""
    return np.array([time.perf_counter(), time.process_time()])


def measured(folder: Path, vectors: Array, planted: list[tuple[int, int]]) -> dict[str, Any]:
    """Seconds of every step."""
    (folder / "recipe.toml").write_text(RECIPE)
    ids = [hashlib.sha256(str(number).encode()).digest() for number in range(len(vectors))]
    seconds = Figures(pictures=len(vectors), planted=len(planted))
    with lookalike.open(folder / "c", recipe=str(folder / "recipe.toml")) as collection:
        started = now()
        for start in range(0, len(vectors), _AT_ONCE):
            end = min(start + _AT_ONCE, len(vectors))
            places = [lookalike.Place(f"http://pictures/{n}") for n in range(start, end)]
            collection.add_vectors(vectors[start:end], ids[start:end], places)
        collection.settle()
        seconds.add("adding", now() - started)
        started = now()
        candidates = Candidates(collection)
        candidates.by_vector(LIKELY)
        seconds.add("candidates", now() - started)
        seconds["candidate_pairs"] = len(candidates.scores)
        wanted = {tuple(sorted((ids[a].hex(), ids[b].hex()))) for a, b in planted}
        found = sum(pair in candidates.scores for pair in wanted)
        seconds["planted_found"] = found / len(wanted)
        started = now()

        def related(one: Record, others: Sequence[Record]) -> list[Relation | None]:
            same = [pair_of(one, other) in wanted for other in others]
            return [Relation("copy") if each else None for each in same]

        stars = grouped(candidates.every(), candidates.of, related, lambda _a, _b: False)
        seconds.add("grouping", now() - started)
        seconds["groups"] = len(stars)
    bare = faiss.IndexFlatIP(DIM)
    bare.add(vectors)
    asked = vectors[:: max(1, len(vectors) // _ASKED)]
    started = now()
    bare.range_search(np.ascontiguousarray(asked), LIKELY)
    took = (now() - started) * len(vectors) / len(asked)
    seconds.add("faiss_range_search", took)
    ours = seconds["candidates_cpu"] + seconds["grouping_cpu"]
    seconds["times_faiss"] = ours / seconds["faiss_range_search_cpu"]
    return seconds


if __name__ == "__main__":
    main()

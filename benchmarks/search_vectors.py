"""`Collection.search` with a ready vector, records included, beside the bare FAISS index.

    python benchmarks/search_vectors.py [--rounds 7] [--json FILE]

Fashion-MNIST, 60,000 x 784, squared Euclidean distance, k = 10, 2,000 queries, one a call, one
thread; HNSW with M 24 and efConstruction 200 for both, FAISS's as it builds it. Recall as the
public benchmark of that name counts it: returned points within the true tenth distance. Needs
Debian's package `dataset-fashion-mnist`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from measured import machine

import lookalike

Array = npt.NDArray[np.float32]
FOLDER = Path("/usr/share/datasets/fashion-mnist")
_IN_TURN = 100
K = 10
QUERIES = 2_000
RECIPE = """
name = "fashion-mnist"
[embeddings.pixels]
distance = "euclidean"
extractor = {{ name = "vectors", dim = 784, made_by = "fashion-mnist" }}
index = {{ name = "hnsw", m = 24, ef_construction = 200, ef_search = {effort} }}
"""


def main() -> None:
    """Build once, then print a line for each search effort."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    vectors, queries = images("train"), images("t10k")[:QUERIES]
    truth = -np.sort(-faiss.knn(queries, vectors, K)[0], axis=1)[:, 0]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), vectors)
        bare = bare_hnsw(vectors)
        faiss.omp_set_num_threads(1)
        print("efSearch  recall@10: FAISS     ours  queries/s: FAISS   ours  ratio   (medians)")
        for effort in (32, 48, 64, 96):
            row = compare(Path(folder), bare, effort, queries, truth, given.rounds)
            rows.append(row)
            print(
                f"{effort:8}  {row['bare_recall']:16.4f}  {row['recall']:7.4f}"
                f"  {row['bare']:16,.0f}  {row['lookalike']:5,.0f}  {row['ratio']:5.2f}",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def build(folder: Path, vectors: Array) -> None:
    """A collection of all vectors, its graph built."""
    with opened(folder, 64) as collection:
        for start in range(0, len(vectors), 2_000):
            block = vectors[start : start + 2_000]
            numbers = range(start, start + len(block))
            collection.add_vectors(
                block,
                [hashlib.sha256(str(number).encode()).digest() for number in numbers],
                [lookalike.Place(f"/fashion-mnist/{number}.png") for number in numbers],
            )
        collection.settle()


def bare_hnsw(vectors: Array) -> Any:
    """FAISS's own graph of the same vectors with the same knobs, built by all cores."""
    index = faiss.IndexHNSWFlat(vectors.shape[1], 24)
    index.hnsw.efConstruction = 200
    index.add(vectors)
    return index


def compare(
    folder: Path, bare: Any, effort: int, queries: Array, truth: Array, rounds: int
) -> dict[str, Any]:
    """Both take turns, a few queries each, as machines are noisy: medians, and of the ratios."""
    bare.hnsw.efSearch = effort
    with opened(folder, effort) as collection:
        found = [collection.search(query, k=K) for query in queries]
        distances = np.sqrt([[hit.distance for hit in hits] for hits in found])
        recall = np.mean(distances <= np.sqrt(truth)[:, np.newaxis] + 1e-3)
        bare_distances = np.sqrt(bare.search(queries, K)[0])
        bare_recall = np.mean(bare_distances <= np.sqrt(truth)[:, np.newaxis] + 1e-3)
        bare_rates, our_rates = [], []
        for _ in range(rounds):
            for some in np.array_split(queries, max(1, len(queries) // _IN_TURN)):
                bare_rates.append(rate(lambda query: bare.search(query[np.newaxis], K), some))
                our_rates.append(rate(lambda query: collection.search(query, k=K), some))
    return {
        "ef_search": effort,
        "recall": float(recall),
        "bare_recall": float(bare_recall),
        "bare": statistics.median(bare_rates),
        "lookalike": statistics.median(our_rates),
        "ratio": statistics.median(o / b for o, b in zip(our_rates, bare_rates, strict=True)),
    }


def rate(search: Callable[[Array], Any], queries: Array) -> float:
    """Queries a second, one a call."""
    started = time.perf_counter()
    for query in queries:
        search(query)
    return len(queries) / (time.perf_counter() - started)


def opened(folder: Path, effort: int) -> lookalike.Collection:
    """The collection, searched with this effort."""
    recipe = folder / f"effort-{effort}.toml"
    recipe.write_text(RECIPE.format(effort=effort))
    return lookalike.open(folder / "collection", recipe=str(recipe))


def images(part: str) -> Array:
    """float32 [n, 784]."""
    with gzip.open(FOLDER / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    return pixels.reshape(-1, 784).astype(np.float32)


if __name__ == "__main__":
    main()

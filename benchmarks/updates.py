"""Recall after half of a collection has been deleted and added again, beside a fresh build.

    python benchmarks/updates.py [--indexes hnsw ivf ivfpq] [--count 60000] [--json FILE]

Fashion-MNIST, squared Euclidean distance, k = 10, 500 queries, default efforts, a real collection
of ready vectors. Ten times a twentieth of the pictures goes and comes back under new row numbers,
while the index is compacted in the background as it always is. Recall is the share of the true ten,
by distance: when built, with the last change just made, once all has settled, and of a collection
that has been built of the same vectors in their last order. Needs Debian's `dataset-fashion-mnist`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from measured import machine
from search_vectors import Array, images

import lookalike

K = 10
QUERIES = 500
TIMES, SHARE = 10, 0.05
PROMISED = 0.01
RECIPE = """
name = "updates-{index}"
[embeddings.pixels]
distance = "euclidean"
extractor = {{ name = "vectors", dim = 784, made_by = "fashion-mnist" }}
index = {{ name = "{index}" }}
"""


def main() -> None:
    """A line for each index."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--indexes", nargs="+", default=["hnsw", "ivf", "ivfpq"])
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    vectors, queries = images("train")[: given.count], images("t10k")[:QUERIES]
    least = faiss.knn(queries, vectors, K)[0][:, -1]
    rows = []
    print("index  built   changed  settled  fresh build  settled less fresh")
    for index in given.indexes:
        row = compare(index, vectors, queries, least)
        rows.append(row)
        verdict = "" if row["settled"] >= row["fresh"] - PROMISED else "  below the promise"
        print(
            f"{index:6} {row['built']:.4f}  {row['changed']:.4f}   {row['settled']:.4f}   "
            f"{row['fresh']:.4f}       {row['settled'] - row['fresh']:+.4f}{verdict}",
            flush=True,
        )
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def compare(index: str, vectors: Array, queries: Array, least: Array) -> dict[str, Any]:
    """Recall at each stage."""
    random = np.random.default_rng(0)
    row: dict[str, Any] = {"index": index}
    order = np.arange(len(vectors))
    with tempfile.TemporaryDirectory() as folder:
        with opened(Path(folder) / "changed", index) as collection:
            add(collection, vectors, order)
            collection.settle()
            row["built"] = recall(collection, queries, least)
            leaving = random.permutation(order)[: int(TIMES * SHARE * len(order))]
            for some in np.array_split(leaving, TIMES):
                collection.store.forget([place(number) for number in some.tolist()])
                add(collection, vectors, some)
                collection.search(queries[0], k=K)
            row["changed"] = recall(collection, queries, least)
            collection.settle()
            row["settled"] = recall(collection, queries, least)
        order = np.concatenate([np.delete(order, leaving), leaving])
        with opened(Path(folder) / "fresh", index) as collection:
            add(collection, vectors, order)
            collection.settle()
            row["fresh"] = recall(collection, queries, least)
    return row


def opened(folder: Path, index: str) -> lookalike.Collection:
    """An empty one."""
    recipe = folder.with_suffix(".toml")
    recipe.write_text(RECIPE.format(index=index))
    return lookalike.open(folder, recipe=str(recipe))


def add(collection: lookalike.Collection, vectors: Array, order: npt.NDArray[np.int64]) -> None:
    """These vectors, in this order."""
    for some in np.array_split(order, -(-len(order) // 2_000)):
        numbers = some.tolist()
        collection.add_vectors(
            vectors[some],
            [hashlib.sha256(str(number).encode()).digest() for number in numbers],
            [lookalike.Place(place(number)) for number in numbers],
        )


def place(number: int) -> str:
    """Where a picture is said to lie."""
    return f"/fashion-mnist/{number}.png"


def recall(collection: lookalike.Collection, queries: Array, least: Array) -> float:
    """The share of hits that are as near as the true tenth."""
    found = [[hit.distance for hit in collection.search(query, k=K)] for query in queries]
    near = np.sqrt(np.array(found)) <= np.sqrt(least)[:, np.newaxis] + 1e-3
    return float(near.mean())


if __name__ == "__main__":
    main()

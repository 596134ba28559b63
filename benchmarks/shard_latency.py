"""One shard of a real Elasticsearch: how long searches take, and how fast pictures go in.

    python benchmarks/shard_latency.py es+http://127.0.0.1:9200/latency?replicas=0 [--json FILE]

The collection is made anew. `benchmarks/scatter_gather.py` draws its latencies from the quantiles.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from measured import machine

import lookalike
from lookalike.types import Place

COUNT, DIM, CLUSTERS = 50_000, 128, 1_000
QUERIES = 4_000
AT_ONCE = 512
RECIPE = f"""
name = "latency"
[embeddings.default]
extractor = {{ name = "vectors", dim = {DIM}, made_by = "chance" }}
index = {{ name = "auto" }}
elastic = {{ name = "int8_hnsw" }}
"""


def main() -> None:
    """Fill it, ask, and say the quantiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    recipe = Path("latency.toml").absolute()
    recipe.write_text(RECIPE)
    try:
        with lookalike.open(arguments.address, recipe=str(recipe)) as collection:
            figures = measured(collection)
    finally:
        recipe.unlink()
    for name, value in figures.items():
        if name != "quantiles_ms":
            print(f"{name:22} {value}")
    if arguments.json:
        said = {"machine": machine(), **figures}
        arguments.json.write_text(json.dumps(said, indent=1) + "\n")


def measured(collection: lookalike.Collection) -> dict[str, Any]:
    """Pictures a second, and searches one after the other, seconds each as their client sees it."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLUSTERS, DIM))

    def made(count: int) -> Any:
        near = centres[rng.integers(0, CLUSTERS, count)] + 0.5 * rng.normal(size=(count, DIM))
        return near.astype(np.float32)

    vectors = made(COUNT)
    began = time.perf_counter()
    for start in range(0, COUNT, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, COUNT))
        collection.add_vectors(
            vectors[start : start + AT_ONCE],
            [hashlib.sha256(str(number).encode()).digest() for number in numbers],
            [Place(f"http://pictures/{number // 1000}/{number}.jpg") for number in numbers],
        )
    put = COUNT / (time.perf_counter() - began)
    queries = made(QUERIES)
    seconds = []
    for query in queries[:200]:  # warm
        collection.store.nearest("default", query[np.newaxis], 10)
    for query in queries:
        began = time.perf_counter()
        collection.store.nearest("default", query[np.newaxis], 10)
        seconds.append(time.perf_counter() - began)
    quantiles = np.quantile(np.array(seconds) * 1e3, np.linspace(0, 1, 1001))
    return {
        "pictures": COUNT,
        "dim": DIM,
        "kind": "int8_hnsw",
        "put_per_second": put,
        "queries": QUERIES,
        "mean_ms": float(np.mean(seconds) * 1e3),
        "p50_ms": float(quantiles[500]),
        "p99_ms": float(quantiles[990]),
        "p999_ms": float(quantiles[999]),
        "quantiles_ms": quantiles.round(4).tolist(),
    }


if __name__ == "__main__":
    main()

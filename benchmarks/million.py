"""A million stored vectors of the default's dimension: how long opening takes, and what it holds.

    python benchmarks/million.py [--count 1000000] [--json FILE]

The vectors are random directions, as the figures here do not depend on what they mean; the graph's
build is kept short (efConstruction 40), which changes neither its size nor how it is opened.
Opening and searching run in a process of their own. Resident memory is that process's, less what
it held before opening; the file's pages that a search has touched count, as the system counts them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measured import machine

import lookalike
from lookalike.extract.onnx_model import Model

DIM = Model.named("efficientnet-lite0-int8").dim
RECIPE = """
name = "million"
[embeddings.default]
extractor = {{ name = "vectors", dim = {dim}, made_by = "random" }}
index = {{ {index} }}
"""
INDEXES = {"flat": 'name = "flat"', "hnsw": 'name = "hnsw", ef_construction = 40'}


def main() -> None:
    """Build with each index, then measure in fresh processes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--open", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.open:
        print(json.dumps(measure(*map(Path, given.open))))
        return
    rows = []
    print(
        f"{given.count:,} x {DIM}     put/s   build s   opened and searched s   "
        "all touched: resident / vectors and graph"
    )
    for index in INDEXES:
        with tempfile.TemporaryDirectory() as folder:
            row: dict[str, Any] = {"index": index, **build(Path(folder), index, given.count)}
            output = subprocess.run(
                [sys.executable, __file__, "--open", folder, str(recipe(Path(folder), index))],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            row |= json.loads(output)
            rows.append(row)
            print(
                f"{index:18} {row['put']:9,.0f} {row['build']:9.0f} {row['seconds']:23.2f}   "
                f"{row['resident'] / 1e9:.2f} GB / {row['file'] / 1e9:.2f} GB"
                f" = {row['resident'] / row['file']:.2f}",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def recipe(folder: Path, index: str) -> Path:
    """The recipe's file."""
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(dim=DIM, index=INDEXES[index]))
    return path


def build(folder: Path, index: str, count: int) -> dict[str, float]:
    """A collection of random directions, its index built."""
    generator = np.random.default_rng(0)
    with lookalike.open(folder / "c", recipe=str(recipe(folder, index))) as collection:
        started = time.perf_counter()
        for start in range(0, count, 5_000):
            numbers = range(start, min(start + 5_000, count))
            collection.add_vectors(
                generator.normal(size=(len(numbers), DIM)).astype(np.float32),
                [number.to_bytes(32, "big") for number in numbers],
                [lookalike.Place(f"/pictures/{number:07}.jpg") for number in numbers],
            )
        put = time.perf_counter() - started
        started = time.perf_counter()
        collection.settle()
        return {"put": count / put, "build": time.perf_counter() - started}


def measure(folder: Path, recipe_path: Path) -> dict[str, Any]:
    """Open, search once; then touch everything and look at the resident memory."""
    import faiss  # noqa: F401 - its own memory is not the collection's

    query = np.random.default_rng(1).normal(size=DIM).astype(np.float32)
    before = resident()
    started = time.perf_counter()
    with lookalike.open(folder / "c", recipe=str(recipe_path)) as collection:
        collection.search(query)
        seconds = time.perf_counter() - started
        for vector in np.random.default_rng(2).normal(size=(200, DIM)).astype(np.float32):
            collection.search(vector)
        file = collection.stats()["embeddings"]["default"]["cache_bytes"]
        return {"seconds": seconds, "resident": resident() - before, "file": file}


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    main()

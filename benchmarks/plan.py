"""What `lookalike plan` predicts, beside what really comes out.

    python benchmarks/plan.py [--count 100000] [--dim 384] [--index hnsw …] [--vectors FILE.npy]
                              [--json FILE]
    python benchmarks/plan.py --growth benchmarks/results/growth.json

A collection of ready vectors for each index, with the knobs that the forecast has nearest to the
defaults. Without `--vectors` (float32 [n, dim], real ones, that are interpolated with noise) they
lie around random centres, which is easier. Searches are one a call, k = 10, by vectors that are not
in the collection, records included, in time of the processor as the machine may do other things;
recall is against exact search. Memory is what a process of its own holds, less what it held after
it had searched a collection of one vector, and but for the mapped file of vectors that compressed
kinds rank again, which the system may take from it. With `--growth`, what `growth.py` has measured
of the structures alone stands beside the predictions instead: without records, and with the mapped
file in its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measured import machine

import lookalike
from lookalike import forecast, plan, registry, trial
from lookalike.store import EmbeddingPlan, sizes

Array = npt.NDArray[np.float32]
QUERIES = 200
KNOBS: dict[str, dict[str, int]] = {
    "flat": {},
    "hnsw": {"ef_search": 64},
    "ivf": {"probes": 16},
    "ivfsq": {"probes": 16, "refine": 10},
    "rabitq": {"probes": 16, "refine": 10},
    "ivfpq": {"probes": 16, "refine": 10},
}
RECIPE = """
[embeddings.v]
extractor = {{ name = "vectors", dim = {dim}, made_by = "benchmarks/plan.py" }}
[embeddings.v.index]
name = "{index}"
{knobs}
"""


def main() -> None:
    """Print two lines for each index: predicted and measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=384, help="that of --vectors, if given")
    parser.add_argument("--index", nargs="*", default=list(KNOBS), choices=KNOBS)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--growth", type=Path, help="what `growth.py --json` wrote")
    parser.add_argument("--open", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.open:
        print(json.dumps(searched(*given.open)))
        return
    if given.growth:
        beside_growth(json.loads(given.growth.read_text())["rows"])
        return
    rows: list[dict[str, Any]] = []
    print(f"{given.count:,} x {given.dim}: bytes a picture on disk, MB of memory")
    print("                    catalogue    index   memory  recall@10  ms a search")
    for index in given.index:
        wished = predicted(index, given.dim, given.count)
        found = measured(index, given.dim, given.count, given.vectors)
        rows.append({"index": index, "predicted": wished, "measured": found})
        for name, row in (("predicted", wished), ("measured", found)):
            print(
                f"{index:7} {name:10} {row['catalogue']:10,.0f} {row['index']:8,.0f} "
                f"{row['memory'] / 1e6:8,.0f} {row['recall']:10.3f} {row['ms']:12.2f}",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def beside_growth(rows: list[dict[str, Any]]) -> None:
    """A line for each structure that has been grown: predicted, then measured."""
    print("  vectors  values  structure  bytes a vector    recall@10     ms a search    build s")
    for row in rows:
        index, dim, count = row["structure"], row["dim"], row["count"]
        wished = predicted(index, dim, count)
        cores = os.cpu_count() or 1
        print(
            f"{count:10,}  {dim:5}  {index:9}  {wished['index']:6,.0f} {row['file'] / count:6,.0f}"
            f"    {wished['recall']:.3f} {row['none']['recall']:.3f}"
            f"   {wished['ms']:6.2f} {row['none']['p50']:6.2f}"
            f"   {wished['building'] / cores:6,.0f} {row['build']:6,.0f}"
        )


def predicted(index: str, dim: int, count: int) -> dict[str, float]:
    """As the plan has it."""
    (way,) = (
        each
        for each in forecast.ways(dim, count, trial.scan_seconds())
        if each.index == index and each.knobs == KNOBS[index]
    )
    options = registry.load("index", index).Options(**way.knobs)
    footprint = sizes.index_footprint(EmbeddingPlan("v", dim, "", "cosine", index, options), count)
    return {
        "catalogue": sizes.RECORD + sizes.vector_bytes(dim),
        "index": footprint.disk / count,
        "memory": float(footprint.memory + plan.CHECKING),
        "recall": way.recall,
        "ms": 1e3 * way.seconds,
        "building": way.building,
    }


def measured(index: str, dim: int, count: int, real: Path | None) -> dict[str, float]:
    """Build the collection here, search it in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        vectors = drawn(count + QUERIES, dim, real)
        np.save(folder / "queries.npy", vectors[count:])
        recipe = folder / "recipe.toml"
        knobs = "".join(f"{name} = {value}\n" for name, value in KNOBS[index].items())
        recipe.write_text(RECIPE.format(dim=dim, index=index, knobs=knobs))
        with lookalike.open(folder / "c", recipe=str(recipe)) as collection:
            for start in range(0, count, 5_000):
                numbers = range(start, min(start + 5_000, count))
                collection.add_vectors(
                    vectors[numbers.start : numbers.stop],
                    [number.to_bytes(32, "big") for number in numbers],
                    [
                        lookalike.Place(
                            f"/home/somebody/pictures/of/many/years/{number:08}.jpg",
                            label="somebody",
                        )
                        for number in numbers
                    ],
                )
            collection.settle()
            cache = collection.stats()["embeddings"]["v"]["cache_bytes"]
        catalogue = (folder / "c" / "catalogue.sqlite").stat().st_size
        output = subprocess.run(
            [sys.executable, __file__, "--open", str(folder / "c"), str(recipe)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return {"catalogue": catalogue / count, "index": cache / count, **json.loads(output)}


def searched(collection: Path, recipe: Path) -> dict[str, float]:
    """Resident memory after all queries, time of the second round of them, and their recall."""
    import faiss

    faiss.omp_set_num_threads(1)
    queries = np.load(collection.parent / "queries.npy")
    with lookalike.open(collection.parent / "few", recipe=str(recipe)) as few:
        few.add_vectors(queries[:1], [bytes(32)], [lookalike.Place("/one.jpg")])
        few.search(queries[0])
    before = resident()
    with lookalike.open(collection, recipe=str(recipe)) as opened:
        found = [opened.search(query, k=10) for query in queries]
        memory = resident() - before
        taken = []
        for query in queries:
            started = time.thread_time()
            opened.search(query, k=10)
            taken.append(time.thread_time() - started)
        truth = exact(opened, queries)
        right = [
            len({hit.record.id for hit in hits} & ids)
            for hits, ids in zip(found, truth, strict=True)
        ]
    return {
        "memory": memory,
        "ms": 1e3 * statistics.median(taken),
        "recall": sum(right) / 10 / len(queries),
    }


def exact(collection: lookalike.Collection, queries: Array) -> list[set[str]]:
    """The ids of the true ten of each query, by looking at every vector."""
    import faiss

    ids = [record.id for record in collection]
    vectors = np.concatenate([np.atleast_2d(collection.vector(id)) for id in ids])
    faiss.normalize_L2(vectors)
    nearest = faiss.knn(queries, vectors, 10, metric=faiss.METRIC_INNER_PRODUCT)[1]
    return [{ids[position] for position in row} for row in nearest]


def drawn(count: int, dim: int, real: Path | None) -> Array:
    """float32 [count, dim], of length 1."""
    generator = np.random.default_rng(0)
    if real is None:
        centres = generator.normal(size=(max(count // 40, 1), dim))
        chosen = generator.integers(0, len(centres), count)
        made = centres[chosen] + 0.7 * generator.normal(size=(count, dim))
    else:
        anchors = np.load(real).astype(np.float64)
        anchors /= np.linalg.norm(anchors, axis=1, keepdims=True)
        near = np.argsort(-(anchors @ anchors.T), axis=1)[:, 1:201]
        one = generator.integers(0, len(anchors), count)
        other = near[one, generator.integers(0, near.shape[1], count)]
        share = generator.random((count, 1))
        spread = np.linalg.cholesky(np.cov(anchors.T) + 1e-9 * np.eye(anchors.shape[1])).T
        noise = generator.normal(size=(count, anchors.shape[1])) @ spread
        made = (1 - share) * anchors[one] + share * anchors[other] + 0.5 * noise
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return np.asarray(made, np.float32)


def resident() -> int:
    """Bytes of this process in memory, but for the vectors that are read a few at a time."""
    total, counts = 0, True
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, rest = line.partition(" ")
        if "-" in name:  # a mapping begins, with its file's name at the end
            counts = not rest.endswith("refinement.faiss")
        elif name == "Rss:" and counts:
            total += 1024 * int(rest.split()[0])
    return total


if __name__ == "__main__":
    main()

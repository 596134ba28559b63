"""What each structure costs as a collection grows: time to build, memory, disk, time to search.

    python benchmarks/growth.py --data FOLDER [--counts 10000 100000 1000000] [--dim 128]
        [--structures flat hnsw ivf ivfpq rabitq] [--collection DIR] [--json FILE] [--plot FILE.png]
        [--keep DIR]

Vectors are the default model's of the pictures in FOLDER, extended by interpolation with noise (see
`extended.py`), and with `--dim` projected as the recipe `default-pca` does. The structures stand
alone, without the catalogue that has the records. Each is built with all cores in a process of its
own, then opened in another, mapped, and searched at its default effort: k = 10, one query a call,
one thread, 1,000 queries, after as many that warm it up. Memory is what that process then holds
more than before it opened. Recall is the share of the true ten, found by brute force, of 200.

A filter passes one vector in a hundred: either any, or those of one region, such as a class is,
which most queries lie outside of. 4 and 10 million take `--structures ivfpq rabitq`: vectors are
made block by block, and only what the structure keeps is in memory. What FILE.json has of others is
kept in it, and plotted. With `--keep` the files stay, and are searched again another time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import plots
from extended import Extended, Rows, Vectors, real_vectors
from measured import machine
from million import resident

import lookalike
from lookalike import registry
from lookalike.distances import distance_named
from lookalike.extract.onnx_model import Model
from lookalike.index.segments import SegmentedIndex

STRUCTURES = ("flat", "hnsw", "ivf", "ivfpq", "ivfsq", "rabitq", "lsh")
USUAL = ("flat", "hnsw", "ivf", "ivfpq", "rabitq")
COSINE = distance_named("cosine")
K = 10
TIMED, JUDGED = 1_000, 200
SHARE = 0.01
FILTERS = ("none", "random", "region")


def main() -> None:
    """A line for each structure at each size."""
    given = arguments()
    rows = []
    print(
        "  vectors  structure  build s  file MB  memory MB  p50 ms  p99 ms  recall@10"
        "   1% at random: p99   times  recall   1%, a region: p99   times  recall"
    )
    with tempfile.TemporaryDirectory(dir=given.workspace) as folder:
        real = Path(folder) / "real.npy"
        np.save(real, real_vectors(given.collection or indexed(given.data, folder), given.dim))
        for count in given.counts:
            truth = (given.keep or Path(folder)) / f"truth-{count}-{given.dim}.npy"
            if not truth.exists():
                alone(write_truth, real, count, truth)
            for name in given.structures:
                with tempfile.TemporaryDirectory(dir=folder) as fresh:
                    place = Path(given.keep or fresh) / f"{name}-{count}-{given.dim}"
                    built = place / "built.json"
                    if not built.exists():
                        place.mkdir(parents=True, exist_ok=True)
                        built.write_text(json.dumps(alone(build, real, count, name, place)))
                    row = {"count": count, "structure": name, "dim": given.dim}
                    row |= json.loads(built.read_text())
                    row |= alone(measure, real, count, name, place, truth)
                rows.append(row)
                print(line(row), flush=True)
                if given.json:  # at once, as all of them take hours
                    rows = merged(given.json, rows)
                    content = {"machine": machine(), "rows": rows}
                    given.json.write_text(json.dumps(content, indent=1) + "\n")
    if given.plot:
        plot(rows, given.plot)


def merged(path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """These rows, and those of a file that are of other sizes or structures."""
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    every = {(row["dim"], row["count"], row["structure"]): row for row in [*kept, *rows]}
    return [every[key] for key in sorted(every, key=lambda key: (-key[0], key[1], key[2]))]


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="pictures, which are indexed first")
    source.add_argument("--collection", type=Path, help="one that has them already")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=Model.named("efficientnet-lite0-int8").dim)
    parser.add_argument("--structures", nargs="+", choices=STRUCTURES, default=USUAL)
    parser.add_argument("--workspace", type=Path, help="where the files are made")
    parser.add_argument("--keep", type=Path, help="where the files are made, and stay")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    return parser.parse_args()


def indexed(pictures: Path, folder: str) -> Path:
    """A collection of the pictures."""
    path = Path(folder) / "collection"
    with lookalike.open(path) as collection:
        collection.add(pictures)
    return path


def alone(work: Callable[..., Any], *given: Any) -> Any:
    """Done in a process of its own, which then has its memory for itself."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *given).result()


def write_truth(real: Path, count: int, path: Path) -> None:
    """int64 [filters, queries, 10], the nearest of what each filter passes."""
    extended = Extended(np.load(real))
    queries = extended.queries(JUDGED)
    best = {name: (np.empty((JUDGED, 0)), np.empty((JUDGED, 0), np.int64)) for name in FILTERS}
    allowed = filters(extended, count)
    for start, vectors, _ in extended.blocks(count):
        for name, so_far in best.items():
            passed = allowed[name]
            rows = np.arange(start, start + len(vectors))
            if passed is not None:
                rows = passed[slice(*np.searchsorted(passed, (start, start + len(vectors))))]
            best[name] = nearest(queries, vectors[rows - start], rows, so_far)
    np.save(path, np.stack([best[name][1] for name in FILTERS]))


def nearest(queries: Vectors, vectors: Vectors, rows: Rows, so_far: Any) -> Any:
    """The best so far, or of these."""
    if len(rows) == 0:
        return so_far
    scores, places = faiss.knn(
        queries, vectors, min(K, len(rows)), metric=faiss.METRIC_INNER_PRODUCT
    )
    scores = np.concatenate([so_far[0], scores], axis=1)
    found = np.concatenate([so_far[1], rows[places]], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(found, order, axis=1)


def filters(extended: Extended, count: int) -> dict[str, Rows | None]:
    """The rows that each filter passes, ascending."""
    region = np.concatenate(
        [
            start + np.flatnonzero(np.isin(origins, extended.region(SHARE)))
            for start, origins in extended.origins(count)
        ]
    )
    random = np.random.default_rng(0).choice(count, int(SHARE * count), replace=False)
    return {"none": None, "random": np.sort(random), "region": region}


def build(real: Path, count: int, name: str, folder: Path) -> dict[str, float]:
    """Train, add all, write it down: seconds, without those that making the vectors takes."""
    extended = Extended(np.load(real))
    kind = registry.load("index", name)
    structure = kind.create(extended.dim, COSINE, kind.Options(), count, folder / "work")
    seconds = 0.0
    if structure.training_vectors:
        wanted = min(structure.training_vectors, count)
        sample = np.concatenate([vectors for _, vectors, _ in extended.blocks(wanted)])
        seconds += timed(structure.train, sample)
        del sample
    for _, vectors, _ in extended.blocks(count):
        seconds += timed(structure.add, vectors)
    (folder / "saved").mkdir()
    seconds += timed(structure.save, folder / "saved")
    file = sum(path.stat().st_size for path in (folder / "saved").iterdir())
    return {"build": seconds, "file": file}


def timed(work: Callable[..., object], *given: Any) -> float:
    """Seconds."""
    started = time.perf_counter()
    work(*given)
    return time.perf_counter() - started


def measure(real: Path, count: int, name: str, folder: Path, truth: Path) -> dict[str, Any]:
    """Open it as a server does, and search."""
    extended = Extended(np.load(real))
    queries = extended.queries(TIMED)
    allowed = filters(extended, count)
    faiss.omp_set_num_threads(1)
    kind = registry.load("index", name)
    before = resident()
    index = SegmentedIndex(extended.dim, COSINE)
    structure = kind.load(folder / "saved", kind.Options(), mapped=True)
    index.replace_main(structure, np.arange(count))
    row: dict[str, Any] = {"opened": resident() - before}
    for filter, ten in zip(FILTERS, np.load(truth), strict=True):
        row[filter] = searched(index, queries, allowed[filter], ten)
        if filter == "none":
            row["memory"] = resident() - before
    return row


def searched(index: SegmentedIndex, queries: Vectors, allowed: Rows | None, truth: Rows) -> Any:
    """Milliseconds of a search, the middle and the slowest hundredth, and recall."""
    ones = [query[np.newaxis] for query in queries]
    found = [index.search(query, K, allowed).rows[0] for query in ones]
    seconds = [timed(index.search, query, K, allowed) for query in ones]
    shared = [len(np.intersect1d(a, b)) for a, b in zip(found[:JUDGED], truth, strict=True)]
    middle, slowest = np.percentile(seconds, (50, 99)) * 1e3
    return {"p50": middle, "p99": slowest, "recall": sum(shared) / truth.size}


def line(row: dict[str, Any]) -> str:
    """As it is printed."""
    plain = row["none"]
    filtered = "".join(
        f"   {row[name]['p99']:17.2f}  {row[name]['p99'] / plain['p99']:6.2f}"
        f"  {row[name]['recall']:6.4f}"
        for name in FILTERS[1:]
    )
    return (
        f"{row['count']:9,}  {row['structure']:9}  {row['build']:7.1f}  {row['file'] / 1e6:7.0f}"
        f"  {row['memory'] / 1e6:9.0f}  {plain['p50']:6.2f}  {plain['p99']:6.2f}"
        f"  {plain['recall']:9.4f}{filtered}"
    )


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Six curves over the number of vectors."""
    panels: dict[str, Callable[[dict[str, Any]], float]] = {
        "build, seconds": lambda row: row["build"],
        "memory, MB": lambda row: max(row["memory"], 1) / 1e6,
        "disk, MB": lambda row: row["file"] / 1e6,
        "a search, p50 ms": lambda row: row["none"]["p50"],
        "a search, p99 ms": lambda row: row["none"]["p99"],
        "recall@10 at the default effort": lambda row: row["none"]["recall"],
    }
    made, axes = plots.figure(3, 2)
    for each, (title, value) in zip(axes.flat, panels.items(), strict=True):
        curves = defaultdict(list)
        for row in rows:
            values = "" if row["dim"] == rows[0]["dim"] else f", {row['dim']} values"
            curves[row["structure"] + values].append((row["count"], value(row)))
        plots.lines(each, curves)
        each.set_xscale("log")
        if not title.startswith("recall"):
            each.set_yscale("log")
        each.set_title(title, fontsize=10)
    axes.flat[0].legend(frameon=False, fontsize=8)
    made.suptitle(
        f"{rows[0]['dim']} values a vector unless said, {os.cpu_count()} cores", fontsize=11
    )
    plots.save(made, path)


if __name__ == "__main__":
    main()

"""Every structure of ours beside bare FAISS, hnswlib and usearch, at several efforts.

    python benchmarks/indexes.py [--structures hnsw ivfpq] [--rounds 3] [--keep FOLDER]
        [--json FILE] [--plot FILE.png]

Fashion-MNIST, 60,000 x 784, squared Euclidean distance, k = 10, 2,000 queries, one a call, one
thread. Ours gives row numbers and scores (records beside them: `search_vectors.py`). Bare FAISS is
the very same index, read from the file that ours has written, its second look in memory; but its
graph is the one that it builds itself, as ours is put in another order, and it has no hash tables
to set beside `lsh`. Both take turns every hundred queries, as machines are noisy: medians, and of
the ratios. The last table has the fastest of ours, hnswlib's and usearch's that reach a recall of
0.99, which take turns as well.

Recall as the public benchmark of that name counts it: returned points within the true tenth
distance and a thousandth, the distances computed here from what was returned. Building uses all
cores; `--keep` has the built ones for the next time. Needs Debian's `dataset-fashion-mnist`, and
`pip install --group bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import hnswlib
import numpy as np
import numpy.typing as npt
import plots
from measured import machine
from search_vectors import QUERIES, Array, bare_hnsw, images
from usearch.index import Index as USearch

from lookalike import registry
from lookalike.distances import distance_named
from lookalike.index import Structure
from lookalike.index.segments import SegmentedIndex
from lookalike.types import Effort

K = 10
WANTED = 0.99
IN_TURN = 100
SECONDS = 30.0
"""What one line may take at most."""
EUCLIDEAN = distance_named("euclidean")
WALKS = tuple({"ef_search": ef} for ef in (16, 20, 24, 28, 32, 40, 48, 64, 96, 128))
PROBES = tuple({"probes": probes} for probes in (1, 2, 4, 8, 16, 32))
REFINED = tuple(
    {"probes": probes, "refine": refine}
    for probes, refine in ((2, 4), (4, 4), (8, 4), (8, 10), (16, 10), (32, 10), (32, 20))
)
EFFORTS: dict[str, tuple[dict[str, int], ...]] = {
    "flat": ({},),
    "hnsw": WALKS,
    "ivf": PROBES,
    "ivfpq": REFINED,
    "ivfsq": REFINED,
    "rabitq": REFINED,
    "lsh": tuple({"probes": probes} for probes in (1, 4, 16, 64)),
}
BUILD: dict[str, dict[str, int]] = {
    "hnsw": {"m": 24, "ef_construction": 200},
    **{name: {"clusters": 256} for name in ("ivf", "ivfpq", "ivfsq", "rabitq")},
}
Search = Callable[[Array], Any]
"""One query, float32 [1, 784] -> row numbers [1, 10], and more that does not count here."""


@dataclass(slots=True)
class Runner:
    """One way of searching, and how fast it has been so far."""

    search: Search
    rates: list[float] = field(default_factory=list)

    def run(self, queries: Array) -> None:
        """One query a call."""
        ones = [query[np.newaxis] for query in queries]
        started = time.perf_counter()
        for query in ones:
            self.search(query)
        self.rates.append(len(ones) / (time.perf_counter() - started))

    @property
    def speed(self) -> float:
        """Queries a second."""
        return statistics.median(self.rates)


@dataclass(frozen=True, slots=True)
class Data:
    """What is searched, and by what."""

    vectors: Array
    queries: Array
    least: npt.NDArray[np.float64]
    """How far the tenth of each query is."""

    @classmethod
    def read(cls) -> Data:
        """Fashion-MNIST with the true tenth distances."""
        vectors, queries = images("train"), images("t10k")[:QUERIES]
        rows = faiss.knn(queries, vectors, K)[1][:, -1]
        return cls(vectors, queries, _distances(queries, vectors[rows][:, np.newaxis])[:, 0])

    def recall(self, search: Search) -> float:
        """The share of what it returns that is near enough."""
        rows = np.concatenate([_rows(search(query[np.newaxis])) for query in self.queries])
        distances = _distances(self.queries, self.vectors[rows])
        distances[rows < 0] = np.inf
        return float(np.mean(distances <= self.least[:, np.newaxis] + 1e-3))


def main() -> None:
    """A table of ours beside bare FAISS, and one of the best of all."""
    given = arguments()
    data = Data.read()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(exist_ok=True)
        print("structure  knobs                   recall@10  bare FAISS  lookalike  ratio   (q/s)")
        rows: list[dict[str, Any]] = []
        for name in given.structures:
            if name in OTHERS:
                rows += alone(name, OTHERS[name](data.vectors, folder), data, given.rounds)
            else:
                rows += beside_bare(name, data, folder, given.rounds)
    best = fastest(rows, data, given.rounds)
    if given.json:
        kept = [{key: row[key] for key in row if key != "search"} for row in rows]
        content = {"machine": machine(), "rows": kept, "best": best}
        given.json.write_text(json.dumps(content, indent=1) + "\n")
    if given.plot:
        plot(rows, given.plot)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    every = [*EFFORTS, *OTHERS]
    parser.add_argument("--structures", nargs="+", choices=every, default=every)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder for what has been built")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    return parser.parse_args()


def beside_bare(name: str, data: Data, folder: Path, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each effort, printed as it comes."""
    structure = built(name, data.vectors, folder)
    index = SegmentedIndex(data.vectors.shape[1], EUCLIDEAN)
    index.replace_main(structure, np.arange(len(data.vectors)))
    bare = bare_of(name, folder / name, data.vectors)
    faiss.omp_set_num_threads(1)
    for knobs in EFFORTS[name]:
        effort = Effort(**knobs)
        ours = Runner(partial(index.search, k=K, effort=effort))
        theirs = None if bare is None else Runner(partial(bare.search, k=K))
        if theirs is not None:
            turn(bare, knobs)
        take_turns([each for each in (theirs, ours) if each], data.queries, rounds)
        row = {
            "structure": name,
            "knobs": knobs,
            "recall": data.recall(ours.search),
            "lookalike": ours.speed,
            "search": ours.search,
        }
        if theirs is not None:
            row |= {
                "bare": theirs.speed,
                "bare_recall": data.recall(theirs.search),
                "ratio": statistics.median(
                    o / b for o, b in zip(ours.rates, theirs.rates, strict=True)
                ),
            }
        print(line(row), flush=True)
        yield row


def built(name: str, vectors: Array, folder: Path) -> Structure:
    """One of ours, opened as it is served; built by all cores if it is not there yet."""
    kind = registry.load("index", name)
    options = kind.Options(**BUILD.get(name, {}))
    if not (folder / name).exists():
        faiss.omp_set_num_threads(os.cpu_count() or 1)
        made = kind.create(vectors.shape[1], EUCLIDEAN, options, len(vectors), folder / "work")
        if made.training_vectors:
            chosen = np.linspace(0, len(vectors) - 1, min(made.training_vectors, len(vectors)))
            made.train(vectors[chosen.astype(np.int64)])
        made.add(vectors)
        unfinished = folder / f"{name}.tmp"
        unfinished.mkdir()
        made.save(unfinished)
        unfinished.rename(folder / name)
    loaded: Structure = kind.load(folder / name, options, mapped=True)
    return loaded


def bare_of(name: str, folder: Path, vectors: Array) -> Any:
    """The same index as FAISS has it, with its own second look where there is one."""
    if name == "lsh":
        return None
    if name == "hnsw":
        return bare_graph(folder.with_name("faiss-hnsw"), vectors)
    index = faiss.read_index(str(folder / "structure.faiss"))
    if "refine" not in EFFORTS[name][0]:
        return index
    both = faiss.IndexRefineFlat(index, faiss.swig_ptr(vectors))
    both.referenced_objects = [index, vectors]
    return both


def bare_graph(path: Path, vectors: Array) -> Any:
    """FAISS's own, read from a file as it was built before."""
    if not path.exists():
        faiss.omp_set_num_threads(os.cpu_count() or 1)
        faiss.write_index(bare_hnsw(vectors), str(path))
    return faiss.read_index(str(path))


def turn(index: Any, knobs: dict[str, int]) -> None:
    """Set FAISS's own knobs."""
    if "ef_search" in knobs:
        index.hnsw.efSearch = knobs["ef_search"]
    if "refine" in knobs:
        index.k_factor = knobs["refine"]
    if "probes" in knobs:
        base = index.base_index if "refine" in knobs else index
        faiss.extract_index_ivf(base).nprobe = knobs["probes"]


def of_hnswlib(vectors: Array, folder: Path) -> Callable[[int], Search]:
    """Hnswlib with the same M and efConstruction, and how to search it with an effort."""
    index = hnswlib.Index("l2", vectors.shape[1])
    path = folder / "hnswlib"
    if path.exists():
        index.load_index(str(path))
    else:
        index.init_index(len(vectors), M=24, ef_construction=200)
        index.add_items(vectors)
        index.save_index(str(path))
    index.set_num_threads(1)

    def with_effort(effort: int) -> Search:
        def search(query: Array) -> Any:
            index.set_ef(effort)
            return index.knn_query(query, K)

        return search

    return with_effort


def of_usearch(vectors: Array, folder: Path) -> Callable[[int], Search]:
    """USearch with the same, and how to search it with an effort."""
    index = USearch(
        ndim=vectors.shape[1], metric="l2sq", dtype="f32", connectivity=24, expansion_add=200
    )
    path = folder / "usearch"
    if path.exists():
        index.load(str(path))
    else:
        index.add(np.arange(len(vectors)), vectors)
        index.save(str(path))

    def with_effort(effort: int) -> Search:
        def search(query: Array) -> Any:
            setattr(index, "expansion_search", effort)  # noqa: B010 - mypy misses the setter
            found = index.search(query[0], K, threads=1)
            return found.keys[np.newaxis], found.distances

        return search

    return with_effort


OTHERS = {"hnswlib": of_hnswlib, "usearch": of_usearch}


def alone(
    name: str, with_effort: Callable[[int], Search], data: Data, rounds: int
) -> Iterator[dict[str, Any]]:
    """A row for each effort of another library."""
    for knobs in WALKS:
        runner = Runner(with_effort(knobs["ef_search"]))
        take_turns([runner], data.queries, rounds)
        row = {
            "structure": name,
            "knobs": knobs,
            "recall": data.recall(runner.search),
            "bare": runner.speed,
            "search": runner.search,
        }
        print(line(row), flush=True)
        yield row


def take_turns(runners: Sequence[Runner], queries: Array, rounds: int) -> None:
    """A few queries each, until all rounds are done or it has taken long enough."""
    started = time.perf_counter()
    parts = np.array_split(queries, max(1, len(queries) // IN_TURN))
    for runner in runners:
        runner.search(queries[:1])
    for part in parts * rounds:
        for runner in runners:
            runner.run(part)
        if time.perf_counter() - started > SECONDS:
            return


def fastest(rows: Sequence[dict[str, Any]], data: Data, rounds: int) -> list[dict[str, Any]]:
    """Ours, hnswlib's and usearch's fastest that find enough, run in turns and printed."""
    enough = [row for row in rows if row["recall"] >= WANTED]
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in enough:
        groups["lookalike" if "lookalike" in row else row["structure"]].append(row)
    best = [max(group, key=speed) for group in groups.values()]
    runners = [Runner(row["search"]) for row in best]
    take_turns(runners, data.queries, rounds)
    print(f"\nthe fastest with a recall@10 of {WANTED} or more, in turns")
    for row, runner in zip(best, runners, strict=True):
        whose = "lookalike " if "lookalike" in row else ""
        print(
            f"{whose + row['structure']:17}  {said(row):22}  {row['recall']:6.4f}  "
            f"{runner.speed:7,.0f} q/s"
        )
    return [
        {"structure": row["structure"], "knobs": row["knobs"], "speed": runner.speed}
        for row, runner in zip(best, runners, strict=True)
    ]


def speed(row: dict[str, Any]) -> float:
    """Queries a second, ours where there is."""
    return float(row["lookalike"] if "lookalike" in row else row["bare"])


def line(row: dict[str, Any]) -> str:
    """As it is printed."""
    columns = [
        f"{row[name]:{shape}}" if name in row else " " * width
        for name, shape, width in (
            ("bare", "10,.0f", 10),
            ("lookalike", "9,.0f", 9),
            ("ratio", "5.2f", 5),
        )
    ]
    return f"{row['structure']:9}  {said(row):22}  {row['recall']:9.4f}  {'  '.join(columns)}"


def said(row: dict[str, Any]) -> str:
    """The knobs in words."""
    return " ".join(f"{name} {value}" for name, value in row["knobs"].items())


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Speed over recall: ours as lines, bare FAISS dashed, the others in grey."""
    ours, bare = defaultdict(list), defaultdict(list)
    for row in rows:
        if "lookalike" in row:
            ours[row["structure"]].append((row["recall"], row["lookalike"]))
        if "bare" in row:
            bare[row["structure"]].append(
                (row["bare_recall" if "lookalike" in row else "recall"], row["bare"])
            )
    made, axes = plots.figure(1, width=8.5, height=5.5)
    plots.recall_axis(axes[0, 0])
    plots.lines(axes[0, 0], ours)
    others = {name: bare.pop(name) for name in OTHERS if name in bare}
    plots.lines(axes[0, 0], others, ":")
    plots.lines(axes[0, 0], bare, "--", " (bare FAISS)")
    axes[0, 0].set(yscale="log", xlabel="recall@10", ylabel="queries a second, one thread")
    axes[0, 0].set_title("Fashion-MNIST, 60,000 x 784, Euclidean", fontsize=11)
    axes[0, 0].legend(frameon=False, fontsize=8, ncols=2)
    plots.save(made, path)


def _rows(found: Any) -> npt.NDArray[np.int64]:
    """Row numbers of one query, int64 [1, 10]: FAISS alone has them second."""
    first, second = found[:2]
    rows = second if np.issubdtype(np.asarray(second).dtype, np.integer) else first
    return np.asarray(rows).astype(np.int64)


def _distances(queries: Array, found: Array) -> npt.NDArray[np.float64]:
    """Queries [q, d] and what each has found [q, k, d] -> the lengths between, [q, k]."""
    every = np.empty(found.shape[:2])
    for place in range(found.shape[1]):
        apart = (found[:, place] - queries).astype(np.float64)
        every[:, place] = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    return every


if __name__ == "__main__":
    main()

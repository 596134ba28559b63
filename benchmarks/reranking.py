"""Query expansion and re-ranking: what each finds more than a plain search, and what it takes.

    OMP_NUM_THREADS=1 python benchmarks/reranking.py --data FOLDER [--json FILE]

FOLDER has one folder a class (`caltech60`). Each method is tried with several settings: every
fourth picture of half of the classes is a query for all the others. The best setting of each
method, and what `expand` and `rerank` do, are then told on every third picture of the other
classes, on words (the names of the classes), and on edited copies of 100 of the pictures. What
became no knob (diffusion, other weights) is written here alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measured import machine

import lookalike
from lookalike import Collection
from lookalike.copies import Wish, make_copies
from lookalike.evaluate import truth as truths
from lookalike.evaluate.metrics import (
    Judged,
    Metric,
    Values,
    average_precision,
    per_query,
    precision_at,
)
from lookalike.evaluate.significance import compare, holm
from lookalike.expansion import expanded
from lookalike.extract.pooling import unit
from lookalike.reindex import reindex
from lookalike.reranking import k_reciprocal
from lookalike.types import Vectors

Array = npt.NDArray[Any]
Rerank = Callable[[Vectors], Array]
"""float32 [1 + n, dim] of length 1, the query's first -> what is less the better, [n]."""
PLAIN = "plain"
DEEP = 200
MAY_LOSE = 0.01
"""Of recall@1, where a setting is still taken for its mAP."""


@dataclass(frozen=True)
class Method:
    """One way of asking."""

    family: str
    name: str
    neighbours: int = 0
    alpha: float = 1.0
    rerank: Rerank | None = None
    deep: int = DEEP


def methods() -> Iterator[Method]:
    """All that is tried."""
    yield Method(PLAIN, PLAIN)
    for alpha in (0, 1, 3):
        for n in (3, 5, 10, 20):
            yield Method("expansion", f"expand {n}, alpha {alpha}", n, alpha)
    for deep in (100, 200, 500):
        yield reciprocal(20, 6, 0.3, deep)
    for k1, k2, own in ((10, 3, 0.3), (20, 1, 0.3), (20, 6, 0.0), (20, 6, 0.6), (30, 6, 0.3)):
        yield reciprocal(k1, k2, own, DEEP)
    for k, share, first in ((10, 0.9, 5), (20, 0.9, 10), (50, 0.9, 10), (20, 0.99, 10)):
        rerank = partial(diffused, k=k, share=share, first=first)
        yield Method("diffusion", f"diffusion {DEEP}, {k} {share} {first}", rerank=rerank)
    yield Method("both", f"expand 5, rerank {DEEP}", 5, rerank=k_reciprocal)


def reciprocal(k1: int, k2: int, own: float, deep: int) -> Method:
    """k-reciprocal re-ranking with these settings."""
    rerank = partial(k_reciprocal, k1=k1, k2=k2, own=own)
    return Method("k-reciprocal", f"rerank {deep}, {k1} {k2} {own}", rerank=rerank, deep=deep)


KNOBS = ("expand 5, alpha 1", f"rerank {DEEP}, 20 6 0.3", f"expand 5, rerank {DEEP}")
"""What `expand=5`, `rerank=200` and both do."""


def diffused(vectors: Vectors, k: int, share: float, first: int) -> Array:
    """Minus the heat that flows from the query's `first` nearest over mutual neighbours.

    Iscen, Tolias, Avrithis, Furon and Chum, "Efficient diffusion on region manifolds", CVPR 2017,
    among the candidates: affinities are cosines to the third power, of the `k` nearest of each.
    """
    alike = np.maximum(vectors[1:] @ vectors[1:].T, 0).astype(np.float64) ** 3
    np.fill_diagonal(alike, 0)
    least = np.sort(alike, axis=1)[:, -min(k, len(alike)), np.newaxis]
    alike = np.minimum(np.where(alike >= least, alike, 0), np.where(alike >= least, alike, 0).T)
    sizes = 1 / np.sqrt(np.maximum(alike.sum(axis=1), 1e-12))
    start = np.maximum(vectors[1:] @ vectors[0], 0).astype(np.float64) ** 3
    start[np.argsort(-start)[first:]] = 0
    flow = np.eye(len(alike)) - share * alike * sizes * sizes[:, np.newaxis]
    return -np.linalg.solve(flow, start)


@dataclass(frozen=True)
class Task:
    """Queries, among what they are asked, and what is right."""

    raw: Vectors
    """float32 [n, dim], of length 1."""
    queries: Vectors
    """float32 [q, dim], likewise."""
    compared: Callable[[Vectors], Vectors]
    itself: Array
    """int64 [q]: where a query lies among the others, which it does not find; -1 for nowhere."""
    right: Array
    """bool [q, n]."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    task: str
    method: str
    mean_average_precision: float
    precision_at_10: float
    recall_at_1: float
    milliseconds: float
    times_plain: float


@dataclass(frozen=True)
class Gain:
    """How much more one method has than a plain search, with what sureness."""

    task: str
    method: str
    measure: str
    queries: int
    difference: float
    low: float
    high: float
    p_value: float
    """By a randomisation test, with Holm's correction for all methods of this task and measure."""


MEASURES: dict[str, Metric] = {
    "mAP": average_precision,
    "P@10": partial(precision_at, k=10),
    "recall@1": partial(precision_at, k=1),
}


def main() -> None:
    """Try, choose, tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = run(given.data, Path(name))
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n")


def run(data: Path, folder: Path) -> dict[str, Any]:
    """All of it, printed as it comes."""
    rows: list[Row] = []
    gains: list[Gain] = []
    every = list(methods())
    with lookalike.open(folder / "classes", recipe="default") as collection:
        collection.add(data)
        tried, told = of_classes(collection, 0, 4), of_classes(collection, 1, 3)
        _, judged = table("default, half the classes", tried, every)
        rows += judged
        chosen = the_best(every, judged)
        answers, of_told = table("default, the other half", told, chosen)
        gains += compared_with_plain("default, the other half", answers)
        rows += of_told
        gains += words(collection)
        spent = timed(collection)
        reindex(collection, "default-pca")
        answers, of_pca = table("default-pca, the other half", of_classes(collection, 1, 3), chosen)
        gains += compared_with_plain("default-pca, the other half", answers)
        rows += of_pca
    answers, of_copies = table("edited copies, default", copies(data, folder), chosen)
    gains += compared_with_plain("edited copies, default", answers)
    rows += of_copies
    return {
        "rows": list(map(asdict, rows)),
        "gains": list(map(asdict, gains)),
        "milliseconds_of_a_search": spent,
    }


def of_classes(collection: Collection, half: int, step: int) -> Task:
    """Every `step`th picture of every second class, from the first or the second on."""
    records, vectors = stored(collection)
    names, classes = np.unique([record.label for record in records], return_inverse=True)
    chosen = np.flatnonzero(np.isin(classes, np.arange(half, len(names), 2)))[::step]
    return Task(
        vectors,
        vectors[chosen],
        partial(collection.store.compared, "default"),
        chosen,
        classes[chosen][:, np.newaxis] == classes,
    )


def copies(data: Path, folder: Path) -> Task:
    """Every fifth edited copy of those that have an original in the collection: all 16 edits."""
    make_copies(data, folder / "set", Wish())
    truth = truths.read(folder / "set" / "truth.csv")
    with lookalike.open(folder / "copies") as collection:
        collection.add(folder / "set" / "collection")
        asked = [each for each in truths.against(truth, collection).queries if each.relevant]
        asked = sorted(asked, key=lambda each: each.place)[::5]
        records, vectors = stored(collection)
        right = [[record.id in each.relevant for record in records] for each in asked]
        with lookalike.open(folder / "queries") as apart:
            apart.add(*(each.place for each in asked))
            at = {place.path: each.id for each in apart for place in each.places}
            queries = [apart.vector(at[each.place]) for each in asked]
        return Task(
            vectors,
            unit(np.concatenate(queries)),
            unit,
            np.full(len(asked), -1),
            np.array(right),
        )


def stored(collection: Collection) -> tuple[list[lookalike.Record], Vectors]:
    """Every record, and its vector at length 1."""
    records, vectors = [], []
    for some, blocks in collection.store.blocks(["default"]):
        records += some
        vectors.append(blocks["default"])
    return records, unit(np.concatenate(vectors))


def table(
    name: str, task: Task, every: Sequence[Method]
) -> tuple[dict[str, list[Judged]], list[Row]]:
    """The answers by method, and the printed rows."""
    print(f"\n{name}: {len(task.queries):,} queries, {len(task.raw):,} pictures")
    print(f"{'':28}{'mAP':>8}{'P@10':>8}{'recall@1':>10}{'ms':>8}{'times':>8}")
    answers: dict[str, list[Judged]] = {}
    rows: list[Row] = []
    for method in every:
        answers[method.name], seconds = answered(task, method)
        average, precision, recall = (
            float(per_query(each, answers[method.name]).mean()) for each in MEASURES.values()
        )
        taken = 1e3 * statistics.median(seconds)
        plain = rows[0].milliseconds if rows else taken
        rows.append(Row(name, method.name, average, precision, recall, taken, taken / plain))
        print(
            f"{method.name:28}{average:8.3f}{precision:8.3f}{recall:10.3f}"
            f"{taken:8.2f}{taken / plain:8.1f}",
            flush=True,
        )
    return answers, rows


def answered(task: Task, method: Method) -> tuple[list[Judged], list[float]]:
    """The whole ranking of each query, and the seconds that each took, alone."""
    gallery = task.compared(task.raw)
    judged, seconds = [], []
    for number in range(len(task.queries)):
        started = time.perf_counter()
        order = ranked(task, gallery, number, method)
        seconds.append(time.perf_counter() - started)
        relevant = task.right[number][order]
        judged.append(Judged(relevant, int(relevant.sum()), -np.arange(len(order), dtype="f4")))
    return judged, seconds


def ranked(task: Task, gallery: Vectors, number: int, method: Method) -> Array:
    """Where all pictures but the query itself lie, best first."""
    query, itself = task.queries[number : number + 1], task.itself[number]
    order = by_cosine(task.compared(query), gallery, itself)
    if method.neighbours:
        query = expanded(query, task.raw[order[: method.neighbours]], method.alpha)
        order = by_cosine(task.compared(query), gallery, itself)
    if method.rerank is not None:
        first, rest = order[: method.deep], order[method.deep :]
        apart = method.rerank(np.concatenate([task.compared(query), gallery[first]]))
        order = np.concatenate([first[np.argsort(apart, kind="stable")], rest])
    return order


def by_cosine(query: Vectors, gallery: Vectors, but: int) -> Array:
    """All but one, best first."""
    order = np.argsort(-(gallery @ query[0]), kind="stable")
    others: Array = order[order != but]
    return others


def the_best(every: Sequence[Method], rows: Sequence[Row]) -> list[Method]:
    """Of each method the setting with the most mAP that keeps recall@1, and the knobs."""
    least = rows[0].recall_at_1 - MAY_LOSE
    best: dict[str, Row] = {}
    for method, row in zip(every, rows, strict=True):
        before = best.get(method.family)
        more = before is None or row.mean_average_precision > before.mean_average_precision
        if row.recall_at_1 >= least and more:
            best[method.family] = row
    names = {*KNOBS, *(row.method for row in best.values())}
    return [method for method in every if method.name in names]


def compared_with_plain(name: str, answers: dict[str, list[Judged]]) -> list[Gain]:
    """What each method gains, printed."""
    gains = []
    for measure, metric in MEASURES.items():
        values = {each: per_query(metric, judged) for each, judged in answers.items()}
        gains += differences(name, measure, values)
    show(gains)
    return gains


def differences(name: str, measure: str, values: dict[str, Values]) -> list[Gain]:
    """Of one measure, by method; the first is the plain search."""
    (_, plain), *others = values.items()
    found = [compare(each, plain) for _, each in others]
    corrected = holm([each.p_value for each in found])
    return [
        Gain(name, method, measure, each.queries, each.difference, *each.interval, p_value)
        for (method, _), each, p_value in zip(others, found, corrected, strict=True)
    ]


def show(gains: Sequence[Gain]) -> None:
    """The gains over a plain search with their 95% intervals."""
    for each in gains:
        print(
            f"  {each.method:26}{each.measure:>9} {each.difference:+.3f}"
            f"  [{each.low:+.3f}, {each.high:+.3f}]  p {each.p_value:.4f}"
        )


def words(collection: Collection) -> list[Gain]:
    """The names of the classes as text, through `Collection.search`."""
    labels = [record.label or "" for record in collection]
    asking: dict[str, dict[str, Any]] = {
        PLAIN: {},
        "expand=5": {"expand": 5},
        f"rerank={DEEP}": {"rerank": DEEP},
        f"expand=5, rerank={DEEP}": {"expand": 5, "rerank": DEEP},
    }
    print(f"\nwords, default: {len(set(labels))} names of classes")
    values: dict[str, dict[str, Values]] = {measure: {} for measure in MEASURES}
    for name, knobs in asking.items():
        answers = []
        for label in sorted(set(labels)):
            hits = collection.search(text=label.replace("_", " "), k=None, **knobs)
            relevant = np.array([hit.label == label for hit in hits])
            answers.append(Judged(relevant, labels.count(label), -np.arange(len(hits), dtype="f4")))
        for measure, metric in MEASURES.items():
            values[measure][name] = per_query(metric, answers)
        means = [float(values[measure][name].mean()) for measure in MEASURES]
        print(f"{name:28}{means[0]:8.3f}{means[1]:8.3f}{means[2]:10.3f}")
    gains = [
        gain for measure in MEASURES for gain in differences("words", measure, values[measure])
    ]
    show(gains)
    return gains


def timed(collection: Collection) -> dict[str, float]:
    """Milliseconds of `Collection.more_like` for ten hits, medians; the knobs take turns."""
    asking: dict[str, dict[str, Any]] = {
        PLAIN: {},
        "expand=5": {"expand": 5},
        "rerank=100": {"rerank": 100},
        f"rerank={DEEP}": {"rerank": DEEP},
        "rerank=500": {"rerank": 500},
        f"expand=5, rerank={DEEP}": {"expand": 5, "rerank": DEEP},
    }
    spent: dict[str, list[float]] = {name: [] for name in asking}
    for record in collection.newest(limit=60):
        for name, knobs in asking.items():
            started = time.perf_counter()
            collection.more_like(record.id, **knobs)
            spent[name].append(time.perf_counter() - started)
    medians = {name: 1e3 * statistics.median(each[5:]) for name, each in spent.items()}
    print("\nmore_like, 10 hits              ms   times")
    for name, taken in medians.items():
        print(f"{name:28}{taken:8.2f}{taken / medians[PLAIN]:8.1f}")
    return medians


if __name__ == "__main__":
    main()

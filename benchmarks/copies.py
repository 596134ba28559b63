"""How often the original of an edited copy comes first, how rarely there is a false one, how fast.

    python benchmarks/copies.py --set FOLDER [--collection DIR] [--recipe copies] [--each 20]
                                [--load 10000] [--json FILE]

FOLDER is what `lookalike make-copies` made: a collection, queries and truth.csv. It is indexed by
the recipe (or DIR is opened, which has it already), and `--each` of the queries of every edit are
asked, evenly chosen, with a copy and without. A line an edit: how often the original is the first
hit, and is called a copy; how often anything is called a copy where there is none. Then the
milliseconds of a query, decoding and all, one after the other. With `--load` the collection is
filled up to so many pictures by made-up ones first: stored vectors and features, disturbed.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from made_up import fill
from measured import machine

import lookalike
from lookalike.evaluate.thresholds import clopper_pearson
from lookalike.types import Hit


def main() -> None:
    """Print a line for each edit, and what a query takes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", type=Path, required=True, help="made by `lookalike make-copies`")
    parser.add_argument("--collection", type=Path, help="of the set's pictures, indexed before")
    parser.add_argument("--recipe", default="copies")
    parser.add_argument("--each", type=int, default=20, help="queries of each edit")
    parser.add_argument("--load", type=int, default=0, help="pictures that there are to be")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.collection or Path(folder) / "c"
        with lookalike.open(path, recipe=given.recipe) as collection:
            if not given.collection:
                collection.add(given.set / "collection")
            fill(collection, given.load)
            rows, seconds = measure(collection, given.set, given.each)
            pictures = len(collection)
    print("edit                 recall@1  called copy  without a copy: called one")
    for row in rows:
        print(
            f"{row['edit']:20} {share(row['first'], row['asked']):>8}"
            f"  {share(row['called'], row['asked']):>11}"
            f"  {share(row['false'], row['without']):>26}"
        )
    middle, slowest = np.percentile(seconds, (50, 99)) * 1e3
    print(f"\n{pictures:,} pictures: a query p50 {middle:.0f} ms, p99 {slowest:.0f} ms")
    if given.json:
        said = {"machine": machine(), "pictures": pictures, "p50": middle, "p99": slowest}
        given.json.write_text(json.dumps({**said, "rows": rows}, indent=1) + "\n")


def measure(
    collection: lookalike.Collection, folder: Path, each: int
) -> tuple[list[dict[str, Any]], list[float]]:
    """Of every edit and of all, what was found; and the seconds of each query."""
    seconds: list[float] = []
    rows: list[dict[str, Any]] = []
    for edit, (true, none) in sorted(queries(folder).items()):
        row: dict[str, Any] = {
            "edit": edit,
            "asked": 0,
            "first": 0,
            "called": 0,
            "without": 0,
            "false": 0,
        }
        for query, original in chosen(true, each):
            best = first(collection, folder / query, seconds)
            right = best is not None and Path(best.path).name == Path(original).name
            row["asked"] += 1
            row["first"] += right
            row["called"] += right and best is not None and best.kinship == "copy"
        for query, _ in chosen(none, each):
            best = first(collection, folder / query, seconds)
            row["without"] += 1
            row["false"] += best is not None and best.kinship == "copy"
        rows.append(row)
    numbers = ("asked", "first", "called", "without", "false")
    total = {name: sum(row[name] for row in rows) for name in numbers}
    rows.append({"edit": "all", **total})
    low, high = clopper_pearson(total["false"], total["without"], 0.95)
    print(f"false copies: {share(total['false'], total['without'])}, {low:.3f} to {high:.3f}\n")
    return rows, seconds


def queries(folder: Path) -> dict[str, tuple[list[tuple[str, str]], list[tuple[str, str]]]]:
    """By edit: queries that have an original, with it, and those that have none."""
    found: defaultdict[str, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            pair = row["query_id"], row["reference_id"]
            found[row["group"]][not pair[1]].append(pair)
    return dict(found)


def chosen(every: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """Evenly, at most `count`."""
    places = np.linspace(0, len(every) - 1, min(count, len(every)), dtype=np.int64)
    return [every[place] for place in places.tolist()]


def first(collection: lookalike.Collection, query: Path, seconds: list[float]) -> Hit | None:
    """The best hit."""
    started = time.perf_counter()
    hits = collection.search(query, k=10)
    seconds.append(time.perf_counter() - started)
    return hits[0] if hits else None


def share(some: int, of: int) -> str:
    """As it is printed."""
    return f"{some / of:.3f}" if of else "-"


if __name__ == "__main__":
    main()

"""Every ready recipe that needs nothing fetched, end to end on one folder: good, fast, big.

    python benchmarks/recipes.py --data FOLDER [--json FILE]

FOLDER has one folder a class (`caltech60`). Each recipe indexes it as a user would; then every
stored picture is a query for all the others, through `Collection.search_many`. What needs weights
that are not on this machine is named as such.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from default_model import class_retrieval
from measured import machine

import lookalike
from lookalike import Collection, LookalikeError, recipe

WORDS = (200, 5000)
"""Sizes of the vocabulary beside that of `sift-bovw` itself."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    recipe: str
    dim: int
    mean_average_precision: float
    precision_at_10: float
    pictures_per_second: float
    bytes_per_picture: int
    """Of the whole catalogue: vector, record and ledger."""


def main() -> None:
    """Print the table, the best first, and what could not be run here."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows, missing = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in variants():
            path = Path(folder) / f"{name.replace(' ', '-')}.toml"
            path.write_text(text)
            try:
                rows.append(measured(name, path, given.data))
            except LookalikeError as error:
                missing[name] = str(error)
    rows.sort(key=lambda row: -row.mean_average_precision)
    show(rows, missing)
    if given.json:
        result = {"machine": machine(), "rows": list(map(asdict, rows)), "missing": missing}
        given.json.write_text(json.dumps(result, indent=1) + "\n")


def variants() -> Iterator[tuple[str, str]]:
    """The name and the text of every ready recipe, and visual words of other numbers."""
    for each in recipe.ready():
        if each.local.use.matching == "exhaustive":  # every query would take seconds
            continue
        yield each.name, each.text
        if each.name == "sift-bovw":
            for words in WORDS:
                yield f"sift-bovw, k {words}", each.text.replace("k = 1000", f"k = {words}")


def measured(name: str, path: Path, data: Path) -> Row:
    """Index and search with one recipe."""
    with lookalike.open(path.with_suffix(".lookalike"), recipe=str(path)) as collection:
        report = collection.add(data)
        precision, average = class_retrieval(*similarities(collection))
        stats = collection.stats()
        (embedding,) = stats["embeddings"].values()
        return Row(
            name,
            embedding["pca"] or embedding["dim"],
            average,
            precision,
            report.pictures_per_second,
            stats["catalogue_bytes"] // stats["pictures"],
        )


def similarities(collection: Collection) -> tuple[Any, npt.NDArray[np.int64]]:
    """The score of every two pictures, float [n, n], and the class of each, int64 [n]."""
    records = list(collection)
    numbers = {record.id: number for number, record in enumerate(records)}
    scores = np.full((len(records), len(records)), -1.0)
    for number, record in enumerate(records):
        for hit in collection.more_like(record.id, k=len(records)):
            scores[number, numbers[hit.id]] = hit.score
    _, classes = np.unique([record.label for record in records], return_inverse=True)
    return scores, classes


def show(rows: list[Row], missing: dict[str, str]) -> None:
    """The table as text."""
    print(f"{'recipe':22}{'values':>8}{'mAP':>8}{'P@10':>8}{'pictures/s':>12}{'bytes/picture':>15}")
    for row in rows:
        print(
            f"{row.recipe:22}{row.dim:8,}{row.mean_average_precision:8.3f}"
            f"{row.precision_at_10:8.3f}{row.pictures_per_second:12,.0f}{row.bytes_per_picture:15,}"
        )
    for name in missing:
        print(f"{name:22}{'needs weights or a package that are not here':>51}")


if __name__ == "__main__":
    main()

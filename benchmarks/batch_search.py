"""A folder of pictures searched with, each on its own, beside a bare loop that only runs the model.

    python benchmarks/batch_search.py --data FOLDER [--rounds 5] [--json FILE]

The collection has the pictures of FOLDER, and each of them is asked for: `Collection.search_many`,
which is what `lookalike search DIR --json` prints. The bare loop is that of `ingest.py`: it decodes
and runs the model on all cores, and neither searches nor looks up a record. The promise is 0.8.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from ingest import bare_loop
from measured import machine

import lookalike


def main() -> None:
    """Interleaved runs of both, medians, and the median of the paired ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    paths = sorted(given.data.rglob("*.jpg"))
    bare, ours = [], []
    with tempfile.TemporaryDirectory() as folder, lookalike.open(Path(folder) / "c") as collection:
        collection.add(given.data)
        for _ in range(given.rounds):
            bare.append(len(paths) / bare_loop(paths))
            ours.append(len(paths) / searched(collection, given.data, len(paths)))
    row = {
        "pictures": len(paths),
        "bare": statistics.median(bare),
        "lookalike": statistics.median(ours),
        "ratio": statistics.median(o / b for o, b in zip(ours, bare, strict=True)),
    }
    print(f"{'':16}  bare loop  search_many  ratio   (pictures/s, medians of {given.rounds})")
    print(
        f"{row['pictures']:7,} pictures  {row['bare']:9.0f}  {row['lookalike']:11.0f}"
        f"  {row['ratio']:5.2f}"
    )
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": [row]}, indent=1) + "\n")


def searched(collection: lookalike.Collection, folder: Path, expected: int) -> float:
    """Seconds until every picture has its hits."""
    started = time.perf_counter()
    answers = list(collection.search_many([folder]))
    seconds = time.perf_counter() - started
    assert len(answers) == expected, len(answers)
    assert all(answer.hits for answer in answers)
    return seconds


if __name__ == "__main__":
    main()

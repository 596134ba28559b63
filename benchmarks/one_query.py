"""One query by picture, warm, beside decode + model + bare FAISS; and what a cold start costs.

    python benchmarks/one_query.py --data FOLDER [--rounds 7] [--json FILE]

The yardstick decodes with OpenCV in its own process, runs the model on one thread and asks a bare
`IndexFlatIP`. Ours decodes in a process that can be killed, hashes, and gives records.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import onnxruntime
from ingest import MODEL, decoded
from measured import machine

import lookalike

QUERIES = 100


def main() -> None:
    """Print the warm figures, then the cold ones."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "collection"
        with lookalike.open(place) as collection:
            collection.add(given.data)
            warm = compare(collection, sorted(given.data.glob("*/*.jpg"))[::20], given.rounds)
        cold = cold_starts(place, next(given.data.glob("*/*.jpg")), given.rounds)
    print(f"{'':27}    bare  lookalike  ratio   (ms, medians)")
    figures = f"{warm['bare']:6.2f}  {warm['lookalike']:9.2f}  {warm['ratio']:5.2f}"
    print(f"{'one query by picture, warm':27}  {figures}")
    print("\ncold start, to the end of the process          seconds")
    for name, seconds in cold.items():
        print(f"{name:45}  {seconds:6.2f}")
    if given.json:
        result = {"machine": machine(), "warm": warm, "cold": cold}
        given.json.write_text(json.dumps(result, indent=1) + "\n")


def compare(
    collection: lookalike.Collection, paths: Sequence[Path], rounds: int
) -> dict[str, float]:
    """Interleaved runs of both: medians in milliseconds, and of the paired ratios."""
    paths = paths[:QUERIES]
    ids = [record.id for record in collection.newest(limit=10_000)]
    vectors = np.concatenate([collection.vector(id) for id in ids])
    index = faiss.IndexFlatIP(MODEL.dim)
    index.add(vectors)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        MODEL.path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )

    def bare(path: Path) -> Any:
        (vector,) = session.run([MODEL.output], {MODEL.input: decoded(path)[np.newaxis]})
        return index.search(vector / np.linalg.norm(vector), 10)

    bare_times, our_times = [], []
    for _ in range(rounds):
        bare_times.append(milliseconds(bare, paths))
        our_times.append(milliseconds(collection.search, paths))
    return {
        "bare": statistics.median(bare_times),
        "lookalike": statistics.median(our_times),
        "ratio": statistics.median(o / b for o, b in zip(our_times, bare_times, strict=True)),
    }


def milliseconds(search: Callable[[Path], Any], paths: Sequence[Path]) -> float:
    """The median time of a query."""
    times = []
    for path in paths:
        started = time.perf_counter()
        search(path)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def cold_starts(collection: Path, picture: Path, rounds: int) -> dict[str, float]:
    """Whole processes, from nothing to their end: median seconds."""
    call = "from lookalike.cli import main; main()"
    commands = {
        "python -c pass": ["-c", "pass"],
        "import lookalike; lookalike.open": ["-c", "import lookalike; lookalike.open"],
        "lookalike search PICTURE": ["-c", call, "search", str(picture), "-c", str(collection)],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, arguments in commands.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in times.items()}


if __name__ == "__main__":
    main()

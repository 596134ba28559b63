"""Queries of many clients at once: the network called for each, beside one call for all that wait.

    python benchmarks/concurrent_queries.py --data FOLDER [--rounds 5] [--json FILE]

Clients are threads that search with the bytes of pictures, one after another, as the service's do.
Both ways take turns within each round, and ratios are of the same round. Calls are joined where
`FeaturePipeline.warm` finds that this is faster, which is printed as well. The second model is a
stand-in for an accelerator: a call takes 20 ms whatever it is given, and one runs at a time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measured import machine

import lookalike
from lookalike.extract import Extractor
from lookalike.joining import Joined
from lookalike.types import Picture, Vectors

CLIENTS = (1, 2, 8, 32)
SECONDS = 0.7
PICTURES = 200
_CALL_SECONDS = 0.02
_MOST = 16


def main() -> None:
    """Print one table for both models, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    paths = sorted(given.data.glob("*/*.jpg"))
    pictures = [path.read_bytes() for path in paths[:: max(1, len(paths) // PICTURES)]]
    rows, decided = [], {}
    with tempfile.TemporaryDirectory() as folder, lookalike.open(Path(folder) / "c") as collection:
        for picture in pictures:
            collection.add_bytes(picture, "a picture")
        pipeline = collection.engine.pipeline
        (network,) = collection.engine.extractors.values()
        for model in ("default", "stand-in"):
            if model == "stand-in":
                collection.engine.extractors.update(default=StandIn(network))
            pipeline.warm()
            decided[model] = pipeline.joined is not None
            at_once = 2 if model == "stand-in" else os.cpu_count() or 1
            joined = Joined(pipeline.of_pictures, at_once, _MOST)
            for clients in CLIENTS:
                runs = []
                for _ in range(given.rounds):
                    pair = []
                    for way in (None, joined):
                        pipeline.joined = way
                        pair.append(asked(collection, pictures, clients))
                    runs.append(pair)
                rows.append({"model": model, "clients": clients, **summary(runs)})
    show(rows, decided, given.rounds)
    if given.json:
        result = {"machine": machine(), "joined_by_warm": decided, "rows": rows}
        given.json.write_text(json.dumps(result, indent=1) + "\n")


class StandIn:
    """Gives a network's vectors after the time that a call of an accelerator takes."""

    def __init__(self, network: Extractor) -> None:
        self._network = network
        self._busy = threading.Lock()
        self.dim, self.fingerprint = network.dim, network.fingerprint
        self.shortest_side = network.shortest_side

    def extract(self, pictures: Sequence[Picture]) -> Vectors:
        """Of the first picture for all: what is found does not matter here."""
        vectors = self._network.extract(pictures[:1])
        with self._busy:
            time.sleep(_CALL_SECONDS)
        return vectors.repeat(len(pictures), axis=0)


def asked(
    collection: lookalike.Collection, pictures: Sequence[bytes], clients: int
) -> tuple[float, float, float]:
    """Queries a second; the median and the 99th percentile of a query in milliseconds."""
    times: list[float] = []
    end = time.perf_counter() + SECONDS

    def client(number: int) -> None:
        for picture in itertools.islice(itertools.cycle(pictures), 7 * number, None):
            started = time.perf_counter()
            if started > end:
                return
            collection.search(picture, k=10)
            times.append(1000 * (time.perf_counter() - started))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    return len(times) / seconds, statistics.median(times), statistics.quantiles(times, n=100)[98]


def summary(runs: Sequence[Sequence[tuple[float, float, float]]]) -> dict[str, Any]:
    """Medians of both ways, and of the ratios in the same round."""
    figures: dict[str, Any] = {}
    for place, way in enumerate(("each", "joined")):
        every = zip(*(pair[place] for pair in runs), strict=True)
        per_second, median, last = (statistics.median(each) for each in every)
        figures[way] = {"per_second": per_second, "p50_ms": median, "p99_ms": last}
    figures["ratio"] = statistics.median(after[0] / before[0] for before, after in runs)
    return figures


def show(rows: Sequence[dict[str, Any]], decided: dict[str, bool], rounds: int) -> None:
    """One line for each number of clients."""
    print(f"{'':18}  {'queries/s':>15}  {'p50 ms':>13}  {'p99 ms':>13}   (medians of {rounds})")
    print(
        f"{'model':9}  {'clients':>7}  {'each':>6}  {'joined':>7}"
        + "    each  joined" * 2
        + "  ratio"
    )
    for row in rows:
        each, joined = row["each"], row["joined"]
        print(
            f"{row['model']:9}  {row['clients']:7}  {each['per_second']:6.0f}"
            f"  {joined['per_second']:7.0f}  {each['p50_ms']:6.1f}  {joined['p50_ms']:6.1f}"
            f"  {each['p99_ms']:6.0f}  {joined['p99_ms']:6.0f}  {row['ratio']:5.2f}"
        )
    for model, is_joined in decided.items():
        print(f"warm() joins the calls of {model}: {'yes' if is_joined else 'no'}")


if __name__ == "__main__":
    main()

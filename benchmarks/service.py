"""Searches over HTTP by many clients at once, beside the same search in Python and a bare loop.

    python benchmarks/service.py --data FOLDER [--pictures 60000] [--rounds 5] [--seconds 5]
                                 [--collection DIR] [--json FILE]

The pictures of FOLDER, filled up with made-up ones, are served by `lookalike serve` on loopback,
and wrk (Debian's package) uploads one picture a search, k = 10. In turns within each round: the
same search in Python, decode + model alone on all cores, and 1, 8, 32 and 128 clients without a
pause. The load generator runs beside the service, and not beside the bare loop. Then so many
clients that four times as much is asked as can be answered, with memory watched.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ingest import bare_loop
from made_up import fill
from measured import machine
from served import Service, serving

import lookalike

CLIENTS = (1, 8, 32, 128)
K = 10
QUERIES = 100
OVERLOAD = 4
PAUSE_SECONDS = 1.0
OVERLOAD_SECONDS = 30
SETTLED_SECONDS = 1.0
_SCRIPT = Path(__file__).with_suffix(".lua")
_FORM = (
    b'--lookalike\r\nContent-Disposition: form-data; name="k"\r\n\r\n%d\r\n'
    b'--lookalike\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
    b"Content-Type: image/jpeg\r\n\r\n%b\r\n--lookalike--\r\n"
)


@dataclass
class Load:
    """What became of the requests of one run."""

    seconds: float
    statuses: dict[int, int] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)
    """Of those that were answered 200."""
    wrong: int = 0
    """Answered 200 without a hit."""

    @property
    def per_second(self) -> float:
        """Searches that were answered."""
        return len(self.milliseconds) / self.seconds


def main() -> None:
    """Print one table, then what overload does."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=60_000)
    parser.add_argument("--collection", type=Path, help="filled before, or to be kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("needs wrk: apt install wrk")
    paths = sorted(given.data.glob("*/*.jpg"))
    queries = paths[:: max(1, len(paths) // QUERIES)][:QUERIES]
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place = given.collection or scratch / "c"
        with lookalike.open(place) as filling:
            if len(filling) < given.pictures:
                filling.add(given.data)
                fill(filling, given.pictures)
        for number, path in enumerate(queries):
            (scratch / str(number)).write_bytes(_FORM % (K, path.read_bytes()))
        collection = stack.enter_context(lookalike.open(place))
        service = stack.enter_context(serving(place))
        result: dict[str, Any] = {"machine": machine(), "pictures": len(collection)}
        wrk = Wrk(service, place.name, scratch, len(queries))
        result |= compare(collection, queries, wrk, given.rounds, given.seconds)
        show(result)
        result["overload"] = overload(wrk, result["clients"]["32"]["per_second"])
        show_overload(result["overload"])
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


@dataclass
class Wrk:
    """The load generator."""

    service: Service
    name: str
    """Of the collection."""
    folder: Path
    """Of the bodies, 0 to `bodies` - 1."""
    bodies: int

    def run(self, clients: int, seconds: float, pause: float = 0.0) -> Load:
        """So many connections, each asking again as soon as it is answered, or after a pause."""
        path = f"/v1/collections/{self.name}/search"
        given = [path, str(self.folder), str(self.bodies), str(round(1000 * pause))]
        options = ["-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "30s"]
        time.sleep(SETTLED_SECONDS)  # what clients of the run before have left is worked off
        began = time.perf_counter()
        done = subprocess.run(
            ["wrk", *options, "-s", str(_SCRIPT), self.service.url, "--", *given],
            check=True,
            capture_output=True,
            text=True,
        )
        load = Load(time.perf_counter() - began)
        if "Socket errors" in done.stdout:
            print(done.stdout, file=sys.stderr)
        for line in (self.folder / "log.0").read_text().splitlines():
            status, microseconds, right = map(int, line.split())
            load.statuses[status] = load.statuses.get(status, 0) + 1
            if status == 200:
                load.milliseconds.append(microseconds / 1000)
                load.wrong += not right
        return load


def compare(
    collection: lookalike.Collection,
    queries: Sequence[Path],
    wrk: Wrk,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """Rounds in which all take turns."""
    many = list(queries) * max(1, round(3 * seconds))
    python: list[float] = []
    bare: list[float] = []
    loads: dict[int, list[Load]] = {clients: [] for clients in CLIENTS}
    wrk.run(CLIENTS[0], seconds)  # to be warm
    in_python(collection, queries, seconds)
    for _ in range(rounds):
        python.append(in_python(collection, queries, seconds))
        loads[CLIENTS[0]].append(wrk.run(CLIENTS[0], seconds))
        bare.append(len(many) / bare_loop(many))
        for clients in reversed(CLIENTS[1:]):
            loads[clients].append(wrk.run(clients, seconds))
    alone = zip(loads[1], python, strict=True)
    beside = zip(loads[32], bare, strict=True)
    return {
        "python_p50_ms": statistics.median(python),
        "bare_per_second": statistics.median(bare),
        "added_p50_ms": statistics.median(
            statistics.median(load.milliseconds) - each for load, each in alone
        ),
        "of_bare": statistics.median(load.per_second / each for load, each in beside),
        "clients": {str(clients): summary(every) for clients, every in loads.items()},
    }


def in_python(collection: lookalike.Collection, queries: Sequence[Path], seconds: float) -> float:
    """The median of the same search without a service, in milliseconds."""
    times: list[float] = []
    pictures = itertools.cycle([path.read_bytes() for path in queries])
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        picture = next(pictures)
        collection.search(picture, k=K)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def summary(loads: Sequence[Load]) -> dict[str, Any]:
    """Medians of several runs with as many clients."""
    percentiles = np.median(
        [np.percentile(load.milliseconds, (50, 95, 99)) for load in loads], axis=0
    )
    statuses = sum((Counter(load.statuses) for load in loads), Counter())
    return {
        "per_second": statistics.median(load.per_second for load in loads),
        **dict(zip(("p50_ms", "p95_ms", "p99_ms"), percentiles.tolist(), strict=True)),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "wrong": sum(load.wrong for load in loads),
    }


def overload(wrk: Wrk, capacity: float) -> dict[str, Any]:
    """So many clients that ask about once a second that it is too much."""
    clients = round(OVERLOAD * capacity * PAUSE_SECONDS)
    memory: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            memory.append(wrk.service.memory_mb())

    watching = threading.Thread(target=watch)
    watching.start()
    load = wrk.run(clients, OVERLOAD_SECONDS, PAUSE_SECONDS)
    done.set()
    watching.join()
    fifth = len(memory) // 5
    return {
        "clients": clients,
        "asked_per_second": sum(load.statuses.values()) / load.seconds,
        **summary([load]),
        "memory_mb": {
            "begin": statistics.median(memory[fifth : 2 * fifth]),
            "end": statistics.median(memory[-fifth:]),
            "most": max(memory),
        },
    }


def show(result: dict[str, Any]) -> None:
    """The table."""
    print(
        f"{result['pictures']:,} pictures, k = {K}: the same search in Python takes "
        f"{result['python_p50_ms']:.1f} ms, the service adds {result['added_p50_ms']:.1f} ms\n"
        f"decode + model alone: {result['bare_per_second']:.0f} a second; with 32 clients the "
        f"service answers {result['of_bare']:.2f} of that\n"
    )
    print("clients  answered/s  p50 ms  p95 ms  p99 ms  answers")
    for clients, row in result["clients"].items():
        print(f"{clients:>7}{figures(row)}")


def show_overload(row: dict[str, Any]) -> None:
    """The same of too many."""
    memory = row["memory_mb"]
    print(f"\n{row['asked_per_second']:.0f} asked a second by {row['clients']} clients:")
    print(f"{row['clients']:>7}{figures(row)}")
    print("memory: {begin:.0f} MB at first, {end:.0f} at last, {most:.0f} at most".format(**memory))


def figures(row: dict[str, Any]) -> str:
    """Of a line."""
    answers = ", ".join(f"{count:,} x {status}" for status, count in row["statuses"].items())
    wrong = f", {row['wrong']} wrong" if row["wrong"] else ""
    return (
        f"  {row['per_second']:10.0f}  {row['p50_ms']:6.1f}  {row['p95_ms']:6.1f}"
        f"  {row['p99_ms']:6.1f}  {answers}{wrong}"
    )


if __name__ == "__main__":
    main()

"""Minutes of adding, deleting and searching at once: errors, wrong answers, and memory that grows.

    python benchmarks/service_soak.py --data FOLDER [--minutes 10] [--clients 4]
                                      [--collection DIR] [--pictures 60000] [--json FILE]

Each client uploads a picture that nobody has, asks for it by its id and by its bytes at once, so
that it must come first; searches for one of those it added before; and has its oldest deleted,
which must not be found again. Pictures are cut out of FOLDER's and tinted, seeded. Memory is
resident memory of the service and its decoders, read every second; its slope is fitted over the
last two thirds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from made_up import fill
from measured import machine
from served import Service, serving

import lookalike
from lookalike.client import Client
from lookalike.errors import ServiceRefused

KEPT = 50
"""Pictures of a client that are there at a time."""
_NOT_FOUND = 404


def main() -> None:
    """Print what was done, what was wrong, and what memory did."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--collection", type=Path, help="filled before, or to be kept")
    parser.add_argument("--pictures", type=int, default=60_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    paths = sorted(given.data.glob("*/*.jpg"))
    with contextlib.ExitStack() as stack:
        place = given.collection or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "c"
        with lookalike.open(place) as filling:
            if len(filling) < given.pictures:
                filling.add(given.data)
                fill(filling, given.pictures)
            before = len(filling)
        service = stack.enter_context(serving(place))
        clients = [
            Soaking(service.url, place.name, paths, number) for number in range(given.clients)
        ]
        memory = soaked(service, clients, 60 * given.minutes)
        with Client(service.url) as client:
            after = client.collection(place.name).stats()["pictures"]
    done = sum((each.done for each in clients), Counter[str]())
    wrong = [line for each in clients for line in each.wrong]
    if after != before:
        wrong.append(f"{before:,} pictures before, {after:,} after all were deleted")
    slope = growth(memory)
    counts = ", ".join(f"{count:,} x {name}" for name, count in sorted(done.items()))
    print(f"{given.minutes:g} minutes, {given.clients} clients, {before:,} pictures: {counts}")
    print(f"wrong or refused: {len(wrong)}")
    for line in wrong[:20]:
        print(f"  {line}")
    third = len(memory) // 3
    print(
        f"memory: {np.median(memory[:third]):.0f} MB in the first third, "
        f"{np.median(memory[-third:]):.0f} in the last; {slope:+.2f} MB a minute"
    )
    if given.json:
        result = {
            "machine": machine(),
            "pictures": before,
            "minutes": given.minutes,
            "clients": given.clients,
            "done": dict(done),
            "wrong": wrong,
            "memory_mb": [round(each, 1) for each in memory],
            "mb_a_minute": slope,
        }
        given.json.write_text(json.dumps(result, indent=1) + "\n")


class Soaking:
    """One client, in a thread of its own, and what it saw."""

    def __init__(self, url: str, name: str, paths: Sequence[Path], seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._client = Client(url)
        self._pictures = self._client.collection(name)
        self._paths = paths
        self._chance = random.Random(seed)
        self._there: deque[tuple[str, bytes]] = deque()

    def run(self, end: float) -> None:
        """Until then; then all that is its own is deleted."""
        with self._client:
            while time.monotonic() < end:
                self._told(self._add)
                for _ in range(2):
                    self._told(self._search)
                if len(self._there) > KEPT:
                    self._told(self._delete)
            while self._there:
                self._told(self._delete)

    def _told(self, work: Any) -> None:
        try:
            work()
        except lookalike.LookalikeError as error:
            self.wrong.append(f"{work.__name__}: {error}")

    def _add(self) -> None:
        picture = self._new()
        (added,) = self._pictures.add(picture)
        self.done["added"] += 1
        if added.outcome != "stored" or added.id is None:
            self.wrong.append(f"added, and {added.outcome}: {added.problem}")
            return
        self._there.append((added.id, picture))
        self._pictures.picture(added.id)
        self._found(added.id, picture, "just added")

    def _search(self) -> None:
        if self._there:
            self._found(*self._chance.choice(self._there), "added before")

    def _found(self, id: str, picture: bytes, when: str) -> None:
        hits = self._pictures.search(picture, k=10)
        self.done["searched"] += 1
        if not hits or hits[0].id != id:
            self.wrong.append(f"{id[:12]}, {when}, is not the first of {len(hits)} hits")

    def _delete(self) -> None:
        id, picture = self._there.popleft()
        self._pictures.remove(id)
        self.done["deleted"] += 1
        try:
            self._pictures.picture(id)
            self.wrong.append(f"{id[:12]}, deleted, is there")
        except ServiceRefused as error:
            if error.status != _NOT_FOUND:
                raise
        if id in {hit.id for hit in self._pictures.search(picture, k=10)}:
            self.wrong.append(f"{id[:12]}, deleted, is found")
        self.done["searched"] += 1

    def _new(self) -> bytes:
        pixels = np.asarray(cv2.imread(str(self._chance.choice(self._paths))))
        height, width = pixels.shape[:2]
        top, left = self._chance.randrange(height // 3), self._chance.randrange(width // 3)
        part = pixels[top : top + height // 2, left : left + width // 2]
        tint = np.array([self._chance.randrange(-60, 60) for _ in range(3)], np.int16)
        tinted = np.clip(part + tint, 0, 255).astype(np.uint8)
        return cv2.imencode(".jpg", tinted)[1].tobytes()


def soaked(service: Service, clients: Sequence[Soaking], seconds: float) -> list[float]:
    """Megabytes, a second apart, while all clients are at it."""
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=each.run, args=(end,)) for each in clients]
    for thread in threads:
        thread.start()
    memory = []
    while time.monotonic() < end:
        memory.append(service.memory_mb())
        time.sleep(1)
    for thread in threads:
        thread.join()
    return memory


def growth(memory: Sequence[float]) -> float:
    """Megabytes a minute over the last two thirds, by least squares."""
    late = np.asarray(memory[len(memory) // 3 :])
    return float(np.polyfit(np.arange(len(late)) / 60, late, 1)[0])


if __name__ == "__main__":
    main()

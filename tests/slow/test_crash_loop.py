"""Killed at any moment, nothing that was reported as stored is lost, and the next run goes on."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from samples import encoded, environment, lookalike, write

import lookalike as api

KILLS = 60
PICTURES = 240

# Adds the folder, and says after each commit how many pictures are stored.
CHILD = textwrap.dedent("""
    import sys
    import lookalike

    def say(report):
        print(report.stored + report.unchanged + report.copies, flush=True)

    with lookalike.open(sys.argv[1]) as collection:
        print(0, flush=True)
        collection.add(sys.argv[2], on_progress=say)
    print("done", flush=True)
""")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PICTURES):
        write(folder / f"{number:04}.png", number)
    return folder


def start(collection: Path, photos: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, collection, photos],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_after(
    process: subprocess.Popen[str], seconds: float, *, after: int = 1
) -> tuple[int, bool]:
    """What the child had reported when it was killed, and whether it had finished by then.

    The time runs from when it has said so many lines, the first once it has opened the collection.
    """
    assert process.stdout is not None
    said = "".join(process.stdout.readline() for _ in range(after))
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    out, error = process.communicate()
    timer.cancel()
    assert process.returncode in (0, -signal.SIGKILL), error
    lines = (said + out).split()
    numbers = [int(line) for line in lines if line.isdigit()]
    return max(numbers, default=0), "done" in lines


def seconds_to_finish(collection: Path, photos: Path) -> float:
    """How long it takes here and now when nobody kills it, from when it is open."""
    process = start(collection, photos)
    assert process.stdout is not None
    process.stdout.readline()
    started = time.monotonic()
    process.communicate()
    return time.monotonic() - started


def check(path: Path, reported: int) -> int:
    """How many are stored: at least what was reported, each its own first hit, all sound."""
    with api.open(path) as collection:
        records = collection.newest(limit=PICTURES + 1)
        assert len(records) == len(collection) >= reported
        for record in records:
            assert hashlib.sha256(Path(record.path).read_bytes()).hexdigest() == record.id
            (hit,) = collection.search(collection.vector(record.id)[0], k=1)
            assert hit.id == record.id
        for finding in collection.check():
            assert finding.sound, finding
        return len(records)


def test_killed_at_random_moments_it_loses_nothing_and_ends_complete(
    photos: Path, tmp_path: Path
) -> None:
    chance = random.Random(7)
    path, round_number, before, cut = tmp_path / "0", 0, 0, 0
    whole = seconds_to_finish(tmp_path / "whole", photos)
    for turn in range(KILLS):
        # From the very start, from when it is open, and once something has been committed: how long
        # that takes varies with what else the machine does.
        after = (0, 1, 2)[turn % 3]
        seconds = chance.uniform(0, (0.5, 0.7 * whole, 0.3 * whole)[after])
        reported, finished = kill_after(start(path, photos), seconds, after=after)
        stored = check(path, max(reported, before)) if reported or path.exists() else 0
        cut += 0 < stored < PICTURES
        before = stored
        if finished:  # once more from the beginning
            assert stored == PICTURES
            round_number += 1
            path, before = tmp_path / str(round_number), 0
    assert cut > KILLS // 4  # the moments were worth something
    process = start(path, photos)
    _, finished = kill_after(process, 120)
    assert finished
    assert check(path, PICTURES) == PICTURES
    want = {hashlib.sha256(encoded(number)).hexdigest() for number in range(PICTURES)}
    with api.open(path, create=False) as collection:
        assert {record.id for record in collection.newest(limit=PICTURES)} == want
        assert list(collection.failures()) == []


def test_killed_while_pictures_change_and_go_it_ends_as_the_folder_is(
    tmp_path: Path,
) -> None:
    chance = random.Random(8)
    folder = tmp_path / "photos"
    for number in range(60):
        write(folder / f"{number}.png", number)
    path = tmp_path / "c"
    for turn in range(12):
        number = chance.randrange(60)
        write(folder / f"{number}.png", 1000 + turn)
        (folder / f"{chance.randrange(60)}.png").unlink(missing_ok=True)
        kill_after(start(path, folder), chance.uniform(0, 0.5))
    assert lookalike("index", folder, "-c", path, "--prune").returncode == 0
    with api.open(path, create=False) as collection:
        stored = {
            (place.path, record.id)
            for record in collection.newest(limit=100)
            for place in record.places
        }
    assert stored == {
        (str(file), hashlib.sha256(file.read_bytes()).hexdigest()) for file in folder.iterdir()
    }

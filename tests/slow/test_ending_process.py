"""How a service that is a process of its own ends: told to under load, nothing of it is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from samples import command, encoded, environment, write_classes

import lookalike

V1 = "/v1/collections/samples"


def waited(until: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not until():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_process_under_load_ends_in_time_and_loses_nothing(tmp_path: Path) -> None:
    """Searches, uploads and an ingest run when SIGTERM comes: all that was told is kept."""
    write_classes(tmp_path / "few", 1)
    pictures = write_classes(tmp_path / "root" / "many", 200)
    made = tmp_path / "samples"
    with lookalike.open(made) as collection:
        collection.add(tmp_path / "few")
    process = subprocess.Popen(
        command("serve", "-p0", "-c", made, "--root", tmp_path / "root"),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    url = json.loads(process.stderr.readline())["url"]
    log: list[str] = []
    reader = threading.Thread(target=lambda: log.extend(process.stderr or ()))
    reader.start()
    statuses: list[int] = []
    kept: list[str] = []
    ingests: list[httpx.Response] = []
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        waited(lambda: client.get("/readyz").status_code == 200)

    def load(number: int) -> None:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            for again in range(10_000):
                picture = encoded(100_000 * (number + 1) + again)
                try:
                    if number % 2:
                        response = client.post(f"{V1}/search", files={"image": picture})
                    else:
                        response = client.post(f"{V1}/pictures", files={"images": picture})
                except httpx.TransportError:  # it does not listen any more
                    return
                statuses.append(response.status_code)
                if response.status_code != 200:
                    return
                kept.extend(each["id"] for each in response.json().get("results", ()))

    def ingest() -> None:
        body = {"path": str(pictures)}
        ingests.append(httpx.post(f"{url}{V1}/pictures", json=body, timeout=60))

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    threads.append(threading.Thread(target=ingest))
    for thread in threads:
        thread.start()
    waited(lambda: len(kept) >= 5 and len(statuses) >= 20)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=8 + 30) == 0
    for thread in (*threads, reader):
        thread.join()
    process.stderr.close()

    assert set(statuses) <= {200, 503}
    assert ingests[0].status_code == 503
    said = [json.loads(line)["message"] for line in log]
    assert said[-1] == "ended"
    assert "shutting down" in said
    with lookalike.open(made, create=False) as collection:
        assert all(id in collection for id in kept)
        assert all(finding.sound for finding in collection.check())
        before = len(collection)
        assert before < 3 + len(kept) + 600
        collection.add(pictures)  # goes on where it was stopped
        assert len(collection) >= 600
    assert not list(made.glob("*-wal"))


_ENDLESS = """
import sys, time
from pathlib import Path
import lookalike
from lookalike.serve import logs
from lookalike.serve.server import listen, run
from lookalike.serve.settings import Settings

logs.configure()
settings = Settings.read(port=0, shutdown_seconds=0.2)
with lookalike.open(Path(sys.argv[1])) as collection, listen(settings) as listening:
    collection.stats = lambda: time.sleep(600)
    run({"samples": collection}, listening, settings, lambda url: logs.say("listening", url=url))
"""


def test_a_process_ends_in_time_whatever_its_threads_do(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, str(tmp_path / "c")],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    url = json.loads(process.stderr.readline())["url"]

    def ask() -> None:
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{url}{V1}/stats", timeout=120).raise_for_status()

    asking = threading.Thread(target=ask)
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        waited(lambda: client.get("/readyz").status_code == 200)
        asking.start()
        running = "lookalike_requests_running 1.0"
        waited(lambda: running in client.get("/metrics").text)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 1
    asking.join()
    said = process.stderr.read()
    process.stderr.close()
    assert "was left" in said

"""How the service ends: a real process under load is told to, and nothing of it is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from samples import encoded, write_classes

import lookalike
from lookalike import Collection
from lookalike.serve.server import Server
from lookalike.serve.settings import Settings

V1 = "/v1/collections/samples"


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    with lookalike.open(tmp_path / "samples") as collection:
        collection.add(write_classes(tmp_path / "few", 1))
        yield collection


def waited(until: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not until():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_finishes_what_runs_and_takes_nothing_new(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()
    stats = collection.stats

    def slow() -> object:
        entered.set()
        go_on.wait(30)
        return stats()

    monkeypatch.setattr(collection, "stats", slow)
    server = Server({"samples": collection}, Settings.read(port=0, shutdown_seconds=30))
    thread = threading.Thread(target=server.answer)
    thread.start()
    server.warm()
    running: list[httpx.Response] = []
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        assert client.get("/readyz").status_code == 200
        asking = threading.Thread(
            target=lambda: running.append(httpx.get(f"{server.url}{V1}/stats", timeout=60))
        )
        asking.start()
        assert entered.wait(30)
        server.stop()
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["reasons"]) == (
            503,
            ["the service is shutting down"],
        )
        assert client.get("/healthz").status_code == 200
        refused = httpx.post(f"{server.url}{V1}/search", files={"image": encoded(1)})
        assert refused.status_code == 503
        assert refused.json()["type"] == "tag:lookalike,2026:shutting-down"
        assert int(refused.headers["Retry-After"]) > 0
        assert thread.is_alive()
        go_on.set()
    asking.join()
    thread.join(30)
    assert not thread.is_alive()
    assert running[0].status_code == 200
    assert running[0].json()["pictures"] == 3


def test_leaves_what_takes_too_long(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def endless() -> object:
        entered.set()
        go_on.wait(60)
        return {}

    monkeypatch.setattr(collection, "stats", endless)
    server = Server({"samples": collection}, Settings.read(port=0, shutdown_seconds=0.2))
    thread = threading.Thread(target=server.answer)
    thread.start()
    ended = threading.Event()

    def ask() -> None:
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{server.url}{V1}/stats", timeout=60).raise_for_status()
        ended.set()

    asking = threading.Thread(target=ask)
    asking.start()
    assert entered.wait(30)
    server.stop()
    assert ended.wait(30)
    go_on.set()
    asking.join()
    thread.join(30)
    assert not thread.is_alive()

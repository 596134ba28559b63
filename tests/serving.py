"""A real service on a free port, with a folder of collections, for tests over a socket."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from lookalike import Collection
from lookalike.serve.server import Server
from lookalike.serve.settings import Settings

NOWHERE = "0" * 64
"""The id of no picture."""


@contextlib.contextmanager
def service(
    folder: Path | None = None,
    given: Mapping[str, Collection] | None = None,
    **settings: Any,
) -> Iterator[tuple[httpx.Client, Server]]:
    """A client of a service that runs meanwhile, and the service."""
    server = Server(given or {}, Settings.read(port=0, collections=folder, **settings))
    thread = threading.Thread(target=server.answer)
    thread.start()
    try:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        # No certificates are looked for: that takes longer than most tests.
        with httpx.Client(base_url=url, timeout=60, trust_env=False, verify=False) as client:
            yield client, server
    finally:
        server.stop()
        thread.join()


def upload(client: httpx.Client, name: str, *pictures: bytes, **said: str) -> list[str]:
    """The ids of pictures that are kept now."""
    files = [("images", (f"{number}.png", each)) for number, each in enumerate(pictures)]
    answer = client.post(f"/v1/collections/{name}/pictures", files=files, data=said)
    return [each["id"] for each in answer.json()["results"]]


def assert_problem(answer: httpx.Response, status: int, kind: str = "", *words: str) -> None:
    """Whether an answer is a problem of this status and kind, that says so."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].endswith(kind)
    for word in words:
        assert word in problem["detail"]

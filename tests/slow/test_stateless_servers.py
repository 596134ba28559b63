"""Two servers of a collection in a real Elasticsearch, behind a real nginx; one is killed.

Uploads and thumbnails are in an object store, moto's, or in a folder that both share.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import elastic_node
import httpx
import object_store
import pytest
from object_store import BUCKET, ObjectStore
from samples import command, encoded, environment, write

import lookalike
from lookalike.reconcile import reconcile

COUNT = 20
BEFORE, AFTER = 60, 120
"""Answers until one server is killed, and from then on."""
CLIENTS = 4
KINDS = ("search", "upload", "original", "thumbnail", "picture", "similar", "page")
CONFIG = Path(__file__).parents[2] / "deploy" / "nginx.conf"

pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None, reason="needs nginx: apt-get install nginx-light"
)


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    with object_store.running() as running:
        yield running


@pytest.fixture(params=["objects", "folder"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What both servers share."""
    if request.param == "folder":
        return str(tmp_path / "files")
    request.getfixturevalue("store")
    return f"s3://{BUCKET}/files"


@pytest.fixture
def address(elastic_address: str, files: str, tmp_path: Path) -> str:
    """Of a collection with pictures."""
    for number in range(COUNT):
        write(tmp_path / "photos" / f"{number}.png", number)
    address = f"{elastic_address}&files={files}"
    with lookalike.open(address) as collection:
        collection.add(tmp_path / "photos")
    return address


@pytest.fixture
def servers(address: str, tmp_path: Path) -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    """Two processes that serve it, by port; ready."""
    started: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for number in range(2):
            port = elastic_node.free_port()
            with (tmp_path / f"server-{number}.log").open("wb") as log:
                started[port] = subprocess.Popen(
                    command("serve", "-c", address, "--port", str(port), "--at-once", "1000"),
                    # Each on a machine of its own: they share nothing but what `files` names.
                    env=environment(LOOKALIKE_RATE="0", XDG_DATA_HOME=str(tmp_path / str(port))),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        for port in started:
            _wait_for(f"http://127.0.0.1:{port}/readyz")
        yield started
    finally:
        for process in started.values():
            process.kill()
            process.wait()


@pytest.fixture
def proxy(servers: dict[int, subprocess.Popen[bytes]], tmp_path: Path) -> Iterator[str]:
    """The URL of nginx, with the configuration that we ship; only its addresses are others."""
    text, port = CONFIG.read_text(), elastic_node.free_port()
    for number, server in enumerate(servers, 1):
        text = text.replace(f"lookalike-{number}:8000", f"127.0.0.1:{server}")
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}")
    text = re.sub(r"/tmp/nginx", f"{tmp_path}/nginx", text)
    (tmp_path / "nginx.conf").write_text(f"user root;\n{text}" if os.geteuid() == 0 else text)
    process = subprocess.Popen(
        ["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"]
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_no_request_fails_while_one_of_two_servers_is_killed(
    proxy: str, servers: dict[int, subprocess.Popen[bytes]], address: str
) -> None:
    with httpx.Client(base_url=proxy, trust_env=False, timeout=60) as client:
        (served,) = client.get("/v1/collections").json()["collections"]
        base = f"/v1/collections/{served['name']}"
        ids = [each["id"] for each in client.get(f"{base}/pictures").json()["pictures"]]
        assert len(ids) == COUNT
    load = _Load(proxy, base, ids)
    with load.running():
        load.wait_for(BEFORE)
        killed = next(iter(servers.values()))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        load.wait_for(load.answered + AFTER)
    assert load.failed == []
    assert set(load.kinds) == set(KINDS)
    with lookalike.open(address) as collection:
        assert reconcile(collection).faults == []
        assert load.uploaded
        for id, content in load.uploaded.items():
            assert collection.uploads.read(id) == content


def test_both_servers_work_and_an_upload_to_one_is_found_by_the_other(
    proxy: str, servers: dict[int, subprocess.Popen[bytes]]
) -> None:
    ports = list(servers)
    with httpx.Client(trust_env=False, timeout=60) as client:
        (served,) = client.get(f"{proxy}/v1/collections").json()["collections"]
        base = f"/v1/collections/{served['name']}"
        files = [("images", ("new.png", encoded(900)))]
        answer = client.post(f"http://127.0.0.1:{ports[0]}{base}/pictures", files=files)
        id = answer.json()["results"][0]["id"]
        found = client.post(
            f"http://127.0.0.1:{ports[1]}{base}/search", files={"image": ("q.png", encoded(900))}
        )
        assert found.json()["hits"][0]["id"] == id
        other = f"http://127.0.0.1:{ports[1]}{base}/pictures/{id}"
        original = client.get(f"{other}/original")
        assert original.status_code == 200
        assert original.content == encoded(900)
        assert client.get(f"{other}/thumbnail").content.startswith(b"\xff\xd8\xff")
        assert client.delete(other).status_code == 204
        assert client.get(f"http://127.0.0.1:{ports[0]}{base}/pictures/{id}").status_code == 404


@pytest.mark.parametrize("files", ["objects"], indirect=True)
@pytest.mark.usefixtures("files")
def test_searches_go_on_while_the_object_store_is_down(proxy: str, store: ObjectStore) -> None:
    # What its servers cannot read they answer with a 503 each: none is to be given up on for that.
    headers = {"X-API-Key": "a program"}
    with httpx.Client(base_url=proxy, trust_env=False, timeout=60, headers=headers) as client:
        (served,) = client.get("/v1/collections").json()["collections"]
        base = f"/v1/collections/{served['name']}"
        sent = [("images", ("new.png", encoded(900)))]
        id = client.post(f"{base}/pictures", files=sent).json()["results"][0]["id"]
        store.refuses = lambda *_: "AccessDenied"
        for _ in range(4):
            assert client.get(f"{base}/pictures/{id}/original").status_code == 503
            for number in range(4):
                asked = {"image": ("q.png", encoded(number))}
                assert client.post(f"{base}/search", files=asked).status_code == 200


class _Load:
    """Clients that ask all the time, each in turn for a search, an upload and reads."""

    def __init__(self, url: str, base: str, ids: list[str]) -> None:
        self._url, self._base, self._ids = url, base, ids
        self._ended = threading.Event()
        self.kinds: Counter[str] = Counter()
        self.uploaded: dict[str, bytes] = {}
        """By id, what was acknowledged."""
        self.failed: list[str] = []

    @property
    def answered(self) -> int:
        return self.kinds.total()

    def wait_for(self, answers: int) -> None:
        """Until there are so many, or one has failed."""
        end = time.monotonic() + 120
        while self.answered < answers and not self.failed and time.monotonic() < end:
            time.sleep(0.05)
        assert self.answered >= answers or self.failed

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(CLIENTS)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self._ended.set()
            for each in threads:
                each.join()

    def _ask(self, number: int) -> None:
        # With a key's header, as a program has one, so that requests go to both.
        headers = {"X-API-Key": f"client-{number}"}
        with httpx.Client(
            base_url=self._url, trust_env=False, timeout=60, headers=headers
        ) as client:
            turn = 0
            while not self._ended.is_set():
                turn += 1
                for kind in KINDS:
                    try:
                        answer = self._asked(client, kind, number * 10_000 + turn)
                    except httpx.HTTPError as error:
                        self.failed.append(f"{kind}: {error!r}")
                        continue
                    self.kinds[kind] += 1
                    if answer.status_code >= 300:
                        self.failed.append(f"{kind}: {answer.status_code} {answer.text[:200]}")

    def _asked(self, client: httpx.Client, kind: str, turn: int) -> httpx.Response:
        id = self._ids[turn % len(self._ids)]
        if kind == "search":
            picture = {"image": ("q.png", encoded(turn % COUNT))}
            return client.post(f"{self._base}/search", files=picture)
        if kind == "upload":
            content = encoded(1_000 + turn)
            files = [("images", (f"{turn}.png", content))]
            answer = client.post(f"{self._base}/pictures", files=files)
            if answer.status_code == 200:
                self.uploaded[answer.json()["results"][0]["id"]] = content
            return answer
        latest = next(reversed(list(self.uploaded)), id)
        path = {
            "picture": f"pictures/{id}",
            "similar": f"pictures/{id}/similar",
            "original": f"pictures/{latest}/original",
            "thumbnail": f"pictures/{latest}/thumbnail",
        }
        return client.get(f"{self._base}/{path.get(kind, 'pictures')}")


def _wait_for(url: str) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, trust_env=False, timeout=5).status_code == 200:
                return
        time.sleep(0.2)
    pytest.fail(f"{url} does not answer")

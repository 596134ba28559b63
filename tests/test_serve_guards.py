"""What stands before the routes, over a real socket: hosts, origins, rates, the gate, bodies."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from serving import assert_problem, service
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

import lookalike
from lookalike import Collection
from lookalike.serve import connections
from lookalike.serve.access import ChangesState
from lookalike.serve.gate import Gate
from lookalike.serve.rate import Buckets
from lookalike.types import Limits

V1 = "/v1/collections/few"
STATS = f"{V1}/stats"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    pictures = tmp_path_factory.mktemp("pictures")
    Image.new("RGB", (200, 120), "red").save(pictures / "red.png")
    with lookalike.open(tmp_path_factory.mktemp("collections") / "few") as collection:
        collection.add(pictures)
        yield collection


@contextlib.contextmanager
def serving(collection: Collection, **settings: Any) -> Iterator[httpx.Client]:
    with service(given={"few": collection}, **settings) as (client, server):
        app = server.application
        routes = list(app.router.routes)
        app.add_api_route("/changing", lambda: "changed", dependencies=[ChangesState])
        app.router.routes[:] = [app.router.routes[-1], *routes]  # the page takes the rest
        yield client


def png(colour: str) -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (200, 120), colour).save(encoded, "PNG")
    return encoded.getvalue()


RED = png("red")


@contextlib.contextmanager
def raw(client: httpx.Client) -> Iterator[socket.socket]:
    address = (client.base_url.host, client.base_url.port or 0)
    with socket.create_connection(address, timeout=20) as connection:
        yield connection


def begun(connection: socket.socket, length: int = 1000) -> None:
    """Sends all of an upload but its end."""
    connection.sendall(
        f"POST {V1}/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n{{".encode()
    )


def answered(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    content = response.read()
    return response.status, dict(response.getheaders()), json.loads(content)


class TestHosts:
    def test_a_name_is_answered_once_it_is_allowed(self, collection: Collection) -> None:
        with serving(collection, allow_host=["NAS.example"]) as client:
            assert client.get(STATS, headers={"Host": "nas.example:80"}).status_code == 200
            refused = client.get(STATS, headers={"Host": "x.nas.example"})
            assert refused.status_code == 421
            assert "--allow-host" in refused.json()["detail"]

    def test_the_address_that_was_asked_is_a_host_and_no_other_address(
        self, collection: Collection
    ) -> None:
        with serving(collection, host="0.0.0.0", no_auth=True) as client:
            port = client.base_url.port
            assert client.get(STATS, headers={"Host": f"127.0.0.1:{port}"}).status_code == 200
            assert client.get(STATS, headers={"Host": f"127.0.0.2:{port}"}).status_code == 421
            there = httpx.get(f"http://127.0.0.2:{port}{STATS}", trust_env=False)
            assert there.status_code == 200

    @pytest.mark.parametrize(
        "head", ["", "Host: localhost\r\nHost: evil.example\r\n", "Host: localhost\r\nHost:\r\n"]
    )
    def test_there_is_one(self, collection: Collection, head: str) -> None:
        with serving(collection) as client, raw(client) as connection:
            connection.sendall(f"GET {STATS} HTTP/1.1\r\n{head}\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 400")


class TestOrigins:
    def test_a_site_that_is_named_may_use_it_and_no_other(self, collection: Collection) -> None:
        with serving(collection, allow_origin=["https://app.example/"]) as client:
            asking = {"Access-Control-Request-Method": "POST", "Sec-Fetch-Site": "cross-site"}
            ours = {"Origin": "https://app.example", **asking}
            allowed = client.options(f"{V1}/search", headers=ours)
            assert allowed.status_code == 200
            assert allowed.headers["access-control-allow-origin"] == "https://app.example"
            assert "access-control-allow-credentials" not in allowed.headers
            assert client.get(STATS, headers=ours).status_code == 200
            for other in ("https://evil.example", "http://app.example", "null"):
                refused = client.options(f"{V1}/search", headers={"Origin": other, **asking})
                assert refused.status_code == 403
                assert "access-control-allow-origin" not in refused.headers

    def test_none_may_by_default(self, collection: Collection) -> None:
        with serving(collection) as client:
            answer = client.get(STATS, headers={"Origin": "https://app.example"})
            assert answer.status_code == 403
            same = client.get(STATS, headers={"Origin": str(client.base_url).rstrip("/")})
            assert same.status_code == 200
            assert "access-control-allow-origin" not in same.headers


class TestChangingByGet:
    FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

    def test_is_for_programs_and_what_a_person_typed(self, collection: Collection) -> None:
        with serving(collection) as client:
            assert client.get("/changing").status_code == 200
            for site in ("none", "same-origin"):
                headers = {"User-Agent": self.FIREFOX, "Sec-Fetch-Site": site}
                assert client.get("/changing", headers=headers).status_code == 200

    def test_is_refused_to_any_page(self, collection: Collection) -> None:
        """Over plain HTTP from afar a browser says no Sec-Fetch-Site, and an image no Origin."""
        with serving(collection) as client:
            for headers in (
                {"User-Agent": self.FIREFOX},
                {"User-Agent": self.FIREFOX, "Sec-Fetch-Site": "cross-site"},
                {"Sec-Fetch-Site": "same-site"},
                {"Origin": "https://evil.example"},
            ):
                assert client.get("/changing", headers=headers).status_code == 403

    def test_needs_a_key_that_may_write(self, collection: Collection, tmp_path: Path) -> None:
        from lookalike.serve import keys

        by = {scope: keys.add(tmp_path / "k", scope, scope) for scope in ("read", "write")}
        with serving(collection, api_key_file=tmp_path / "k") as client:
            statuses = {
                scope: client.get("/changing", headers={"X-API-Key": key}).status_code
                for scope, key in by.items()
            }
            assert statuses == {"read": 403, "write": 200}


class TestRate:
    def test_a_bucket_gives_what_it_holds_and_then_its_rate(self) -> None:
        now = 0.0
        buckets = Buckets(10, clock=lambda: now)
        assert [buckets.wait("a") for _ in range(40)] == [0.0] * 40
        assert buckets.wait("a") == pytest.approx(0.1)
        assert buckets.wait("b") == 0.0
        now = 0.1
        assert buckets.wait("a") == 0.0
        assert buckets.wait("a") == pytest.approx(0.1)
        now = 1000.0
        assert [buckets.wait("a") for _ in range(41)] == [0.0] * 40 + [pytest.approx(0.1)]

    def test_who_asks_too_often_is_told_when_to_come_back(self, collection: Collection) -> None:
        with serving(collection, rate=1) as client:
            answers = [client.post(f"{V1}/search", json={"text": "red"}) for _ in range(60)]
            statuses = [each.status_code for each in answers]
            assert statuses[:20] == [200] * 20
            assert 429 in statuses
            refused = next(each for each in answers if each.status_code == 429)
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["type"].endswith(":too-many")
            assert client.get("/healthz").status_code == 200

    def test_what_computes_nothing_takes_a_tenth(self, collection: Collection) -> None:
        with serving(collection, rate=1) as client:
            statuses = [client.get(STATS).status_code for _ in range(300)]
            assert statuses[:200] == [200] * 200
            assert 429 in statuses

    def test_wrong_keys_are_counted_by_address(self, collection: Collection) -> None:
        with serving(collection, rate=1, api_key="k" * 16) as client:
            wrong = [client.get(STATS, headers={"X-API-Key": f"{n}"}) for n in range(25)]
            assert [each.status_code for each in wrong[:20]] == [401] * 20
            assert wrong[-1].status_code == 429
            right = {"X-API-Key": "k" * 16}
            assert client.get(STATS, headers=right).status_code == 200

    def test_nobody_gets_a_bucket_by_saying_where_they_come_from(
        self, collection: Collection
    ) -> None:
        with serving(collection, rate=1) as client:
            assert 429 in self.from_many(client)
        with serving(collection, rate=1, trust_proxy=["127.0.0.1"]) as client:
            assert self.from_many(client) == {200}

    def from_many(self, client: httpx.Client) -> set[int]:
        return {
            client.get(STATS, headers={"X-Forwarded-For": f"8.8.{n}.8"}).status_code
            for n in range(255)
        }


class TestGate:
    def test_who_comes_when_it_is_full_is_told_to_come_back(self, collection: Collection) -> None:
        with serving(collection, at_once=2) as client, raw(client) as first:
            with raw(client) as second:
                begun(first)
                begun(second)
                wait_for(lambda: client.post(f"{V1}/search", json={"text": "x"}), 503)
                refused = client.post(f"{V1}/search", json={"text": "x"})
                assert refused.headers["retry-after"] == "1"
                assert refused.json()["type"].endswith(":busy")
                assert client.get(STATS).status_code == 200
            # The second has gone: its place is free again.
            wait_for(lambda: client.post(f"{V1}/search", json={"text": "x"}), 200)

    def test_who_has_the_whole_answer_may_ask_again_at_once(self) -> None:
        statuses: list[int] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse("found")(scope, receive, send)
            await asyncio.sleep(0)  # what there is to tidy up

        gate = Gate(app, most=1)
        search: Scope = {"type": "http", "method": "POST", "path": f"{V1}/search", "headers": []}

        async def receive() -> Message:
            return {"type": "http.request", "body": b""}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            elif len(statuses) < 3:
                await gate(search, receive, send)

        asyncio.run(gate(search, receive, send))
        assert statuses == [200, 200, 200]


def many_scans() -> bytes:
    """A JPEG of 19 MB that takes far longer than ten seconds to decode: its last scan, repeated."""
    out = io.BytesIO()
    Image.new("L", (7000, 7000), 128).save(out, "JPEG", progressive=True)
    jpeg = out.getvalue()
    last = jpeg.rfind(b"\xff\xc4", 0, jpeg.rfind(b"\xff\xda"))
    scan = jpeg[last:-2]
    return jpeg[:-2] + scan * ((19 * MEGABYTE - len(jpeg)) // len(scan)) + b"\xff\xd9"


class TestHostilePictures:
    def test_that_take_too_long_cost_their_decoder_and_nobody_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        limits = Limits(seconds=1)
        with lookalike.open(tmp_path / "few", limits=limits) as collection:
            Image.new("RGB", (200, 120), "red").save(tmp_path / "red.png")
            collection.add(tmp_path / "red.png")
            with serving(collection) as client:
                files = {"image": many_scans()}
                refused = client.post(f"{V1}/search", files=files)
                assert refused.status_code == 422
                assert "longer than 1 s" in refused.json()["detail"]
                added = client.post(f"{V1}/pictures", files={"images": files["image"]})
                assert "longer than 1 s" in added.json()["results"][0]["problem"]
                files = {"image": (tmp_path / "red.png").read_bytes()}
                assert client.post(f"{V1}/search", files=files).status_code == 200

    def test_that_take_too_much_memory_cost_their_decoder_and_nobody_else(
        self, tmp_path: Path
    ) -> None:
        """A third of a megabyte, and within the limit of pixels: 49 of floating point."""
        encoded, others = io.BytesIO(), decoders()
        pixels = np.zeros((7000, 7000), np.float32)
        Image.fromarray(pixels).save(encoded, "TIFF", compression="tiff_adobe_deflate")
        with (
            lookalike.open(tmp_path / "few", limits=Limits(seconds=120)) as collection,
            serving(collection) as client,
        ):
            (before,) = self.decoders_after_a_search(client, others)
            refused = client.post(f"{V1}/search", files={"image": encoded.getvalue()})
            assert_problem(refused, 422, "", "more than 1 GB")
            assert before not in decoders()
            (after,) = self.decoders_after_a_search(client, others)
            assert after != before

    def test_a_decoder_that_answers_no_more_is_killed_and_replaced(self, tmp_path: Path) -> None:
        others = decoders()
        with (
            lookalike.open(tmp_path / "few", limits=Limits(seconds=1)) as collection,
            serving(collection) as client,
        ):
            (stopped,) = self.decoders_after_a_search(client, others)
            os.kill(stopped, signal.SIGSTOP)
            refused = client.post(f"{V1}/search", files={"image": RED})
            assert_problem(refused, 422, ":picture-too-slow", "longer than 1 s")
            assert stopped not in decoders()
            assert len(self.decoders_after_a_search(client, others)) == 1

    def decoders_after_a_search(self, client: httpx.Client, others: set[int]) -> set[int]:
        assert client.post(f"{V1}/search", files={"image": RED}).status_code == 200
        return decoders() - others


def decoders() -> set[int]:
    """The decoding processes of this one."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"decode_worker" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
    return found


class TestConnections:
    @pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\nX: "])
    def test_that_drip_no_whole_request_are_closed(
        self, collection: Collection, head: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "_SECONDS", 0.3)
        with serving(collection) as client, raw(client) as connection:
            connection.settimeout(0.05)
            connection.sendall(head)
            assert is_closed(connection, drip=b"x" if head else b"")
            assert client.get(STATS).status_code == 200

    def test_that_are_too_many_are_closed(
        self, collection: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "_MOST", 2)
        with serving(collection) as client:
            with raw(client) as first, raw(client) as second, raw(client) as third:
                assert [is_open(each) for each in (first, second, third)] == [True, True, False]
            wait_for(lambda: httpx.get(f"{client.base_url}{STATS}", trust_env=False), 200)

    def test_that_are_at_work_are_not(
        self, collection: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "_SECONDS", 0.1)
        with serving(collection) as client:
            for _ in range(8):
                assert client.post(f"{V1}/search", json={"text": "red"}).status_code == 200
                time.sleep(0.05)
            with raw(client) as connection:
                body = b'{"text": "red"}'
                begun(connection, len(body))
                time.sleep(1)
                connection.sendall(body[1:])
                assert answered(connection)[0] == 200


def is_open(connection: socket.socket) -> bool:
    try:
        connection.sendall(f"GET {STATS} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return connection.recv(100).startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False


def is_closed(connection: socket.socket, drip: bytes) -> bool:
    """Whether the other side closes it, within a while, in which this is sent now and then."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            connection.sendall(drip)
            if connection.recv(100) == b"":
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def wait_for(ask: Any, status: int) -> None:
    until = time.monotonic() + 20
    while ask().status_code != status:
        assert time.monotonic() < until
        time.sleep(0.02)


class TestBodies:
    def test_that_do_not_arrive_in_time_are_given_up(self, collection: Collection) -> None:
        with serving(collection, upload_seconds=1) as client, raw(client) as connection:
            begun(connection)
            status, _, problem = answered(connection)
            assert (status, problem["type"].rpartition(":")[2]) == (408, "too-slow")
            wait_for(lambda: client.post(f"{V1}/search", json={"text": "x"}), 200)

    @pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/json"])
    def test_without_end_stop_at_the_limit(
        self, collection: Collection, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As much is sent as is taken; and what is spooled on the way is bounded."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        spooled = 0
        real = tempfile.SpooledTemporaryFile.write

        def write(self: Any, data: bytes) -> int:
            nonlocal spooled
            spooled += len(data)
            return real(self, data)

        monkeypatch.setattr(tempfile.SpooledTemporaryFile, "write", write)
        head = f"POST {V1}/pictures HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        part = b'--b\r\nContent-Disposition: form-data; name="images"; filename="x"\r\n\r\n'
        chunk = b"186a0\r\n" + bytes(100_000) + b"\r\n"
        sent = 0
        with serving(collection) as client, raw(client) as connection:
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
            with contextlib.suppress(ConnectionError):
                while sent < 300 * MEGABYTE:
                    connection.sendall(chunk)
                    sent += 100_000
            with contextlib.suppress(ConnectionError):
                assert connection.recv(20).startswith(b"HTTP/1.1 413")
            assert sent < 150 * MEGABYTE  # what the kernel buffers on both sides comes on top
            assert spooled < 25 * MEGABYTE
            assert client.get(STATS).status_code == 200

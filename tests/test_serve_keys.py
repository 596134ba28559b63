"""Keys and sessions: who is answered, over a real socket; and the file that keys are kept in."""

from __future__ import annotations

import contextlib
import re
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from PIL import Image
from samples import called
from serving import service
from starlette.routing import Route

import lookalike
from lookalike import Collection
from lookalike.errors import BadKeys, CannotServe
from lookalike.serve import access, keys
from lookalike.serve.app import create_app
from lookalike.serve.server import Server, listen
from lookalike.serve.settings import Settings

V1 = "/v1/collections/few"


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    pictures = tmp_path_factory.mktemp("pictures")
    for colour in ("red", "lime", "blue"):
        Image.new("RGB", (200, 120), colour).save(pictures / f"{colour}.png")
    with lookalike.open(tmp_path_factory.mktemp("collections") / "few") as collection:
        collection.add(pictures)
        yield collection


@contextlib.contextmanager
def serving(collection: Collection, **settings: Any) -> Iterator[httpx.Client]:
    with service(given={"few": collection}, **settings) as (client, _):
        yield client


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two keys; those who change it make one of their own."""
    return tmp_path_factory.mktemp("ring") / "keys"


@pytest.fixture(scope="module")
def writer(ring: Path) -> str:
    return keys.add(ring, "writer", "write")


@pytest.fixture(scope="module")
def reader(ring: Path) -> str:
    return keys.add(ring, "reader", "read")


@pytest.fixture(scope="module")
def served(collection: Collection, ring: Path, writer: str, reader: str) -> Iterator[httpx.Client]:
    assert writer != reader
    with serving(collection, api_key_file=ring) as client:
        yield client


@pytest.fixture
def client(served: httpx.Client) -> httpx.Client:
    """Without a cookie."""
    served.cookies.clear()
    return served


@pytest.fixture
def new_ring(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def upload(client: httpx.Client, headers: dict[str, str]) -> httpx.Response:
    return client.post(f"{V1}/pictures", files={"images": b"no picture"}, headers=headers)


def search(client: httpx.Client, headers: dict[str, str]) -> httpx.Response:
    return client.post(f"{V1}/search", json={"text": "red", "k": 1}, headers=headers)


def routes_of(router: Any) -> Iterator[Route]:
    """Every route, those of included routers too."""
    for each in router.routes:
        if isinstance(each, Route):
            yield each
        elif hasattr(each, "original_router"):
            yield from routes_of(each.original_router)


class TestAnswers:
    @pytest.mark.parametrize("path", ["/v1/collections", f"{V1}/stats", "/metrics", "/anything"])
    def test_nothing_without_a_key(self, client: httpx.Client, path: str) -> None:
        response = client.get(path)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert response.json()["type"].endswith(":no-key")

    @pytest.mark.parametrize("path", ["/", "/page.js", "/healthz", "/openapi.json"])
    def test_the_page_and_health_to_anybody(self, client: httpx.Client, path: str) -> None:
        assert client.get(path).status_code == 200

    @pytest.mark.parametrize(
        "path", ["/page.js/../v1/collections", "//v1/collections", "/./v1/collections", "/PAGE.JS"]
    )
    def test_nothing_by_another_spelling(self, client: httpx.Client, path: str) -> None:
        with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as raw:
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert raw.recv(1000).startswith(b"HTTP/1.1 401 ")

    @pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
    def test_with_a_key_in_either_header(
        self, client: httpx.Client, reader: str, header: str
    ) -> None:
        value = reader if header == "X-API-Key" else f"bearer {reader}"
        assert client.get(f"{V1}/stats", headers={header: value}).status_code == 200

    @pytest.mark.parametrize(
        "wrong", ["", "x", "Bearer", "Basic dXNlcjpwYXNz", "Bearer \xff", "Bearer lk_"]
    )
    def test_nothing_with_a_wrong_key(self, client: httpx.Client, wrong: str) -> None:
        headers = {b"Authorization": wrong.encode("latin-1")}
        assert client.get(f"{V1}/stats", headers=headers).status_code == 401

    def test_a_hash_of_the_file_is_no_key(self, client: httpx.Client, ring: Path) -> None:
        digest = re.findall(r"[0-9a-f]{64}", ring.read_text())[0]
        assert client.get(f"{V1}/stats", headers=bearer(digest)).status_code == 401

    def test_a_reader_may_search_and_a_writer_may_add(
        self, client: httpx.Client, reader: str, writer: str
    ) -> None:
        assert search(client, bearer(reader)).status_code == 200
        assert search(client, bearer(writer)).status_code == 200
        assert upload(client, bearer(writer)).status_code == 200
        refused = upload(client, bearer(reader))
        assert refused.status_code == 403
        assert refused.json()["type"].endswith(":key-may-not")
        assert client.delete(f"{V1}/pictures/x", headers=bearer(reader)).status_code == 403
        assert client.delete(f"{V1}/pictures/x", headers=bearer(writer)).status_code == 404

    @pytest.mark.parametrize("key", ["", "lk_wrong", "READER"])
    def test_before_the_body_is_read(self, client: httpx.Client, key: str, reader: str) -> None:
        """Nothing of the body is ever sent, and none is asked for by 100 Continue."""
        head = (
            f"POST {V1}/pictures HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            f"X-API-Key: {key.replace('READER', reader)}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n"
        )
        with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as raw:
            raw.sendall(head.encode())
            assert raw.recv(1000)[:13] in (b"HTTP/1.1 401 ", b"HTTP/1.1 403 ")

    def test_every_route_asks_for_what_it_is_meant_to(self) -> None:
        """A new one that changes nothing by POST, or something by GET, is to be listed here too."""
        needed = {
            (method, route.path): access.needed(method, route.path, page=())
            for route in routes_of(create_app({}, Settings.read(compat=True)))
            for method in route.methods or ()
        }
        assert len(needed) > 40
        gets = {path for method, path in needed if method in ("GET", "HEAD")}
        of_nobody = {path for (_, path), need in needed.items() if need is None}
        assert of_nobody == {"/healthz", "/readyz", "/openapi.json"}
        writing_gets = {path for path in gets if needed["GET", path] == "write"}
        assert writing_gets == {"/add"}
        reading = {
            f"{method} {path}"
            for (method, path), need in needed.items()
            if method not in ("GET", "HEAD") and need == "read"
        }
        of_one = "/v1/collections/{name}"
        assert reading == {
            "POST /v1/session",
            "DELETE /v1/session",
            f"POST {of_one}/search",
            f"POST {of_one}/search/batch",
            f"POST {of_one}/match",
            f"POST {of_one}/match.png",
            "POST /search",
            "POST /sift-similar-images",
            "POST /resnet50-similar-images",
            "POST /beit-similar-images",
        }

    def test_a_get_needs_a_key_that_may_write_where_it_says_that_it_changes_something(
        self,
    ) -> None:
        for route in routes_of(create_app({}, Settings.read(compat=True))):
            if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
                changes = any(
                    each.call is access.changes_state for each in route.dependant.dependencies
                )
                need = access.needed("GET", route.path, page=())
                assert (need == "write") == changes, route.path


class TestRemoval:
    def test_shuts_out_at_once(self, collection: Collection, new_ring: Path) -> None:
        keys.add(new_ring, "another", "read")
        reader = keys.add(new_ring, "reader", "read")
        with serving(collection, api_key_file=new_ring) as client:
            assert client.get(f"{V1}/stats", headers=bearer(reader)).status_code == 200
            client.post("/v1/session", headers=bearer(reader))
            keys.remove(new_ring, "reader")
            assert client.get(f"{V1}/stats", headers=bearer(reader)).status_code == 401
            assert client.get(f"{V1}/stats").status_code == 401

    @pytest.mark.parametrize("damage", ["deleted", "rubbish"])
    def test_of_the_file_shuts_everybody_out(
        self, collection: Collection, new_ring: Path, damage: str
    ) -> None:
        reader = keys.add(new_ring, "reader", "read")
        whole = new_ring.read_text()
        with serving(collection, api_key_file=new_ring) as client:
            new_ring.unlink()
            if damage == "rubbish":
                new_ring.write_text("rubbish")
            assert client.get(f"{V1}/stats", headers=bearer(reader)).status_code == 401
            new_ring.write_text(whole)
            assert client.get(f"{V1}/stats", headers=bearer(reader)).status_code == 200


class TestSession:
    def test_stands_for_its_key_without_a_header(
        self, client: httpx.Client, reader: str, collection: Collection
    ) -> None:
        answer = client.post("/v1/session", headers=bearer(reader))
        assert answer.json() == {"name": "reader", "scope": "read"}
        said = answer.headers["set-cookie"].lower()
        assert "httponly" in said
        assert "samesite=strict" in said
        assert "domain" not in said
        assert reader.lower() not in said
        id = next(iter(collection.newest(limit=1))).id
        assert client.get(f"{V1}/pictures/{id}/thumbnail").status_code == 200
        assert upload(client, {}).status_code == 403
        client.delete("/v1/session", headers=bearer(reader))
        assert client.get(f"{V1}/stats").status_code == 403 or not client.cookies

    def test_of_another_sites_page_counts_nothing(
        self, collection: Collection, ring: Path, writer: str
    ) -> None:
        origin = "https://app.example"
        with serving(collection, api_key_file=ring, allow_origin=[origin]) as client:
            client.post("/v1/session", headers=bearer(writer))
            assert client.get(f"{V1}/stats").status_code == 200
            foreign = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
            assert client.get(f"{V1}/stats", headers=foreign).status_code == 401
            with_key = {**foreign, **bearer(writer)}
            assert client.get(f"{V1}/stats", headers=with_key).status_code == 200

    @pytest.mark.parametrize(
        "change", [lambda v: v[:-1] + "x", lambda v: "9" + v, lambda _: "", lambda v: "0." + v]
    )
    def test_cannot_be_forged(self, client: httpx.Client, reader: str, change: Any) -> None:
        answer = client.post("/v1/session", headers=bearer(reader))
        name, value = answer.headers["set-cookie"].partition(";")[0].split("=", 1)
        client.cookies.clear()
        headers = {"Cookie": f"{name}={change(value)}"}
        assert client.get(f"{V1}/stats", headers=headers).status_code == 401
        headers = {"Cookie": f"{name}={value}"}
        assert client.get(f"{V1}/stats", headers=headers).status_code == 200

    def test_ends_after_twelve_hours(self, ring: Path, reader: str, monkeypatch: Any) -> None:
        keyring = keys.Keyring(file=ring)
        sessions = access.Sessions(keyring)
        key = keyring.holder(reader)
        assert key is not None
        value = sessions.value(key)
        assert sessions.holder(value) == key
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 12 * 3600 + 1)
        assert sessions.holder(value) is None

    def test_is_not_needed_where_no_key_is(self, collection: Collection) -> None:
        with serving(collection) as client:
            answer = client.post("/v1/session")
            assert answer.json() == {"name": None, "scope": "write"}
            assert "set-cookie" not in answer.headers


class TestAddress:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
    def test_that_others_reach_needs_a_key(self, host: str) -> None:
        with pytest.raises(CannotServe, match=r"loopback.*lookalike keys.*--no-auth"):
            listen(Settings.read(host=host, port=0))

    def test_that_others_reach_is_had_with_a_key_or_by_saying_so(
        self, collection: Collection
    ) -> None:
        with serving(collection, host="0.0.0.0", api_key="k" * 16) as client:
            assert client.get(f"{V1}/stats").status_code == 401
            assert client.get(f"{V1}/stats", headers=bearer("k" * 16)).status_code == 200
        with serving(collection, host="0.0.0.0", no_auth=True) as client:
            assert client.get(f"{V1}/stats").status_code == 200

    def test_a_file_without_a_key_is_refused_at_the_start(self, tmp_path: Path) -> None:
        for path, why in ((tmp_path / "none", "cannot be read"), (tmp_path / "empty", "no key")):
            (tmp_path / "empty").touch()
            with pytest.raises(BadKeys, match=why):
                Server({}, Settings.read(port=0, api_key_file=path))

    def test_that_nobody_has_is_told(self) -> None:
        with pytest.raises(CannotServe, match=r"nobody\.invalid, port 0: no such host"):
            listen(Settings.read(host="nobody.invalid", port=0, no_auth=True))


class TestFile:
    def test_has_no_key_in_it_and_is_its_owners_alone(self, ring: Path, writer: str) -> None:
        assert writer not in ring.read_text()
        assert stat.S_IMODE(ring.stat().st_mode) == 0o600

    @pytest.mark.parametrize("name", ["", "a b", "a\nb write", "x" * 65, "é", "a:b"])
    def test_takes_no_name_that_breaks_its_lines(self, new_ring: Path, name: str) -> None:
        with pytest.raises(BadKeys, match="no name for a key"):
            keys.add(new_ring, name, "read")
        assert not new_ring.exists()

    @pytest.mark.usefixtures("writer")
    def test_takes_a_name_once(self, ring: Path) -> None:
        before = ring.read_text()
        with pytest.raises(BadKeys, match="there is a key named writer"):
            keys.add(ring, "writer", "read")
        assert ring.read_text() == before

    @pytest.mark.parametrize(
        "line", ["x", "a write", "a admin sha256:" + "0" * 64, "a read sha256:00", "a read md5:0"]
    )
    def test_names_the_line_that_is_wrong(self, new_ring: Path, line: str) -> None:
        new_ring.write_text(f"# mine\n\n{line}\n")
        with pytest.raises(BadKeys, match="line 3"):
            keys.read(new_ring)

    def test_is_made_listed_and_changed_by_the_command_line(self, new_ring: Path) -> None:
        made = called("keys", "add", "phone", "--scope", "write", "--file", new_ring)
        key = made.stdout.strip()
        assert re.fullmatch(r"lk_[\w-]{43}", key)
        holder = keys.Keyring(file=new_ring).holder(key)
        assert holder is not None
        assert (holder.name, holder.scope) == ("phone", "write")
        assert called("keys", "list", "--file", new_ring).stdout.split() == ["phone", "write"]
        assert called("keys", "remove", "phones", "--file", new_ring).returncode == 2
        assert called("keys", "remove", "phone", "--file", new_ring).returncode == 0
        assert keys.read(new_ring) == []
        wrong = called("keys", "add", "x", "--scope", "all", "--file", new_ring)
        assert (wrong.returncode, "read or write" in wrong.stderr) == (2, True)

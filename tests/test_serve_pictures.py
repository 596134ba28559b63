"""Stored pictures over HTTP: described anew, listed page by page, and their bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import samples
from PIL import Image
from serving import NOWHERE, assert_problem, service, upload

import lookalike
from lookalike import Collection

V1 = "/v1/collections/c"
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    with lookalike.open(tmp_path_factory.mktemp("collections") / "c") as collection:
        yield collection


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root").resolve()


@pytest.fixture(scope="module")
def client(collection: Collection, root: Path) -> Iterator[httpx.Client]:
    with service(given={"c": collection}, root=(root,)) as (client, _):
        yield client


class TestChange:
    @pytest.fixture
    def address(self, client: httpx.Client) -> Iterator[str]:
        (id,) = upload(
            client, "c", samples.encoded(1), label="cup", metadata='{"year": 1969, "by": {"a": 1}}'
        )
        yield f"{V1}/pictures/{id}"
        client.delete(f"{V1}/pictures/{id}")

    # The examples of RFC 7396, appendix A, whose targets and patches are objects.
    @pytest.mark.parametrize(
        ("before", "patch", "after"),
        [
            ({"a": "b"}, {"a": "c"}, {"a": "c"}),
            ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
            ({"a": "b"}, {"a": None}, {}),
            ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
            ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
            ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
            ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
            ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
            ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
            ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ],
    )
    def test_is_put_into_what_is_there(
        self, client: httpx.Client, before: Any, patch: Any, after: Any
    ) -> None:
        (id,) = upload(client, "c", samples.encoded(2), metadata=json.dumps(before))
        address = f"{V1}/pictures/{id}"
        answer = client.patch(address, content=json.dumps({"metadata": patch}), headers=MERGE)
        assert answer.json()["metadata"] == after
        assert client.get(address).json() == answer.json()
        client.delete(address)

    def test_leaves_what_it_does_not_name(self, client: httpx.Client, address: str) -> None:
        assert client.patch(address, json={"label": "mug"}).json()["metadata"]["year"] == 1969
        changed = client.patch(address, json={"metadata": None}).json()
        assert (changed["label"], changed["metadata"]) == ("mug", {})
        assert client.patch(address, json={"label": None}).json()["label"] is None

    def test_is_seen_by_filters_at_once(self, client: httpx.Client, address: str) -> None:
        client.patch(address, json={"metadata": {"year": 2001}, "label": "jug"})
        body = {"text": "a cup", "where": "year = 2001 and label = jug"}
        hits = client.post(f"{V1}/search", json=body).json()["hits"]
        assert [hit["id"] for hit in hits] == [address.rpartition("/")[2]]

    def test_goes_to_every_place_or_to_one(self, client: httpx.Client, root: Path) -> None:
        for name in ("a", "b"):
            samples.write(root / name / "same.png", 5)
        client.post(f"{V1}/pictures", json={"path": str(root)})
        id = hashlib.sha256(samples.encoded(5)).hexdigest()
        address, b = f"{V1}/pictures/{id}", str(root / "b" / "same.png")

        def labelled(label: str) -> int:
            body = {"text": "x", "where": f"label = {label} and path = '{b}'"}
            return len(client.post(f"{V1}/search", json=body).json()["hits"])

        assert client.patch(address, json={"label": "one", "place": b}).json()["label"] == "a"
        assert labelled("one") == 1
        assert client.patch(address, json={"label": "all"}).json()["label"] == "all"
        assert labelled("all") == 1
        wrong = client.patch(address, json={"label": "x", "place": "/etc/passwd"})
        assert_problem(wrong, 400, ":bad-query", "/etc/passwd")
        client.delete(address)

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"{}", 422),
            (b"", 422),
            (b"[]", 422),
            (b'{"place": "x"}', 422),
            (b'{"label": 1}', 422),
            (b'{"labell": "x"}', 422),
            (b'{"metadata": []}', 422),
            (b'{"metadata": {"a": NaN}}', 422),
            (b'{"metadata": {"a": 1e999}}', 422),
            (b'{"label": "\\ud800"}', 422),
            (b'{"metadata": ' + b'{"a":' * 150 + b"1" + b"}" * 151, 400),
            (b'{"metadata": ' + b'{"a":' * 100_000, 422),
        ],
    )
    def test_that_is_wrong_changes_nothing(
        self, client: httpx.Client, address: str, body: bytes, status: int
    ) -> None:
        before = client.get(address).json()
        assert_problem(client.patch(address, content=body, headers=MERGE), status)
        assert client.get(address).json() == before

    def test_of_no_picture_or_no_json_is_refused(self, client: httpx.Client, address: str) -> None:
        unknown = client.patch(f"{V1}/pictures/{NOWHERE}", json={"label": "x"})
        assert_problem(unknown, 404, ":unknown-picture")
        assert_problem(client.patch(address, data={"label": "x"}), 415, ":not-json")

    def test_many_at_once_lose_none(self, client: httpx.Client, address: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(
                    lambda n: client.patch(address, json={"metadata": {n: n}}), map(str, range(24))
                )
            )
        kept = client.get(address).json()["metadata"]
        assert {str(number) for number in range(24)} <= kept.keys()


class TestPages:
    def test_neither_repeat_nor_leave_out_a_picture_whatever_changes(
        self, client: httpx.Client
    ) -> None:
        ids = upload(client, "c", *(samples.encoded(100 + number) for number in range(10)))
        found, cursor, rounds = [], None, 0
        while True:
            answer = client.get(
                f"{V1}/pictures", params={"limit": 3, "cursor": cursor or ()}
            ).json()
            found += [each["id"] for each in answer["pictures"]]
            cursor, rounds = answer["next"], rounds + 1
            for each in answer["pictures"]:  # whoever clears away what is listed
                client.delete(f"{V1}/pictures/{each['id']}")
            upload(client, "c", samples.encoded(200 + rounds))
            if cursor is None:
                break
        assert found == ids[::-1]
        for record in client.get(f"{V1}/pictures").json()["pictures"]:
            client.delete(f"{V1}/pictures/{record['id']}")

    @pytest.mark.parametrize("cursor", ["x", "-1", "1" * 30, "1.5", "é"])
    def test_take_no_cursor_that_is_none(self, client: httpx.Client, cursor: str) -> None:
        assert_problem(client.get(f"{V1}/pictures", params={"cursor": cursor}), 400, ":bad-query")

    def test_go_by_cursor_or_by_offset(self, client: httpx.Client) -> None:
        for other in ({"offset": 1}, {"spread": True}):
            answer = client.get(f"{V1}/pictures", params={"cursor": "1", **other})
            assert_problem(answer, 400, ":bad-cursor")


class TestOriginal:
    @pytest.mark.parametrize(
        ("format", "kind", "how"),
        [
            ("PNG", "image/png", "inline"),
            ("JPEG", "image/jpeg", "inline"),
            ("WEBP", "image/webp", "inline"),
            ("GIF", "image/gif", "inline"),
            ("BMP", "image/bmp", "inline"),
            ("TIFF", "image/tiff", "attachment"),
        ],
    )
    def test_comes_byte_for_byte_with_the_type_that_its_bytes_have(
        self, client: httpx.Client, format: str, kind: str, how: str
    ) -> None:
        picture = samples.encoded(31, format)
        files = {"images": ("page.html", picture, "text/html")}
        (kept,) = client.post(f"{V1}/pictures", files=files).json()["results"]
        answer = client.get(f"{V1}/pictures/{kept['id']}/original")
        assert answer.content == picture
        assert answer.headers["content-type"] == kind
        assert answer.headers["content-disposition"].startswith(f"{how}; filename*=UTF-8''page")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "immutable" in answer.headers["cache-control"]
        tag = {"If-None-Match": answer.headers["etag"]}
        again = client.get(f"{V1}/pictures/{kept['id']}/original", headers=tag)
        assert (again.status_code, again.content) == (304, b"")
        client.delete(f"{V1}/pictures/{kept['id']}")

    def test_names_no_header_of_its_own(self, client: httpx.Client) -> None:
        name = 'a"\r\nSet-Cookie: x=1; é.png'
        files = {"images": (name, samples.encoded(32))}
        (kept,) = client.post(f"{V1}/pictures", files=files).json()["results"]
        answer = client.get(f"{V1}/pictures/{kept['id']}/original")
        assert "set-cookie" not in answer.headers
        assert answer.headers["content-disposition"].isascii()
        client.delete(f"{V1}/pictures/{kept['id']}")

    def test_that_is_gone_or_another_one_by_now_is_404(
        self, client: httpx.Client, root: Path
    ) -> None:
        path = samples.write(root / "changing" / "one.png", 33)
        client.post(f"{V1}/pictures", json={"path": str(path)})
        address = f"{V1}/pictures/{hashlib.sha256(path.read_bytes()).hexdigest()}/original"
        assert client.get(address).status_code == 200
        path.write_text("root:x:0:0")
        assert_problem(client.get(address), 404, ":no-original", "another picture")
        path.unlink()
        assert_problem(client.get(address), 404, ":no-original", "no longer")
        client.delete(address.removesuffix("/original"))

    def test_of_no_picture_is_404(self, client: httpx.Client) -> None:
        assert_problem(client.get(f"{V1}/pictures/{NOWHERE}/original"), 404, ":unknown-picture")


def test_one_picture_of_the_server_is_added_by_its_path(client: httpx.Client, root: Path) -> None:
    path = samples.write(root / "single" / "one.png", 41)
    answer = client.post(f"{V1}/pictures", json={"path": str(path)})
    assert answer.json()["stored"] == 1
    client.delete(f"{V1}/pictures/{hashlib.sha256(path.read_bytes()).hexdigest()}")


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl", "notes.txt", "archive.zip", "pipe"])
def test_a_file_that_is_no_picture_is_not_read(client: httpx.Client, root: Path, name: str) -> None:
    import os

    if name == "pipe":
        os.mkfifo(root / name)
    else:
        (root / name).write_text("path\n/etc/hostname\n")
    answer = client.post(f"{V1}/pictures", json={"path": str(root / name)})
    assert_problem(answer, 400, ":bad-source", "neither a folder nor a picture")
    (root / name).unlink()


def test_links_lead_no_picture_in_from_outside(
    client: httpx.Client, root: Path, tmp_path: Path
) -> None:
    secret = samples.write(tmp_path / "secret.png", 71)
    folder = samples.write(root / "linked" / "own.png", 72).parent
    (folder / "out.png").symlink_to(secret)
    (folder / "in.png").symlink_to(folder / "own.png")
    (folder / "all").symlink_to(tmp_path)
    report = client.post(f"{V1}/pictures", json={"path": str(folder)}).json()
    assert (report["stored"], report["copies"]) == (1, 1)
    found = client.get(f"{V1}/pictures").json()["pictures"]
    assert hashlib.sha256(secret.read_bytes()).hexdigest() not in {each["id"] for each in found}
    assert_problem(client.post(f"{V1}/pictures", json={"path": str(folder / "out.png")}), 403)
    job = client.post(f"{V1}/jobs", json={"path": str(folder)}).headers["location"]
    with client.stream("GET", f"{job}/events") as events:
        assert events.read()
    assert client.get(job).json()["progress"]["stored"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"path": "/x", "urls": ["https://example.org"]},
        {"path": "/x", "label": "a"},
        {"urls": []},
        {"urls": ["https://example.org"] * 65},
        {"urls": ["https://example.org/" + "a" * 2000]},
        {"urls": ["https://example.org"], "prune": True},
        {"urls": [1]},
    ],
)
def test_what_is_to_be_added_is_read_strictly(client: httpx.Client, body: Any) -> None:
    assert_problem(client.post(f"{V1}/pictures", json=body), 422, ":invalid")


def test_uploaded_and_deleted_at_once_a_picture_is_whole_or_not_there(
    client: httpx.Client,
) -> None:
    picture = samples.encoded(51)
    id = hashlib.sha256(picture).hexdigest()

    def work(number: int) -> list[int]:
        statuses = []
        for _ in range(10):
            if number % 2:
                statuses.append(client.delete(f"{V1}/pictures/{id}").status_code)
            else:
                statuses.append(
                    client.post(f"{V1}/pictures", files={"images": picture}).status_code
                )
        return statuses

    with ThreadPoolExecutor(4) as pool:
        every = [status for statuses in pool.map(work, range(4)) for status in statuses]
    assert set(every) <= {200, 204, 404}
    (kept,) = upload(client, "c", picture)
    assert client.get(f"{V1}/pictures/{kept}/original").content == picture
    client.delete(f"{V1}/pictures/{kept}")


def test_pictures_of_every_size_of_side_keep_their_ratio(client: httpx.Client) -> None:
    (id,) = upload(client, "c", samples.encoded(61))
    import io

    answer = client.get(f"{V1}/pictures/{id}/thumbnail", params={"side": 64})
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (64, 48)  # of 96 x 72
    client.delete(f"{V1}/pictures/{id}")

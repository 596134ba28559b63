"""The HTTP service, asked over a real socket; each test's name is a promise."""

from __future__ import annotations

import gzip
import io
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import skimage
from PIL import Image

import lookalike
from lookalike import Collection, Record
from lookalike.errors import CannotServe
from lookalike.serve.security import HEADERS
from lookalike.serve.server import Server

SAMPLES = Path(skimage.__file__).parent / "data"
BAD_IMAGES = Path(__file__).parents[2] / "shared" / "data" / "badimages"
V1 = "/v1/collections/samples"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """Photographs, each hand-made colour in a folder, which is its label."""
    pictures = tmp_path_factory.mktemp("pictures")
    for number, colour in enumerate(("red", "lime", "blue", "gold")):
        (pictures / "plain").mkdir(exist_ok=True)
        Image.new("RGB", (200 + number, 120), colour).save(pictures / "plain" / f"{colour}.png")
    with lookalike.open(tmp_path_factory.mktemp("collections") / "samples") as collection:
        collection.add(SAMPLES, pictures)
        yield collection


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that clients may have indexed, in one that they may not."""
    root = tmp_path_factory.mktemp("outside") / "root"
    for folder in (root / "inside", root.parent / "secret"):
        folder.mkdir(parents=True)
        jpeg(7).save(folder / f"{folder.name}.jpg")
    (root / "way-out").symlink_to(root.parent / "secret")
    (root / "loop").symlink_to(root / "loop")
    (root / "file.txt").write_text("no folder")
    return root


@pytest.fixture(scope="module")
def client(collection: Collection, roots: Path) -> Iterator[httpx.Client]:
    server = Server({"samples": collection}, port=0, roots=[roots])
    thread = threading.Thread(target=server.answer)
    thread.start()
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client
    server.stop()
    thread.join()


def jpeg(seed: int) -> Image.Image:
    """A picture like no other."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, format)
    return out.getvalue()


def record_of(collection: Collection, name: str) -> Record:
    return next(r for r in collection.newest(limit=100) if Path(r.path).name == name)


def search(client: httpx.Client, *pictures: bytes, **fields: Any) -> httpx.Response:
    files = [("image", ("query.png", picture)) for picture in pictures]
    return client.post(f"{V1}/search", files=files, data=fields)


def upload(client: httpx.Client, picture: bytes, **fields: Any) -> httpx.Response:
    files = {"images": ("mine.png", picture)}
    return client.post(f"{V1}/pictures", files=files, data=fields)


def assert_problem(response: httpx.Response, status: int, *words: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["type"]
    for word in words:
        assert word in problem["detail"]


class TestSearch:
    def test_finds_the_picture_itself_first(self, client: httpx.Client) -> None:
        answer = search(client, (SAMPLES / "chelsea.png").read_bytes(), k=5).json()
        first = answer["hits"][0]
        assert Path(first["path"]).name == "chelsea.png"
        assert first["score"] > 0.999
        assert (first["width"], first["height"]) == (451, 300)
        assert len(answer["hits"]) == 5
        assert answer["took_ms"] > 0

    def test_finds_the_picture_of_a_crop(self, client: httpx.Client) -> None:
        with Image.open(SAMPLES / "astronaut.png") as whole:
            crop = encoded(whole.crop((40, 20, 480, 460)), "JPEG")
        assert Path(search(client, crop).json()["hits"][0]["path"]).name == "astronaut.png"

    def test_takes_several_pictures_as_one_query(self, client: httpx.Client) -> None:
        both = [(SAMPLES / name).read_bytes() for name in ("chelsea.png", "coffee.png")]
        hits = search(client, *both, k=2).json()["hits"]
        assert {Path(hit["path"]).name for hit in hits} == {"chelsea.png", "coffee.png"}

    def test_pages_by_offset_without_gap_or_overlap(self, client: httpx.Client) -> None:
        picture = (SAMPLES / "coins.png").read_bytes()
        whole = [hit["id"] for hit in search(client, picture, k=6).json()["hits"]]
        pages = [search(client, picture, k=3, offset=offset).json()["hits"] for offset in (0, 3)]
        assert [hit["id"] for page in pages for hit in page] == whole

    def test_reads_its_wishes_from_the_address_as_well(self, client: httpx.Client) -> None:
        files = {"image": (SAMPLES / "coins.png").read_bytes()}
        response = client.post(f"{V1}/search?k=2&where=label%3Dplain", files=files)
        assert [hit["label"] for hit in response.json()["hits"]] == ["plain", "plain"]

    def test_leaves_out_what_scores_less_than_the_threshold(self, client: httpx.Client) -> None:
        picture = (SAMPLES / "chelsea.png").read_bytes()
        assert len(search(client, picture, threshold=0.99).json()["hits"]) == 1

    def test_all_hits_are_all_or_refused_where_they_are_more_than_an_answer_holds(
        self, client: httpx.Client, collection: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert collection.most_hits == 100_000
        picture = (SAMPLES / "coins.png").read_bytes()
        same = f"{V1}/pictures/{record_of(collection, 'coins.png').id}/similar"
        assert len(search(client, picture, k="all").json()["hits"]) == len(collection)
        monkeypatch.setattr(collection, "most_hits", 4)
        refusals = [search(client, picture, k="all"), client.get(same, params={"k": "all"})]
        refusals.append(search(client, picture, k="all", offset=len(collection) - 1))
        for refusal in refusals:
            assert_problem(refusal, 400, "more than 4 pictures", "where, radius or threshold")
            assert refusal.json()["type"].endswith(":too-many-hits")
        few = search(client, picture, k="all", where="label=plain").json()["hits"]
        assert [hit["label"] for hit in few] == ["plain"] * 4
        assert len(search(client, picture, k=6).json()["hits"]) == 6

    @pytest.mark.parametrize("wish", [{"k": 0}, {"k": 1001}, {"offset": -1}, {"threshold": "nan"}])
    def test_names_the_wish_that_is_out_of_range(
        self, client: httpx.Client, wish: dict[str, Any]
    ) -> None:
        assert_problem(search(client, encoded(jpeg(1)), **wish), 422, next(iter(wish)))

    def test_names_a_misspelt_wish(self, client: httpx.Client) -> None:
        assert_problem(search(client, encoded(jpeg(1)), treshold=1), 422, "treshold")

    def test_shows_where_a_filter_goes_wrong(self, client: httpx.Client) -> None:
        response = search(client, encoded(jpeg(1)), where="label=")
        assert_problem(response, 400, "character", "^")
        assert response.json()["type"].endswith(":bad-filter")


class TestSimilar:
    def test_leaves_out_the_picture_itself(
        self, client: httpx.Client, collection: Collection
    ) -> None:
        id = record_of(collection, "motorcycle_left.png").id
        hits = client.get(f"{V1}/pictures/{id}/similar", params={"k": 5}).json()["hits"]
        assert id not in [hit["id"] for hit in hits]
        assert Path(hits[0]["path"]).name == "motorcycle_right.png"

    def test_obeys_a_filter(self, client: httpx.Client, collection: Collection) -> None:
        id = record_of(collection, "chelsea.png").id
        parameters = {"where": "label=plain"}
        hits = client.get(f"{V1}/pictures/{id}/similar", params=parameters).json()["hits"]
        assert {hit["label"] for hit in hits} == {"plain"}

    @pytest.mark.parametrize("k", [0, 1001, "many"])
    def test_refuses_a_k_out_of_range(
        self, client: httpx.Client, collection: Collection, k: object
    ) -> None:
        id = record_of(collection, "chelsea.png").id
        assert_problem(client.get(f"{V1}/pictures/{id}/similar?k={k}"), 422, "k: ")


class TestPictures:
    def test_lists_the_last_added_first(self, client: httpx.Client, collection: Collection) -> None:
        answer = client.get(f"{V1}/pictures", params={"limit": 3, "offset": 1}).json()
        expected = [record.id for record in collection.newest(offset=1, limit=3)]
        assert [picture["id"] for picture in answer["pictures"]] == expected
        assert answer["total"] == len(collection)

    def test_can_spread_over_the_whole_collection(
        self, client: httpx.Client, collection: Collection
    ) -> None:
        answer = client.get(f"{V1}/pictures", params={"limit": 4, "spread": True}).json()
        ids = [picture["id"] for picture in answer["pictures"]]
        assert len(set(ids)) == 4
        newest = [record.id for record in collection.newest(limit=4)]
        assert ids[0] == newest[0]
        assert not set(ids[1:]) & set(newest[1:])

    def test_tells_one_picture(self, client: httpx.Client, collection: Collection) -> None:
        record = record_of(collection, "red.png")
        answer = client.get(f"{V1}/pictures/{record.id}").json()
        assert answer["path"] == record.path
        assert answer["label"] == "plain"
        assert (answer["width"], answer["height"], answer["format"]) == (200, 120, "PNG")
        assert answer["added"].endswith("Z")

    def test_tells_of_an_unknown_id_in_words_for_the_web(self, client: httpx.Client) -> None:
        detail = client.get(f"{V1}/pictures/{'0' * 64}").json()["detail"]
        assert detail == f"no stored picture has the id {'0' * 64!r}"

    @pytest.mark.parametrize("what", ["", "/similar", "/thumbnail"])
    @pytest.mark.parametrize("id", ["0" * 64, "nonsense", "%00", "é" * 64])
    def test_answers_404_for_an_unknown_id(self, client: httpx.Client, id: str, what: str) -> None:
        assert_problem(client.get(f"{V1}/pictures/{id}{what}"), 404)

    def test_takes_no_abbreviated_id(self, client: httpx.Client, collection: Collection) -> None:
        id = record_of(collection, "red.png").id
        assert_problem(client.delete(f"{V1}/pictures/{id[:12]}"), 404)
        assert collection[id]


class TestThumbnail:
    @pytest.mark.parametrize("side", [64, 256])
    def test_is_a_jpeg_of_the_size_that_was_asked(
        self, client: httpx.Client, collection: Collection, side: int
    ) -> None:
        id = record_of(collection, "chelsea.png").id
        response = client.get(f"{V1}/pictures/{id}/thumbnail", params={"side": side})
        assert response.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(response.content)) as image:
            assert (image.format, max(image.size)) == ("JPEG", side)

    def test_is_not_sent_again_to_who_has_it(
        self, client: httpx.Client, collection: Collection
    ) -> None:
        address = f"{V1}/pictures/{record_of(collection, 'coffee.png').id}/thumbnail"
        first = client.get(address)
        assert "immutable" in first.headers["cache-control"]
        again = client.get(address, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = client.get(f"{address}?side=64", headers={"If-None-Match": first.headers["etag"]})
        assert other.status_code == 200

    def test_is_made_in_a_few_sizes_only(
        self, client: httpx.Client, collection: Collection
    ) -> None:
        address = f"{V1}/pictures/{record_of(collection, 'coffee.png').id}/thumbnail"
        asked = [client.get(f"{address}?side={side}") for side in (257, 300, 384)]
        assert len({(each.headers["etag"], each.content) for each in asked}) == 1
        with Image.open(io.BytesIO(asked[0].content)) as image:
            assert max(image.size) == 384

    @pytest.mark.parametrize("side", [63, 1025, "x"])
    def test_has_a_side_within_bounds(
        self, client: httpx.Client, collection: Collection, side: object
    ) -> None:
        id = record_of(collection, "coffee.png").id
        assert_problem(client.get(f"{V1}/pictures/{id}/thumbnail?side={side}"), 422, "side")

    def test_of_a_picture_that_is_gone_is_404(
        self, client: httpx.Client, collection: Collection, tmp_path: Path
    ) -> None:
        jpeg(11).save(tmp_path / "gone.png")
        collection.add(tmp_path / "gone.png")
        (tmp_path / "gone.png").unlink()
        record = record_of(collection, "gone.png")
        assert_problem(client.get(f"{V1}/pictures/{record.id}/thumbnail"), 404, "no longer")
        collection.remove(record.id)


class TestUpload:
    def test_is_findable_at_once_and_kept_once(self, client: httpx.Client) -> None:
        picture = encoded(jpeg(21))
        before = client.get(f"{V1}/stats").json()["pictures"]
        (first,) = upload(client, picture).json()["results"]
        (second,) = upload(client, picture).json()["results"]
        assert first["outcome"] == "stored"
        assert second["outcome"] in ("unchanged", "copy")
        assert first["id"] == second["id"]
        assert client.get(f"{V1}/stats").json()["pictures"] == before + 1
        assert search(client, picture, k=1).json()["hits"][0]["id"] == first["id"]
        assert client.get(f"{V1}/pictures/{first['id']}/thumbnail").status_code == 200
        client.delete(f"{V1}/pictures/{first['id']}")

    def test_keeps_what_was_said_before_unless_told_anew(self, client: httpx.Client) -> None:
        picture = encoded(jpeg(28))
        id = upload(client, picture, label="noise", metadata='{"year": 1969}').json()["results"][0][
            "id"
        ]
        upload(client, picture)
        answer = client.get(f"{V1}/pictures/{id}").json()
        assert (answer["label"], answer["metadata"]) == ("noise", {"year": 1969})
        upload(client, picture, metadata="{}")
        answer = client.get(f"{V1}/pictures/{id}").json()
        assert (answer["label"], answer["metadata"]) == ("noise", {})
        client.delete(f"{V1}/pictures/{id}")

    def test_is_gone_after_delete(self, client: httpx.Client) -> None:
        picture = encoded(jpeg(22))
        id = upload(client, picture).json()["results"][0]["id"]
        response = client.delete(f"{V1}/pictures/{id}")
        assert (response.status_code, response.content) == (204, b"")
        assert_problem(client.get(f"{V1}/pictures/{id}"), 404)
        assert id not in [hit["id"] for hit in search(client, picture).json()["hits"]]
        assert_problem(client.delete(f"{V1}/pictures/{id}"), 404)

    def test_keeps_what_is_said_of_it(self, client: httpx.Client) -> None:
        said = {"label": "noise", "metadata": json.dumps({"year": 1969, "by": ["é", None]})}
        id = upload(client, encoded(jpeg(23)), **said).json()["results"][0]["id"]
        answer = client.get(f"{V1}/pictures/{id}").json()
        assert answer["label"] == "noise"
        assert answer["metadata"] == {"year": 1969, "by": ["é", None]}
        found = search(client, encoded(jpeg(23)), where="year < 1970").json()["hits"]
        assert [hit["id"] for hit in found] == [id]
        client.delete(f"{V1}/pictures/{id}")

    @pytest.mark.parametrize(
        "metadata", ["[]", "{", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 100_000]
    )
    def test_refuses_metadata_that_are_no_json_object(
        self, client: httpx.Client, collection: Collection, metadata: str
    ) -> None:
        before = len(collection)
        assert_problem(upload(client, encoded(jpeg(24)), metadata=metadata), 422)
        assert len(collection) == before

    def test_tells_of_each_picture_on_its_own(self, client: httpx.Client) -> None:
        files = [
            ("images", ("good.png", encoded(jpeg(25)))),
            ("images", ("bad.png", b"no picture")),
            ("images", ("../../etc/good.png", encoded(jpeg(26)))),
        ]
        good, bad, other = client.post(f"{V1}/pictures", files=files).json()["results"]
        assert (good["outcome"], other["outcome"]) == ("stored", "stored")
        assert "not a picture" in bad["problem"]
        for kept in (good, other):
            client.delete(f"{V1}/pictures/{kept['id']}")

    @pytest.mark.parametrize(
        ("content", "status"),
        [
            (b"rubbish" * 100, 415),
            (b"", 415),
            (encoded(jpeg(27), "JPEG")[:400], 422),
        ],
        ids=["rubbish", "empty", "truncated"],
    )
    def test_that_is_no_picture_is_refused_with_its_reason(
        self, client: httpx.Client, content: bytes, status: int
    ) -> None:
        assert_problem(search(client, content), status)
        (kept,) = upload(client, content).json()["results"]
        assert kept["problem"]
        assert kept["id"] is None

    def test_without_a_picture_is_refused(self, client: httpx.Client) -> None:
        for address in (f"{V1}/search", f"{V1}/pictures"):
            files = {"other": ("x.png", b"x")}
            assert_problem(client.post(address, files=files), 422)
            field = "image" if address.endswith("search") else "images"
            text = {field: (None, "text")}
            assert_problem(client.post(address, files=text), 422, field)

    @pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "x", None])
    def test_of_another_content_type_is_refused(
        self, client: httpx.Client, kind: str | None
    ) -> None:
        headers = {"Content-Type": kind} if kind else {}
        for address in ("search", "pictures"):
            response = client.post(f"{V1}/{address}", content=b"{}", headers=headers)
            assert_problem(response, 400 if kind == "multipart/form-data" else 415)

    def test_as_json_without_anything_to_search_by_is_refused(self, client: httpx.Client) -> None:
        assert_problem(client.post(f"{V1}/search", json={}), 422, "image")
        assert_problem(client.post(f"{V1}/search", json={"tex": "dog"}), 422, "tex")
        assert_problem(client.post(f"{V1}/search", content=b"{", headers=JSON), 422)


JSON = {"Content-Type": "application/json"}


class TestBodyLimit:
    def test_refuses_a_large_upload_before_any_of_it_is_sent(self, client: httpx.Client) -> None:
        request = (
            f"POST {V1}/search HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {21 * MEGABYTE}"
            "\r\n\r\n"
        )
        address = (client.base_url.host, client.base_url.port or 0)
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(request.encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")

    def test_refuses_an_upload_of_21_megabytes(self, client: httpx.Client) -> None:
        assert_problem(search(client, bytes(21 * MEGABYTE)), 413, "20 MB")

    def test_refuses_a_picture_just_over_the_limit(self, client: httpx.Client) -> None:
        assert_problem(search(client, bytes(20 * MEGABYTE + 1)), 413, "20 MB")

    @pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/json"])
    def test_refuses_21_megabytes_in_chunks(self, client: httpx.Client, kind: str) -> None:
        def chunks() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="images"; filename="x"\r\n\r\n'
            for _ in range(21):
                yield bytes(MEGABYTE)

        headers = {"Content-Type": kind}
        response = client.post(f"{V1}/pictures", content=chunks(), headers=headers)
        assert_problem(response, 413, "20 MB")


class TestFolder:
    def test_inside_a_root_is_indexed(
        self, client: httpx.Client, collection: Collection, roots: Path
    ) -> None:
        report = client.post(f"{V1}/pictures", json={"path": str(roots / "inside")}).json()
        assert (report["stored"], report["failed"]) == (1, 0)
        again = client.post(f"{V1}/pictures", json={"path": str(roots / "inside")}).json()
        assert (again["stored"], again["unchanged"]) == (0, 1)
        collection.remove(record_of(collection, "inside.jpg").id)

    @pytest.mark.parametrize(
        "folder",
        [
            "..",
            "../secret",
            "way-out",
            "inside/../../secret",
            "a\0b",
            "loop",
            "x" * 5000,
            "../none",
        ],
    )
    def test_outside_the_roots_is_forbidden(
        self, client: httpx.Client, collection: Collection, roots: Path, folder: str
    ) -> None:
        before = len(collection)
        response = client.post(f"{V1}/pictures", json={"path": f"{roots}/{folder}"})
        assert_problem(response, 403, "not inside")
        assert len(collection) == before

    @pytest.mark.parametrize("folder", ["/", "/etc", "inside", "~", ".", "*"])
    def test_elsewhere_is_forbidden(self, client: httpx.Client, folder: str) -> None:
        assert_problem(client.post(f"{V1}/pictures", json={"path": folder}), 403)

    @pytest.mark.parametrize("folder", ["none", "file.txt", "*"])
    def test_that_is_none_is_a_bad_source(
        self, client: httpx.Client, roots: Path, folder: str
    ) -> None:
        body = {"path": str(roots / folder)}
        assert_problem(client.post(f"{V1}/pictures", json=body), 400, "neither a folder")

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"{}", b'{"path": 1}', b'{"path": "/x", "prone": true}', b"\xff"]
    )
    def test_is_read_strictly(self, client: httpx.Client, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        response = client.post(f"{V1}/pictures", content=body, headers=headers)
        assert_problem(response, 422)


class TestForeigners:
    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example:8000", "localhost.", "", "[::1", "x:1:2"]
    )
    def test_a_foreign_host_is_misdirected(self, client: httpx.Client, host: str) -> None:
        for path in ("/", "/healthz", V1 + "/stats"):
            assert_problem(client.get(path, headers={"Host": host}), 421)

    @pytest.mark.parametrize("host", ["localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:8000"])
    def test_each_name_of_this_machine_is_answered(self, client: httpx.Client, host: str) -> None:
        assert client.get("/healthz", headers={"Host": host}).json() == {"status": "ok"}

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", "http://localhost:1", "http://[", "file://"]
    )
    def test_a_foreign_origin_is_forbidden(self, client: httpx.Client, origin: str) -> None:
        files = {"image": encoded(jpeg(1))}
        response = client.post(f"{V1}/search", files=files, headers={"Origin": origin})
        assert_problem(response, 403)
        assert_problem(client.get(f"{V1}/stats", headers={"Origin": origin}), 403)

    def test_our_own_origin_is_answered(self, client: httpx.Client) -> None:
        origin = str(client.base_url).rstrip("/")
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        assert client.get(f"{V1}/stats", headers=headers).status_code == 200

    def test_a_foreign_site_cannot_hide_behind_a_second_header(self, client: httpx.Client) -> None:
        sites = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")]
        assert_problem(client.get(f"{V1}/stats", headers=sites), 403)

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_other_sites_may_link_to_the_page_and_no_more(
        self, client: httpx.Client, site: str
    ) -> None:
        link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert client.get("/", headers=link).status_code == 200
        assert_problem(client.get("/", headers={**link, "Sec-Fetch-Dest": "iframe"}), 403)
        assert_problem(client.get("/", headers={**link, "Sec-Fetch-Mode": "no-cors"}), 403)
        assert_problem(client.post("/", headers=link), 403)
        assert_problem(client.get(f"{V1}/stats", headers=link), 403)


class TestEveryAnswer:
    @pytest.mark.parametrize(
        ("path", "host", "status"),
        [
            ("/", None, 200),
            ("/page.js", None, 200),
            ("/healthz", None, 200),
            ("/v1/collections", None, 200),
            ("/nowhere", None, 404),
            ("/v1/collections/none/stats", None, 404),
            (f"{V1}/pictures?limit=0", None, 422),
            ("/", "evil.example", 421),
        ],
    )
    def test_carries_the_security_headers(
        self, client: httpx.Client, path: str, host: str | None, status: int
    ) -> None:
        response = client.get(path, headers={"Host": host} if host else {})
        assert response.status_code == status
        assert {name: response.headers.get(name) for name in HEADERS} == HEADERS

    def test_hides_what_went_wrong_inside(
        self, client: httpx.Client, collection: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken() -> dict[str, Any]:
            raise RuntimeError("a secret")

        monkeypatch.setattr(collection, "stats", broken)
        response = client.get(f"{V1}/stats")
        assert_problem(response, 500)
        assert "secret" not in response.text
        assert {name: response.headers.get(name) for name in HEADERS} == HEADERS

    def test_is_a_problem_for_an_unknown_collection(self, client: httpx.Client) -> None:
        address = "/v1/collections/none"
        assert_problem(client.get(f"{address}/pictures"), 404, "none")
        files = {"image": b"x"}
        assert_problem(client.post(f"{address}/search", files=files), 404, "none")

    def test_is_a_problem_for_a_wrong_method(self, client: httpx.Client) -> None:
        assert_problem(client.put(f"{V1}/stats"), 405)


def test_lists_what_is_served(client: httpx.Client, collection: Collection) -> None:
    (only,) = client.get("/v1/collections").json()["collections"]
    assert only["name"] == "samples"
    assert only["pictures"] == len(collection)
    assert only["recipe"] == collection.recipe.name


def test_tells_by_head_alone_that_it_is_up(client: httpx.Client) -> None:
    response = client.head("/healthz")
    assert (response.status_code, response.content) == (200, b"")


def test_describes_itself_without_a_page_from_elsewhere(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    search_form = paths["/v1/collections/{name}/search"]["post"]["requestBody"]["content"]
    assert "image" in search_form["multipart/form-data"]["schema"]["properties"]
    assert_problem(client.get("/docs"), 404)
    assert_problem(client.get("/redoc"), 404)


def test_the_page_weighs_less_than_40_kilobytes_gzipped(client: httpx.Client) -> None:
    names = ["/", "/page.js", "/page.css", "/favicon.svg"]
    assert sum(len(gzip.compress(client.get(name).content)) for name in names) < 40_000
    assert_problem(client.get("/../app.py"), 404)
    assert_problem(client.get("/%2e%2e/app.py"), 404)


def test_hostile_pictures_never_break_the_service(client: httpx.Client) -> None:
    if not BAD_IMAGES.is_dir():
        pytest.skip(f"no {BAD_IMAGES}")
    every = sorted(path for path in BAD_IMAGES.rglob("*") if path.is_file())
    for path in every[:: max(1, len(every) // 40)]:
        response = search(client, path.read_bytes(), k=1)
        assert response.status_code in (200, 415, 422), (path, response.text)
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.com", "::"])
def test_listens_on_this_machine_alone(host: str) -> None:
    with pytest.raises(CannotServe, match="loopback"):
        Server({}, host=host, port=0)


def test_says_which_port_is_taken(client: httpx.Client) -> None:
    with pytest.raises(CannotServe, match=rf"port {client.base_url.port}: .*--port"):
        Server({}, port=client.base_url.port or 0)


def test_stops_indexing_a_folder_when_it_ends(collection: Collection, tmp_path: Path) -> None:
    jpeg(31).save(tmp_path / "late.png")
    server = Server({"samples": collection}, port=0, roots=[tmp_path])
    app: Any = server.config.app
    app.state.served = replace(app.state.served, is_ending=lambda: True)
    thread = threading.Thread(target=server.answer)
    thread.start()
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        response = client.post(f"{V1}/pictures", json={"path": str(tmp_path)})
    server.stop()
    thread.join()
    assert_problem(response, 503, "shutting down")

"""What a collection keeps of pictures, in a folder and in an object store: the same promises."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Literal

import httpx
import object_store
import pytest
from object_store import BUCKET, ObjectStore
from samples import encoded, write
from serving import assert_problem, service, upload

import lookalike
from lookalike import Collection
from lookalike.decoding import at_hand
from lookalike.doctor import examine
from lookalike.errors import CannotWrite, ObjectStoreUnusable, PictureError
from lookalike.reconcile import reconcile
from lookalike.store.folder import Folder
from lookalike.uploads import Thumbnails, Uploads

V1 = "/v1/collections/c"


@pytest.fixture(scope="module")
def running() -> Iterator[ObjectStore]:
    with object_store.running() as store:
        yield store


@pytest.fixture
def store(running: ObjectStore) -> Iterator[ObjectStore]:
    yield running
    running.refuses = lambda *_: None


@pytest.fixture(params=["folder", "objects"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "folder":
        return tmp_path / "kept"
    request.getfixturevalue("store")
    return f"s3://{BUCKET}/{request.node.name}"


@pytest.fixture
def collection(
    store: ObjectStore,  # noqa: ARG001 - it has to run
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Collection]:
    """Records in a folder, uploads and thumbnails in the object store."""
    url = f"s3://{BUCKET}/{tmp_path.name}"
    monkeypatch.setattr(Folder, "files", property(lambda _: url))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with lookalike.open(tmp_path / "c") as opened:
        yield opened


@pytest.fixture
def client(collection: Collection) -> Iterator[httpx.Client]:
    with service(given={"c": collection}) as (client, _):
        yield client


def forbid(store: ObjectStore, *methods: str, code: str = "AccessDenied") -> None:
    """Have the store refuse what is asked by these methods."""
    store.refuses = lambda method, _: code if method in methods else None


class TestUploads:
    def test_what_is_kept_comes_back_and_is_told(self, where: Path | str) -> None:
        uploads, data = Uploads(where), encoded(1)
        digest, other = sha256(data).digest(), sha256(b"").hexdigest()
        assert uploads.has(digest.hex(), other) == [False, False]
        assert list(uploads.kept(time.time() + 60)) == []
        uploads.keep(digest, data)
        uploads.keep(digest, data)
        assert uploads.has(other, digest.hex()) == [False, True]
        assert uploads.read(digest.hex()) == data
        assert list(uploads.kept(time.time() + 60)) == [digest.hex()]
        assert list(uploads.kept(time.time() - 60)) == []
        place = uploads.place(digest, "a/b.png")
        assert (place, uploads.owns(place)) == (f"upload:{digest.hex()}/b.png", True)
        (given,) = at_hand([uploads.encoded(place)], 1 << 20)
        assert not isinstance(given, PictureError)
        assert (given.data or (given.path and given.path.read_bytes())) == data

    def test_what_is_dropped_is_gone_and_may_be_dropped_again(self, where: Path | str) -> None:
        uploads = Uploads(where)
        every = [sha256(bytes([n])).digest() for n in range(3)]
        for digest in every:
            uploads.keep(digest, b"x")
        for _ in range(2):
            uploads.drop(every[1].hex())
        assert uploads.has(*(each.hex() for each in every)) == [True, False, True]
        with pytest.raises(PictureError):
            uploads.read(every[1].hex())

    def test_it_is_there_whole_or_not_at_all(
        self, where: Path | str, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uploads, digest = Uploads(where), sha256(b"x").digest()
        forbid(store, "PUT")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises((CannotWrite, ObjectStoreUnusable)) as told:
                uploads.keep(digest, b"x" * 100_000)
        assert "\n" not in str(told.value)
        store.refuses = lambda *_: None
        assert uploads.has(digest.hex()) == [False]
        assert list(uploads.kept(time.time() + 60)) == []


class TestThumbnails:
    def test_each_side_is_kept_and_all_of_a_picture_go(self, where: Path | str) -> None:
        thumbnails, one, other = Thumbnails(where), "ab" * 32, "ac" * 32
        assert thumbnails.get(one, 64) is None
        for id in (one, other):
            for side in (64, 256):
                thumbnails.keep(id, side, f"{id}{side}".encode())
        assert thumbnails.get(one, 256) == f"{one}256".encode()
        thumbnails.drop(one)
        assert thumbnails.get(one, 64) is thumbnails.get(one, 256) is None
        assert thumbnails.get(other, 64) is not None
        thumbnails.drop_unless(lambda stored: stored == one)
        assert thumbnails.get(other, 64) is None

    def test_a_cache_that_cannot_be_used_is_no_failure(
        self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        thumbnails = Thumbnails(f"s3://{BUCKET}/broken")
        forbid(store, "GET", "PUT")
        thumbnails.keep("ab" * 32, 64, b"x")
        assert thumbnails.get("ab" * 32, 64) is None


class TestACollection:
    def test_an_upload_lies_in_the_store_and_goes_with_its_record(
        self, collection: Collection, store: ObjectStore
    ) -> None:
        record, _ = collection.add_bytes(encoded(1), "a.png")
        collection.add_bytes(encoded(2), "b.png")
        url = f"{collection.path.parent.name}"
        (key,) = [each for each in store.keys(url) if each.endswith(record.id)]
        assert store.get(key) == encoded(1)
        assert collection.original(record.id).data == encoded(1)
        thumbnail = collection.thumbnail(record.id, 64)
        assert store.get(f"{url}/thumbnails/{record.id[:2]}/{record.id}/64.jpg") == thumbnail
        assert not list(collection.path.glob("uploads")) + list(collection.path.glob("thumb*"))
        assert collection.remove(record.id) == 1
        assert [each for each in store.keys(url) if record.id in each] == []
        assert len(store.keys(url)) == 1

    def test_of_two_names_of_one_content_the_last_takes_the_bytes_with_it(
        self, collection: Collection
    ) -> None:
        record, _ = collection.add_bytes(encoded(1), "a.png")
        both, _ = collection.add_bytes(encoded(1), "b.png")
        first, second = (place.path for place in both.places)
        assert collection.forget(first) == 0
        assert collection.uploads.has(record.id) == [True]
        assert collection.forget(second) == 1
        assert collection.uploads.has(record.id) == [False]

    def test_a_file_of_the_same_content_stays_when_the_upload_is_forgotten(
        self, collection: Collection, tmp_path: Path
    ) -> None:
        path = write(tmp_path / "a.png", 1)
        collection.add(path)
        record, outcome = collection.add_bytes(encoded(1), "a.png")
        assert outcome == "copy"
        assert collection.forget(f"upload:{record.id}/a.png") == 0
        assert collection.uploads.has(record.id) == [False]
        assert collection.original(record.id).path == path

    def test_comparators_see_uploads_and_read_each_once(
        self, collection: Collection, store: ObjectStore
    ) -> None:
        ids = [collection.add_bytes(encoded(n), f"{n}.png")[0].id for n in range(5)]
        before = len(store.reads())
        hits = collection.search(encoded(3), k=5, compare="ssim")
        assert hits[0].id == ids[3]
        assert hits[0].scores["ssim"] == pytest.approx(1)
        assert sorted(key.rpartition("/")[2] for key in store.reads()[before:]) == sorted(ids)

    @pytest.mark.parametrize("order", ["removed first", "added first"])
    def test_whoever_wins_a_race_no_record_is_without_its_bytes(
        self,
        collection: Collection,
        order: Literal["removed first", "added first"],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Another server removes a picture while it comes again here, between any two steps."""
        record, _ = collection.add_bytes(encoded(1), "a.png")
        put, forget = collection.store.put, collection.store.forget
        if order == "removed first":
            with monkeypatch.context() as patched:

                def put_late(*given: object) -> object:
                    patched.undo()
                    collection.remove(record.id)
                    return put(*given)  # type: ignore[arg-type]

                patched.setattr(collection.store, "put", put_late)
                collection.add_bytes(encoded(1), "a.png")
            assert record.id in collection
        else:
            with monkeypatch.context() as patched:

                def forget_late(paths: object) -> int:
                    patched.undo()
                    collection.add_bytes(encoded(1), "a.png")
                    return forget(paths)  # type: ignore[arg-type]

                patched.setattr(collection.store, "forget", forget_late)
                collection.remove(record.id)
            assert record.id not in collection
        assert [each.kind for each in reconcile(collection).faults] == []

    def test_many_that_add_and_remove_one_picture_leave_no_record_without_bytes(
        self, collection: Collection
    ) -> None:
        id = sha256(encoded(1)).hexdigest()

        def work(number: int) -> None:
            for _ in range(4):
                if number % 2:
                    collection.remove(id)
                else:
                    try:
                        collection.add_bytes(encoded(1), f"{number}.png")
                    except lookalike.errors.UnknownPicture:
                        assert number % 2 == 0  # removed before it could be told of

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))
        assert [each.kind for each in reconcile(collection).faults] == []
        if id in collection:
            assert collection.original(id).data == encoded(1)

    def test_what_is_refused_is_nowhere_and_can_be_sent_again(
        self, collection: Collection, store: ObjectStore
    ) -> None:
        forbid(store, "PUT")
        with pytest.raises(ObjectStoreUnusable, match=f"cannot use s3://{BUCKET}/.*AccessDenied"):
            collection.add_bytes(encoded(1), "a.png")
        assert len(collection) == 0
        store.refuses = lambda *_: None
        record, outcome = collection.add_bytes(encoded(1), "a.png")
        assert outcome == "stored"
        forbid(store, "DELETE")
        with pytest.raises(ObjectStoreUnusable):
            collection.remove(record.id)
        store.refuses = lambda *_: None
        assert collection.original(record.id).data == encoded(1)
        assert collection.remove(record.id) == 1

    def test_bytes_whose_record_could_not_be_written_are_told_and_taken_in(
        self, collection: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise CannotWrite(collection.path, "no space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(collection.store, "put", full)
            with pytest.raises(CannotWrite):
                collection.add_bytes(encoded(1), "a.png")
        assert reconcile(collection).faults == []  # it may still be coming
        monkeypatch.setattr("lookalike.reconcile._SETTLED_SECONDS", -60)
        found = reconcile(collection, repair=True)
        assert [(each.kind, each.repaired) for each in found.faults] == [
            ("upload-unrecorded", True)
        ]
        assert sha256(encoded(1)).hexdigest() in collection

    def test_lost_bytes_are_told_and_a_store_that_is_down_is_no_loss(
        self, collection: Collection, store: ObjectStore
    ) -> None:
        records = [collection.add_bytes(encoded(n), f"{n}.png")[0] for n in range(3)]
        collection.uploads.drop(records[1].id)
        forbid(store, "HEAD", "GET")
        with pytest.raises(ObjectStoreUnusable):
            reconcile(collection, repair=True)
        store.refuses = lambda *_: None
        found = reconcile(collection, repair=True)
        assert [(each.kind, each.what) for each in found.faults] == [
            ("upload-lost", records[1].path)
        ]
        assert len(collection) == 2

    def test_the_doctor_tries_the_store(self, collection: Collection, store: ObjectStore) -> None:
        by_name = {each.name: each for each in examine(collection.path, "auto")}
        assert by_name["uploads"].sound
        assert store.keys(collection.path.parent.name) == []
        forbid(store, "PUT", code="NoSuchBucket")
        (wrong,) = (each for each in examine(collection.path, "auto") if not each.sound)
        assert wrong.text.startswith(f"cannot use s3://{BUCKET}")


class TestTheService:
    def test_originals_and_thumbnails_come_from_the_store(self, client: httpx.Client) -> None:
        (id,) = upload(client, "c", encoded(1))
        original = client.get(f"{V1}/pictures/{id}/original")
        assert (original.content, original.headers["content-type"]) == (encoded(1), "image/png")
        assert client.get(f"{V1}/pictures/{id}/thumbnail").content.startswith(b"\xff\xd8\xff")
        assert client.delete(f"{V1}/pictures/{id}").status_code == 204
        assert_problem(client.get(f"{V1}/pictures/{id}/original"), 404)

    @pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "NoSuchBucket"])
    def test_a_store_that_refuses_is_a_problem_and_nothing_is_lost(
        self, client: httpx.Client, collection: Collection, store: ObjectStore, code: str
    ) -> None:
        (id,) = upload(client, "c", encoded(1))
        forbid(store, "PUT", "DELETE", "GET", "HEAD", code=code)
        files = [("images", ("b.png", encoded(2)))]
        refused = client.post(f"{V1}/pictures", files=files)
        assert_problem(refused, 503, "object-store-unusable", "its log says where")
        assert BUCKET not in refused.text
        assert refused.headers["retry-after"] == "2"
        assert "testing" not in refused.text
        assert len(collection) == 1
        if code != "NoSuchBucket":  # all is gone with that
            for what in ("original", "thumbnail"):
                answer = client.get(f"{V1}/pictures/{id}/{what}")
                assert_problem(answer, 503, "picture-unreachable")
            assert_problem(client.delete(f"{V1}/pictures/{id}"), 503, "object-store-unusable")
        found = client.post(f"{V1}/search", files={"image": encoded(1)}).json()["hits"]
        assert [hit["id"] for hit in found] == [id]
        store.refuses = lambda *_: None
        assert client.get(f"{V1}/pictures/{id}/original").content == encoded(1)

    def test_uploads_do_not_wait_for_one_that_the_store_is_slow_with(
        self, client: httpx.Client, store: ObjectStore
    ) -> None:
        slow, waiting, go_on = sha256(encoded(1)).hexdigest(), threading.Event(), threading.Event()

        def hang(method: str, path: str) -> None:
            if method == "PUT" and path.endswith(slow):
                waiting.set()
                go_on.wait(60)

        store.refuses = hang
        with ThreadPoolExecutor(1) as thread:
            first = thread.submit(upload, client, "c", encoded(1))
            assert waiting.wait(60)
            assert len(upload(client, "c", encoded(2))) == 1
            assert not first.done()
            go_on.set()
            assert first.result() == [slow]

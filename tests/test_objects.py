from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import object_store
import pytest
from object_store import BUCKET, ObjectStore
from samples import PHOTOGRAPHS, encoded, lookalike, write

import lookalike as api
from lookalike import Collection, objects, sources
from lookalike.checking import check
from lookalike.errors import BadSource, PictureError
from lookalike.reconcile import reconcile
from lookalike.sources import Item
from lookalike.types import Evidence


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store.running() as running:
        yield running


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> str:
    """A folder in the bucket that no other test writes to."""
    return str(request.node.name)


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    with api.open(tmp_path / "c.lookalike") as opened:
        yield opened


def places(url: str) -> list[str]:
    return [item.place.path.removeprefix(url).lstrip("/") for item in sources.find(url)]


def refusal(item: Item) -> PictureError:
    with pytest.raises(PictureError) as caught:
        item.encoded()
    return caught.value


def counts(report: api.Report) -> dict[str, int]:
    """What is not nought."""
    numbers = report.to_json()
    del numbers["seconds"], numbers["pictures_per_second"]
    return {name: number for name, number in numbers.items() if number}


class TestAFolder:
    def test_all_below_comes_by_name_without_what_is_hidden(
        self, store: ObjectStore, folder: str
    ) -> None:
        for key in ("b/2.png", "b/10.png", "a.png", "c/d/e.png", ".git/x.png", "b/Thumbs.db"):
            store.put(f"{folder}/{key}", encoded(1))
        found = places(f"s3://{BUCKET}/{folder}")
        assert found == ["a.png", "b/10.png", "b/2.png", "c/d/e.png"]
        assert places(f"s3://{BUCKET}/{folder}/") == found

    def test_a_neighbour_whose_name_begins_alike_is_none_of_it(
        self, store: ObjectStore, folder: str
    ) -> None:
        store.put(f"{folder}/photos/1.png", encoded(1))
        store.put(f"{folder}/photos-old/2.png", encoded(2))
        assert places(f"s3://{BUCKET}/{folder}/photos") == ["1.png"]

    def test_its_marker_is_no_picture(self, store: ObjectStore, folder: str) -> None:
        store.put(f"{folder}/", b"")
        store.put(f"{folder}/inside/", b"")
        store.put(f"{folder}/inside/1.png", encoded(1))
        assert places(f"s3://{BUCKET}/{folder}") == ["inside/1.png"]

    def test_what_it_lies_in_is_the_label(self, store: ObjectStore, folder: str) -> None:
        store.put(f"{folder}/cat/1.png", encoded(1))
        (item,) = sources.find(f"s3://{BUCKET}/{folder}")
        assert (item.place.label, item.place.size) == ("cat", len(encoded(1)))

    def test_one_object_may_be_named(self, store: ObjectStore, folder: str) -> None:
        url = store.put(f"{folder}/1.dat", encoded(1))
        (item,) = sources.find(url)
        assert item.explicit

    def test_another_content_of_the_same_size_within_a_second_is_another_version(
        self, store: ObjectStore, folder: str
    ) -> None:
        url = store.put(f"{folder}/1.bin", b"one")
        (before,) = sources.find(url)
        store.put(f"{folder}/1.bin", b"two")
        (after,) = sources.find(url)
        assert before.place.size == after.place.size
        assert before.place.modified_ns != after.place.modified_ns

    @pytest.mark.usefixtures("store")
    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("s3://no-such-bucket-here/photos", "does not exist"),
            (f"s3://{BUCKET}/no/such/folder", "does not exist"),
            (f"s3://{BUCKET}/*.png", "does not exist"),
            ("s3://", "names no bucket"),
            ("s3:///", "names no bucket"),
        ],
    )
    def test_what_is_not_there_is_said_at_once(self, url: str, reason: str) -> None:
        with pytest.raises(BadSource, match=reason):
            sources.find(url)

    def test_a_secret_in_an_address_is_refused_and_not_repeated(self) -> None:
        with pytest.raises(BadSource) as caught:
            sources.find("s3://AKIAEXAMPLE:very-secret@bucket/photos")
        assert "very-secret" not in str(caught.value)
        assert "AKIAEXAMPLE" not in str(caught.value)


class TestHostileNames:
    @pytest.mark.parametrize(
        "name",
        ["*.png", "[a]?.png", "a#b&c=d.png", "%2e%41.png", "ü é.png", "a::b.png", "x!/y.png"],
    )
    def test_a_key_is_taken_letter_by_letter(
        self, store: ObjectStore, collection: Collection, name: str
    ) -> None:
        url = store.put(f"hostile/{name.encode().hex()}/{name}", encoded(3))
        assert counts(collection.add(url.removesuffix(f"/{name}"))) == {"stored": 1}
        (record,) = collection.newest(limit=2)
        assert record.path == url
        assert collection.original(record.id).data == encoded(3)

    def test_a_key_that_would_name_another_object_is_refused(
        self, store: ObjectStore, folder: str
    ) -> None:
        store.put(f"{folder}/a.png", encoded(1))
        store.put(f"{folder}/a.png?versionId=1", encoded(2))
        first, second = sources.find(f"s3://{BUCKET}/{folder}")
        assert first.encoded().url == f"s3://{BUCKET}/{folder}/a.png"
        assert "?versionId=" in refusal(second).reason

    def test_a_folder_without_a_name_is_told_and_ends(
        self, store: ObjectStore, folder: str
    ) -> None:
        store.put(f"{folder}/a//b.png", encoded(1))
        store.put(f"{folder}/c.png", encoded(2))
        nameless, picture = sources.find(f"s3://{BUCKET}/{folder}")
        assert "without a name" in refusal(nameless).reason
        assert picture.place.path.endswith("/c.png")


class TestIngest:
    def test_it_gives_what_the_same_folder_on_disk_gives(
        self, store: ObjectStore, folder: str, collection: Collection, tmp_path: Path
    ) -> None:
        for number in range(6):
            store.put(f"{folder}/{number % 2}/{number}.png", encoded(number))
            write(tmp_path / "photos" / str(number % 2) / f"{number}.png", number)
        url = f"s3://{BUCKET}/{folder}"
        assert counts(collection.add(url)) == {"stored": 6}
        with api.open(tmp_path / "other.lookalike") as other:
            other.add(tmp_path / "photos")
            for number in range(6):
                expected = other.search(encoded(number), k=6)
                hits = collection.search(encoded(number), k=6)
                assert [(hit.id, hit.score) for hit in hits] == [
                    (hit.id, hit.score) for hit in expected
                ]
                assert [hit.record.label for hit in hits] == [hit.record.label for hit in expected]

    def test_each_object_is_read_once_and_never_again(
        self, store: ObjectStore, folder: str, collection: Collection
    ) -> None:
        for number in range(40):
            store.put(f"{folder}/{number}.png", encoded(number))
        before = len(store.reads())
        assert counts(collection.add(f"s3://{BUCKET}/{folder}")) == {"stored": 40}
        read = store.reads()[before:]
        assert sorted(read) == sorted(f"{folder}/{number}.png" for number in range(40))
        assert counts(collection.add(f"s3://{BUCKET}/{folder}")) == {"unchanged": 40}
        assert len(store.reads()) == before + 40

    def test_new_changed_and_gone_objects_are_told_apart(
        self, store: ObjectStore, folder: str, collection: Collection
    ) -> None:
        for number in range(3):
            store.put(f"{folder}/{number}.png", encoded(number))
        url = f"s3://{BUCKET}/{folder}"
        collection.add(url)
        store.put(f"{folder}/0.png", encoded(10))
        store.put(f"{folder}/3.png", encoded(1))
        store.delete(f"{folder}/2.png")
        expected = {"replaced": 1, "copies": 1, "unchanged": 1, "removed": 1}
        assert counts(collection.add(url, prune=True)) == expected
        stored = {place.path for each in collection.newest(limit=9) for place in each.places}
        assert stored == {f"{url}/{name}.png" for name in (0, 1, 3)}

    def test_nothing_is_forgotten_while_the_store_cannot_be_asked(
        self,
        store: ObjectStore,
        folder: str,
        collection: Collection,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        store.put(f"{folder}/1.png", encoded(1))
        collection.add(f"s3://{BUCKET}/{folder}")

        def fail(*_: object) -> None:
            raise PermissionError("Forbidden")

        monkeypatch.setattr(objects, "_about", fail)
        assert sources.exists(f"s3://{BUCKET}/{folder}/1.png")

    def test_each_failure_is_told_by_its_object(
        self, store: ObjectStore, folder: str, collection: Collection
    ) -> None:
        store.put(f"{folder}/broken.jpg", b"\xff\xd8\xff\xe0 and no more")
        store.put(f"{folder}/empty.png", b"")
        store.put(f"{folder}/notes.txt", b"no picture")
        store.put(f"{folder}/good.png", encoded(1))
        report = collection.add(f"s3://{BUCKET}/{folder}")
        assert counts(report) == {"stored": 1, "failed": 2, "ignored": 1}
        failed = {Path(each.path).name: each.reason for each in collection.failures()}
        assert set(failed) == {"broken.jpg", "empty.png"}
        assert failed["empty.png"] == "an empty file"

    def test_one_that_goes_after_it_was_listed_is_tried_again_next_time(
        self, store: ObjectStore, folder: str, collection: Collection
    ) -> None:
        store.put(f"{folder}/1.png", encoded(1))
        store.put(f"{folder}/2.png", encoded(2))
        items = list(sources.find(f"s3://{BUCKET}/{folder}"))
        store.delete(f"{folder}/1.png")
        engine = collection.engine
        ((_, gone), (_, there)) = next(
            engine.pipeline.stream((item, item.encoded()) for item in items)
        )
        assert isinstance(gone, PictureError)
        assert (gone.reason, gone.retry) == ("it is no longer there", True)
        assert not isinstance(there, PictureError)

    def test_more_than_may_be_is_not_read(self, store: ObjectStore, folder: str) -> None:
        url = store.put(f"{folder}/1.png", encoded(1))
        with pytest.raises(PictureError, match="limit"):
            objects.read(url, 1000)


class TestWhatIsStored:
    def test_originals_and_thumbnails_come_from_the_store(
        self, store: ObjectStore, folder: str, collection: Collection
    ) -> None:
        store.put(f"{folder}/1.png", encoded(1))
        collection.add(f"s3://{BUCKET}/{folder}")
        (record,) = collection.newest(limit=1)
        assert collection.original(record.id).data == encoded(1)
        assert collection.thumbnail(record.id, 64).startswith(b"\xff\xd8")
        store.delete(f"{folder}/1.png")
        with pytest.raises(PictureError, match="no longer there"):
            collection.original(record.id)

    def test_an_object_is_a_query_and_can_be_checked(
        self, store: ObjectStore, folder: str, collection: Collection
    ) -> None:
        url = store.put(f"{folder}/1.png", encoded(1))
        collection.add(url)
        (hit,) = collection.search(url, k=1)
        assert hit.path == url
        (checked,) = check(collection, [url], ["exact"])
        assert checked.stored is not None
        entry = collection.ledger(url)
        assert entry is not None
        assert entry.verdict == "stored"


class TestLists:
    def test_a_list_names_objects_folders_of_them_and_files_alike(
        self, store: ObjectStore, folder: str, collection: Collection, tmp_path: Path
    ) -> None:
        one = store.put(f"{folder}/one.png", encoded(1))
        below = store.put(f"{folder}/cat/two.png", encoded(2))
        write(tmp_path / "three.png", 3)
        (tmp_path / "l.csv").write_text(
            f"path,label,year\n{one},first,1\ns3://{BUCKET}/{folder}/cat,,2\nthree.png,,3\n"
            f"s3://{BUCKET}/{folder}/none.png,,4\ns3://no-such-bucket-here/x.png,,5\n"
        )
        assert counts(collection.add(tmp_path / "l.csv")) == {"stored": 3, "failed": 2}
        said = {each.path: (each.label, dict(each.metadata)) for each in collection}
        assert said == {
            one: ("first", {"year": 1}),
            below: ("cat", {"year": 2}),
            str(tmp_path / "three.png"): (tmp_path.name, {"year": 3}),
        }
        read = len(store.reads())
        assert counts(collection.add(tmp_path / "l.csv")) == {"unchanged": 3, "failed": 2}
        assert counts(collection.add(f"s3://{BUCKET}/{folder}")) == {"unchanged": 2}
        assert len(store.reads()) == read

    def test_what_a_list_names_and_is_gone_is_pruned(
        self, store: ObjectStore, folder: str, collection: Collection, tmp_path: Path
    ) -> None:
        urls = [store.put(f"{folder}/{n}.png", encoded(n)) for n in range(3)]
        collection.add(f"s3://{BUCKET}/{folder}")
        for n in (0, 1):
            store.delete(f"{folder}/{n}.png")
        (tmp_path / "l.csv").write_text(f"path\n{urls[0]}\n{urls[2]}\n")
        report = counts(collection.add(tmp_path / "l.csv", prune=True))
        assert report == {"unchanged": 1, "failed": 1, "removed": 1}
        assert {each.path for each in collection} == {urls[1], urls[2]}

    @pytest.mark.parametrize("url", ["s3://", "s3://AKIA:very-secret@bucket/x.png"])
    def test_a_row_that_can_be_no_object_is_named_before_anything_is_read(
        self, url: str, tmp_path: Path
    ) -> None:
        (tmp_path / "l.csv").write_text(f"path\na.png\n{url}\n")
        with pytest.raises(BadSource, match="line 3") as caught:
            sources.find(tmp_path / "l.csv")
        assert "very-secret" not in str(caught.value)


class TestReconcile:
    def test_objects_that_are_gone_or_changed_are_told_and_mended(
        self, store: ObjectStore, folder: str, collection: Collection
    ) -> None:
        urls = [store.put(f"{folder}/{n}.png", encoded(n)) for n in range(6)]
        store.put(f"{folder}/broken.png", encoded(9)[:100])
        collection.add(f"s3://{BUCKET}/{folder}")
        found = reconcile(collection)
        assert (found.objects, found.elsewhere, found.faults) == (7, 0, [])
        store.delete(f"{folder}/0.png")
        store.delete(f"{folder}/broken.png")
        store.put(f"{folder}/1.png", encoded(11))
        broken = f"s3://{BUCKET}/{folder}/broken.png"
        told = {("gone", urls[0]), ("gone", broken), ("changed", urls[1])}
        assert {(each.kind, each.what) for each in reconcile(collection).faults} == told
        made = reconcile(collection, repair=True)
        assert {(each.kind, each.what) for each in made.faults if each.repaired} == told
        assert (made.left, reconcile(collection).faults) == (0, [])
        assert collection.search(encoded(11), k=1)[0].path == urls[1]
        assert urls[0] not in {each.path for each in collection}
        # The next indexing finds all as it was taken in.
        assert counts(collection.add(f"s3://{BUCKET}/{folder}")) == {"unchanged": 5}

    def test_a_store_that_is_down_or_emptied_costs_no_picture(
        self, store: ObjectStore, folder: str, collection: Collection
    ) -> None:
        for n in range(3):
            store.put(f"{folder}/{n}.png", encoded(n))
        collection.add(f"s3://{BUCKET}/{folder}")
        store.refuses = lambda *_: "AccessDenied"
        found = reconcile(collection, repair=True)
        store.refuses = lambda *_: None
        assert (found.objects, found.elsewhere, found.faults) == (0, 3, [])
        for n in range(3):
            store.delete(f"{folder}/{n}.png")
        found = reconcile(collection, repair=True)
        assert (found.left, len(collection)) == (3, 3)
        assert "3 of 3 are gone" in str(found.faults[0].why)


class TestASecondLook:
    def test_copies_in_a_bucket_are_verified_and_matched_as_on_disk(
        self, store: ObjectStore, folder: str, tmp_path: Path
    ) -> None:
        names = ("astronaut.png", "chelsea.png", "coffee.png")
        photographs = [PHOTOGRAPHS / name for name in names]
        urls = [store.put(f"{folder}/{each.name}", each.read_bytes()) for each in photographs]
        with (
            api.open(tmp_path / "there", recipe="copies") as there,
            api.open(tmp_path / "here", recipe="copies") as here,
        ):
            there.add(f"s3://{BUCKET}/{folder}")
            here.add(*photographs)
            hits = there.search(photographs[1], k=3, compare=["verified", "ssim"])
            expected = here.search(photographs[1], k=3, compare=["verified", "ssim"])
            assert hits[0].path == urls[1]
            assert [(each.id, each.scores) for each in hits] == [
                (each.id, each.scores) for each in expected
            ]
            for hit, as_on_disk in zip(hits, expected, strict=True):
                assert _told(hit.evidence) == _told(as_on_disk.evidence)
                pair = there.match(hit.record, photographs[1].read_bytes(), compare="verified")
                assert pair.pictures[0].sha256.hex() == hit.id
                assert pair.to_json() == (
                    here.match(as_on_disk.record, photographs[1].read_bytes()).to_json()
                )
            assert hits[0].evidence is not None


def _told(evidence: Evidence | None) -> object:
    return None if evidence is None else evidence.to_json()


def test_memory_is_an_object_store_like_any_other(collection: Collection) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/photos/cat/1.png", encoded(1))
    try:
        assert counts(collection.add("memory://photos")) == {"stored": 1}
        assert counts(collection.add("memory://photos")) == {"unchanged": 1}
        (record,) = collection.newest(limit=1)
        assert (record.path, record.places[0].label) == ("memory://photos/cat/1.png", "cat")
        memory.rm("/photos/cat/1.png")
        memory.pipe("/photos/2.png", encoded(2))
        assert counts(collection.add("memory://photos", prune=True)) == {"stored": 1, "removed": 1}
    finally:
        memory.rm("/photos", recursive=True)


class TestTheCommand:
    def test_a_bucket_is_indexed_and_no_credential_is_kept_or_said(
        self, store: ObjectStore, folder: str, tmp_path: Path
    ) -> None:
        store.put(f"{folder}/1.png", encoded(1))
        store.put(f"{folder}/broken.png", encoded(1)[:50])
        home = tmp_path / "c.lookalike"
        done = lookalike(
            "index", f"s3://{BUCKET}/{folder}", "-c", home, "--json", env=store.environment
        )
        report = json.loads(done.stdout)
        assert (report["stored"], report["failed"], done.returncode) == (1, 1, 1)
        secret = store.environment["AWS_SECRET_ACCESS_KEY"]
        assert secret not in done.stdout + done.stderr
        assert not any(
            secret.encode() in path.read_bytes() for path in home.rglob("*") if path.is_file()
        )

    @pytest.mark.slow
    def test_a_store_that_does_not_answer_is_one_line(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        env = store.environment | {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_MAX_ATTEMPTS": "1",
        }
        done = lookalike("index", f"s3://{BUCKET}/x", "-c", tmp_path / "c", env=env)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert "cannot be read" in done.stderr
        assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("environment", [{}, {"AWS_MAX_ATTEMPTS": "2"}])
def test_nothing_is_asked_that_a_store_other_than_amazons_may_not_know(
    store: ObjectStore, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # s3proxy refuses the checksums that clients add by themselves: of writes and of reads.
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    objects._file_system.cache_clear()
    store.headers.clear()
    objects.write(f"s3://{BUCKET}/plain/1.bin", b"content")
    assert objects.read(f"s3://{BUCKET}/plain/1.bin", 100) == b"content"
    assert store.headers <= {"HTTP_X_AMZ_DATE", "HTTP_X_AMZ_CONTENT_SHA256"}
    objects._file_system.cache_clear()


def test_checksums_that_are_asked_for_are_sent(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    objects._file_system.cache_clear()
    store.headers.clear()
    objects.write(f"s3://{BUCKET}/plain/2.bin", b"content")
    assert "HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM" in store.headers
    objects._file_system.cache_clear()


def test_a_missing_package_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "s3fs.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), str(Path(api.__file__).parents[1])])
    done = lookalike("index", "s3://bucket/x", "-c", tmp_path / "c", env={"PYTHONPATH": path})
    assert done.returncode == 2
    assert "pip install 'lookalike[s3]'" in done.stderr

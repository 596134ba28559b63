from __future__ import annotations

import json
import os
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import encoded, write

import lookalike
from lookalike import Collection, Report


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    with lookalike.open(tmp_path / "c.lookalike") as opened:
        yield opened


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """cat/0.png … cat/2.png and dog/3.png … dog/5.png."""
    for number in range(6):
        write(tmp_path / "photos" / ("cat" if number < 3 else "dog") / f"{number}.png", number)
    return tmp_path / "photos"


def counts(report: Report) -> dict[str, int]:
    """What is not nought."""
    numbers = report.to_json()
    del numbers["seconds"], numbers["pictures_per_second"]
    return {name: number for name, number in numbers.items() if number}


def stored(collection: Collection) -> dict[str, str | None]:
    """Place -> label, of every picture."""
    records = collection.newest(limit=10_000)
    return {place.path: place.label for record in records for place in record.places}


def found_at(collection: Collection, number: int) -> list[str]:
    """The places of the hit that is the picture of this number, if it is stored."""
    hits = collection.search(encoded(number), k=1, threshold=0.9999)
    return [place.path for hit in hits for place in hit.record.places]


class TestAgain:
    def test_a_second_run_finds_everything_unchanged(
        self, collection: Collection, photos: Path
    ) -> None:
        assert counts(collection.add(photos)) == {"stored": 6}
        assert counts(collection.add(photos)) == {"unchanged": 6}
        assert len(collection) == 6

    def test_what_was_added_to_the_folder_is_all_that_is_added(
        self, collection: Collection, photos: Path
    ) -> None:
        collection.add(photos)
        write(photos / "cat" / "6.png", 6)
        assert counts(collection.add(photos)) == {"stored": 1, "unchanged": 6}

    def test_a_touched_file_is_read_again_and_found_unchanged(
        self, collection: Collection, photos: Path
    ) -> None:
        collection.add(photos)
        os.utime(photos / "cat" / "0.png", (1, 1))
        assert counts(collection.add(photos)) == {"unchanged": 6}
        assert found_at(collection, 0) == [str(photos / "cat" / "0.png")]

    def test_an_ingest_that_was_broken_off_goes_on(
        self, collection: Collection, photos: Path
    ) -> None:
        for number in range(100, 200):
            write(photos / "many" / f"{number}.png", number)

        def stop(report: Report) -> None:
            if report.stored:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            collection.add(photos, on_progress=stop)
        before = len(collection)
        assert 0 < before < 106
        assert counts(collection.add(photos)) == {"stored": 106 - before, "unchanged": before}


class TestChanges:
    def test_changed_content_replaces_the_picture(
        self, collection: Collection, photos: Path
    ) -> None:
        collection.add(photos)
        write(photos / "cat" / "0.png", 10)
        assert counts(collection.add(photos)) == {"replaced": 1, "unchanged": 5}
        assert len(collection) == 6
        assert found_at(collection, 0) == []
        assert found_at(collection, 10) == [str(photos / "cat" / "0.png")]

    def test_changed_content_that_lies_elsewhere_too_is_kept_there(
        self, collection: Collection, photos: Path
    ) -> None:
        write(photos / "copy.png", 0)
        collection.add(photos)
        write(photos / "cat" / "0.png", 10)
        assert counts(collection.add(photos)) == {"replaced": 1, "unchanged": 6}
        assert found_at(collection, 0) == [str(photos / "copy.png")]

    def test_a_copy_is_another_place_of_one_picture(
        self, collection: Collection, photos: Path
    ) -> None:
        collection.add(photos)
        write(photos / "dog" / "copy.png", 0)
        assert counts(collection.add(photos)) == {"copies": 1, "unchanged": 6}
        assert len(collection) == 6
        assert found_at(collection, 0) == [
            str(photos / "cat" / "0.png"),
            str(photos / "dog" / "copy.png"),
        ]
        entry = collection.ledger(photos / "dog" / "copy.png")
        assert entry is not None
        assert (entry.verdict, entry.copy_of) == ("copy", str(photos / "cat" / "0.png"))

    def test_a_moved_file_is_known_by_its_content(
        self, collection: Collection, photos: Path
    ) -> None:
        collection.add(photos)
        (photos / "cat" / "0.png").rename(photos / "dog" / "new name.png")
        assert counts(collection.add(photos)) == {"copies": 1, "unchanged": 5}
        assert found_at(collection, 0) == [str(photos / "dog" / "new name.png")]
        assert stored(collection)[str(photos / "dog" / "new name.png")] == "dog"
        assert len(collection) == 6

    def test_a_picture_that_became_none_is_gone(self, collection: Collection, photos: Path) -> None:
        collection.add(photos)
        (photos / "cat" / "0.png").write_bytes(b"no longer a picture")
        assert counts(collection.add(photos)) == {"failed": 1, "unchanged": 5}
        assert found_at(collection, 0) == []


class TestPrune:
    def test_what_vanished_stays_until_it_is_pruned(
        self, collection: Collection, photos: Path
    ) -> None:
        collection.add(photos)
        shutil.rmtree(photos / "cat")
        assert counts(collection.add(photos)) == {"unchanged": 3}
        assert len(collection) == 6
        assert counts(collection.add(photos, prune=True)) == {"unchanged": 3, "removed": 3}
        assert set(stored(collection).values()) == {"dog"}
        assert collection.ledger(photos / "cat" / "0.png") is None

    def test_only_what_lies_below_the_source_is_pruned(
        self, collection: Collection, photos: Path
    ) -> None:
        collection.add(photos)
        (photos / "cat" / "0.png").unlink()
        (photos / "dog" / "3.png").unlink()
        assert counts(collection.add(photos / "dog", prune=True)) == {"unchanged": 2, "removed": 1}
        assert str(photos / "cat" / "0.png") in stored(collection)

    def test_names_that_are_no_text_are_pruned(self, collection: Collection, photos: Path) -> None:
        odd = write(photos / os.fsdecode(b"\xff.png"), 7)
        collection.add(photos)
        odd.unlink()
        assert counts(collection.add(photos, prune=True)) == {"unchanged": 6, "removed": 1}

    def test_a_pattern_and_a_list_prune_what_they_speak_of(
        self, collection: Collection, photos: Path
    ) -> None:
        table = photos / "list.csv"
        table.write_text("path\ncat/0.png\ncat/1.png\ndog/3.png\n")
        collection.add(table)
        (photos / "cat" / "0.png").unlink()
        assert counts(collection.add(f"{photos}/c*/*.png", prune=True))["removed"] == 1
        (photos / "dog" / "3.png").unlink()
        report = collection.add(table, prune=True)
        assert (report.failed, report.removed) == (2, 1)

    def test_a_copy_that_vanished_leaves_the_picture(
        self, collection: Collection, photos: Path
    ) -> None:
        copy = write(photos / "copy.png", 0)
        collection.add(photos)
        copy.unlink()
        assert counts(collection.add(photos, prune=True)) == {"unchanged": 6}
        assert found_at(collection, 0) == [str(photos / "cat" / "0.png")]

    def test_a_member_that_left_its_archive_is_pruned(
        self, collection: Collection, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.zip"
        for members in (3, 2):
            with zipfile.ZipFile(path, "w") as archive:
                for number in range(members):
                    archive.writestr(zipfile.ZipInfo(f"{number}.png"), encoded(number))
            report = collection.add(path, prune=True)
        assert counts(report) == {"unchanged": 2, "removed": 1}

    def test_a_tar_settles_and_keeps_what_it_holds_when_pruned(
        self, collection: Collection, photos: Path, tmp_path: Path
    ) -> None:
        shutil.copy(photos / "cat" / "0.png", photos / os.fsdecode(b"caf\xe9.png"))
        (photos / "hard.png").hardlink_to(photos / "cat" / "1.png")
        (photos / "soft.png").symlink_to("cat/1.png")
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w") as archive:
            archive.add(photos, ".")
            archive.add(photos / "cat" / "2.png", "./dog/3.png")
        assert counts(collection.add(path)) == {"stored": 5, "copies": 3, "failed": 1}
        report = collection.add(path, prune=True)
        assert counts(report) == {"unchanged": 8, "failed": 1}
        entry = collection.ledger(f"{path}!/./soft.png")
        assert entry is not None
        assert entry.reason == "a link inside an archive, which is not followed"


class TestPlacesInArchives:
    @pytest.mark.parametrize("name", ["./1.png", "/abs/1.png", "../1.png"])
    def test_a_place_as_it_was_told_is_a_query(
        self, name: str, collection: Collection, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, encoded(1))
        collection.add(path)
        (place,) = stored(collection)
        entry = collection.ledger(place)
        assert entry is not None
        assert entry.verdict == "stored"
        (hit,) = collection.search(place)
        assert hit.score == pytest.approx(1, abs=1e-5)
        (answer,) = collection.search_many([place])
        assert [hit.path for hit in answer.hits] == [place]
        assert collection.preview(place).startswith(b"\xff\xd8")
        assert counts(collection.add(place)) == {"unchanged": 1}


class TestVerdicts:
    def test_formats_are_told_by_bytes(self, collection: Collection, tmp_path: Path) -> None:
        folder = tmp_path / "mixed"
        write(folder / "png.jpg", 0)
        write(folder / "jpeg.txt", 1, "JPEG")
        write(folder / "webp", 2, "WEBP")
        (folder / "text.jpg").write_text("not a picture")
        (folder / "empty.png").touch()
        (folder / "notes.txt").write_text("nobody takes this for a picture")
        assert counts(collection.add(folder)) == {"stored": 3, "failed": 2, "ignored": 1}
        assert counts(collection.add(folder)) == {"unchanged": 3, "failed": 2, "ignored": 1}
        formats = {record.path.rpartition("/")[2]: record.format for record in collection.newest()}
        assert formats == {"png.jpg": "PNG", "jpeg.txt": "JPEG", "webp": "WEBP"}

    def test_failures_are_those_that_were_counted(
        self, collection: Collection, tmp_path: Path
    ) -> None:
        folder = tmp_path / "mixed"
        write(folder / "good.png", 0)
        (folder / "text.jpg").write_text("not a picture")
        (folder / "cut.dat").write_bytes(encoded(1)[:200])
        (folder / "notes.txt").write_text("nobody takes this for a picture")
        assert collection.add(folder).failed == 2
        failures = {Path(entry.path).name: entry.reason for entry in collection.failures()}
        assert failures.keys() == {"text.jpg", "cut.dat"}
        assert "not a picture" in str(failures["text.jpg"])
        assert "truncated" in str(failures["cut.dat"])
        notes = collection.ledger(folder / "notes.txt")
        assert notes is not None
        assert notes.verdict == "skipped"

    def test_what_was_named_and_is_no_picture_has_failed(
        self, collection: Collection, tmp_path: Path
    ) -> None:
        (tmp_path / "notes.txt").write_text("not a picture")
        assert counts(collection.add(tmp_path / "notes.txt")) == {"failed": 1}

    def test_every_path_has_its_verdict(self, collection: Collection, photos: Path) -> None:
        write(photos / "dog" / "copy.png", 0)
        (photos / "broken.png").write_bytes(encoded(1)[:100])
        (photos / "nowhere.png").symlink_to(photos / "missing.png")
        collection.add(photos)
        verdicts = {}
        for path in photos.rglob("*.png"):
            entry = collection.ledger(path)
            assert entry is not None
            verdicts[path.name] = entry.verdict
        assert verdicts == {
            **{f"{n}.png": "stored" for n in range(6)},
            "copy.png": "copy",
            "broken.png": "skipped",
            "nowhere.png": "retry",
        }
        assert collection.ledger(photos / "never.png") is None

    def test_what_may_be_tried_again_is_and_what_may_not_waits_for_retry(
        self, collection: Collection, photos: Path
    ) -> None:
        (photos / "later.png").symlink_to(photos / "missing")
        broken = photos / "broken.png"
        broken.write_bytes(bytes(len(encoded(7))))
        times = broken.stat()
        assert counts(collection.add(photos)) == {"stored": 6, "failed": 2}
        write(photos / "missing", 8)
        broken.write_bytes(encoded(7))
        os.utime(broken, ns=(times.st_atime_ns, times.st_mtime_ns))
        report = collection.add(photos)
        assert (report.failed, report.stored, report.copies) == (1, 1, 1)
        report = collection.add(photos, retry=True)
        assert (report.failed, report.stored) == (0, 1)
        assert list(collection.failures()) == []

    def test_a_failing_item_shifts_nothing(self, tmp_path: Path) -> None:
        alone, mixed = tmp_path / "alone", tmp_path / "mixed"
        for number in range(40):
            write(alone / f"{number:02}.png", number)
            write(mixed / f"{number:02}.png", number)
            (mixed / f"{number:02}-bad.png").write_bytes(encoded(number)[: 50 + number])
        answers = []
        for folder in (alone, mixed):
            with lookalike.open(tmp_path / f"{folder.name}.lookalike") as opened:
                report = opened.add(folder)
                assert report.stored == 40
                answers.append(
                    [
                        [
                            (Path(hit.path).name, hit.id, hit.score)
                            for hit in opened.search(encoded(number), k=40)
                        ]
                        for number in range(40)
                    ]
                )
        assert answers[0] == answers[1]
        assert [hits[0][0] for hits in answers[0]] == [f"{n:02}.png" for n in range(40)]

    def test_a_file_that_vanishes_after_it_was_listed_is_one_failure(
        self, collection: Collection, photos: Path
    ) -> None:
        for number in range(100, 400):
            write(photos / "many" / f"{number}.png", number % 5)
        last = photos / "many" / "399.png"
        report = collection.add(photos, on_progress=lambda _: last.unlink(missing_ok=True))
        assert (report.kept, report.failed) == (305, 1)
        entry = collection.ledger(last)
        assert entry is not None
        assert (entry.verdict, entry.reason) == (
            "retry",
            "it cannot be read: No such file or directory",
        )

    def test_files_that_change_meanwhile_end_as_what_they_are(
        self, collection: Collection, photos: Path
    ) -> None:
        stop = threading.Event()

        def scribble() -> None:
            number = 1000
            while not stop.is_set():
                number += 1
                (photos / "cat" / "0.png").write_bytes(encoded(number)[: 300 + number % 9000])

        writer = threading.Thread(target=scribble)
        writer.start()
        for _ in range(5):
            collection.add(photos)
        stop.set()
        writer.join()
        write(photos / "cat" / "0.png", 77)
        collection.add(photos)
        assert found_at(collection, 77) == [str(photos / "cat" / "0.png")]
        assert len(collection) == 6


class TestLists:
    def test_a_list_gives_label_and_metadata_and_gives_them_anew(
        self, collection: Collection, photos: Path
    ) -> None:
        table = photos / "list.csv"
        table.write_text("path,label,year\ncat/0.png,tiger,2020\ndog/3.png,,2021\n")
        assert counts(collection.add(table)) == {"stored": 2}
        hits = collection.search(encoded(0), where="year = 2020")
        assert [(hit.record.label, dict(hit.record.metadata)) for hit in hits] == [
            ("tiger", {"year": 2020})
        ]
        lines = photos / "list.jsonl"
        lines.write_text(json.dumps({"path": "cat/0.png", "label": "lion", "tags": ["big"]}))
        assert counts(collection.add(lines)) == {"unchanged": 1}
        (hit,) = collection.search(encoded(0), where="label = lion")
        assert dict(hit.record.metadata) == {"tags": ["big"]}
        assert collection.search(encoded(0), where="year = 2020") == []

    def test_the_folder_does_not_take_back_what_a_list_said(
        self, collection: Collection, photos: Path
    ) -> None:
        (photos / "list.csv").write_text("path,label\ncat/0.png,tiger\n")
        collection.add(photos / "list.csv")
        for number in (None, 0, 10):  # as it was, touched, with other content
            if number is not None:
                write(photos / "cat" / "0.png", number)
            collection.add(photos)
            assert stored(collection)[str(photos / "cat" / "0.png")] == "tiger"

    def test_a_bad_row_stores_nothing(self, collection: Collection, photos: Path) -> None:
        (photos / "list.csv").write_text("path\ncat/0.png\n\ncat/1.png,7\n")
        with pytest.raises(lookalike.LookalikeError, match="line 4"):
            collection.add(photos, photos / "list.csv")
        assert len(collection) == 0


class TestSources:
    def test_several_sources_come_in_one_run(self, collection: Collection, photos: Path) -> None:
        write(photos.parent / "single.png", 9)
        report = collection.add(photos / "cat", photos.parent / "single.png", f"{photos}/d*/3.png")
        assert counts(report) == {"stored": 5}

    def test_one_that_is_missing_stops_before_anything_is_stored(
        self, collection: Collection, photos: Path
    ) -> None:
        with pytest.raises(lookalike.LookalikeError, match="does not exist"):
            collection.add(photos, photos / "nope")
        assert len(collection) == 0

    def test_an_archive_is_read_member_by_member_and_skipped_when_unchanged(
        self, collection: Collection, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(70):
                archive.writestr(f"cat/{number}.png", encoded(number))
            archive.writestr("notes.txt", "no picture")
        assert counts(collection.add(path)) == {"stored": 70, "ignored": 1}
        assert counts(collection.add(path)) == {"unchanged": 70, "ignored": 1}
        (hit,) = collection.search(f"{path}!/cat/5.png", k=1)
        assert hit.path == f"{path}!/cat/5.png"
        assert hit.record.label == "cat"
        assert collection.thumbnail(hit.id).startswith(b"\xff\xd8\xff")

    def test_a_broken_archive_does_not_keep_the_others_out(
        self, collection: Collection, photos: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and no more")
        assert counts(collection.add(tmp_path / "broken.zip", photos)) == {
            "stored": 6,
            "failed": 1,
        }
        (failure,) = collection.failures()
        assert failure.path == str(tmp_path / "broken.zip")

    def test_a_collection_may_lie_in_its_own_folder(self, photos: Path) -> None:
        with lookalike.open(photos / "c.lookalike") as opened:
            assert counts(opened.add(photos)) == {"stored": 6}
            opened.thumbnail(opened.newest()[0].id)
            assert counts(opened.add(photos, f"{photos}/**")) == {"unchanged": 12}


def test_progress_only_tells_what_is_committed(tmp_path: Path) -> None:
    for number in range(150):
        write(tmp_path / "photos" / f"{number}.png", number)
    told: list[tuple[int, int]] = []
    with (
        lookalike.open(tmp_path / "c.lookalike") as writer,
        lookalike.open(tmp_path / "c.lookalike") as reader,
    ):
        writer.add(
            tmp_path / "photos",
            on_progress=lambda report: told.append((report.stored, len(reader))),
        )
    assert told[-1] == (150, 150)
    assert all(there >= said for said, there in told)
    assert len({said for said, _ in told}) > 2


class TestMoves:
    def test_what_a_list_said_of_a_picture_moves_with_it(self, tmp_path: Path) -> None:
        old = write(tmp_path / "a" / "1.png", 1)
        (tmp_path / "list.csv").write_text("path,label,owner\na/1.png,cat,ann\n")
        with lookalike.open(tmp_path / "c") as collection:
            collection.add(tmp_path / "list.csv")
            (tmp_path / "b").mkdir()
            new = old.rename(tmp_path / "b" / "1.png")
            collection.add(tmp_path / "b")
            (record,) = collection
            (place,) = record.places
            assert (place.path, place.label, place.metadata) == (str(new), "cat", {"owner": "ann"})

    def test_a_moved_archive_takes_the_place_of_the_old_one(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
            archive.write(write(tmp_path / "1.png", 1), "1.png")
        with lookalike.open(tmp_path / "c") as collection:
            collection.add(tmp_path / "old.zip")
            new = (tmp_path / "old.zip").rename(tmp_path / "new.zip")
            collection.add(new)
            (record,) = collection
            assert [place.path for place in record.places] == [f"{new}!/1.png"]

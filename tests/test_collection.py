from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from samples import encoded, environment, pixels, write

import lookalike
from lookalike import Collection, PictureError
from lookalike.errors import (
    BadFilter,
    BadQuery,
    CollectionClosed,
    DeviceUnavailable,
    NotACollection,
    OtherRecipe,
    UnknownPicture,
)

COUNT = 24


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cat/0.png … cat/11.png and dog/12.png … dog/23.png."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        write(folder / ("cat" if number < 12 else "dog") / f"{number}.png", number)
    return folder


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """A collection of them, only to be read."""
    with lookalike.open(tmp_path_factory.mktemp("made") / "c.lookalike") as opened:
        opened.add(photos)
        yield opened


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    with lookalike.open(tmp_path / "c.lookalike") as opened:
        yield opened


def number_of(path: str) -> int:
    return int(Path(path).stem)


def cosines(
    collection: Collection,
) -> tuple[list[str], np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """Every id, and the cosine of every two, computed here."""
    ids = [record.id for record in collection.newest(limit=1000)]
    matrix = np.concatenate([collection.vector(id) for id in ids])
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return ids, matrix @ matrix.T


class TestQueries:
    def test_hits_are_those_of_exact_cosine_best_first(
        self, made: Collection, photos: Path
    ) -> None:
        ids, scores = cosines(made)
        for number in range(0, COUNT, 5):
            path = photos / ("cat" if number < 12 else "dog") / f"{number}.png"
            hits = made.search(path, k=COUNT)
            row = scores[ids.index(hits[0].id)]
            assert [hit.id for hit in hits] == [ids[i] for i in np.argsort(-row)]
            np.testing.assert_allclose([hit.score for hit in hits], np.sort(row)[::-1], atol=1e-5)
            np.testing.assert_allclose(
                [hit.distance for hit in hits], 1 - np.sort(row)[::-1], atol=1e-5
            )

    def test_every_kind_of_query_gives_the_same_answer(
        self, made: Collection, photos: Path
    ) -> None:
        path = photos / "cat" / "3.png"
        queries: dict[str, Any] = {
            "path": path,
            "text": str(path),
            "bytes": encoded(3),
            "array": pixels(3),
            "PIL": Image.fromarray(pixels(3)),
            "file": Image.open(path),
        }
        want = [(hit.id, hit.score) for hit in made.search(path)]
        for kind, query in queries.items():
            assert [(hit.id, hit.score) for hit in made.search(query)] == want, kind
        queries["file"].close()

    def test_a_vector_is_a_query(self, made: Collection) -> None:
        record = made.newest()[7]
        vector = made.vector(record.id)[0]
        hits = made.search(vector * 5, k=3)
        assert hits[0].id == record.id
        assert hits[0].score == pytest.approx(1, abs=1e-5)

    def test_several_pictures_are_asked_by_their_mean(self, made: Collection) -> None:
        ids = [made.search(encoded(number), k=1)[0].id for number in (1, 2, 14)]
        vectors = np.concatenate([made.vector(id) for id in ids])
        mean = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(axis=0)
        want = made.search(mean)
        got = made.search(encoded(1), pixels(2), encoded(14))
        assert [hit.id for hit in got] == [hit.id for hit in want]
        np.testing.assert_allclose(
            [hit.score for hit in got], [hit.score for hit in want], atol=1e-5
        )

    def test_many_queries_have_one_answer_each_in_their_order(
        self, made: Collection, photos: Path
    ) -> None:
        answers = list(made.search_many([photos / "dog", photos / "cat" / "0.png"], k=2))
        asked = [*sorted((photos / "dog").iterdir()), photos / "cat" / "0.png"]
        assert [answer.query for answer in answers] == [str(path) for path in asked]
        assert [answer.hits[0].path for answer in answers] == [str(path) for path in asked]
        assert {len(answer.hits) for answer in answers} == {2}

    def test_one_that_cannot_be_decoded_shifts_no_answer(
        self, made: Collection, photos: Path, tmp_path: Path
    ) -> None:
        broken = tmp_path / "broken.png"
        broken.write_bytes(encoded(1)[:100])
        (tmp_path / "notes.txt").write_text("not a picture, and nobody said so")
        asked = [photos / "cat" / "0.png", tmp_path, photos / "cat" / "1.png"]
        first, failed, last = made.search_many(asked, k=1)
        assert number_of(first.hits[0].path) == 0
        assert number_of(last.hits[0].path) == 1
        assert failed.query == str(broken)
        assert failed.hits == []
        assert isinstance(failed.error, PictureError)

    def test_more_like_leaves_itself_out(self, made: Collection) -> None:
        ids, scores = cosines(made)
        for i in (0, 9):
            want = [ids[j] for j in np.argsort(-scores[i]) if j != i]
            assert [hit.id for hit in made.more_like(ids[i], k=5)] == want[:5]
            assert [hit.id for hit in made.more_like(ids[i], k=5, offset=3)] == want[3:8]
            assert [hit.id for hit in made.more_like(ids[i][:10], k=100)] == want

    def test_many_queries_may_be_of_any_kind(self, made: Collection, photos: Path) -> None:
        path = photos / "cat" / "3.png"
        vector = made.vector(made.search(path)[0].id)
        every: list[Any] = [path, pixels(3), vector, path.read_bytes(), b"none", Image.open(path)]
        answers = list(made.search_many(every, k=3))
        assert [answer.query for answer in answers] == [str(path), "1", "2", "3", "4", "5"]
        assert [answer.error is None for answer in answers] == [True] * 4 + [False, True]
        first = {answer.hits[0].id for answer in answers if answer.hits}
        assert first == {answers[0].hits[0].id}
        matrix = np.concatenate([made.vector(record.id) for record in made])
        assert [answer.hits[0].id for answer in made.search_many(matrix, k=1)] == [
            record.id for record in made
        ]

    def test_files_of_a_folder_that_are_no_pictures_do_not_spoil_a_query_together(
        self, made: Collection, tmp_path: Path
    ) -> None:
        for number in (1, 2):
            write(tmp_path / f"{number}.png", number)
        (tmp_path / "notes.txt").write_text("not a picture")
        answer = made.search_together([tmp_path], k=5)
        assert [Path(place).name for place in answer.query] == ["1.png", "2.png"]
        both = made.search(tmp_path / "1.png", tmp_path / "2.png", k=5)
        assert [hit.id for hit in answer.hits] == [hit.id for hit in both]

    def test_a_file_that_is_not_there_is_an_answer_with_its_error(
        self, made: Collection, photos: Path
    ) -> None:
        good = photos / "cat" / "1.png"
        answers = list(made.search_many(["/no/such.png", good]))
        assert [bool(answer.hits) for answer in answers] == [False, True]
        assert answers[0].error is not None
        assert "does not exist" in answers[0].error.reason

    @pytest.mark.parametrize("query", [None, 5, ["a.png", "b.png"], np.zeros((3, 384), np.float32)])
    def test_what_is_no_query_is_refused(self, made: Collection, query: Any) -> None:
        with pytest.raises(BadQuery):
            made.search(query)

    def test_a_hit_tells_its_label_metadata_and_places(self, made: Collection) -> None:
        hit = made.search(pixels(3), k=1)[0]
        assert (hit.label, hit.metadata) == ("cat", {})
        assert [place.path for place in hit.places] == [hit.path]


class TestNarrowing:
    def test_offset_goes_on_where_the_last_page_ended(self, made: Collection) -> None:
        every = [hit.id for hit in made.search(encoded(5), k=COUNT)]
        assert [hit.id for hit in made.search(encoded(5), k=7, offset=4)] == every[4:11]
        assert made.search(encoded(5), offset=COUNT) == []

    def test_asking_for_more_than_there_is_gives_all(self, made: Collection) -> None:
        assert len(made.search(encoded(5), k=1_000_000)) == COUNT

    def test_a_filter_ranks_what_passes_it(self, made: Collection) -> None:
        every = made.search(encoded(5), k=COUNT)
        dogs = [hit.id for hit in every if hit.record.label == "dog"]
        assert len(dogs) == 12
        assert [hit.id for hit in made.search(encoded(5), k=COUNT, where="label = dog")] == dogs
        assert made.search(encoded(5), where="label = mouse") == []

    @pytest.mark.parametrize("more", [{"k": 0}, {"k": -1, "offset": 3}, {"offset": -1}])
    def test_a_range_that_makes_no_sense_is_refused_for_a_stored_picture(
        self, made: Collection, more: dict[str, int]
    ) -> None:
        (record,) = made.newest(limit=1)
        with pytest.raises(BadQuery, match="k must be 1 or more"):
            made.more_like(record.id, **more)  # type: ignore[arg-type]

    def test_a_threshold_that_is_no_number_is_refused(self, made: Collection) -> None:
        with pytest.raises(BadQuery, match="NaN"):
            made.search(pixels(1), threshold=float("nan"))

    def test_a_threshold_keeps_what_reaches_it(self, made: Collection) -> None:
        every = made.search(encoded(5), k=COUNT)
        least = every[6].score
        kept = made.search(encoded(5), k=COUNT, threshold=least)
        assert [hit.id for hit in kept] == [hit.id for hit in every if hit.score >= least]

    def test_a_threshold_beyond_what_float32_holds_keeps_all_or_none(
        self, made: Collection
    ) -> None:
        (record,) = made.newest(limit=1)
        assert len(made.more_like(record.id, k=None, threshold=-2e163)) == COUNT - 1
        assert made.more_like(record.id, k=None, threshold=2e163) == []

    @pytest.mark.parametrize("wanted", [{"k": 0}, {"k": -1}, {"offset": -1}])
    def test_a_range_that_makes_no_sense_is_refused(
        self, wanted: dict[str, int], made: Collection, photos: Path
    ) -> None:
        with pytest.raises(BadQuery, match="must be 1 or more"):
            made.search(encoded(1), k=wanted.get("k", 10), offset=wanted.get("offset", 0))
        with pytest.raises(BadQuery, match="must be 1 or more"):
            list(made.search_many([photos], k=wanted.get("k", 10), offset=wanted.get("offset", 0)))

    @pytest.mark.parametrize(
        "query",
        [
            np.zeros(7, np.float32),
            np.full(384, np.nan, np.float32),
            np.zeros((5, 5, 3), np.float64),
            np.zeros((0, 5, 3), np.uint8),
        ],
    )
    def test_a_query_that_is_none_is_refused(
        self, query: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], made: Collection
    ) -> None:
        with pytest.raises(BadQuery):
            made.search(query)

    def test_no_query_a_broken_one_and_a_broken_filter_are_refused(self, made: Collection) -> None:
        with pytest.raises(BadQuery, match="at least one picture"):
            made.search()
        with pytest.raises(PictureError):
            made.search(b"not a picture")
        with pytest.raises(PictureError):
            made.search(b"")
        with pytest.raises(PictureError, match="No such file"):
            made.search("nope.png")
        with pytest.raises(BadFilter):
            made.search(encoded(1), where="label =")
        assert made.search(np.zeros(384, np.float32), k=1) is not None


class TestIds:
    def test_a_record_is_had_by_its_id_or_its_beginning(self, made: Collection) -> None:
        record = made.newest()[3]
        assert made[record.id] == made[record.id[:8]] == record

    @pytest.mark.parametrize("id", ["", "0", "zzzzzzzzz", "0" * 64, "A" * 64, "0" * 65, "é"])
    def test_an_id_that_nothing_has_is_refused(self, id: str, made: Collection) -> None:
        with pytest.raises(UnknownPicture):
            made[id]
        with pytest.raises(UnknownPicture):
            made.more_like(id)

    def test_the_id_is_the_sha256_of_the_file(self, made: Collection, photos: Path) -> None:
        told = subprocess.run(
            ["sha256sum", photos / "cat" / "0.png"], capture_output=True, text=True, check=True
        )
        assert made[told.stdout.split()[0]].path == str(photos / "cat" / "0.png")

    def test_what_was_removed_is_gone_and_its_file_stays(
        self, collection: Collection, tmp_path: Path
    ) -> None:
        for number in range(5):
            write(tmp_path / "photos" / f"{number}.png", number)
        collection.add(tmp_path / "photos")
        (hit,) = collection.search(encoded(2), k=1)
        collection.thumbnail(hit.id)
        assert collection.remove(hit.id[:12], "0" * 64) == 1
        assert len(collection) == 4
        assert hit.id not in [each.id for each in collection.search(encoded(2))]
        assert list(collection.path.glob(f"**/{hit.id}*")) == []
        assert (tmp_path / "photos" / "2.png").exists()
        assert collection.remove(hit.id) == 0

    def test_one_is_in_a_collection_and_all_are_gone_through(self, made: Collection) -> None:
        every = [record.id for record in made]
        assert every == [record.id for record in made.newest(limit=1000)]
        assert every[0] in made
        assert "0" * 64 not in made


class TestUploads:
    def test_one_is_kept_once_and_stays_when_the_folder_moves(self, tmp_path: Path) -> None:
        with lookalike.open(tmp_path / "old") as opened:
            record, outcome = opened.add_bytes(encoded(1), "a.png", label="x", metadata={"n": 1})
            assert outcome == "stored"
            assert opened.add_bytes(encoded(1), "../b.png")[1] == "copy"
            assert opened.add_bytes(encoded(1), "a.png")[1] == "unchanged"
            kept = [path for path in (tmp_path / "old" / "uploads").rglob("*") if path.is_file()]
            assert [path.read_bytes() for path in kept] == [encoded(1)]
        shutil.move(tmp_path / "old", tmp_path / "new")
        with lookalike.open(tmp_path / "new", create=False) as opened:
            again = opened[record.id]
            assert [place.path for place in again.places] == [
                f"upload:{record.id}/a.png",
                f"upload:{record.id}/b.png",
            ]
            assert (again.label, dict(again.metadata)) == ("x", {"n": 1})
            assert opened.thumbnail(record.id).startswith(b"\xff\xd8\xff")
            assert opened.remove(record.id) == 1
        assert not [path for path in (tmp_path / "new" / "uploads").rglob("*") if path.is_file()]

    @pytest.mark.parametrize(
        ("name", "want"),
        [
            ("", "picture"),
            ("C:\\photos\\a.png", "a.png"),
            ("a\nb\x1b[2J.png", "ab[2J.png"),
            ("\ud800.png", ".png"),
            ("x" * 500, "x" * 120),
        ],
    )
    def test_its_name_is_made_harmless(self, name: str, want: str, collection: Collection) -> None:
        record, _ = collection.add_bytes(encoded(1), name)
        assert record.path == f"upload:{record.id}/{want}"

    def test_what_is_no_picture_or_too_large_is_not_kept(self, tmp_path: Path) -> None:
        limits = lookalike.Limits(upload_bytes=len(encoded(1)))
        with lookalike.open(tmp_path / "c", limits=limits) as opened:
            for data in (b"text", b"", encoded(1) + b"\0"):
                with pytest.raises(PictureError):
                    opened.add_bytes(data, "a.png")
            assert len(opened) == 0
            assert not (tmp_path / "c" / "uploads").exists()
            assert opened.add_bytes(encoded(1), "a.png")[1] == "stored"


class TestThumbnails:
    def test_one_has_the_shape_of_its_picture(self, collection: Collection, tmp_path: Path) -> None:
        Image.fromarray(pixels(1, 400, 200)).save(tmp_path / "wide.png")
        collection.add(tmp_path / "wide.png")
        content = collection.thumbnail(collection.newest()[0].id, 100)
        path = tmp_path / "t.jpg"
        path.write_bytes(content)
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (100, 50))
            difference = np.asarray(image, np.float64) - pixels(1, 100, 50)
        assert np.abs(difference).mean() < 10

    def test_one_is_kept_when_the_picture_goes(
        self, collection: Collection, tmp_path: Path
    ) -> None:
        path = write(tmp_path / "a.png", 1)
        collection.add(path)
        id = collection.newest()[0].id
        content = collection.thumbnail(id)
        path.unlink()
        assert collection.thumbnail(id) == content
        with pytest.raises(PictureError, match="no longer where it was"):
            collection.thumbnail(id, 64)

    def test_one_is_never_of_another_picture(self, collection: Collection, tmp_path: Path) -> None:
        path = write(tmp_path / "a.png", 1)
        collection.add(path)
        write(path, 2)
        with pytest.raises(PictureError, match="another picture by now"):
            collection.thumbnail(collection.newest()[0].id)

    def test_those_of_pruned_pictures_go(self, collection: Collection, tmp_path: Path) -> None:
        gone, stays = write(tmp_path / "p" / "1.png", 1), write(tmp_path / "p" / "2.png", 2)
        collection.add(tmp_path / "p")
        for record in collection:
            collection.thumbnail(record.id)
        gone.unlink()
        collection.add(tmp_path / "p", prune=True)
        (kept,) = (collection.path / "thumbnails").glob("*/*/*.jpg")
        assert kept.parent.name == collection.search(stays)[0].id


class TestStats:
    def test_counts_are_right(self, made: Collection, photos: Path) -> None:
        stats = made.stats()
        assert stats["pictures"] == stats["places"] == len(made) == COUNT
        assert stats["labels"] == 2
        assert stats["formats"] == {"PNG": COUNT}
        assert stats["failed"] == 0
        assert stats["original_bytes"] == sum(p.stat().st_size for p in photos.rglob("*.png"))
        assert stats["recipe"] == "default"
        assert stats["embeddings"]["default"]["vectors"] == COUNT
        assert stats["embeddings"]["default"]["dim"] == made.vector(made.newest()[0].id).shape[1]

    def test_a_sound_collection_is_found_sound(self, made: Collection) -> None:
        findings = made.check()
        assert findings
        assert all(finding.sound for finding in findings)


class TestOpening:
    def test_what_is_none_is_not_opened(self, tmp_path: Path) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "a.txt").touch()
        (tmp_path / "empty").mkdir()
        for path in (tmp_path / "nope", tmp_path / "empty"):
            with pytest.raises(NotACollection):
                lookalike.open(path, create=False)
        for path in (tmp_path / "full", tmp_path / "full" / "a.txt", tmp_path / ("x" * 300)):
            with pytest.raises(NotACollection):
                lookalike.open(path)
        assert not (tmp_path / "nope").exists()

    def test_it_keeps_the_recipe_that_it_was_made_with(self, tmp_path: Path) -> None:
        with lookalike.open(tmp_path / "c", recipe="default") as opened:
            opened.add_bytes(encoded(1), "1.png")
            assert opened.recipe.name == "default"
        with pytest.raises(OtherRecipe, match="has not the recipe default-fp16 but default"):
            lookalike.open(tmp_path / "c", recipe="default-fp16")

    def test_an_empty_one_takes_any_recipe(self, tmp_path: Path) -> None:
        lookalike.open(tmp_path / "c").close()
        with lookalike.open(tmp_path / "c", recipe="default-fp16") as opened:
            opened.add_bytes(encoded(1), "1.png")
        with lookalike.open(tmp_path / "c") as opened:
            assert opened.recipe.name == "default-fp16"
            assert opened.search(encoded(1))

    def test_a_closed_one_says_so_and_may_be_closed_again(self, tmp_path: Path) -> None:
        opened = lookalike.open(tmp_path / "c")
        opened.add_bytes(encoded(1), "a.png")
        opened.close()
        opened.close()
        with pytest.raises(CollectionClosed):
            len(opened)
        with pytest.raises(CollectionClosed):
            opened.search(np.zeros(384, np.float32))

    def test_one_of_the_same_model_that_compares_otherwise_is_refused(self, tmp_path: Path) -> None:
        with lookalike.open(tmp_path / "c") as opened:
            opened.add_bytes(encoded(1), "1.png")
        with pytest.raises(OtherRecipe, match="reindex --recipe"):
            lookalike.open(tmp_path / "c", recipe="default-pca")

    def test_a_closed_one_that_has_searched_says_so(self, tmp_path: Path) -> None:
        closed = lookalike.open(tmp_path / "c")
        closed.add_bytes(encoded(1), "1.png")
        closed.search(encoded(1))
        closed.close()
        with pytest.raises(CollectionClosed):
            closed.search(encoded(1))

    def test_a_pipe_named_as_a_query_does_not_hang(self, made: Collection, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(PictureError, match="not a file"):
            made.search(tmp_path / "pipe.png")


class TestTogether:
    def test_eight_threads_search_while_one_adds_and_removes(
        self, collection: Collection, photos: Path
    ) -> None:
        collection.add(photos / "cat")
        vectors = {id: collection.vector(id)[0] for id in _ids(collection)}
        faults: list[object] = []
        stop = threading.Event()

        def search() -> None:
            try:
                while not stop.is_set():
                    for id, vector in vectors.items():
                        hits = collection.search(vector, k=5)
                        scores = [hit.score for hit in hits]
                        if hits[0].id != id or scores != sorted(scores, reverse=True):
                            faults.append((id, hits))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
                faults.append(error)

        threads = [threading.Thread(target=search) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            collection.add(photos / "dog")
            others = set(_ids(collection)) - set(vectors)
            assert collection.remove(*others) == 12
        stop.set()
        for thread in threads:
            thread.join()
        assert faults == []
        assert set(_ids(collection)) == set(vectors)

    def test_threads_may_ask_by_picture_at_once(self, made: Collection) -> None:
        found: dict[int, str] = {}

        def search(number: int) -> None:
            found[number] = made.search(encoded(number), k=1)[0].path

        threads = [threading.Thread(target=search, args=(number,)) for number in range(COUNT)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {number: number_of(path) for number, path in found.items()} == {
            number: number for number in range(COUNT)
        }

    def test_two_processes_may_index_the_same_folder_at_once(
        self, photos: Path, tmp_path: Path
    ) -> None:
        # As a user writes it: without a guard for `__main__`.
        script = tmp_path / "script.py"
        script.write_text(
            textwrap.dedent("""
                import sys
                import lookalike
                collection = lookalike.open(sys.argv[1])
                report = collection.add(sys.argv[2])
                print(report.stored, report.copies + report.unchanged, report.failed)
            """)
        )
        processes = [
            subprocess.Popen(
                [sys.executable, script, tmp_path / "c", photos],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        said = [process.communicate(timeout=60) for process in processes]
        assert [error for _, error in said] == ["", ""]
        stored, known, failed = np.sum([[int(n) for n in out.split()] for out, _ in said], axis=0)
        assert (stored, known, failed) == (COUNT, COUNT, 0)
        with lookalike.open(tmp_path / "c", create=False) as opened:
            assert len(opened) == COUNT
            assert all(finding.sound for finding in opened.check())

    def test_another_process_is_noticed(self, tmp_path: Path) -> None:
        with lookalike.open(tmp_path / "c") as one, lookalike.open(tmp_path / "c") as other:
            one.add_bytes(encoded(1), "a.png")
            (hit,) = other.search(encoded(1))
            other.remove(hit.id)
            assert one.search(encoded(1)) == []


def _ids(collection: Collection) -> list[str]:
    return [record.id for record in collection.newest(limit=1000)]


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_a_gpu_that_cannot_start_leaves_no_collection_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    with pytest.raises(DeviceUnavailable):
        lookalike.open(tmp_path / "c", device="cuda")
    assert not (tmp_path / "c").exists()

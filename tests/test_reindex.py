"""Another recipe for a collection: nothing is lost, and the old one answers until the new does."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_vectors
from samples import called, environment, pixels, write

import lookalike as package
from lookalike.errors import RecipeError, ReindexUnderWay, TooLittleToLearnFrom, UnknownName
from lookalike.reindex import Reindexed, reindex
from lookalike.store.coming import ComingTables
from lookalike.types import Vectors

COUNT = 20

TWO = """
name = "two"

[fusion]
method = "{method}"

[embeddings.small]
[embeddings.small.extractor]
name = "onnx"
model = "efficientnet-lite0-int8"
[embeddings.small.index]
name = "flat"

[embeddings.half]
weight = 2
[embeddings.half.extractor]
name = "onnx"
model = "efficientnet-lite0-fp16"
[embeddings.half.index]
name = "flat"
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(COUNT):
        write(tmp_path / "photos" / f"{number}.png", number)
    return tmp_path / "photos"


@pytest.fixture
def collection(tmp_path: Path, photos: Path) -> package.Collection:
    opened = package.open(tmp_path / "c")
    opened.add(photos)
    return opened


def two(tmp_path: Path, method: str = "reciprocal-rank") -> str:
    path = tmp_path / "two.toml"
    path.write_text(TWO.format(method=method))
    return str(path)


def test_every_picture_has_the_vector_that_a_new_collection_gives_it(
    collection: package.Collection, photos: Path, tmp_path: Path
) -> None:
    report = reindex(collection, "default-fp16")
    assert (report.total, report.done, report.unreadable) == (COUNT, COUNT, [])
    assert report.swapped
    assert collection.recipe.name == "default-fp16"
    with package.open(tmp_path / "fresh", recipe="default-fp16") as fresh:
        fresh.add(photos)
        for record in fresh:
            np.testing.assert_allclose(
                collection.vector(record.id), fresh.vector(record.id), atol=1e-5
            )
    collection.close()


def test_vectors_of_the_same_model_are_taken_over_not_computed_again(
    collection: package.Collection,
) -> None:
    report = reindex(collection, "default-pca")
    assert report.swapped
    assert report.done == 0
    assert collection.search(pixels(3), k=1)[0].path.endswith("/3.png")
    collection.close()


def test_the_old_recipe_answers_meanwhile_and_what_is_added_is_not_lost(
    collection: package.Collection, photos: Path, tmp_path: Path
) -> None:
    with package.open(tmp_path / "c") as other:
        seen: list[str] = []

        def meanwhile(_: object) -> None:
            if not seen:
                seen.append(other.search(pixels(5), k=1)[0].path)
                write(photos / "later" / "99.png", 99)
                assert other.add(photos).stored == 1

        report = reindex(collection, "default-fp16", on_progress=meanwhile)
        assert report.swapped
        assert seen[0].endswith("/5.png")
        assert len(collection) == COUNT + 1
        for opened in (collection, other):
            assert opened.search(pixels(99), k=1)[0].path.endswith("/99.png")
            assert opened.recipe.name == "default-fp16"
        write(photos / "100.png", 100)
        assert other.add(photos).stored == 1
    collection.close()


def test_pictures_that_are_gone_keep_the_old_recipe_unless_they_may_be_forgotten(
    collection: package.Collection, photos: Path
) -> None:
    (photos / "7.png").unlink()
    write(photos / "8.png", 1000)
    report = reindex(collection, "default-fp16")
    assert not report.swapped
    assert sorted(Path(error.source).name for error in report.unreadable) == ["7.png", "8.png"]
    assert collection.recipe.name == "default"
    assert collection.search(pixels(7), k=1)[0].path.endswith("/7.png")
    report = reindex(collection, "default-fp16", forget_unreadable=True)
    assert report.swapped
    assert report.done == 0  # what the first one did is gone on with
    assert len(collection) == COUNT - 2
    collection.close()


def test_killed_at_any_moment_it_goes_on_and_the_old_recipe_answers(
    collection: package.Collection, tmp_path: Path
) -> None:
    collection.close()
    program = (
        "import sys, time, lookalike\n"
        "from lookalike.reindex import reindex\n"
        "from lookalike import features\n"
        "features._BATCH = 2\n"
        "tell = lambda report: (print(report.done, flush=True), time.sleep(0.05))\n"
        "with lookalike.open(sys.argv[1]) as c:\n"
        "    reindex(c, 'default-fp16', on_progress=tell)\n"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "c")]
    with subprocess.Popen(arguments, env=environment(), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while int(child.stdout.readline()) < 4:
            time.sleep(0)
        child.send_signal(signal.SIGKILL)
    with package.open(tmp_path / "c") as opened:
        assert opened.recipe.name == "default"
        assert opened.search(pixels(3), k=1)[0].path.endswith("/3.png")
        report = reindex(opened, "default-fp16")
        assert report.swapped
        assert 0 < report.done <= COUNT - 4


def test_an_unknown_recipe_is_refused_before_anything_is_done(
    collection: package.Collection,
) -> None:
    with pytest.raises(UnknownName, match="default-fp16"):
        reindex(collection, "default-fp61")
    assert collection.recipe.name == "default"
    collection.close()


def vocabulary(tmp_path: Path, detector: str, k: int = 8) -> str:
    """A recipe that learns, of quick keypoints."""
    path = tmp_path / f"{detector}-{k}.toml"
    path.write_text(
        f'name = "{detector}"\n[embeddings.default.extractor]\nname = "bovw"\n'
        f'detector = "{detector}"\nk = {k}\nfeatures = 50\n'
        '[embeddings.default.index]\nname = "flat"\n'
    )
    return str(path)


def test_a_recipe_that_learns_learns_from_the_stored_pictures(
    collection: package.Collection, tmp_path: Path
) -> None:
    assert reindex(collection, vocabulary(tmp_path, "sift")).swapped
    query = pixels(3)
    assert collection.search(query, k=1)[0].path.endswith("/3.png")
    assert collection.vector(collection.search(query, k=1)[0].id).shape == (1, 8)
    with package.open(tmp_path / "c") as again:
        assert again.search(query, k=1)[0].path.endswith("/3.png")
    assert reindex(collection, "default").swapped
    collection.close()


def test_two_at_once_do_not_mix(collection: package.Collection, tmp_path: Path) -> None:
    refusals = []

    def meanwhile(_: object) -> None:
        with package.open(tmp_path / "c") as other, pytest.raises(ReindexUnderWay) as refusal:
            reindex(other, "default-pca")
        refusals.append(refusal)

    assert reindex(collection, "default-fp16", on_progress=meanwhile).swapped
    assert refusals
    assert collection.recipe.name == "default-fp16"
    collection.close()


def interrupted(collection: package.Collection, recipe: str) -> int:
    """Stop a reindex after its first commit; how many pictures it had done."""
    done: list[int] = []

    def stop(report: Reindexed) -> None:
        if report.done:
            done.append(report.done)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reindex(collection, recipe, on_progress=stop)
    return done[0]


def test_one_that_goes_on_with_another_model_begins_anew(
    collection: package.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.features._BATCH", 2)
    recipe = vocabulary(tmp_path, "sift")
    done = interrupted(collection, recipe)
    assert 0 < done < COUNT
    with contextlib.closing(sqlite3.connect(tmp_path / "c" / "catalogue.sqlite")) as catalogue:
        catalogue.execute("UPDATE embeddings SET fingerprint = 'another' WHERE coming")
        catalogue.commit()
    report = reindex(collection, recipe)
    assert (report.done, report.swapped) == (COUNT, True)
    collection.close()


def test_one_that_cannot_work_leaves_the_unfinished_one_alone(
    collection: package.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.features._BATCH", 2)
    done = interrupted(collection, "default-fp16")
    with pytest.raises(TooLittleToLearnFrom):
        reindex(collection, vocabulary(tmp_path, "sift", 100_000))
    assert reindex(collection, "default-fp16").done == COUNT - done
    collection.close()


def test_a_collection_whose_model_is_gone_can_be_given_another(
    collection: package.Collection, tmp_path: Path
) -> None:
    assert reindex(collection, vocabulary(tmp_path, "sift")).swapped
    collection.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "c" / "catalogue.sqlite")) as catalogue:
        catalogue.execute("UPDATE embeddings SET learned = x'00'")
        catalogue.commit()
    done = called("search", "--text", "cat", "-c", tmp_path / "c")
    assert done.returncode == 2
    assert "reindex --recipe" in done.stderr
    assert f"{COUNT}" in called("stats", "-c", tmp_path / "c").stdout
    done = called("reindex", "--recipe", "default", "-c", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    with package.open(tmp_path / "c") as opened:
        assert opened.search(pixels(3), k=1)[0].path.endswith("/3.png")


def test_an_empty_collection_is_given_a_recipe_that_learns(tmp_path: Path) -> None:
    with package.open(tmp_path / "c") as empty:
        assert reindex(empty, vocabulary(tmp_path, "sift")).swapped
        assert empty.recipe.name == "sift"


def test_from_the_command_line(collection: package.Collection, tmp_path: Path) -> None:
    collection.close()
    done = called("reindex", "--recipe", "default-fp16", "-c", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    assert "recipe default-fp16 now" in done.stdout
    assert called("reindex", "--recipe", "nope", "-c", tmp_path / "c").returncode == 2


READY = """
[embeddings.ready]
distance = "{distance}"
pca = {pca}
extractor = {{ name = "vectors", dim = {dim}, made_by = "{made_by}" }}
index = {{ name = "{index}" }}
"""


def ready(
    folder: Path,
    index: str = "flat",
    distance: str = "cosine",
    *,
    pca: int = 0,
    dim: int = 32,
    made_by: str = "a test",
    more: str = "",
) -> str:
    """A recipe of vectors that were made elsewhere."""
    text = READY.format(index=index, distance=distance, pca=pca, dim=dim, made_by=made_by)
    path = folder / f"ready-{hashlib.sha256((text + more).encode()).hexdigest()}.toml"
    path.write_text(text + more)
    return str(path)


def brought(collection: package.Collection, vectors: Vectors, start: int = 0) -> None:
    numbers = range(start, start + len(vectors))
    collection.add_vectors(
        vectors,
        [hashlib.sha256(bytes([number % 256, number // 256])).digest() for number in numbers],
        [package.Place(f"http://pictures/{number}") for number in numbers],
    )


class TestVectorsMadeElsewhere:
    @pytest.mark.parametrize(
        ("index", "distance", "pca"),
        [
            ("hnsw", "cosine", 0),
            ("ivfpq", "euclidean", 0),
            ("lsh", "l1", 0),
            ("flat", "angular", 0),
            ("rabitq", "cosine", 16),
        ],
    )
    def test_are_taken_over_to_another_index_distance_or_projection(
        self, tmp_path: Path, index: str, distance: str, pca: int
    ) -> None:
        vectors = random_vectors(400, 32)
        with package.open(tmp_path / "c", recipe=ready(tmp_path)) as collection:
            brought(collection, vectors)
            recipe = ready(tmp_path, index, distance, pca=pca)
            report = reindex(collection, recipe)
            assert (report.swapped, report.done, report.unreadable) == (True, 0, [])
            about = collection.stats()["embeddings"]["ready"]
            assert (about["index"], about["distance"], about["vectors"]) == (index, distance, 400)
            for number in range(0, 400, 40):
                (hit,) = collection.search(vectors[number], k=1)
                assert hit.path == f"http://pictures/{number}"
                np.testing.assert_array_equal(collection.vector(hit.id)[0], vectors[number])
            brought(collection, random_vectors(5, 32, seed=1), 400)
            assert len(collection) == 405

    def test_what_is_brought_or_removed_meanwhile_is_not_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vectors = random_vectors(120, 32)
        with (
            package.open(tmp_path / "c", recipe=ready(tmp_path)) as collection,
            package.open(tmp_path / "c") as other,
        ):
            brought(collection, vectors[:100])
            begin = ComingTables.begin

            def meanwhile(*given: Any) -> None:
                begin(*given)
                brought(other, vectors[100:], 100)
                other.remove(other.search(vectors[3], k=1)[0].id)

            monkeypatch.setattr(ComingTables, "begin", meanwhile)
            assert reindex(collection, ready(tmp_path, "hnsw", "euclidean")).swapped
            for opened in (collection, other):
                assert len(opened) == 119
                for number in (0, 99, 100, 119):
                    (hit,) = opened.search(vectors[number], k=1)
                    assert hit.path == f"http://pictures/{number}"
                assert opened.search(vectors[3], k=1)[0].path != "http://pictures/3"

    @pytest.mark.parametrize("other", [{"made_by": "another"}, {"dim": 16}])
    def test_others_are_refused_and_nothing_changes(
        self, tmp_path: Path, other: dict[str, Any]
    ) -> None:
        vectors = random_vectors(50, 32)
        with package.open(tmp_path / "c", recipe=ready(tmp_path)) as collection:
            brought(collection, vectors)
            with pytest.raises(RecipeError, match="has no vectors for ready: it wants"):
                reindex(collection, ready(tmp_path, **other))
            assert collection.search(vectors[7], k=1)[0].path == "http://pictures/7"
            assert collection.recipe.embeddings[0].extractor.options.made_by == "a test"

    def test_an_empty_collection_takes_any(self, tmp_path: Path) -> None:
        with package.open(tmp_path / "c", recipe=ready(tmp_path)) as collection:
            assert reindex(collection, ready(tmp_path, dim=16)).swapped
            brought(collection, random_vectors(5, 16))

    def test_are_taken_over_while_a_network_describes_the_pictures_anew(
        self, tmp_path: Path, photos: Path
    ) -> None:
        def network(name: str, model: str) -> str:
            return (
                f'[embeddings.{name}]\nextractor = {{ name = "onnx", model = "{model}" }}\n'
                'index = { name = "flat" }\n'
            )

        files = sorted(photos.iterdir())
        vectors = random_vectors(len(files), 32)
        first = ready(tmp_path, more=network("small", "efficientnet-lite0-int8"))
        with package.open(tmp_path / "c", recipe=first) as collection:
            dim = collection.stats()["embeddings"]["small"]["dim"]
            collection.add_vectors(
                {"ready": vectors, "small": random_vectors(len(files), dim)},
                [hashlib.sha256(file.read_bytes()).digest() for file in files],
                [package.Place(str(file)) for file in files],
            )
            second = ready(tmp_path, "hnsw", more=network("half", "efficientnet-lite0-fp16"))
            report = reindex(collection, second)
            assert (report.swapped, report.done) == (True, len(files))
            for vector, file in zip(vectors, files, strict=True):
                (hit,) = collection.search(vector, k=1, embedding="ready")
                assert hit.path == str(file)
                described = collection.vector(hit.id, "half")[0]
                assert collection.search(described, k=1, embedding="half")[0].id == hit.id

    def test_from_the_command_line(self, tmp_path: Path) -> None:
        with package.open(tmp_path / "c", recipe=ready(tmp_path)) as collection:
            brought(collection, random_vectors(50, 32))
        done = called("reindex", "--recipe", ready(tmp_path, "hnsw"), "-c", tmp_path / "c")
        assert done.returncode == 0, done.stderr
        other = ready(tmp_path, made_by="another")
        done = called("reindex", "--recipe", other, "-c", tmp_path / "c")
        assert done.returncode == 2
        assert done.stderr.startswith("lookalike: the collection has no vectors for ready")
        assert done.stderr.count("\n") == 1


def cosine(a: Vectors, b: Vectors) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


class TestSeveralEmbeddings:
    def test_are_searched_alone_or_fused_by_rank(
        self, collection: package.Collection, tmp_path: Path
    ) -> None:
        report = reindex(collection, two(tmp_path))
        assert report.swapped
        query = pixels(3)
        alone = {
            name: [hit.id for hit in collection.search(query, k=COUNT, embedding=name)]
            for name in ("small", "half")
        }
        expected = {
            id: 1 / (60 + 1 + alone["small"].index(id)) + 2 / (60 + 1 + alone["half"].index(id))
            for id in alone["small"]
        }
        fused = collection.search(query, k=COUNT)
        assert [hit.score for hit in fused] == pytest.approx(
            sorted((value / (3 / 61) for value in expected.values()), reverse=True)
        )
        assert set(fused[0].scores) == {"small", "half"}
        with pytest.raises(UnknownName, match="small"):
            collection.search(query, embedding="smal")
        collection.close()

    def test_are_fused_by_their_weighted_scores(
        self, collection: package.Collection, tmp_path: Path
    ) -> None:
        reindex(collection, two(tmp_path, "weighted"))
        first = collection.search(pixels(3), k=1)[0]
        found = {hit.id: hit.score for hit in collection.more_like(first.id, k=COUNT)}
        for id, score in found.items():
            small, half = (
                cosine(collection.vector(id, name), collection.vector(first.id, name))
                for name in ("small", "half")
            )
            assert score == pytest.approx((small + 2 * half) / 3, abs=1e-4)
        collection.close()

    def test_pages_agree_also_beyond_what_is_looked_at(
        self, collection: package.Collection, tmp_path: Path
    ) -> None:
        text = TWO.format(method="reciprocal-rank").replace("[fusion]", "[fusion]\ncandidates = 4")
        (tmp_path / "few.toml").write_text(text)
        reindex(collection, str(tmp_path / "few.toml"))
        pages = [
            [hit.id for hit in collection.search(pixels(3), k=3, offset=offset)]
            for offset in range(0, COUNT, 3)
        ]
        every = [id for page in pages for id in page]
        assert len(set(every)) == len(every) >= 4
        collection.close()

    def test_pages_agree(self, collection: package.Collection, tmp_path: Path) -> None:
        reindex(collection, two(tmp_path))
        every = [hit.id for hit in collection.search(pixels(3), k=COUNT)]
        paged = [
            hit.id
            for offset in range(0, COUNT, 5)
            for hit in collection.search(pixels(3), k=5, offset=offset)
        ]
        assert paged == every
        collection.close()

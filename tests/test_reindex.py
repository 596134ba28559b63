"""Another recipe for a collection: nothing is lost, and the old one answers until the new does."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from samples import environment, lookalike, pixels, write

import lookalike as package
from lookalike.errors import UnknownName
from lookalike.reindex import reindex
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


def test_from_the_command_line(collection: package.Collection, tmp_path: Path) -> None:
    collection.close()
    done = lookalike("reindex", "--recipe", "default-fp16", "-c", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    assert "recipe default-fp16 now" in done.stdout
    assert lookalike("reindex", "--recipe", "nope", "-c", tmp_path / "c").returncode == 2


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

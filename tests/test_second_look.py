"""Searching with a second look, by a part, and collapsed; local features that find candidates."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from samples import PHOTOGRAPHS

import lookalike
from lookalike import registry
from lookalike.errors import BadQuery, PictureError, UnknownName
from lookalike.reindex import reindex
from lookalike.types import Box, Pixels

NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "ihc.png", "camera.png")


def pixels(name: str) -> Pixels:
    with Image.open(PHOTOGRAPHS / name) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for name in NAMES:
        shutil.copy(PHOTOGRAPHS / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def copies(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A collection by the recipe `copies`, only read."""
    with lookalike.open(tmp_path_factory.mktemp("c") / "c", recipe="copies") as collection:
        collection.add(photographs)
        yield collection


@pytest.fixture
def fresh(photographs: Path, tmp_path: Path) -> Iterator[lookalike.Collection]:
    """A collection by the default recipe, of files of its own."""
    own = shutil.copytree(photographs, tmp_path / "photographs")
    with lookalike.open(tmp_path / "c") as collection:
        collection.add(own)
        yield collection


def names(hits: list[lookalike.Hit]) -> list[str]:
    return [Path(hit.path).name for hit in hits]


def test_a_small_part_in_another_picture_is_found_and_its_place_told(copies: Any) -> None:
    pasted = pixels("coffee.png").copy()
    part = pixels("astronaut.png")[50:250, 150:350]
    pasted[100:300, 200:400] = part
    first = copies.search(part, k=1)[0]
    assert names([first]) == ["astronaut.png"]
    region = first.evidence.region
    expected = [[150, 50], [350, 50], [350, 250], [150, 250]]
    assert np.abs(region - expected).max() < 3
    assert set(names(copies.search(pasted, k=2))) == {"astronaut.png", "coffee.png"}


@pytest.mark.parametrize("turned", [np.rot90, np.fliplr, np.flipud])
def test_what_is_turned_or_mirrored_is_found(copies: Any, turned: Any) -> None:
    query = np.ascontiguousarray(turned(pixels("chelsea.png")))
    (first,) = copies.search(query, k=1)
    assert names([first]) == ["chelsea.png"]
    assert first.scores["verified"] >= 50
    assert first.evidence.mirrored == (turned is not np.rot90)


def test_asking_with_a_box_is_asking_with_that_part_cut_out(fresh: lookalike.Collection) -> None:
    path = PHOTOGRAPHS / "astronaut.png"
    box = Box(100, 40, 220, 180)
    part = np.ascontiguousarray(pixels("astronaut.png")[40:220, 100:320])
    cut = [hit.score for hit in fresh.search(part, k=3)]
    assert [hit.score for hit in fresh.search(path, k=3, crop=box)] == pytest.approx(cut)
    assert [hit.score for hit in fresh.search(path.read_bytes(), k=3, crop=box)] == pytest.approx(
        cut
    )
    (many,) = fresh.search_many([str(path)], k=3, crop=box)
    assert [hit.score for hit in many.hits] == pytest.approx(cut)


@pytest.mark.parametrize("box", [Box(-1, 0, 5, 5), Box(0, 0, 0, 5), Box(float("nan"), 0, 5, 5)])
def test_a_box_that_is_none_is_refused(fresh: lookalike.Collection, box: Box) -> None:
    with pytest.raises(BadQuery, match="crop"):
        fresh.search(PHOTOGRAPHS / "astronaut.png", crop=box)


def test_a_box_outside_the_picture_is_refused(fresh: lookalike.Collection) -> None:
    with pytest.raises(BadQuery, match="512 x 512"):
        fresh.search(PHOTOGRAPHS / "astronaut.png", crop=Box(512, 0, 5, 5))


def test_every_comparator_gives_its_score_and_the_last_one_orders(
    fresh: lookalike.Collection,
) -> None:
    every = registry.names("comparator")
    hits = fresh.search(
        PHOTOGRAPHS / "chelsea.png",
        compare=[name for name in every if name != "phash"] + ["phash"],
        k=None,
    )
    assert len(hits) == len(NAMES)
    assert all(hit.scores.keys() == set(every) for hit in hits)
    bits = [hit.scores["phash"] or 0 for hit in hits]
    assert bits == sorted(bits)
    assert bits[0] == 0
    hits = fresh.search(PHOTOGRAPHS / "chelsea.png", compare="verified", k=None)
    inliers = [hit.scores["verified"] or 0 for hit in hits]
    assert inliers == sorted(inliers, reverse=True)


def test_fused_comparators_agree_with_reciprocal_ranks_by_hand(
    fresh: lookalike.Collection,
) -> None:
    query = PHOTOGRAPHS / "coffee.png"
    first = names(fresh.search(query, k=None))
    by = {name: names(fresh.search(query, k=None, compare=name)) for name in ("histogram", "phash")}
    expected = {
        name: sum(1 / (61 + ranked.index(name)) for ranked in (first, *by.values()))
        for name in first
    }
    fused = names(fresh.search(query, k=None, compare=list(by), order="fused"))
    assert [expected[name] for name in fused] == sorted(expected.values(), reverse=True)


def test_an_unknown_comparator_is_refused_with_the_nearest_name(
    fresh: lookalike.Collection,
) -> None:
    with pytest.raises(UnknownName, match="Did you mean verified"):
        fresh.search(PHOTOGRAPHS / "coffee.png", compare="verifeid")


def test_words_and_vectors_cannot_be_compared(fresh: lookalike.Collection) -> None:
    with pytest.raises(BadQuery, match="one picture"):
        fresh.search(text="cat", compare="ssim")
    with pytest.raises(BadQuery, match="vector"):
        fresh.search(fresh.vector(next(iter(fresh)).id), compare="verified")


def test_a_candidate_whose_file_has_gone_stays_a_hit(fresh: lookalike.Collection) -> None:
    query = pixels("chelsea.png")
    fresh.search(query, compare="verified")  # its features are made and kept
    gone = next(record for record in fresh if record.path.endswith("chelsea.png"))
    Path(gone.path).unlink()
    hits = fresh.search(query, compare=["ssim", "verified"], k=None)
    assert len(hits) == len(NAMES)
    assert names(hits)[0] == "chelsea.png"
    assert hits[0].scores["ssim"] is None
    assert "chelsea.png" in hits[0].to_json()["unavailable"]["ssim"]
    assert not any(hit.unavailable for hit in hits[1:])
    assert (hits[0].scores["verified"] or 0) > 100
    last = fresh.search(query, compare=["verified", "ssim"], k=None)[-1]
    assert names([last]) == ["chelsea.png"]  # what could not be compared comes last


def test_pages_of_compared_hits_are_parts_of_the_whole(fresh: lookalike.Collection) -> None:
    query = PHOTOGRAPHS / "rocket.jpg"
    whole = names(fresh.search(query, compare="verified", k=6))
    assert names(fresh.search(query, compare="verified", k=2, offset=2)) == whole[2:4]
    assert names(fresh.search(query, compare="verified", k=None, offset=4)) == whole[4:]


@pytest.mark.parametrize("odd", [(1, 1), (1, 300), (40, 40)])
def test_a_query_without_keypoints_finds_no_copy_and_no_nonsense(
    copies: Any, odd: tuple[int, int]
) -> None:
    hits = copies.search(np.full((*odd, 3), 127, np.uint8), k=None)
    assert len(hits) == len(NAMES)
    assert all(np.isfinite(hit.score) and hit.scores["verified"] == 0 for hit in hits)


def test_a_stored_picture_is_not_among_its_own_hits(copies: Any) -> None:
    record = next(iter(copies))
    hits = copies.more_like(record.id, k=None)
    assert len(hits) == len(NAMES) - 1
    assert record.id not in {hit.id for hit in hits}
    assert all("verified" in hit.scores for hit in hits)


def test_the_same_picture_in_other_formats_stands_for_one_hit(
    fresh: lookalike.Collection, tmp_path: Path
) -> None:
    with Image.open(PHOTOGRAPHS / "chelsea.png") as image:
        for format in ("jpeg", "webp", "bmp"):
            image.save(tmp_path / f"chelsea.{format}")
    fresh.add(tmp_path / "chelsea.jpeg", tmp_path / "chelsea.webp", tmp_path / "chelsea.bmp")
    hits = fresh.search(PHOTOGRAPHS / "chelsea.png", k=3, collapse=True)
    assert len(hits) == 3
    assert len({name.partition(".")[0] for name in names(hits)}) == 3
    assert {Path(each.path).stem for each in hits[0].alike} == {"chelsea"}
    assert len(hits[0].alike) == 3
    assert {each["path"] for each in hits[0].to_json()["alike"]} == {
        each.path for each in hits[0].alike
    }


def test_votes_find_what_another_process_adds_and_forget_what_it_removes(
    photographs: Path, tmp_path: Path
) -> None:
    with (
        lookalike.open(tmp_path / "c", recipe="copies") as ours,
        lookalike.open(tmp_path / "c") as theirs,
    ):
        ours.add(photographs / "coffee.png", photographs / "rocket.jpg")
        assert votes(ours, "chelsea.png").keys() <= {"coffee.png", "rocket.jpg"}
        theirs.add(photographs / "chelsea.png")
        assert most(votes(ours, "chelsea.png")) == "chelsea.png"
        theirs.remove(next(r.id for r in theirs if r.path.endswith("chelsea.png")))
        assert "chelsea.png" not in votes(ours, "chelsea.png")


def most(numbers: Mapping[str, float]) -> str:
    return max(numbers, key=lambda name: numbers[name])


def votes(collection: lookalike.Collection, name: str) -> dict[str, float]:
    """The votes of a picture's features, by file."""
    hits = collection.search(PHOTOGRAPHS / name, k=None, compare=())
    return {
        Path(hit.path).name: hit.scores.get("local") or 0.0 for hit in hits if "local" in hit.scores
    }


def test_a_damaged_file_of_votes_is_made_anew_by_who_finds_it_and_by_nobody_after(
    photographs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with lookalike.open(tmp_path / "c", recipe="copies") as collection:
        collection.add(photographs)
        before = votes(collection, "rocket.jpg")
    (saved,) = (tmp_path / "c" / "local").iterdir()
    for file in saved.iterdir():
        file.write_bytes(file.read_bytes()[:-3])
    for warnings in (1, 0):
        caplog.clear()
        with lookalike.open(tmp_path / "c") as collection:
            assert votes(collection, "rocket.jpg") == pytest.approx(before)
        assert len([each for each in caplog.messages if "made anew" in each]) == warnings


def test_a_filter_holds_for_what_local_features_find(copies: Any) -> None:
    hits = copies.search(PHOTOGRAPHS / "chelsea.png", k=None, where="format = JPEG")
    assert names(hits) == ["rocket.jpg"]


def test_reindexing_makes_the_local_features_that_are_lacking(
    fresh: lookalike.Collection,
) -> None:
    assert fresh.stats()["local_features"]["pictures"] == 0
    reindex(fresh, "copies")
    assert fresh.stats()["local_features"]["pictures"] == len(NAMES)
    assert "local" in fresh.search(PHOTOGRAPHS / "chelsea.png", k=1)[0].scores


def test_exhaustive_matching_counts_the_mutual_nearest_neighbours(
    photographs: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        '[embeddings.default]\nextractor = {name = "onnx", model = "efficientnet-lite0-int8"}\n'
        'index = {name = "flat"}\n'
        '[local]\nstored = "at-ingest"\nmatching = "exhaustive"\n'
    )
    with lookalike.open(tmp_path / "c", recipe=str(recipe)) as collection:
        collection.add(photographs)
        found = votes(collection, "camera.png")
        stored = {
            Path(record.path).name: features.descriptors
            for record in collection
            for features in collection.store.local_features([record.id]).values()
        }
    query = stored["camera.png"]
    matcher = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True)
    expected = {name: len(matcher.match(query, each)) for name, each in stored.items()}
    for name, count in found.items():
        assert count == pytest.approx(expected[name], rel=0.02)
    assert most(expected) == most(found) == "camera.png"


def test_two_pictures_are_compared_however_they_are_given(fresh: lookalike.Collection) -> None:
    path = PHOTOGRAPHS / "astronaut.png"
    stored = next(record for record in fresh if record.path.endswith("astronaut.png"))
    part = np.ascontiguousarray(pixels("astronaut.png")[100:400, 100:400])
    for first in (part, part[:, :, ::-1].copy()):
        pair = fresh.match(first, stored)
        assert pair.scores["verified"] >= 30  # type: ignore[operator]
        assert pair.evidence is not None
        assert pair.first.size == (300, 300)
    assert fresh.match(path, path.read_bytes()).scores["verified"] == pytest.approx(
        fresh.match(stored, stored).scores["verified"]
    )
    with pytest.raises(PictureError):
        fresh.match(b"no picture", stored)

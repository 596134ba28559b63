"""Duplicates: what is grouped and what is not, which one is kept, on real pictures."""

from __future__ import annotations

import itertools
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from samples import DATA, PHOTOGRAPHS, called, cosine, needs_data, pixels, write

import lookalike as api
from lookalike import duplicates, edits
from lookalike.collection import Collection
from lookalike.duplicates import Duplicates, keeping
from lookalike.duplicates.candidates import LIKELY
from lookalike.duplicates.grouping import grouped
from lookalike.duplicates.values import Relation
from lookalike.errors import BadQuery
from lookalike.types import Pixels, Place, Record

Open = Callable[..., Collection]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens a collection of `tmp_path / "pictures"` with what is there taken in."""
    collections = []

    def open(recipe: str = "default") -> Collection:
        collection = api.open(tmp_path / "c.lookalike", recipe=recipe)
        collections.append(collection)
        collection.add(tmp_path / "pictures")
        return collection

    (tmp_path / "pictures").mkdir()
    yield open
    for collection in collections:
        collection.close()


@pytest.fixture
def pictures(tmp_path: Path, opened: Open) -> Path:  # noqa: ARG001 - makes the folder
    return tmp_path / "pictures"


def photograph(name: str) -> Pixels:
    with Image.open(PHOTOGRAPHS / name) as image:
        return np.asarray(image.convert("RGB"))


def save(pixels: Pixels, path: Path, quality: int = 90) -> Path:
    Image.fromarray(pixels).save(path, quality=quality)
    return path


def edited(name: str, edit: str) -> Pixels:
    each = edits.EDITS[edit]
    return each.function(photograph(name), np.random.default_rng(0), **each.parameters)


def names(found: Duplicates) -> list[set[str]]:
    """Of every group, the names of its files."""
    return [
        {Path(each.place.path).name for each in (group.keep, *group.others)}
        for group in found.groups
    ]


def record(name: str, side: int = 10) -> Record:
    return Record(name, "PNG", side, side, 100, 0.0, (Place(f"/{name}.png"),))


def test_exact_content_at_two_places_is_a_group(opened: Open, pictures: Path) -> None:
    shutil.copy(PHOTOGRAPHS / "chelsea.png", pictures / "a.png")
    shutil.copy(PHOTOGRAPHS / "chelsea.png", pictures / "b.png")
    shutil.copy(PHOTOGRAPHS / "rocket.jpg", pictures)
    found = duplicates.find(opened(), ("exact",))
    assert names(found) == [{"a.png", "b.png"}]
    assert found.groups[0].kind == "exact"
    assert Path(found.groups[0].keep.place.path).name == "a.png"
    assert found.size == (pictures / "b.png").stat().st_size
    assert found.described == 0


def test_the_same_pixels_in_another_format_are_exact(opened: Open, pictures: Path) -> None:
    save(photograph("chelsea.png"), pictures / "a.png")
    save(photograph("chelsea.png"), pictures / "b.bmp")
    almost = photograph("chelsea.png").copy()
    almost[0, 0, 0] ^= 1
    save(almost, pictures / "c.png")
    found = duplicates.find(opened(), ("exact",))
    assert names(found) == [{"a.png", "b.bmp"}]
    assert Path(found.groups[0].keep.place.path).name == "b.bmp", "it has more bytes"


def test_edited_copies_are_grouped_with_their_original(opened: Open, pictures: Path) -> None:
    originals = ("astronaut.png", "coffee.png", "chelsea.png")
    for name in originals:
        save(photograph(name), pictures / name)
        for edit in ("flip", "crop-50", "width-96"):
            save(edited(name, edit), pictures / f"{Path(name).stem}-{edit}.jpg", quality=85)
    shutil.copy(PHOTOGRAPHS / "rocket.jpg", pictures)
    found = duplicates.find(opened(), ("exact", "copy"))
    for name in originals:
        stem = Path(name).stem
        expected = {name, *(f"{stem}-{edit}.jpg" for edit in ("flip", "crop-50", "width-96"))}
        assert expected in names(found)
    assert len(found.groups) == 3
    assert found.described > 0
    assert duplicates.find(opened(), ("exact", "copy")).described == 0, "they are kept"


def test_votes_find_what_vectors_do_not(opened: Open, pictures: Path) -> None:
    for name in ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "camera.png"):
        shutil.copy(PHOTOGRAPHS / name, pictures)
    save(edited("astronaut.png", "crop-10"), pictures / "part.jpg", quality=90)
    collection = opened("copies")
    ids = [collection.meant(str(pictures / name)).id for name in ("astronaut.png", "part.jpg")]
    vectors = [collection.vector(id) for id in ids]
    assert cosine(*vectors)[0] < LIKELY
    found = duplicates.find(collection, ("copy",))
    assert {"astronaut.png", "part.jpg"} in names(found)
    assert found.described == 0, "the recipe has made them already"


def test_groups_do_not_chain(opened: Open, pictures: Path) -> None:
    """Three overlapping parts of one picture: the middle is like both others, these not alike."""
    whole = np.asarray(Image.fromarray(photograph("astronaut.png")).resize((1024, 1024)))
    strip = whole[:400]
    save(strip[:, :420], pictures / "left.png")
    save(strip[:, 230:780], pictures / "middle.png")
    save(strip[:, 600:], pictures / "right.png")
    collection = opened()
    for path in pictures.iterdir():  # what vectors may not see is not what this is about
        for other in pictures.iterdir():
            assert collection.match(path, other).scores["verified"] is not None
    verified = {
        frozenset((a.name, b.name)): collection.match(a, b).evidence
        for a, b in itertools.combinations(sorted(pictures.iterdir()), 2)
    }
    assert verified[frozenset(("left.png", "right.png"))] is None
    for group in names(duplicates.find(collection)):
        assert not {"left.png", "right.png"} <= group


def test_a_chain_of_any_length_becomes_stars() -> None:
    records = [record(str(number)) for number in range(9)]

    def related(one: Record, others: Sequence[Record]) -> list[Relation | None]:
        near = [abs(int(one.id) - int(other.id)) == 1 for other in others]
        return [Relation("copy") if each else None for each in near]

    stars = grouped(records, lambda _: records, related, lambda _a, _b: False)
    for star in stars:
        assert all(related(star.leader, [each])[0] for each, _ in star.members)
    together = [id for star in stars for id in star.ids]
    assert len(together) == len(set(together))


def test_copies_that_only_their_original_knows_come_together() -> None:
    turned, mirrored, original, other = map(record, ("turned", "mirrored", "original", "other"))
    known = {"turned": [original], "mirrored": [original, other], "other": [mirrored]}
    known["original"] = [turned, mirrored]

    def related(one: Record, others: Sequence[Record]) -> list[Relation | None]:
        return [None if "other" in (one.id, each.id) else Relation("copy") for each in others]

    stars = grouped(
        [turned, mirrored, original, other],
        lambda each: known[each.id],
        related,
        lambda _a, _b: False,
    )
    assert [set(star.ids) for star in stars] == [{"turned", "mirrored", "original"}]


def test_far_candidates_are_not_compared_when_near_ones_are_nothing() -> None:
    records = [record(f"{number:03}") for number in range(500)]
    compared = 0

    def related(_one: Record, others: Sequence[Record]) -> list[Relation | None]:
        nonlocal compared
        compared += len(others)
        return [None] * len(others)

    assert grouped(records, lambda _: records, related, lambda _a, _b: False) == []
    assert compared <= 8 * len(records)


def test_rejected_pairs_are_never_in_one_group(opened: Open, pictures: Path) -> None:
    save(photograph("coffee.png"), pictures / "a.png")
    save(edited("coffee.png", "flip"), pictures / "b.png")
    save(edited("coffee.png", "grey"), pictures / "c.png")
    collection = opened()
    assert names(duplicates.find(collection)) == [{"a.png", "b.png", "c.png"}]
    collection.judge(str(pictures / "b.png"), str(pictures / "c.png"), same=False)
    for group in names(duplicates.find(collection)):
        assert not {"b.png", "c.png"} <= group
    collection.judge(str(pictures / "c.png"), str(pictures / "b.png"), same=None)
    assert names(duplicates.find(collection)) == [{"a.png", "b.png", "c.png"}]


def test_a_rejection_outlasts_that_the_picture_is_forgotten(opened: Open, pictures: Path) -> None:
    save(photograph("coffee.png"), pictures / "a.png")
    save(edited("coffee.png", "flip"), pictures / "b.png")
    collection = opened()
    said = collection.judge(str(pictures / "a.png"), str(pictures / "b.png"), same=False)
    assert said is not None
    collection.remove(collection.meant(str(pictures / "b.png")).id)
    assert collection.judgements() == [said]
    collection.add(pictures)
    assert len(collection) == 2
    assert duplicates.find(collection).groups == []


def test_accepted_pairs_count_as_verified(opened: Open, pictures: Path) -> None:
    for name in ("coffee.png", "rocket.jpg", "camera.png"):
        shutil.copy(PHOTOGRAPHS / name, pictures)
    collection = opened()
    assert duplicates.find(collection).groups == []
    collection.judge(str(pictures / "coffee.png"), str(pictures / "rocket.jpg"), same=True)
    (group,) = duplicates.find(collection).groups
    assert names(duplicates.find(collection)) == [{"coffee.png", "rocket.jpg"}]
    assert group.others[0].relation.judged


def test_pictures_without_content_are_not_grouped_by_accident(opened: Open, pictures: Path) -> None:
    for number, shade in enumerate((0, 90, 128, 255)):
        save(np.full((1, 1, 3), shade, np.uint8), pictures / f"dot-{number}.png")
        save(np.full((64, 64, 3), shade, np.uint8), pictures / f"plain-{number}.png")
        save(np.full((64, 80, 3), shade, np.uint8), pictures / f"wide-{number}.png")
    save(photograph("camera.png"), pictures / "camera.png")
    collection = opened("copies")
    found = duplicates.find(collection)
    assert found.groups == []
    save(np.full((64, 64, 3), 90, np.uint8), pictures / "again.bmp")
    collection.add(pictures)
    assert names(duplicates.find(collection)) == [{"again.bmp", "plain-1.png"}]


def test_nothing_and_one_picture_have_no_duplicates(opened: Open, pictures: Path) -> None:
    collection = opened("copies")
    assert duplicates.find(collection).groups == []
    write(pictures / "one.png", 1)
    collection.add(pictures)
    found = duplicates.find(collection)
    assert (found.groups, found.pictures, found.compared) == ([], 1, 0)


def test_files_that_are_gone_are_in_no_group(opened: Open, pictures: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        shutil.copy(PHOTOGRAPHS / "chelsea.png", pictures / name)
    save(edited("chelsea.png", "flip"), pictures / "flipped.png")
    collection = opened()
    (pictures / "a.png").unlink()
    (pictures / "flipped.png").unlink()
    found = duplicates.find(collection)
    assert names(found) == [{"b.png", "c.png"}]
    assert set(found.gone) >= {str(pictures / "a.png")}
    shutil.rmtree(pictures)
    assert duplicates.find(collection).groups == []


def test_a_picture_that_cannot_be_read_any_more_is_no_harm(opened: Open, pictures: Path) -> None:
    save(photograph("coffee.png"), pictures / "a.png")
    save(edited("coffee.png", "grey"), pictures / "b.png")
    collection = opened()
    (pictures / "b.png").write_bytes(b"something else")
    assert duplicates.find(collection).groups == []


def test_members_of_archives_are_found_as_well(opened: Open, pictures: Path) -> None:
    shutil.copy(PHOTOGRAPHS / "chelsea.png", pictures)
    with zipfile.ZipFile(pictures / "some.zip", "w") as archive:
        archive.write(PHOTOGRAPHS / "chelsea.png", "inside.png")
    collection = opened()
    collection.add(pictures / "some.zip")
    (group,) = duplicates.find(collection, ("exact",)).groups
    assert {each.place.path for each in (group.keep, *group.others)} == {
        str(pictures / "chelsea.png"),
        f"{pictures / 'some.zip'}!/inside.png",
    }


@pytest.mark.parametrize("kinds", [(), ("exactly",), ("exact", "similar")])
def test_kinds_that_there_are_not_are_refused(
    opened: Open, pictures: Path, kinds: tuple[str, ...]
) -> None:
    write(pictures / "one.png", 1)
    with pytest.raises(BadQuery, match="exact, copy, near"):
        duplicates.find(opened(), kinds)


def test_what_is_kept_is_the_largest_then_the_sharpest_then_the_least_compressed(
    opened: Open, pictures: Path
) -> None:
    large = photograph("coffee.png")
    save(large, pictures / "large.jpg", quality=80)
    save(large[::2, ::2], pictures / "small.png")
    collection = opened()
    (group,) = duplicates.find(collection).groups
    assert Path(group.keep.place.path).name == "large.jpg"
    assert "largest" in group.why
    save(np.asarray(cv2.GaussianBlur(large, (0, 0), 2.5), np.uint8), pictures / "blurred.png")
    collection.add(pictures)
    (group,) = duplicates.find(collection).groups
    assert Path(group.keep.place.path).name == "large.jpg"
    assert "sharpest" in group.why
    save(large, pictures / "large.png")
    collection.add(pictures)
    (group,) = duplicates.find(collection).groups
    assert Path(group.keep.place.path).name == "large.png"
    assert "least compressed" in group.why


def test_of_equals_the_one_that_came_first_is_kept_in_any_order() -> None:
    records = [Record(str(n), "PNG", 10, 10, 100, 5.0 + n, (Place(f"/{n}.png"),)) for n in range(4)]
    for some in itertools.permutations(records):
        keep, _ = keeping.best(some, lambda each: {one.id: 1.0 for one in each})
        assert keep.id == "0"


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)
    values = np.pad(grey.astype(float), 1, mode="reflect")
    laplacian = (
        values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    ) - 4 * values[1:-1, 1:-1]
    assert keeping.sharpness_of(np.stack([grey] * 3, axis=2)) == pytest.approx(laplacian.var())
    assert keeping.sharpness_of(np.full((1, 1, 3), 7, np.uint8)) == 0


def test_near_pairs_are_those_of_brute_force(opened: Open, pictures: Path) -> None:
    for number in range(40):
        write(pictures / f"{number}.png", number)
    collection = opened()
    ids = [each.id for each in collection]
    vectors = np.concatenate([collection.vector(id) for id in ids]).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    least = float(np.median(cosines))
    expected = {
        frozenset((ids[i], ids[j]))
        for i, j in itertools.combinations(range(40), 2)
        if cosines[i, j] >= least + 1e-5
    }
    pairs = collection.store.near_pairs("default", 40, least + 1e-5)
    assert {frozenset((a.id, b.id)) for a, b, _ in pairs} == expected
    scores = [score for _, _, score in pairs]
    assert scores == sorted(scores, reverse=True)


def test_the_same_collection_gives_the_same_answer(opened: Open, pictures: Path) -> None:
    for name in ("coffee.png", "astronaut.png"):
        for edit in ("unedited", "flip", "grey", "colour"):
            save(edited(name, edit), pictures / f"{name}-{edit}.jpg", quality=90)
    collection = opened()
    first, again = (duplicates.find(collection).to_json()["groups"] for _ in range(2))
    assert first == again


@needs_data
def test_no_photograph_of_a_thing_is_a_copy_of_another_photograph_of_such_a_thing(
    opened: Open, pictures: Path
) -> None:
    for folder in ("starfish", "cup", "lotus", "sea_horse"):
        for path in sorted((DATA / "caltech60" / folder).glob("*.jpg"))[:20]:
            shutil.copy(path, pictures / f"{folder}-{path.name}")
    collection = opened()
    assert names(duplicates.find(collection, ("exact", "copy"))) == []


def test_the_command_line_prints_groups_and_their_shape_in_json(
    tmp_path: Path, opened: Open, pictures: Path
) -> None:
    save(photograph("coffee.png"), pictures / "a.png")
    save(edited("coffee.png", "grey"), pictures / "b.png")
    write(pictures / "c.png", 3)
    opened().close()
    collection = ("-c", tmp_path / "c.lookalike")
    page = tmp_path / "page.html"
    plain = called("duplicates", *collection, "--html", page)
    assert plain.returncode == 0
    assert [line.split("\t")[1] for line in plain.stdout.splitlines()] == ["keep", "copy"]
    said = json.loads(called("duplicates", *collection, "--json").stdout)
    assert set(said) == {
        *("kinds", "groups", "others", "bytes", "pictures", "compared", "described", "gone"),
        *("seconds", "cleared"),
    }
    (group,) = said["groups"]
    assert set(group) == {"kind", "bytes", "keep", "others"}
    member = {"id", "path", "kind", "inliers", "judged", "width", "height", "bytes"}
    assert set(group["others"][0]) == member
    assert set(group["keep"]) == member | {"why"}
    text = page.read_text()
    assert text.count("<img") == 2
    assert "http" not in text.replace("http-equiv", "")
    for path in (pictures / "a.png", pictures / "b.png"):
        assert path.exists()


def test_the_page_escapes_names_and_is_never_written_over_another_file(
    tmp_path: Path, opened: Open, pictures: Path
) -> None:
    save(photograph("coffee.png"), pictures / "<img src=x onerror=alert(1)>.png")
    shutil.copy(pictures / "<img src=x onerror=alert(1)>.png", pictures / "b.png")
    opened().close()
    page = tmp_path / "page.html"
    done = called("duplicates", "-c", tmp_path / "c.lookalike", "--html", page)
    assert done.returncode == 0
    assert "<img src=x" not in page.read_text()
    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    refused = called("duplicates", "-c", tmp_path / "c.lookalike", "--html", mine)
    assert refused.returncode == 2
    assert mine.read_text() == "mine"


def test_pictures_are_what_tests_think(opened: Open, pictures: Path) -> None:
    """Soft blobs have no keypoints to speak of: none of them is a copy of another."""
    for number in range(12):
        save(pixels(number), pictures / f"{number}.png")
    assert duplicates.find(opened("copies")).groups == []

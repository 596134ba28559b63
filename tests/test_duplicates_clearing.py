"""Files of duplicates moved away or linked, and all of it taken back, on real files."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from samples import PHOTOGRAPHS, called, write

import lookalike as api
from lookalike import duplicates
from lookalike.collection import Collection
from lookalike.duplicates import clearing, files
from lookalike.errors import BadUndoLog

State = dict[str, tuple[bytes, int, int]]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two groups in two folders: chelsea three times, coffee twice, another format of it."""
    folder = tmp_path / "pictures"
    for name, places in (
        ("chelsea.png", ("a/one.png", "a/two.png", "b/three.png")),
        ("coffee.png", ("a/coffee.png", "b/coffee.png")),
    ):
        for place in places:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PHOTOGRAPHS / name, folder / place)
            (folder / place).chmod(0o640)
            os.utime(folder / place, ns=(10**18, 10**18 + len(place)))
    with Image.open(PHOTOGRAPHS / "coffee.png") as image:
        image.convert("RGB").save(folder / "b" / "coffee.tif")
    write(folder / "other.png", 5)
    return folder


@pytest.fixture
def collection(tmp_path: Path, pictures: Path) -> Iterator[Collection]:
    with api.open(tmp_path / "c.lookalike") as collection:
        collection.add(pictures)
        yield collection


def state(folder: Path) -> State:
    """Bytes, mode and time of every file."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes(),
            path.stat().st_mode,
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def places(collection: Collection) -> set[str]:
    return {place.path for record in collection for place in record.places}


def clear(collection: Collection, move_to: Path | None) -> clearing.Cleared:
    groups = duplicates.find(collection, ("exact",)).groups
    return clearing.apply(collection, groups, move_to)


def test_finding_touches_nothing(collection: Collection, pictures: Path) -> None:
    before, known = state(pictures), places(collection)
    duplicates.find(collection)
    assert (state(pictures), places(collection)) == (before, known)


def test_others_are_moved_with_their_paths_and_undo_restores_all(
    collection: Collection, pictures: Path, tmp_path: Path
) -> None:
    before, known = state(pictures), places(collection)
    collection.store.describe([api.Place(str(pictures / "b" / "three.png"), "a cat", {"stars": 5})])
    away = tmp_path / "away"
    done = clear(collection, away)
    assert done.left == {}
    assert set(state(away)) == {"a/two.png", "b/three.png", "a/coffee.png", "b/coffee.png"}
    assert set(state(pictures)) == {"a/one.png", "b/coffee.tif", "other.png"}
    assert places(collection) == {str(pictures / each) for each in state(pictures)}
    assert {**state(away), **state(pictures)} == before
    assert duplicates.find(collection).groups == []
    assert done.log is not None
    back = clearing.undo(collection, done.log)
    assert (back.left, len(back.done)) == ({}, 4)
    assert state(pictures) == before
    assert places(collection) == known
    place = collection.meant(str(pictures / "a" / "one.png")).place_at(
        str(pictures / "b" / "three.png")
    )
    assert place is not None
    assert (place.label, dict(place.metadata)) == ("a cat", {"stars": 5})
    again = clearing.undo(collection, done.log)
    assert (again.done, again.left) == ([], {}), "it may be run again, and does nothing"
    assert sorted(again.unchanged) == sorted(back.done)
    assert state(pictures) == before


def test_links_are_made_of_the_same_bytes_alone_and_undo_parts_them(
    collection: Collection, pictures: Path
) -> None:
    before = state(pictures)
    done = clear(collection, None)
    one, two = pictures / "a" / "one.png", pictures / "a" / "two.png"
    assert one.samefile(two)
    assert one.samefile(pictures / "b" / "three.png")
    assert "only `move`" in done.left[str(pictures / "a" / "coffee.png")]
    assert {each: content for each, (content, _, _) in state(pictures).items()} == {
        each: content for each, (content, _, _) in before.items()
    }
    assert done.log is not None
    back = clearing.undo(collection, done.log)
    assert (len(back.done), back.left) == (2, {})
    again = clearing.undo(collection, done.log)
    assert (again.done, sorted(again.unchanged), again.left) == ([], sorted(back.done), {})
    assert not one.samefile(two)
    assert state(pictures) == before
    two.write_bytes(b"mine")
    assert one.read_bytes() == before["a/one.png"][0]


def test_nothing_is_overwritten(collection: Collection, pictures: Path, tmp_path: Path) -> None:
    there = tmp_path / "away" / "a" / "two.png"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"mine")
    done = clear(collection, tmp_path / "away")
    assert there.read_bytes() == b"mine"
    assert "there already" in done.left[str(pictures / "a" / "two.png")]
    assert (pictures / "a" / "two.png").exists()


def test_what_is_in_the_way_of_a_move_is_named(
    collection: Collection, pictures: Path, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file, and no folder")
    before = state(pictures)
    done = clear(collection, taken)
    assert done.left
    assert not done.done
    assert all(str(taken) in why for why in done.left.values())
    assert state(pictures) == before


def test_a_file_that_has_changed_is_not_touched(
    collection: Collection, pictures: Path, tmp_path: Path
) -> None:
    groups = duplicates.find(collection, ("exact",)).groups
    changed, gone = pictures / "a" / "two.png", pictures / "b" / "three.png"
    changed.write_bytes(changed.read_bytes() + b"more")
    gone.unlink()
    done = clearing.apply(collection, groups, tmp_path / "away")
    assert "has changed" in done.left[str(changed)]
    assert "no longer there" in done.left[str(gone)]
    assert changed.exists()
    assert not list((tmp_path / "away").rglob("two.png"))


def test_nothing_goes_when_the_one_to_keep_is_not_there(
    collection: Collection, pictures: Path, tmp_path: Path
) -> None:
    found = duplicates.find(collection, ("exact",)).groups
    (group,) = (each for each in found if each.keep.place.path.endswith("coffee.tif"))
    Path(group.keep.place.path).unlink()
    done = clearing.apply(collection, [group], tmp_path / "away")
    assert (done.done, done.log) == ([], None)
    assert len(done.left) == 2
    assert (pictures / "a" / "coffee.png").exists()


def test_another_place_of_the_same_bytes_is_kept_when_the_first_has_gone(
    collection: Collection, pictures: Path, tmp_path: Path
) -> None:
    groups = duplicates.find(collection, ("exact",)).groups
    (pictures / "a" / "one.png").unlink()
    clearing.apply(collection, groups, tmp_path / "away")
    kept = [each for each in state(pictures) if each in ("a/two.png", "b/three.png")]
    assert len(kept) == 1


def test_links_and_members_of_archives_are_left_alone(
    collection: Collection, pictures: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(PHOTOGRAPHS / "chelsea.png", "inside.png")
    (pictures / "link.png").symlink_to(pictures / "a" / "one.png")
    collection.add(pictures, tmp_path / "some.zip")
    collection.add_bytes((PHOTOGRAPHS / "chelsea.png").read_bytes(), "sent.png")
    done = clear(collection, tmp_path / "away")
    reasons = {path.rpartition("/")[2]: why for path, why in done.left.items()}
    assert "archive" in reasons["inside.png"]
    assert "plain file" in reasons["link.png"]
    assert "not a file on this disk" in reasons["sent.png"]
    assert (pictures / "link.png").is_symlink()


@pytest.mark.parametrize("where", ["before", "linked", "half"])
def test_an_interruption_leaves_a_log_that_is_right(
    collection: Collection,
    pictures: Path,
    tmp_path: Path,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`before`: the action had not begun; `linked`: both names; `half`: a part of a copy."""
    before, known = state(pictures), places(collection)
    count = 0

    def interrupted(path: Path, to: Path) -> None:
        nonlocal count
        count += 1
        if count == 2:
            if where == "linked":
                os.link(path, to)
            elif where == "half":
                to.write_bytes(path.read_bytes()[:1000])
            raise KeyboardInterrupt
        files.move(path, to)

    monkeypatch.setattr(clearing, "move", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clear(collection, tmp_path / "away")
    (log,) = (collection.path / "undo").iterdir()
    assert len(log.read_text().splitlines()) == 3, "a heading and two actions"
    back = clearing.undo(collection, log)
    assert back.left == {}
    assert state(pictures) == before
    assert places(collection) == known
    assert state(tmp_path / "away") == {}


def test_a_last_line_that_is_not_whole_is_passed_over(
    collection: Collection, pictures: Path, tmp_path: Path
) -> None:
    before = state(pictures)
    done = clear(collection, tmp_path / "away")
    assert done.log is not None
    with done.log.open("a") as file:
        file.write('{"action": "mo')
    assert clearing.undo(collection, done.log).left == {}
    assert state(pictures) == before


def test_undo_overwrites_nothing(collection: Collection, pictures: Path, tmp_path: Path) -> None:
    done = clear(collection, tmp_path / "away")
    assert done.log is not None
    mine, changed = pictures / "a" / "two.png", tmp_path / "away" / "b" / "three.png"
    mine.write_bytes(b"mine")
    changed.write_bytes(b"changed")
    back = clearing.undo(collection, done.log)
    assert set(back.left) == {str(mine), str(pictures / "b" / "three.png")}
    assert mine.read_bytes() == b"mine"
    assert (pictures / "a" / "coffee.png").exists()


def test_files_move_to_another_disk_as_well(
    collection: Collection,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    before = state(pictures)
    monkeypatch.setattr(os, "link", link)
    done = clear(collection, tmp_path / "away")
    assert done.left == {}
    assert {**state(tmp_path / "away"), **state(pictures)} == before
    assert done.log is not None
    clearing.undo(collection, done.log)
    assert state(pictures) == before


@pytest.mark.parametrize(
    "text", ["", "{}", "not json", '{"lookalike": 1, "collection": "/elsewhere"}\n', "[1]\n{}\n"]
)
def test_what_is_no_log_is_refused(collection: Collection, tmp_path: Path, text: str) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(text)
    with pytest.raises(BadUndoLog, match=r"log\.jsonl"):
        clearing.undo(collection, log)
    with pytest.raises(BadUndoLog, match="missing"):
        clearing.undo(collection, tmp_path / "missing")


def test_the_command_line_clears_and_takes_back(
    collection: Collection, pictures: Path, tmp_path: Path
) -> None:
    before = state(pictures)
    collection.close()
    there = ("duplicates", "-c", collection.path)
    unsaid = called(*there, "--apply", "link")
    assert (unsaid.returncode, "--kinds" in unsaid.stderr) == (2, True)
    wrong = called(*there, "--kinds", "exact", "--apply", "delete")
    assert wrong.returncode == 2
    assert state(pictures) == before
    apply = f"move={tmp_path / 'away'}"
    done = called(*there, "--kinds", "exact", "--apply", apply, "--json")
    assert done.returncode == 0, done.stderr
    cleared = json.loads(done.stdout)["cleared"]
    assert len(cleared["done"]) == 4
    back = called(*there, "--undo", cleared["log"])
    assert back.returncode == 0, back.stderr
    assert [line.split("\t")[0] for line in back.stdout.splitlines()] == ["restored"] * 4
    again = called(*there, "--undo", cleared["log"])
    assert (again.returncode, again.stdout) == (0, "")
    assert "nothing to be taken back: 4 files as before" in again.stderr
    assert state(pictures) == before
    linked = called(*there, "--kinds", "exact", "--apply", "link")
    assert linked.returncode == 1, "coffee.png is left as it is"

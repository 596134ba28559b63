"""Damage of every kind, done by SQL and by deleting files, is told and mended; nothing else is."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_vectors, sha
from samples import called, encoded, pixels, write

import lookalike as package
from lookalike.reconcile import Reconciled, reconcile
from lookalike.types import Place

COUNT = 12


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(COUNT):
        write(tmp_path / "photos" / f"{number}.png", number)
    return tmp_path / "photos"


@pytest.fixture
def folder(tmp_path: Path, photos: Path) -> Path:
    with package.open(tmp_path / "c") as opened:
        opened.add(photos)
    return tmp_path / "c"


@pytest.fixture
def collection(folder: Path) -> Iterator[package.Collection]:
    with package.open(folder) as opened:
        yield opened


def sql(folder: Path, *statements: str) -> None:
    """Do to the catalogue what nobody should."""
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection:
        for each in statements:
            connection.execute(each)
        connection.commit()


def told(found: Reconciled) -> dict[str, list[str]]:
    """What was found, by kind."""
    kinds: dict[str, list[str]] = {}
    for each in found.faults:
        kinds.setdefault(each.kind, []).append(each.what)
    return kinds


def mended(collection: package.Collection) -> Reconciled:
    """Repair; all must fit together after, whoever looks."""
    found = reconcile(collection, repair=True)
    assert [each for each in found.faults if not each.repaired] == []
    assert reconcile(collection).faults == []
    assert all(each.sound for each in collection.check())
    return found


def state(folder: Path) -> list[tuple[Any, ...]]:
    """All that is in the catalogue but what an index keeps there."""
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection:
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return [
            row
            for name in names
            if name != "embeddings"
            for row in connection.execute(f"SELECT * FROM {name}")
        ]


def test_what_fits_together_has_no_faults(collection: package.Collection) -> None:
    found = reconcile(collection)
    assert (found.pictures, found.files, found.uploads, found.faults) == (COUNT, COUNT, 0, [])


def test_files_that_are_gone_are_forgotten_and_changed_ones_taken_in(
    collection: package.Collection, photos: Path, folder: Path
) -> None:
    (photos / "1.png").unlink()
    write(photos / "2.png", 200)
    before = state(folder)
    found = reconcile(collection)
    assert told(found) == {"gone": [str(photos / "1.png")], "changed": [str(photos / "2.png")]}
    assert found.left == 2
    assert state(folder) == before  # to look changes nothing
    mended(collection)
    assert len(collection) == COUNT - 1
    assert collection.search(pixels(200), k=1)[0].path == str(photos / "2.png")
    assert str(photos / "1.png") not in {record.path for record in collection}


def test_a_file_that_was_refused_and_is_gone_is_forgotten(
    collection: package.Collection, photos: Path
) -> None:
    (photos / "broken.png").write_bytes(encoded(3)[:100])
    collection.add(photos)
    assert reconcile(collection).faults == []
    (photos / "broken.png").unlink()
    assert told(mended(collection)) == {"gone": [str(photos / "broken.png")]}
    assert list(collection.failures()) == []


def test_a_disk_that_is_not_there_costs_no_picture(
    collection: package.Collection, photos: Path, tmp_path: Path
) -> None:
    photos.rename(tmp_path / "elsewhere")
    found = reconcile(collection, repair=True)
    assert (found.left, len(collection)) == (COUNT, COUNT)
    assert "12 of 12 are gone" in str(found.faults[0].why)
    (tmp_path / "elsewhere").rename(photos)
    assert reconcile(collection).faults == []


def test_a_lost_vector_is_made_again_and_found_by_who_had_it_open(
    collection: package.Collection, folder: Path, photos: Path
) -> None:
    path = str(photos / "4.png")
    entry = collection.ledger(path)
    assert entry is not None
    id = str(entry.id)
    vector = collection.vector(id)
    collection.describe(id, lambda place: Place(place.path, "kept", {"n": 1}, place.size, 0))
    with package.open(folder) as other:
        assert other.search(pixels(4), k=1)[0].path == path
        sql(
            folder,
            f"DELETE FROM vectors_1 WHERE row = (SELECT row FROM pictures WHERE id = x'{id}')",
        )
        assert told(mended(collection)) == {"no-vector": [id]}
        np.testing.assert_array_equal(collection.vector(id), vector)
        for each in (collection, other):
            assert len(each) == COUNT
            (hit,) = each.search(pixels(4), k=1)
            assert (hit.path, hit.record.label) == (path, "kept")
            assert hit.record.places[0].metadata == {"n": 1}
            assert len({hit.record.id for hit in each.search(pixels(4), k=None)}) == COUNT


def test_a_lost_vector_whose_file_is_another_by_now_is_left_and_said(
    collection: package.Collection, folder: Path, photos: Path
) -> None:
    # The same size and time, so that nothing tells but the content.
    path = photos / "5.png"
    before = path.stat()
    damaged = bytearray(path.read_bytes())
    damaged[-20] ^= 1
    path.write_bytes(damaged)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    sql(folder, f"DELETE FROM vectors_1 WHERE row = (SELECT row FROM places WHERE path = '{path}')")
    found = reconcile(collection, repair=True)
    (fault,) = found.faults
    assert (fault.kind, fault.repaired) == ("no-vector", False)
    assert fault.why


def test_what_belongs_to_no_picture_goes_and_is_found_no_more(
    collection: package.Collection, folder: Path, photos: Path
) -> None:
    lost = str(photos / "6.png")
    collection.search(pixels(6), k=1)
    sql(
        folder,
        f"DELETE FROM pictures WHERE row = (SELECT row FROM places WHERE path = '{lost}')",
        f"DELETE FROM places WHERE path = '{photos / '7.png'}'",
        "INSERT INTO local_features (row, features) VALUES (999, x'00')",
    )
    assert told(reconcile(collection)) == {
        "loose-vector": ["1"],
        "loose-local-features": ["1"],
        "nowhere": ["1"],
        "no-record": [lost],
    }
    mended(collection)
    # The record that was lost is there again, as its file is; the one without a place is not.
    assert collection.search(pixels(6), k=1)[0].path == lost
    assert len(collection) == COUNT - 1
    assert len(collection.search(pixels(7), k=None)) == COUNT - 1


def test_local_features_that_the_recipe_wants_are_made(tmp_path: Path, photos: Path) -> None:
    with package.open(tmp_path / "copies", recipe="copies") as collection:
        collection.add(photos)
    sql(tmp_path / "copies", "DELETE FROM local_features WHERE number <= 2")
    with package.open(tmp_path / "copies") as collection:
        found = mended(collection)
        assert [each.kind for each in found.faults] == ["no-local-features"] * 2
        ids = [each.what for each in found.faults]
        assert set(collection.store.local_features(ids)) == set(ids)


def test_uploads_and_their_records_find_each_other(
    collection: package.Collection, folder: Path
) -> None:
    records = [collection.add_bytes(encoded(n), f"{n}.png")[0] for n in (50, 51, 52)]
    lost, unrecorded, _ = records
    (folder / "uploads" / lost.id[:2] / lost.id).unlink()
    sql(
        folder,
        "DELETE FROM vectors_1 WHERE row = "
        f"(SELECT row FROM pictures WHERE id = x'{unrecorded.id}')",
        f"DELETE FROM places WHERE path LIKE 'upload:{unrecorded.id}%'",
        f"DELETE FROM pictures WHERE id = x'{unrecorded.id}'",
    )
    kept = folder / "uploads" / unrecorded.id[:2] / unrecorded.id
    assert told(reconcile(collection)) == {"upload-lost": [lost.path]}  # it may still come
    os.utime(kept, (1, 1))
    assert told(mended(collection)) == {
        "upload-lost": [lost.path],
        "upload-unrecorded": [unrecorded.id],
    }
    assert collection.search(pixels(51), k=1)[0].record.id == unrecorded.id
    assert lost.id not in collection


def test_damaged_bytes_of_an_upload_are_never_taken_in(
    collection: package.Collection, folder: Path
) -> None:
    path = folder / "uploads" / "ab" / ("ab" * 32)
    path.parent.mkdir(parents=True)
    path.write_bytes(encoded(70))
    os.utime(path, (1, 1))
    found = reconcile(collection, repair=True)
    assert [each.why for each in found.faults] == [f"its bytes are damaged: delete {path}"]
    assert len(collection) == COUNT


def test_vectors_that_came_from_elsewhere_are_told_of_not_made_up(tmp_path: Path) -> None:
    recipe = tmp_path / "ready.toml"
    recipe.write_text(
        'name = "ready"\n[embeddings.v]\nindex = { name = "flat" }\n'
        'extractor = { name = "vectors", dim = 8, made_by = "a test" }\n'
    )
    with package.open(tmp_path / "ready", recipe=str(recipe)) as collection:
        places = [Place(f"http://pictures/{n}") for n in range(3)]
        collection.add_vectors(random_vectors(3), [sha(n) for n in range(3)], places)
        sql(tmp_path / "ready", "DELETE FROM vectors_1 WHERE row = 2")
        found = reconcile(collection, repair=True)
        assert (found.elsewhere, told(found)) == (3, {"no-vector": [sha(1).hex()]})
        assert "made elsewhere" in str(found.faults[0].why)
        assert len(collection) == 3


def test_the_command_looks_first_mends_when_asked_and_says_which(
    folder: Path, photos: Path
) -> None:
    assert called("reconcile", folder).returncode == 0
    (photos / "3.png").unlink()
    looked = called("reconcile", folder)
    assert looked.returncode == 1
    assert "3.png" in looked.stdout
    assert "would be forgotten" in looked.stdout
    assert "--repair" in looked.stderr
    made = called("reconcile", folder, "--repair", "--json")
    assert made.returncode == 0
    said = json.loads(made.stdout)
    assert (said["pictures"], said["left"], said["repair"]) == (COUNT - 1, 0, True)
    assert said["faults"] == [
        {"kind": "gone", "what": str(photos / "3.png"), "repaired": True, "why": None}
    ]
    assert called("reconcile", folder).returncode == 0


def test_where_there_is_no_collection_one_line_says_so(tmp_path: Path) -> None:
    answer = called("reconcile", tmp_path / "none", "--repair")
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    assert not (tmp_path / "none").exists()

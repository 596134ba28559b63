"""`reconcile` on a real Elasticsearch, of whose documents some have been deleted or emptied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import elasticsearch
import numpy as np
import pytest
from samples import called, encoded, pixels, write

import lookalike
from lookalike.reconcile import Reconciled, reconcile

COUNT = 8


@pytest.fixture
def client(elastic: str) -> Iterator[elasticsearch.Elasticsearch]:
    with elasticsearch.Elasticsearch(elastic) as opened:
        yield opened


@pytest.fixture
def name(elastic_address: str) -> str:
    return elastic_address.rpartition("/")[2].partition("?")[0]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(COUNT):
        write(tmp_path / "photos" / f"{number}.png", number)
    return tmp_path / "photos"


@pytest.fixture
def collection(
    elastic_address: str, tmp_path: Path, photos: Path
) -> Iterator[lookalike.Collection]:
    address = f"{elastic_address}&files={tmp_path / 'files'}"
    with lookalike.open(address, recipe="copies") as opened:
        opened.add(photos)
        yield opened


def told(found: Reconciled) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for each in found.faults:
        kinds.setdefault(each.kind, []).append(each.what)
    return kinds


def id_of(collection: lookalike.Collection, path: Path) -> str:
    entry = collection.ledger(path)
    assert entry is not None
    assert entry.id is not None
    return entry.id


def changed(
    client: elasticsearch.Elasticsearch, index: str, id: str, change: dict[str, Any]
) -> None:
    """Write a document as nobody should, whole."""
    wanted = client.get(index=index, id=id, source_exclude_vectors=False)["_source"]
    client.index(index=index, id=id, document={**wanted, **change}, refresh=True)


def test_documents_that_are_lost_or_emptied_are_told_and_mended(
    collection: lookalike.Collection,
    client: elasticsearch.Elasticsearch,
    name: str,
    photos: Path,
) -> None:
    assert reconcile(collection).faults == []
    pictures, local = f"{name}-pictures-1", f"{name}-local"
    record, vector, features, nowhere = (id_of(collection, photos / f"{n}.png") for n in range(4))
    before = collection.vector(vector)
    client.delete(index=pictures, id=record, refresh=True)
    changed(client, pictures, vector, {"v": {}, "came": {}})
    client.delete(index=local, id=features, refresh=True)
    changed(client, pictures, nowhere, {"places": [], "lies": 0})
    (photos / "4.png").unlink()
    write(photos / "5.png", 500)
    looked = reconcile(collection)
    assert told(looked) == {
        "no-vector": [vector],
        "no-local-features": [features],
        "loose-local-features": ["1"],
        "nowhere": ["1"],
        "gone": [str(photos / "4.png")],
        "changed": [str(photos / "5.png")],
    }
    assert told(reconcile(collection)) == told(looked)  # to look changes nothing
    made = reconcile(collection, repair=True)
    assert [each for each in made.faults if not each.repaired] == []
    assert reconcile(collection).faults == []
    np.testing.assert_array_equal(collection.vector(vector), before)
    assert collection.search(pixels(1), k=1)[0].record.id == vector
    assert collection.search(pixels(500), k=1)[0].path == str(photos / "5.png")
    # A picture is one document: whoever lost that is taken in again by the next indexing.
    assert collection.add(photos).stored == 2
    assert len(collection) == COUNT - 1
    assert reconcile(collection).faults == []


def test_uploads_and_their_documents_find_each_other(
    collection: lookalike.Collection, client: elasticsearch.Elasticsearch, name: str
) -> None:
    records = [collection.add_bytes(encoded(n), f"{n}.png")[0] for n in (50, 51, 52)]
    lost, unrecorded, _ = records
    uploads = collection.path / "uploads"
    (uploads / lost.id[:2] / lost.id).unlink()
    client.delete(index=f"{name}-pictures-1", id=unrecorded.id, refresh=True)
    client.delete(index=f"{name}-local", id=unrecorded.id, refresh=True)
    os.utime(uploads / unrecorded.id[:2] / unrecorded.id, (1, 1))
    assert told(reconcile(collection, repair=True)) == {
        "upload-lost": [lost.path],
        "upload-unrecorded": [unrecorded.id],
    }
    assert reconcile(collection).faults == []
    assert unrecorded.id in collection
    assert lost.id not in collection


def test_the_command_takes_an_address(
    collection: lookalike.Collection, tmp_path: Path, photos: Path, elastic_address: str
) -> None:
    address = f"{elastic_address}&files={tmp_path / 'files'}"
    assert called("reconcile", address).returncode == 0
    (photos / "3.png").unlink()
    assert called("reconcile", address).returncode == 1
    assert called("reconcile", address, "--repair").returncode == 0
    assert len(collection) == COUNT - 1


def test_a_place_that_two_pictures_claim_is_told_and_left_to_the_later(
    collection: lookalike.Collection,
    client: elasticsearch.Elasticsearch,
    name: str,
    photos: Path,
) -> None:
    """As a process leaves it that is killed after it has written what a file holds now."""
    path = photos / "3.png"
    former = id_of(collection, path)
    lost = client.get(index=f"{name}-pictures-1", id=former, source_exclude_vectors=False)
    write(path, 300)
    collection.add(photos)
    collection.describe(id_of(collection, path), lambda place: replace(place, label="mine"))
    client.index(index=f"{name}-pictures-1", id=former, document=lost["_source"], refresh=True)
    looked = reconcile(collection)
    assert told(looked) == {"claimed-twice": [str(path)], "no-local-features": [former]}
    made = reconcile(collection, repair=True)
    assert [each for each in made.faults if not each.repaired] == []
    assert reconcile(collection).faults == []
    assert former not in collection
    (hit,) = collection.search(pixels(300), k=1)
    assert (hit.path, hit.record.label) == (str(path), "mine")
    assert len(collection) == COUNT

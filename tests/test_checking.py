"""Do I have this already?"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import PHOTOGRAPHS, called, write

import lookalike as api
from lookalike import checking
from lookalike.collection import Collection
from lookalike.edits import EDITS
from lookalike.errors import BadQuery
from lookalike.features import FeaturePipeline

NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png")


def photographs(folder: Path) -> Path:
    folder.mkdir()
    for name in NAMES:
        shutil.copy(PHOTOGRAPHS / name, folder)
    return folder


@pytest.fixture(scope="module", params=["default", "copies"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of real pictures, under a recipe with comparators and one without."""
    folder = tmp_path_factory.mktemp("filled")
    with api.open(folder / "c", recipe=request.param) as collection:
        collection.add(photographs(folder / "photographs"))
    return folder / "c"


@pytest.fixture
def collection(filled: Path) -> Iterator[Collection]:
    with api.open(filled) as opened:
        yield opened


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Edits of the coffee cup."""
    folder = tmp_path_factory.mktemp("edited")
    with Image.open(PHOTOGRAPHS / "coffee.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    for name in ("crop-50", "flip", "turn-90", "jpeg-10"):
        made = EDITS[name](pixels, np.random.default_rng(1))
        Image.fromarray(made).save(folder / f"{name}.jpg", quality=EDITS[name].quality)
    return folder


def test_edited_copies_are_there(collection: Collection, edited: Path) -> None:
    for checked in checking.check(collection, [edited]):
        assert checked.stored is not None
        assert checked.stored.kind == "copy"
        assert checked.stored.record.path.endswith("coffee.png")
        assert checked.stored.inliers is not None
        assert checked.stored.inliers >= 10


def test_another_picture_is_not(collection: Collection) -> None:
    (checked,) = checking.check(
        collection, [PHOTOGRAPHS / "hubble_deep_field.jpg"], ["copy", "near"]
    )
    assert checked.stored is None
    assert checked.error is None


def test_the_same_bytes_take_no_network(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    shutil.copy(PHOTOGRAPHS / "coffee.png", tmp_path / "by another name.png")
    monkeypatch.setattr(FeaturePipeline, "__init__", refuse)
    (checked,) = checking.check(collection, [tmp_path / "by another name.png"])
    assert checked.stored is not None
    assert (checked.stored.kind, checked.stored.inliers) == ("exact", None)


def test_only_the_kinds_that_are_asked_for_count(collection: Collection, edited: Path) -> None:
    (checked,) = checking.check(collection, [edited / "flip.jpg"], ["exact"])
    assert checked.stored is None
    for kinds in (["kopy"], []):
        with pytest.raises(BadQuery, match="exact, copy, near"):
            list(checking.check(collection, [edited], kinds))


def test_an_empty_collection_has_nothing(tmp_path: Path) -> None:
    with api.open(tmp_path / "c") as collection:
        (checked,) = checking.check(collection, [write(tmp_path / "1.png", 1)])
        assert checked.stored is None


def test_a_stored_picture_whose_file_has_gone_still_counts(tmp_path: Path, edited: Path) -> None:
    with api.open(tmp_path / "c", recipe="copies") as collection:
        folder = photographs(tmp_path / "photographs")
        collection.add(folder)
        shutil.rmtree(folder)
        (checked,) = checking.check(collection, [edited / "crop-50.jpg"])
        assert checked.stored is not None


class TestCommandLine:
    def test_the_exit_code_answers(self, filled: Path, edited: Path) -> None:
        here, elsewhere = PHOTOGRAPHS / "coffee.png", PHOTOGRAPHS / "hubble_deep_field.jpg"
        all_there = called("check", here, edited / "flip.jpg", "-c", filled)
        assert all_there.returncode == 0
        lines = [line.split("\t") for line in all_there.stdout.splitlines()]
        assert [line[1] for line in lines] == ["exact", "copy"]
        one_not = called("check", here, elsewhere, "-c", filled, "--json")
        assert one_not.returncode == 1
        first, second = map(json.loads, one_not.stdout.splitlines())
        assert (first["stored"]["kind"], second["stored"]) == ("exact", None)

    def test_wrong_usage_is_2(self, filled: Path, tmp_path: Path) -> None:
        query = PHOTOGRAPHS / "coffee.png"
        assert called("check", query, "-c", tmp_path / "none").returncode == 2
        assert called("check", query, "-c", filled, "--kinds", "kopy").returncode == 2
        assert called("check", "-c", filled).returncode == 2
        assert called("check", tmp_path, "-c", filled).returncode == 2

    def test_what_cannot_be_read_is_not_there(self, filled: Path, tmp_path: Path) -> None:
        (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
        done = called("check", tmp_path / "broken.jpg", "-c", filled)
        assert done.returncode == 1
        assert "broken.jpg" in done.stderr
        assert "Traceback" not in done.stderr

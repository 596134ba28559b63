"""The recipes that match local features with every picture, one by one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image
from scipy.spatial import distance as scipy_distance

import lookalike
from lookalike import Collection, model_list
from lookalike.errors import BadQuery, MissingPackage

SAMPLES = Path(skimage.__file__).parent / "data"
NAMES = ("astronaut", "chelsea", "coffee", "coins", "motorcycle_left", "motorcycle_right", "page")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    folder = tmp_path_factory.mktemp("pictures")
    for name in NAMES:
        shutil.copy(SAMPLES / f"{name}.png", folder)
    Image.new("RGB", (90, 60), "white").save(folder / "plain.png")
    with lookalike.open(folder.parent / "c", recipe="sift-mutual") as collection:
        collection.add(folder)
        yield collection


def mutual_matches(collection: Collection, query: Path) -> dict[str, int]:
    """By path, counted anew by scipy: which descriptors are each other's nearest."""
    ids = [record.id for record in collection]
    features = collection.store.local_features(ids)
    asked = collection.store.local_features([collection.meant(str(query)).id])
    (descriptors,) = (each.descriptors for each in asked.values())
    counts = {}
    for id, each in features.items():
        if len(each.descriptors):
            apart = scipy_distance.cdist(descriptors, each.descriptors)
            forth, back = apart.argmin(axis=1), apart.argmin(axis=0)
            counts[collection[id].path] = int((back[forth] == np.arange(len(forth))).sum())
    return counts


@pytest.fixture
def query(collection: Collection) -> Path:
    return next(Path(each.path) for each in collection if each.path.endswith("motorcycle_left.png"))


def test_a_picture_is_answered_in_the_order_of_mutual_matches(
    collection: Collection, query: Path
) -> None:
    hits = collection.search(query, k=5)
    counts = mutual_matches(collection, query)
    assert [hit.path for hit in hits] == sorted(counts, key=lambda path: -counts[path])[:5]
    assert Path(hits[1].path).name == "motorcycle_right.png"
    # What is stored has been rounded to bytes, so a match more or less is none.
    for hit in hits:
        assert hit.scores["local"] == pytest.approx(counts[hit.path], abs=5)


def test_what_matches_nothing_comes_last_yet_is_there(collection: Collection, query: Path) -> None:
    hits = collection.search(query, k=100)
    assert len(hits) == len(collection)
    assert Path(hits[-1].path).name == "plain.png"
    assert "local" not in hits[-1].scores


def test_by_local_features_alone_what_matches_nothing_is_left_out(
    collection: Collection, query: Path
) -> None:
    hits = collection.matching(query.read_bytes(), k=100)
    assert {Path(hit.path).stem for hit in hits} == set(NAMES)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert [hit.distance for hit in hits] == [-hit.score for hit in hits]
    assert [hit.id for hit in collection.matching(query, k=2)] == [hit.id for hit in hits[:2]]


def test_a_picture_without_detail_matches_nothing(collection: Collection) -> None:
    assert collection.matching(np.full((50, 60, 3), 255, np.uint8)) == []


def test_matching_is_refused_where_it_makes_no_sense(
    collection: Collection, query: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadQuery, match="k must be"):
        collection.matching(query, k=0)
    with pytest.raises(BadQuery, match="give the picture"):
        collection.matching(np.zeros(384, np.float32))
    with lookalike.open(tmp_path / "c") as other, pytest.raises(BadQuery, match="sift-mutual"):
        other.matching(query)


@pytest.mark.parametrize("name", ["beit-mutual", "vgg16-elastic"])
def test_a_recipe_of_torch_says_what_to_install_and_leaves_nothing_behind(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("torch", "timm"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=r"pip install 'lookalike\[torch\]'"):
        lookalike.open(tmp_path / "c", recipe=name)
    assert not (tmp_path / "c").exists()


def test_the_weights_are_listed() -> None:
    listed = {each.recipe: each.name for each in model_list.listed()}
    assert listed["beit-mutual"] == listed["beit"]
    assert listed["vgg16-elastic"] == listed["vgg16"]

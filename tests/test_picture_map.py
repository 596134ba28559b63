"""The map of a collection: principal components of its vectors, kept until somebody commits."""

from __future__ import annotations

from pathlib import Path

from samples import write_classes

import lookalike
from lookalike.picture_map import Cartographer


def test_a_map_is_kept_until_somebody_commits(tmp_path: Path) -> None:
    pictures = write_classes(tmp_path / "pictures", 4)
    with lookalike.open(tmp_path / "collection") as collection:
        cartographer = Cartographer(collection)
        assert cartographer.map(10).records == []
        collection.add(pictures)
        first = cartographer.map(10)
        assert (len(first.records), first.total) == (10, 12)
        assert cartographer.map(10) is first
        assert len(cartographer.map(100).records) == 12
        with lookalike.open(tmp_path / "collection") as other:
            other.remove(first.records[0].id)
        assert first.records[0].id not in {each.id for each in cartographer.map(100).records}


def test_a_sample_is_spread_over_all_pictures_with_their_own_vectors(tmp_path: Path) -> None:
    with lookalike.open(tmp_path / "collection") as collection:
        collection.add(write_classes(tmp_path / "pictures", 4))
        oldest_first = [record.id for record in reversed(list(collection))]
        records, vectors = collection.sample(4)
        assert [record.id for record in records] == oldest_first[::3]
        for record, vector in zip(records, vectors, strict=True):
            assert (collection.vector(record.id)[0] == vector).all()

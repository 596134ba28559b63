"""An Elasticsearch collection opened with other recipes, and after a process was killed in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import elasticsearch
import pytest
from conftest import arrival, random_vectors
from samples import write

import lookalike
from lookalike.errors import OtherRecipe
from lookalike.store import home_of

DEFAULT = (Path(lookalike.__file__).parent / "recipes" / "default.toml").read_text()


def recipe(tmp_path: Path, index: str, elastic: str = "") -> str:
    """The default one with other indexes."""
    table = f'\n[embeddings.default.elastic]\nname = "{elastic}"\n' if elastic else ""
    path = tmp_path / f"{index}-{elastic}.toml"
    path.write_text(DEFAULT.replace('"auto"', f'"{index}"') + table)
    return str(path)


def fill(collection: lookalike.Collection) -> None:
    collection.store.put([arrival(0)], {"default": random_vectors(1, 384)})


def test_one_that_differs_in_the_index_of_the_cluster_alone_is_another(
    elastic_address: str, tmp_path: Path
) -> None:
    with lookalike.open(elastic_address, recipe=recipe(tmp_path, "auto", "flat")) as collection:
        fill(collection)
    for index, elastic in (("auto", "int8_hnsw"), ("auto", "hnsw"), ("auto", ""), ("hnsw", "")):
        with pytest.raises(OtherRecipe):
            lookalike.open(elastic_address, recipe=recipe(tmp_path, index, elastic))
    # What Elasticsearch makes of both is the same.
    for index, elastic in (("auto", "flat"), ("flat", ""), ("ivf", "flat")):
        lookalike.open(elastic_address, recipe=recipe(tmp_path, index, elastic)).close()


def test_an_empty_collection_takes_the_other(elastic_address: str, tmp_path: Path) -> None:
    lookalike.open(elastic_address, recipe=recipe(tmp_path, "auto", "flat")).close()
    lookalike.open(elastic_address, recipe=recipe(tmp_path, "auto", "bbq_hnsw")).close()
    with lookalike.open(elastic_address) as collection:
        fill(collection)
        assert collection.stats()["embeddings"]["default"]["structure"] == "bbq_hnsw"
        kind = home_of(elastic_address).index_kind(collection.recipe.embeddings[0])
        assert kind == "bbq_hnsw"


def test_in_a_folder_what_is_said_for_a_cluster_does_not_matter(tmp_path: Path) -> None:
    with lookalike.open(tmp_path / "c", recipe=recipe(tmp_path, "auto", "flat")) as collection:
        fill(collection)
    lookalike.open(tmp_path / "c", recipe=recipe(tmp_path, "auto", "bbq_hnsw")).close()
    with pytest.raises(OtherRecipe):
        lookalike.open(tmp_path / "c", recipe=recipe(tmp_path, "flat", "flat"))


@pytest.mark.parametrize("again", ["index", "describe", "forget"])
def test_a_path_that_two_pictures_claim_is_mended_by_whatever_is_written_of_it_next(
    elastic_address: str, elastic: str, tmp_path: Path, again: str
) -> None:
    """As a process leaves it that is killed after it has written what a file holds now."""
    write(tmp_path / "photos" / "a.png", 1)
    other = write(tmp_path / "photos" / "b.png", 2)
    with (
        lookalike.open(elastic_address) as collection,
        elasticsearch.Elasticsearch(elastic) as client,
    ):
        collection.add(tmp_path / "photos")
        index = f"{elastic_address.partition('?')[0].rpartition('/')[2]}-pictures-1"
        path = str(tmp_path / "photos" / "a.png")
        former = collection.meant(path).id
        lost = client.get(index=index, id=former)["_source"]
        write(tmp_path / "photos" / "a.png", 3)
        collection.add(tmp_path / "photos")
        assert former not in collection
        client.index(index=index, id=former, document=lost, refresh=True)
        entry = collection.ledger(path)
        assert entry is not None
        assert (entry.id == former, entry.verdict) == (False, "retry")
        if again == "index":
            report = collection.add(tmp_path / "photos")
            assert (report.unchanged, report.replaced, report.failed) == (2, 0, 0)
        elif again == "describe":
            collection.describe(entry.id or "", lambda place: replace(place, label="new"))
        else:
            collection.forget(path)
        assert former not in collection
        left = {path, str(other)} if again != "forget" else {str(other)}
        assert {place.path for record in collection for place in record.places} == left
        after = collection.ledger(path)
        assert (after and after.verdict) == (None if again == "forget" else "stored")

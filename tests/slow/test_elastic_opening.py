"""Which recipes an Elasticsearch collection is opened with, and which are another's."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import arrival, random_vectors

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

"""Recipes: what is read, and what is said of one that is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lookalike import recipe, registry
from lookalike.errors import RecipeError, UnknownName
from lookalike.extract.ready import ReadyOptions
from lookalike.index.hnsw import HNSWOptions

VECTORS = """
name = "mine"
summary = "Vectors of my own."

[embeddings.v]
distance = "euclidean"

[embeddings.v.extractor]
name = "vectors"
dim = 32
made_by = "me"

[embeddings.v.index]
name = "hnsw"
m = 16
"""


def problem(text: str) -> str:
    with pytest.raises((RecipeError, UnknownName)) as caught:
        recipe.parse(text, "here.toml")
    return str(caught.value)


def test_a_recipe_is_read_with_every_option() -> None:
    read = recipe.parse(VECTORS, "here.toml")
    assert (read.name, read.summary, read.text) == ("mine", "Vectors of my own.", VECTORS)
    (embedding,) = read.embeddings
    assert (embedding.name, embedding.distance) == ("v", "euclidean")
    assert embedding.extractor == recipe.Part("vectors", ReadyOptions(dim=32, made_by="me"))
    assert embedding.index == recipe.Part("hnsw", HNSWOptions(m=16))
    assert embedding.make_extractor("cpu").dim == 32


def test_every_ready_recipe_is_read_and_the_default_comes_first() -> None:
    ready = recipe.ready()
    assert ready[0].name == "default"
    for each in ready:
        assert recipe.load(each.name) == each
        assert each.summary.endswith(".")
        for embedding in each.embeddings:
            assert embedding.extractor.name in registry.names("extractor")
            assert embedding.index.name in registry.names("index")


def test_a_recipe_of_ones_own_is_given_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(VECTORS, "utf-8")
    assert recipe.load(str(path)).name == "mine"
    with pytest.raises(RecipeError, match=re.escape(f"cannot read the recipe {tmp_path}/no.toml")):
        recipe.load(str(tmp_path / "no.toml"))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="cannot read"):
        recipe.load(str(path))


def test_an_unknown_recipe_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean default"):
        recipe.load("defualt")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "mine"', "name = ", "here.toml is not TOML"),
        ('summary = "V', 'sumary = "V', "no key 'sumary'; did you mean summary?"),
        ("dim = 32", "dims = 32", "no key 'dims'; did you mean dim?"),
        ("dim = 32", "", "here.toml, embeddings.v.extractor (vectors): dim is missing"),
        ("dim = 32", 'dim = "32"', "dim must be int, not '32'"),
        ("dim = 32", "dim = true", "dim must be int, not True"),
        ("dim = 32", "dim = 0", "dim must be 1 or more, not 0"),
        ("m = 16", "m = 1", "embeddings.v.index (hnsw): m must be 2 to 512, not 1"),
        ("m = 16", "ef_search = -1", "ef_search must be 0 to 10000, not -1"),
        ("m = 16", "ef = 9", "there is no key 'ef'"),
        ('name = "hnsw"', 'name = "hsnw"', "no index named 'hsnw'. Did you mean hnsw?"),
        ('name = "hnsw"', "", "here.toml, embeddings.v.index needs a name, one of: auto, flat"),
        ('name = "vectors"', 'name = "vector"', "no extractor named 'vector'"),
        ('"euclidean"', '"euclidian"', "no distance named 'euclidian'. Did you mean euclidean or"),
        ('"euclidean"', "7", "distance must be text, not 7"),
        ("[embeddings.v]", "[embeddings.v]\nindx = 1", "did you mean index?"),
    ],
)
def test_a_wrong_recipe_is_refused_by_file_and_key(old: str, new: str, said: str) -> None:
    assert VECTORS.count(old) == 1
    assert said in problem(VECTORS.replace(old, new))


def test_a_recipe_needs_an_embedding_whose_name_is_plain() -> None:
    assert "has no [embeddings.NAME]" in problem('name = "x"')
    assert "embeddings must be a table" in problem("embeddings = 3")
    assert "only letters, digits" in problem('[embeddings."../v"]\n')
    assert "extractor must be a table" in problem('[embeddings.v]\nextractor = "onnx"')

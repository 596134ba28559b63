"""Open a collection, or make one."""

from __future__ import annotations

import os
from collections.abc import Mapping

from . import recipe as recipes
from .collection import Collection
from .engine import extractors_of, plans_for
from .errors import OtherRecipe
from .extract import Extractor
from .store import Home, home_of
from .types import Limits

_DEFAULT_LIMITS = Limits()


def open_collection(
    path: str | os.PathLike[str],
    *,
    recipe: str | recipes.Recipe | None = None,
    device: str = "auto",
    create: bool = True,
    limits: Limits = _DEFAULT_LIMITS,
    for_records: bool = False,
) -> Collection:
    """Open the collection at `path`, or make a new one there.

    `path`: a folder, or `es+https://HOST:9200/NAME` for one in Elasticsearch. `recipe`: a ready
    one's name, a path to a `.toml`, or one that was read already; a collection that has pictures
    keeps its own, so naming one with other vectors raises `OtherRecipe`. `device`: `auto`, `cpu`,
    `cuda` or `cuda:N`; a new collection made for `cuda` gets `default-fp16` if no recipe is named.
    With `create=False`, or where something else lies, `NotACollection` is raised. `for_records`
    opens it even if its model cannot be had: all but searching and adding works then.
    """
    home = home_of(path)
    chosen = recipes.load(recipe) if isinstance(recipe, str) else recipe
    if not home.exists():
        home.check_free(create=create)
        chosen = chosen or recipes.load("default-fp16" if device.startswith("cuda") else "default")
        extractors = extractors_of(chosen, device)
        _try_device(extractors, device)
        home.create(chosen.text, plans_for(chosen, extractors))
    elif chosen is not None:
        _check_same(home, chosen, device)
    return Collection(home, chosen, device, limits, for_records=for_records)


def _try_device(extractors: Mapping[str, Extractor], device: str) -> None:
    """Start each model on a GPU that was asked for; `DeviceUnavailable` before anything is made."""
    if device.startswith("cuda"):
        for extractor in extractors.values():
            getattr(extractor, "device", None)


def _check_same(home: Home, named: recipes.Recipe, device: str) -> None:
    """`OtherRecipe` if a collection has other vectors than this recipe's; an empty one takes it."""
    stored = recipes.parse(home.made_with().recipe, f"the recipe of {home.address}")
    if _vectors_by(named, home) == _vectors_by(stored, home):
        return
    plans = plans_for(named, extractors_of(named, device))
    if not home.replace_empty(named.text, plans):
        raise OtherRecipe(home.address, stored.name, named.name)


def _vectors_by(recipe: recipes.Recipe, home: Home) -> list[tuple[object, ...]]:
    """What decides the vectors and local features of a recipe, and how they are compared there."""
    vectors = [
        (each.name, each.extractor, each.distance, each.pca, home.index_kind(each))
        for each in recipe.embeddings
    ]
    return [*vectors, (recipe.local.extractor, recipe.local.use.stored, recipe.local.use.matching)]

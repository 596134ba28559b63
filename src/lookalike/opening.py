"""Open a collection, or make one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from . import recipe as recipes
from . import sources
from .collection import Collection
from .engine import extractors_of, plans_for
from .errors import NotACollection, OtherRecipe
from .extract import Extractor
from .store.embedded import EmbeddedStore
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
    """Open the collection in the folder `path`, or make a new one there.

    `recipe`: a ready one's name, a path to a `.toml`, or one that was read already; a collection
    that has pictures keeps its own, so naming one with other vectors raises `OtherRecipe`.
    `device`: `auto`, `cpu`, `cuda` or `cuda:N`; a new collection made for `cuda` gets
    `default-fp16` if no recipe is named. With `create=False`, or where something else lies,
    `NotACollection` is raised. `for_records` opens it even if its model cannot be had: all but
    searching and adding works then.
    """
    folder = Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's raises for `~nobody`
    chosen = recipes.load(recipe) if isinstance(recipe, str) else recipe
    if not sources.is_collection(folder):
        _check_free(folder, create=create)
        chosen = chosen or recipes.load("default-fp16" if device.startswith("cuda") else "default")
        extractors = extractors_of(chosen, device)
        _try_device(extractors, device)
        EmbeddedStore.create(folder, chosen.text, plans_for(chosen, extractors))
    elif chosen is not None:
        _check_same(folder, chosen, device)
    return Collection(folder, chosen, device, limits, for_records=for_records)


def _check_free(folder: Path, *, create: bool) -> None:
    """Whether a collection may be made in a folder: it is empty, or not there yet.

    One that another process has half made, or was killed while it made it, is in nobody's way.
    """
    try:
        others = any(not each.name.startswith(sources.CATALOGUE) for each in folder.iterdir())
        if others and not sources.is_collection(folder):
            raise NotACollection(folder, "something else is there")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise NotACollection(folder, (error.strerror or str(error)).lower()) from error
    if not create:
        raise NotACollection(folder, "there is nothing there")


def _try_device(extractors: Mapping[str, Extractor], device: str) -> None:
    """Start each model on a GPU that was asked for; `DeviceUnavailable` before anything is made."""
    if device.startswith("cuda"):
        for extractor in extractors.values():
            getattr(extractor, "device", None)


def _check_same(folder: Path, named: recipes.Recipe, device: str) -> None:
    """`OtherRecipe` if a collection has other vectors than this recipe's; an empty one takes it."""
    stored = recipes.parse(EmbeddedStore.made_with(folder).recipe, f"the recipe of {folder}")
    if _vectors_by(named) == _vectors_by(stored):
        return
    plans = plans_for(named, extractors_of(named, device))
    if not EmbeddedStore.replace_empty(folder, named.text, plans):
        raise OtherRecipe(folder, stored.name, named.name)


def _vectors_by(recipe: recipes.Recipe) -> list[tuple[object, ...]]:
    """What decides the vectors and local features of a recipe, and how they are compared."""
    vectors = [
        (each.name, each.extractor, each.distance, each.pca, each.index.name)
        for each in recipe.embeddings
    ]
    return [*vectors, (recipe.local.extractor, recipe.local.use.stored, recipe.local.use.matching)]

"""Features and their keys to a file and from one, so that extraction can be done elsewhere.

What a file holds, in each of the three formats under the same names:

    vectors      float32 [n, dim]
    ids          n hexadecimal sha256 of the pictures' content
    paths        n paths, the first of each picture's places
    records      n JSON objects: format, width, height, size, and all places of each picture
    embedding    what the vectors are called in the recipe
    fingerprint  of the model that made them
    recipe       the recipe's text
    learned      bytes: what the extractor learned from the pictures, if it learns

Where a collection has several kinds of vectors, those after the first are `vectors.NAME`,
`fingerprint.NAME` and `learned.NAME`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import recipe as recipes
from ..collection import Collection
from ..engine import extractors_of, restore
from ..errors import BadFeatures, RecipeError, UnknownName
from ..extract import Extractor
from ..ingest import Report
from ..opening import open_collection
from ..store import home_of
from . import writing
from .reading import FeatureFile, opened
from .rows import check
from .storing import store

OnRows = Callable[[int, int], None]
"""Told how many pictures are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    file: Path
    pictures: int
    embeddings: tuple[str, ...]
    bytes: int
    """The size of the file."""

    def to_json(self) -> dict[str, Any]:
        """The report as `lookalike export --json` prints it."""
        return {
            "file": str(self.file),
            "pictures": self.pictures,
            "embeddings": list(self.embeddings),
            "bytes": self.bytes,
        }


def export_features(
    collection: Collection,
    file: str | os.PathLike[str],
    *,
    embedding: str | None = None,
    overwrite: bool = False,
    on_progress: OnRows | None = None,
) -> Exported:
    """Write every vector of a collection to `file`, with its keys; there whole or not at all.

    The ending is the format: `.npy` (with the keys in a `.json` of the same name), `.npz`,
    `.hdf5` or `.h5`. `embedding`: one of several alone. A file that is there is left as it is,
    and `BadFeatures` raised, unless `overwrite`.
    """
    path = Path(file).expanduser()
    extractors = extractors_of(collection.recipe, "cpu")
    learned = collection.store.learned()
    restore(extractors, learned)
    if embedding is not None and embedding not in extractors:
        raise UnknownName("embedding", embedding, extractors)
    names = tuple(extractors) if embedding is None else (embedding,)
    about = _about(names, extractors, collection.recipe.text, learned)
    tell, total = on_progress or (lambda _done, _total: None), len(collection)
    with writing.spool(path, names, overwrite=overwrite) as spool:
        for records, vectors in collection.store.blocks(names):
            spool.add(records, vectors)
            tell(spool.count, total)
        spool.write(about, {name: extractors[name].dim for name in names})
    return Exported(path.absolute(), spool.count, names, path.stat().st_size)


def import_features(
    into: Collection | str | os.PathLike[str],
    file: str | os.PathLike[str],
    *,
    recipe: str | None = None,
    on_progress: OnRows | None = None,
) -> Report:
    """Store what `file` holds in a collection, or make a new one of it in the folder `into`.

    The file must be of the collection's own model. A new collection has the recipe that the file
    carries, unless `recipe` is given. Everything is checked before anything is stored; then each
    block is committed, and running the same again goes on. A file with `paths` alone, made
    elsewhere by hand, speaks of pictures on this disk: those that cannot be read are refused,
    one by one. Raises `BadFeatures` for a file that cannot be taken in as a whole.
    """
    with opened(Path(file).expanduser()) as features, contextlib.ExitStack() as stack:
        if not isinstance(into, Collection) and home_of(into).exists():
            into = stack.enter_context(open_collection(into, recipe=recipe))
        there = into if isinstance(into, Collection) else None
        chosen = _recipe_for(features, recipe) if there is None else there.recipe
        extractors = extractors_of(chosen, "cpu")
        _give_learned(extractors, features, {} if there is None else there.store.learned())
        _check_model(features, extractors, chosen.name)
        dims = {name: each.dim for name, each in extractors.items()}
        total = check(features, dims)
        if not isinstance(into, Collection):
            into = stack.enter_context(open_collection(into, recipe=chosen))
        _keep_learned(into, extractors, features)
        tell = on_progress or (lambda _done, _total: None)
        return store(features, into, dims, lambda done: tell(done, total))


def _about(
    names: tuple[str, ...],
    extractors: Mapping[str, Extractor],
    recipe: str,
    learned: Mapping[str, bytes],
) -> dict[str, str | bytes]:
    """What is said once in a file."""
    about: dict[str, str | bytes] = {"embedding": names[0], "recipe": recipe}
    for name in names:
        ending = "" if name == names[0] else f".{name}"
        about[f"fingerprint{ending}"] = extractors[name].fingerprint
        if name in learned:
            about[f"learned{ending}"] = learned[name]
    return about


def _recipe_for(features: FeatureFile, named: str | None) -> recipes.Recipe:
    if named is not None:
        return recipes.load(named)
    if features.recipe is None:
        raise BadFeatures(
            features.path, "it carries no recipe for a new collection: name one with --recipe"
        )
    return recipes.parse(features.recipe, f"the recipe in {features.path}")


def _give_learned(
    extractors: Mapping[str, Extractor], features: FeatureFile, kept: Mapping[str, bytes]
) -> None:
    """What the collection has learned itself comes first."""
    brought = features.learned(next(iter(extractors)))
    try:
        untrained = restore(extractors, {**brought, **kept})
    except RecipeError as error:
        raise BadFeatures(features.path, f"its `learned` does not fit: {error}") from error
    if untrained:
        raise BadFeatures(
            features.path,
            f"it brings no `learned`, without which {_quoted(untrained)} means nothing",
        )


def _check_model(features: FeatureFile, extractors: Mapping[str, Extractor], recipe: str) -> None:
    """Whether the file has vectors for every extractor, made by that very model."""
    brought = features.fingerprints(next(iter(extractors)))
    missing = [name for name in extractors if name not in brought]
    if missing:
        raise BadFeatures(
            features.path,
            f"it brings {_quoted(brought)} vectors, but the recipe {recipe} also needs "
            f"{_quoted(missing)}: export all of them into one file",
        )
    for name, extractor in extractors.items():
        if brought[name] != extractor.fingerprint:
            raise BadFeatures(
                features.path,
                f"made by another model: its `{name}` vectors have the fingerprint "
                f"{brought[name]!r}, those of the recipe {recipe} have {extractor.fingerprint!r}. "
                "They cannot be compared: import into a new collection, or extract anew",
            )


def _keep_learned(
    collection: Collection, extractors: Mapping[str, Extractor], features: FeatureFile
) -> None:
    for name, content in features.learned(next(iter(extractors))).items():
        if name in extractors:
            kept = collection.store.keep_learned(name, extractors[name].fingerprint, content)
            if kept != content:
                raise BadFeatures(
                    features.path, f"the collection has learned other `{name}` words meanwhile"
                )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)

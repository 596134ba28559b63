"""What a recipe is, and how it is read.

A recipe is a TOML file: which embeddings a collection has, and for each the extractor that makes
its vectors, the distance that compares them and the index that finds the nearest. The ready ones
lie in `recipes/`; any other is given as a path.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from . import registry
from .distances import distance_named
from .errors import RecipeError, UnknownName

Device = str
"""`auto`, `cpu`, `cuda` or `cuda:N`."""


@dataclass(frozen=True, slots=True)
class Part:
    """A registered part and its typed options."""

    name: str
    options: Any


@dataclass(frozen=True, slots=True)
class Embedding:
    """One kind of vectors of a collection."""

    name: str
    extractor: Part
    index: Part
    distance: str
    pca: int
    """How many of the collection's own principal components the index works with; 0 for all."""

    def make_extractor(self, device: Device) -> Any:
        """Its extractor; the model itself is loaded when it is first used."""
        return registry.load("extractor", self.extractor.name)(self.extractor.options, device)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the pictures of a collection are described, compared and found."""

    name: str
    summary: str
    embeddings: tuple[Embedding, ...]
    text: str
    """The TOML it was read from, which is what a collection keeps."""


def load(name: str) -> Recipe:
    """A ready recipe by its name, or any by the path of its file (ending in `.toml`)."""
    if name.endswith(".toml"):
        path = Path(name).expanduser()
        try:
            return parse(path.read_text("utf-8"), str(path))
        except OSError as error:
            raise RecipeError(f"cannot read the recipe {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise RecipeError(f"cannot read the recipe {path}: it is not UTF-8 text") from error
    ready = {path.name.removesuffix(".toml"): path for path in _folder().iterdir()}
    if name not in ready:
        raise UnknownName("recipe", name, ready)
    return parse(ready[name].read_text("utf-8"), name)


def ready() -> list[Recipe]:
    """Every ready recipe, the default first."""
    names = (path.name.removesuffix(".toml") for path in _folder().iterdir())
    return [load(name) for name in sorted(names, key=lambda name: (name != "default", name))]


def parse(text: str, source: str) -> Recipe:
    """Read a recipe; `RecipeError` names `source` and the key that is wrong."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source} is not TOML: {error}") from error
    _check_keys(table, ("name", "summary", "embeddings"), source)
    embeddings = _table(table, "embeddings", source)
    if not embeddings:
        raise RecipeError(f"{source} has no [embeddings.NAME]: add at least one")
    return Recipe(
        name=str(table.get("name", Path(source).stem)),
        summary=str(table.get("summary", "")),
        embeddings=tuple(
            _embedding(name, _table(embeddings, name, source), f"{source}, embeddings.{name}")
            for name in embeddings
        ),
        text=text,
    )


def _folder() -> Any:
    return files(__package__).joinpath("recipes")


def _embedding(name: str, table: Mapping[str, Any], where: str) -> Embedding:
    if not name.isidentifier():
        raise RecipeError(f"{where}: a name has only letters, digits and underscores")
    _check_keys(table, ("extractor", "index", "distance", "pca"), where)
    distance = table.get("distance", "cosine")
    if not isinstance(distance, str):
        raise RecipeError(f"{where}: distance must be text, not {distance!r}")
    pca = table.get("pca", 0)
    if type(pca) is not int or pca < 0:
        raise RecipeError(f"{where}: pca must be a whole number, 0 or more, not {pca!r}")
    return Embedding(
        name=name,
        extractor=_part("extractor", table, where),
        index=_part("index", table, where),
        distance=distance_named(distance).name,
        pca=pca,
    )


def _part(seam: Literal["extractor", "index"], table: Mapping[str, Any], where: str) -> Part:
    options = dict(_table(table, seam, where))
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise RecipeError(f"{where}.{seam} needs a name, one of: {', '.join(registry.names(seam))}")
    return Part(
        name, _typed(registry.load(seam, name).Options, options, f"{where}.{seam} ({name})")
    )


def _typed(options: type[Any], table: Mapping[str, Any], where: str) -> Any:
    """An instance of the dataclass `options`, each value checked against its annotation."""
    hints = get_type_hints(options)
    _check_keys(table, hints, where)
    for key, value in table.items():
        wanted = hints[key]
        if wanted is float and type(value) is int:
            continue
        if get_origin(wanted) is Literal:
            if value not in get_args(wanted):
                choice = ", ".join(map(repr, get_args(wanted)))
                raise RecipeError(f"{where}: {key} must be one of {choice}, not {value!r}")
        elif type(value) is not wanted:
            raise RecipeError(f"{where}: {key} must be {wanted.__name__}, not {value!r}")
    missing = [
        field.name
        for field in fields(options)
        if field.name not in table and field.default is field.default_factory
    ]
    if missing:
        raise RecipeError(f"{where}: {', '.join(missing)} is missing")
    try:
        return options(**table)
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error


def _table(table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise RecipeError(f"{where}: {key} must be a table, not {value!r}")
    return value


def _check_keys(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    known = sorted(known)
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"
            raise RecipeError(f"{where}: there is no key {key!r}; {hint}")

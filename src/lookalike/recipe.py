"""What a recipe is, and how it is read.

A recipe is a TOML file: which embeddings a collection has, and for each the extractor that makes
its vectors, the distance that compares them and the index that finds the nearest; which local
features are kept beside them; and which comparators look again at the best candidates. The ready
ones lie in `recipes/`; any other is given as a path. Of an ONNX file one is made on the spot.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from . import registry
from .distances import distance_named
from .errors import RecipeError, UnknownName
from .options import check_keys, subtable, typed

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
    weight: float
    """How much it counts where several are fused."""
    elastic: Part | None = None
    """How Elasticsearch is to index it; None: as `index` suggests."""

    def make_extractor(self, device: Device) -> Any:
        """Its extractor; the model itself is loaded when it is first used."""
        return registry.load("extractor", self.extractor.name)(self.extractor.options, device)


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the answers of several embeddings become one."""

    method: Literal["reciprocal-rank", "weighted"] = "reciprocal-rank"
    """By the ranks alone (Cormack et al. 2009), or by the scores, which then must be alike."""
    candidates: int = 200
    """How many of each embedding's nearest are looked at, unless more hits are wanted at once."""

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ValueError(f"candidates must be 1 or more, not {self.candidates}")


@dataclass(frozen=True, slots=True)
class LocalUse:
    """When local features are made, and whether they find candidates by themselves."""

    stored: Literal["at-ingest", "when-needed"] = "when-needed"
    matching: Literal["none", "votes", "exhaustive"] = "none"
    """By the votes of an inverted file, or by mutual matches with every picture."""
    weight: float = 1.0
    """How much their candidates count beside those of the embeddings."""

    def __post_init__(self) -> None:
        if self.matching != "none" and self.stored != "at-ingest":
            raise ValueError(f'matching by {self.matching} needs stored = "at-ingest"')
        if not 0 < self.weight < math.inf:
            raise ValueError(f"weight must be a number above 0, not {self.weight}")


@dataclass(frozen=True, slots=True)
class Local:
    """The local features of a collection: what makes them, and what for."""

    extractor: Part
    use: LocalUse

    def make_extractor(self, device: Device) -> Any:
        """What makes them."""
        return registry.load("local", self.extractor.name)(self.extractor.options, device)


@dataclass(frozen=True, slots=True)
class SecondLook:
    """Which candidates the comparators look at, and what becomes of their scores."""

    candidates: int = 50
    """The best so many are compared."""
    order: Literal["last", "fused"] = "last"
    """By the last comparator, or by the ranks that all of them give, and the first look."""

    def __post_init__(self) -> None:
        if not 1 <= self.candidates <= 10_000:
            raise ValueError(f"candidates must be 1 to 10,000, not {self.candidates}")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the pictures of a collection are described, compared and found."""

    name: str
    summary: str
    embeddings: tuple[Embedding, ...]
    fusion: Fusion
    local: Local
    comparators: tuple[Part, ...]
    """In the order in which they are asked."""
    second_look: SecondLook
    text: str
    """The TOML it was read from, which is what a collection keeps."""


def load(name: str) -> Recipe:
    """A ready recipe by its name, any by the path of its file (`.toml`), or `onnx:PATH.onnx`."""
    if name.startswith("onnx:"):
        path = Path(name.removeprefix("onnx:")).expanduser().absolute()
        return parse(_of_network(path), name)
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
    known = ("name", "summary", "embeddings", "fusion", "local", "comparators", "second_look")
    check_keys(table, known, source)
    embeddings = subtable(table, "embeddings", source)
    if not embeddings:
        raise RecipeError(f"{source} has no [embeddings.NAME]: add at least one")
    return Recipe(
        name=str(table.get("name", Path(source).stem)),
        summary=str(table.get("summary", "")),
        embeddings=tuple(
            _embedding(name, subtable(embeddings, name, source), f"{source}, embeddings.{name}")
            for name in embeddings
        ),
        fusion=typed(Fusion, subtable(table, "fusion", source), f"{source}, fusion"),
        local=_local(subtable(table, "local", source), f"{source}, local"),
        comparators=_comparators(subtable(table, "comparators", source), f"{source}, comparators"),
        second_look=typed(
            SecondLook, subtable(table, "second_look", source), f"{source}, second_look"
        ),
        text=text,
    )


_OF_NETWORK = """\
name = {name}
summary = {summary}

[embeddings.{identifier}]
distance = "cosine"

[embeddings.{identifier}.extractor]
name = "onnx"
model = {model}

[embeddings.{identifier}.index]
name = "auto"
"""


def _of_network(path: Path) -> str:
    """The recipe that has an ONNX file for its only embedding, named after the file."""
    if path.suffix != ".onnx":
        raise RecipeError(f"onnx:{path} is not the path of a .onnx file")
    if not str(path).isprintable():
        raise RecipeError(f"{str(path)!r} has a character that a recipe cannot hold: rename it")
    plain = re.sub(r"\W", "_", path.stem, flags=re.ASCII)
    # What JSON quotes without escapes beyond ASCII, TOML reads as the same text.
    quoted = partial(json.dumps, ensure_ascii=False)
    return _OF_NETWORK.format(
        name=quoted(path.stem),
        summary=quoted(f"The network in {path}."),
        identifier=plain if plain.isidentifier() else f"_{plain}",
        model=quoted(str(path)),
    )


def _folder() -> Any:
    return files(__package__).joinpath("recipes")


def _embedding(name: str, table: Mapping[str, Any], where: str) -> Embedding:
    if not name.isidentifier():
        raise RecipeError(f"{where}: a name has only letters, digits and underscores")
    check_keys(table, ("extractor", "index", "distance", "pca", "weight", "elastic"), where)
    distance = table.get("distance", "cosine")
    if not isinstance(distance, str):
        raise RecipeError(f"{where}: distance must be text, not {distance!r}")
    pca = table.get("pca", 0)
    if type(pca) is not int or pca < 0:
        raise RecipeError(f"{where}: pca must be a whole number, 0 or more, not {pca!r}")
    weight = table.get("weight", 1.0)
    if type(weight) not in (int, float) or not 0 < weight < math.inf:
        raise RecipeError(f"{where}: weight must be a number above 0, not {weight!r}")
    return Embedding(
        name=name,
        extractor=_part("extractor", table, where),
        index=_part("index", table, where),
        distance=distance_named(distance).name,
        pca=pca,
        weight=float(weight),
        elastic=_part("elastic", table, where) if "elastic" in table else None,
    )


def _local(table: Mapping[str, Any], where: str) -> Local:
    """The table, or the usual local features where there is none."""
    use = {key: value for key, value in table.items() if key != "extractor"}
    named = table if "extractor" in table else {"extractor": {"name": "keypoints"}}
    return Local(_part("local", named, where, key="extractor"), typed(LocalUse, use, where))


def _comparators(table: Mapping[str, Any], where: str) -> tuple[Part, ...]:
    return tuple(comparator(name, subtable(table, name, where), where) for name in table)


def comparator(name: str, options: Mapping[str, Any] | None = None, where: str = "") -> Part:
    """A comparator by its name; `UnknownName` suggests the nearest."""
    kind = registry.load("comparator", name).Options
    return Part(name, typed(kind, options or {}, f"{where}.{name}"))


def _part(
    seam: Literal["extractor", "local", "index", "elastic"],
    table: Mapping[str, Any],
    where: str,
    *,
    key: str | None = None,
) -> Part:
    """A part by the table `key` in `table`, which is the seam's name unless given."""
    key = key or seam
    given = dict(subtable(table, key, where))
    name = given.pop("name", None)
    if not isinstance(name, str):
        raise RecipeError(f"{where}.{key} needs a name, one of: {', '.join(registry.names(seam))}")
    kind = registry.load(seam, name).Options
    return Part(name, typed(kind, given, f"{where}.{key} ({name})"))

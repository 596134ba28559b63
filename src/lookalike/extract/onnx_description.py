"""The TOML beside an ONNX file: what its keys are, and what to write where there is none."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ..errors import RecipeError
from ..options import check_keys, subtable, typed
from .class_words import ClassWordsOptions
from .onnx_file import Graph
from .pooling import FITTING, Kind
from .preprocessing import Interpolation, Resize, Three
from .text_tower import TowerOptions

Layout = Literal["nhwc", "nchw"]


@dataclass(frozen=True, slots=True)
class General:
    """The keys at the top."""

    name: str | None = None
    sha256: str | None = None
    licence: str | None = None
    source: str | None = None
    devices: tuple[str, ...] = ("cuda", "cpu")


@dataclass(frozen=True, slots=True)
class Input:
    """The keys of [input]."""

    name: str | None = None
    size: int | None = None
    resize: Resize = "squash"
    crop: float = 1.0
    interpolation: Interpolation = "linear"
    mean: Three | None = None
    std: Three | None = None
    layout: Layout | None = None
    batch: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("size", self.size), ("batch", self.batch)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop must be over 0 and at most 1, not {self.crop}")
        if self.std is not None and 0 in self.std:
            raise ValueError("std must have no 0")


@dataclass(frozen=True, slots=True)
class Output:
    """The keys of [output]."""

    name: str | None = None
    dim: int | None = None
    pooling: Kind | None = None
    p: float = 3.0
    normalise: bool = False

    def __post_init__(self) -> None:
        if self.dim is not None and self.dim < 1:
            raise ValueError(f"dim must be 1 or more, not {self.dim}")
        if self.p <= 0:
            raise ValueError(f"p must be over 0, not {self.p}")


@dataclass(frozen=True, slots=True)
class Description:
    """The whole of it."""

    general: General
    input: Input
    output: Output
    text: TowerOptions | ClassWordsOptions | None


def read(path: Path) -> Description:
    """The tables of a TOML, each key and value checked."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    tables = ("input", "output", "text")
    check_keys(table, [*(each.name for each in fields(General)), *tables], str(path))
    top = {key: value for key, value in table.items() if key not in tables}
    text = subtable(table, "text", str(path))
    return Description(
        typed(General, top, str(path)),
        typed(Input, subtable(table, "input", str(path)), f"{path}, input"),
        typed(Output, subtable(table, "output", str(path)), f"{path}, output"),
        _text(text, f"{path}, text") if text else None,
    )


def _text(table: Mapping[str, Any], where: str) -> TowerOptions | ClassWordsOptions:
    if table.get("kind") == "classes":
        return typed(ClassWordsOptions, table, where)
    return typed(TowerOptions, table, where)


def template(path: Path, graph: Graph) -> str:
    """That there is no TOML, with one that fits the graph as far as that can be known."""
    lines = [
        f"{path} needs a description beside it. Write {path.with_suffix('.toml')} like this, with "
        "the size, mean and std that the model was trained with (these are usual):",
        "",
        "[input]",
    ]
    for tensor in graph.inputs[:1]:
        sides = [each for each in tensor.shape[1:] if each not in (None, 3)]
        lines += [f'name = "{tensor.name}"', f"size = {sides[0] if sides else 224}"]
        lines += ['resize = "crop"', "crop = 0.875"]
        if tensor.type != "uint8":
            lines += ["mean = [0.485, 0.456, 0.406]", "std = [0.229, 0.224, 0.225]"]
    tensor = min(graph.outputs, key=lambda each: len(each.shape) or 9)
    lines += ["", "[output]", f'name = "{tensor.name}"']
    if len(graph.outputs) > 1:
        lines[-1] += f"  # of {', '.join(map(str, graph.outputs))}"
    if len(tensor.shape) > 2:
        lines.append(f'pooling = "average"  # or {", ".join(FITTING.get(len(tensor.shape), ()))}')
    if not tensor.shape or (len(tensor.shape) != 3 and tensor.shape[1] is None):
        lines.append("dim = 512")
    return "\n".join(lines)

"""A recipe's torch network as ONNX files that need no torch: NAME.onnx, NAME.toml, checked.

Everything is written and checked in a folder of its own first; only then do the files take their
names, the TOML last. A crash in between leaves a TOML whose sha256 is another, which is refused.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from . import onnx_writer
from .decoding import DecodePool
from .errors import CannotExport, LookalikeError, MissingPackage
from .extract import TextNetwork, TorchNetwork
from .extract.onnx import OnnxExtractor, OnnxOptions
from .ingest import encoded, found
from .recipe import Recipe
from .types import Picture, Vectors

EXACT = 0.9999
"""The least cosine between torch and ONNX, of every picture."""
CLOSE = 0.95
"""The least mean cosine between torch and int8; below it, what is near changes too much."""
CALIBRATING = 128
"""How many pictures say which ranges the values take."""

TEXTS = ("a photo of a red bicycle at night", "two cats", "", "Ünïcödé, 42 words & more")


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near the exported network's vectors are to torch's: the cosine of each pair."""

    inputs: int
    least: float
    mean: float


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how near it is to the original."""

    path: Path
    files: tuple[Path, ...]
    """All that was written, to be kept together."""
    dim: int
    closeness: Mapping[str, Closeness]
    """By what was compared: photographs, noise, texts."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How a network is to be exported."""

    int8: bool = False
    calibrate: Path | None = None
    """Pictures like those that will be searched; none for scikit-image's photographs."""
    opset: int = 18
    overwrite: bool = False


def export(
    recipe: Recipe,
    target: Path,
    wish: Wish,
    *,
    weights: Path | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write the network of the recipe's first embedding to `target`, which ends in `.onnx`.

    `weights`: a file that takes the place of the recipe's. Raises `CannotExport` when there is no
    torch network in the recipe, a file is in the way, or the result is not near enough.
    """
    target = target.expanduser().absolute()
    _check_target(target, overwrite=wish.overwrite)
    original = _extractor(recipe, weights)
    try:
        folder = tempfile.TemporaryDirectory(prefix=f".{target.stem}-", dir=target.parent)
    except OSError as error:
        raise CannotExport(f"cannot write to {target.parent}: {error.strerror}") from error
    with folder as name:
        made = Path(name) / target.name
        photographs, sample = _pictures(original, wish)
        onnx_writer.write(original, made, sample, wish.opset, on_step)
        on_step("comparing it with torch")
        closeness = _compared(original, made, photographs)
        _check_closeness(closeness, wish)
        every = sorted(Path(name).iterdir(), key=lambda path: path.suffix == ".toml")
        for each in every:
            os.replace(each, target.parent / each.name)  # noqa: PTH105 - over what is there
    written = tuple(target.parent / each.name for each in every)
    return Exported(target, written, original.dim, closeness)


def _check_target(target: Path, *, overwrite: bool) -> None:
    if target.suffix != ".onnx":
        raise CannotExport(f"{target} must end in .onnx")
    if not target.parent.is_dir():
        raise CannotExport(f"there is no folder {target.parent}: make it first")
    names = (".onnx", ".toml", ".text.onnx", ".tokenizer.json")
    taken = [each for each in map(target.with_suffix, names) if each.exists()]
    if taken and not overwrite:
        raise CannotExport(
            f"{taken[0]} is there already, and collections made with it would not open with "
            "another: choose another name with -o, or give --overwrite"
        )


def _extractor(recipe: Recipe, weights: Path | None) -> Any:
    """The extractor whose network is to be exported, on the CPU."""
    embedding = recipe.embeddings[0]
    part = embedding.extractor
    if weights is not None:
        if "weights" not in {each.name for each in fields(part.options)}:
            raise CannotExport(f"the recipe {recipe.name} takes no weights")
        path = str(weights.expanduser().absolute())
        part = replace(part, options=replace(part.options, weights=path))
    extractor = replace(embedding, extractor=part).make_extractor("cpu")
    if not isinstance(extractor, TorchNetwork):
        raise CannotExport(
            f"the recipe {recipe.name} has no network of torch to export: its extractor is "
            f"{part.name}; take one with timm or clip"
        )
    if find_spec("onnx") is None or find_spec("onnxscript") is None:
        raise MissingPackage("exporting a network", "pip install 'lookalike[export]'")
    return extractor


def _pictures(original: Any, wish: Wish) -> tuple[list[Picture], list[Picture]]:
    """What is compared, and what calibrates: never the same pictures."""
    photographs = _decoded(Path(str(files("skimage").joinpath("data"))), original.shortest_side)
    if not wish.int8:
        return photographs, []
    if wish.calibrate is None:
        return photographs[1::2], photographs[::2]
    sample = _decoded(wish.calibrate.expanduser(), original.shortest_side)
    if not sample:
        raise CannotExport(f"there is no picture in {wish.calibrate} to calibrate with")
    return photographs, sample


def _decoded(folder: Path, shortest_side: int) -> list[Picture]:
    """Its pictures, as many as calibrate, evenly over all of them."""
    items = list(found([str(folder)]))
    every = (encoded(item) for item in items[:: max(1, len(items) // CALIBRATING)])
    with DecodePool(1) as pool:
        batch = [each for each in every if not isinstance(each, LookalikeError)]
        decoded = pool.decode_batch(batch, shortest_side)
    return [each for each in decoded if isinstance(each, Picture)]


def _compared(original: Any, made: Path, photographs: Sequence[Picture]) -> dict[str, Closeness]:
    """What was exported, read as anybody would read it, beside the original."""
    import torch

    again = OnnxExtractor(OnnxOptions(str(made)), "cpu")
    side = original.preprocessing.size
    noise = np.random.default_rng(0).normal(size=(4, 3, side, side)).astype(np.float32)
    with torch.inference_mode():
        of_noise = original.picture_network()(torch.from_numpy(noise)).numpy()
    pairs = {
        "photographs": (_one_by_one(original, photographs), _one_by_one(again, photographs)),
        "noise": (of_noise, again.of_values(noise)),
    }
    if isinstance(original, TextNetwork):
        pairs["texts"] = (original.encode_text(TEXTS), again.encode_text(TEXTS))
    return {name: _closeness(*pair) for name, pair in pairs.items()}


def _one_by_one(extractor: Any, pictures: Sequence[Picture]) -> Vectors:
    """Float32 [n, dim], without n pictures' values in memory at once."""
    return np.concatenate([extractor.extract([picture]) for picture in pictures])


def _closeness(ours: Vectors, theirs: Vectors) -> Closeness:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines = (ours * theirs).sum(axis=1) / lengths
    return Closeness(len(ours), float(cosines.min()), float(cosines.mean()))


def _check_closeness(closeness: Mapping[str, Closeness], wish: Wish) -> None:
    for name, each in closeness.items():
        narrowed = wish.int8 and name != "texts"
        if narrowed and name == "photographs" and not each.mean >= CLOSE:
            raise CannotExport(
                f"in int8 the {name} have a mean cosine of {each.mean:.4f} with the original, "
                f"below {CLOSE}: calibrate with pictures of your own (--calibrate DIR), or do "
                "without --int8; nothing was written"
            )
        if not narrowed and not each.least > EXACT:
            raise CannotExport(
                f"what torch wrote is not the same network: of {each.inputs} {name} one has a "
                f"cosine of {each.least:.6f} with the original; nothing was written"
            )

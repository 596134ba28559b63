"""What an ONNX file is as a model: the TOML beside it, checked against the graph.

The models that come with lookalike are described in full, and trusted until they are loaded. Any
other is looked at when it is first named, so that what is wrong is said before pictures are read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import RecipeError, UnknownName
from . import onnx_description
from .class_words import ClassWordsOptions
from .onnx_description import Input, Layout, Output
from .onnx_file import Graph, Tensor, graph_of, sha256_of
from .pooling import FITTING, Pooling
from .preprocessing import Preprocessing
from .text_tower import TowerOptions

_BUNDLED = Path(str(files("lookalike").joinpath("models")))
_INPUT_TYPES = ("uint8", "float", "float16")
_OUTPUT_TYPES = ("float", "float16")


@dataclass(frozen=True, slots=True)
class Model:
    """A model, ready to be run."""

    name: str
    path: Path
    sha256: str
    devices: tuple[str, ...]
    input: str
    preprocessing: Preprocessing
    layout: Layout
    batch: int | None
    """How many pictures the graph takes at once, if that is fixed."""
    output: str
    dim: int
    pooling: Pooling
    normalise: bool
    text: TowerOptions | ClassWordsOptions | None = None

    @classmethod
    def named(cls, name: str) -> Model:
        """One that comes with lookalike, or the one in a file that ends in `.onnx`."""
        if name.endswith(".onnx"):
            return cls._in_file(Path(name).expanduser().absolute())
        description = _BUNDLED / f"{name}.toml"
        if not description.is_file():
            raise UnknownName("model", name, (path.stem for path in _BUNDLED.glob("*.toml")))
        read = onnx_description.read(description)
        general, input, output = read.general, read.input, read.output
        said = (general.sha256, input.name, input.size, output.name, output.dim)
        sha256, input_name, size, output_name, dim = said
        if not (sha256 and input_name and size and output_name and dim):
            raise RecipeError(f"{description} lacks a sha256, name, size or dim")
        return cls(
            name=name,
            path=description.with_suffix(".onnx"),
            sha256=sha256,
            devices=general.devices,
            input=input_name,
            preprocessing=_preprocessing(input, size),
            layout=input.layout or "nhwc",
            batch=input.batch,
            output=output_name,
            dim=dim,
            pooling=Pooling(output.pooling or "none", output.p),
            normalise=output.normalise,
            text=read.text,
        )

    @classmethod
    def _in_file(cls, path: Path) -> Model:
        graph = graph_of(path)
        description = path.with_suffix(".toml")
        if not description.is_file():
            raise RecipeError(onnx_description.template(path, graph))
        read = onnx_description.read(description)
        general, input, output = read.general, read.input, read.output
        in_tensor, layout, size, batch = _checked_input(graph, input, f"{description}, input", path)
        out_tensor, dim, pooling = _checked_output(graph, output, f"{description}, output", path)
        return cls(
            name=general.name or path.stem,
            path=path,
            sha256=general.sha256 or sha256_of(path),
            devices=general.devices,
            input=in_tensor.name,
            preprocessing=_preprocessing(input, size),
            layout=layout,
            batch=batch,
            output=out_tensor.name,
            dim=dim,
            pooling=pooling,
            normalise=output.normalise,
            text=read.text,
        )

    @property
    def bundled(self) -> bool:
        """Whether it comes with lookalike."""
        return self.path.parent == _BUNDLED

    @property
    def fingerprint(self) -> str:
        """Hexadecimal sha256 over all that a picture's vector depends on."""
        text = f"{self.sha256} {self.preprocessing} {self.output}"
        if not self.bundled:
            text += f" {self.layout} {self.pooling} {self.normalise}"
        return hashlib.sha256(text.encode()).hexdigest()


def _preprocessing(input: Input, size: int) -> Preprocessing:
    wanted = {"mean": input.mean, "std": input.std}
    given: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    return Preprocessing(size, input.resize, input.crop, input.interpolation, **given)


def _checked_input(
    graph: Graph, input: Input, where: str, path: Path
) -> tuple[Tensor, Layout, int, int | None]:
    """The graph's only input; its layout, side and fixed batch size."""
    if len(graph.inputs) != 1:
        listed = ", ".join(map(str, graph.inputs)) or "none"
        raise RecipeError(
            f"{path} has {len(graph.inputs)} inputs ({listed}), and only networks with one, the "
            "picture, can be used: export the part for pictures alone"
        )
    (tensor,) = graph.inputs
    if input.name not in (None, tensor.name):
        raise RecipeError(f"{where}: there is no input {input.name!r}; there is {tensor}")
    if tensor.type not in _INPUT_TYPES:
        raise RecipeError(f"{path} takes {tensor}; it must be one of {', '.join(_INPUT_TYPES)}")
    if tensor.type == "uint8" and (input.mean or input.std):
        raise RecipeError(f"{where}: mean and std are of no use, {tensor} takes bytes as they are")
    if tensor.type != "uint8" and not (input.mean and input.std):
        raise RecipeError(
            f"{where}: mean and std are missing, by channel for values of 0 to 1, as the model was "
            "trained: of ImageNet [0.485, 0.456, 0.406] and [0.229, 0.224, 0.225]"
        )
    layout = _layout(tensor, input, where)
    lengths = dict(zip(layout, tensor.shape, strict=False))
    if lengths.get("c") not in (None, 3):
        raise RecipeError(f"{path} takes {tensor}, {lengths['c']} channels; pictures have 3: RGB")
    size = _agreed("size", input.size, {lengths.get("h"), lengths.get("w")} - {None}, tensor, where)
    batch = lengths.get("n")
    if input.batch and batch:
        _agreed("batch", input.batch, {batch}, tensor, where)
    return tensor, layout, size, batch or input.batch


def _layout(tensor: Tensor, input: Input, where: str) -> Layout:
    """Where the channels are: by the shape if it says so, else as told, else as is usual."""
    if len(tensor.shape) not in (0, 4):
        raise RecipeError(f"{where}: {tensor} is not for pictures, [n, 3, h, w] or [n, h, w, 3]")
    by_shape: Layout | None = None
    if tensor.shape and tensor.shape[1] == 3:
        by_shape = "nchw"
    elif tensor.shape and tensor.shape[3] == 3:
        by_shape = "nhwc"
    if input.layout and by_shape and input.layout != by_shape:
        raise RecipeError(f"{where}: layout is {input.layout!r}, but the graph takes {tensor}")
    return by_shape or input.layout or ("nhwc" if tensor.type == "uint8" else "nchw")


def _agreed(key: str, said: int | None, fixed: set[Any], tensor: Tensor, where: str) -> int:
    """What the description says and the graph fixes, if they do not contradict each other."""
    wanted = fixed | ({said} if said is not None else set())
    if not wanted:
        raise RecipeError(f"{where}: {key} is missing, and {tensor} does not fix it")
    if len(wanted) > 1:
        but = f"{key} is {said}, but" if len(fixed) == 1 else "pictures are made square, but"
        raise RecipeError(f"{where}: {but} the graph has {tensor}")
    return int(wanted.pop())


def _checked_output(
    graph: Graph, output: Output, where: str, path: Path
) -> tuple[Tensor, int, Pooling]:
    """The output that is used, the length of a vector and how it is pooled."""
    listed = ", ".join(map(str, graph.outputs))
    if output.name is None and len(graph.outputs) > 1:
        raise RecipeError(f"{where}: name is missing, {path} has several: {listed}")
    named = [each for each in graph.outputs if output.name in (None, each.name)]
    if not named:
        raise RecipeError(f"{where}: there is no output {output.name!r}; there are: {listed}")
    (tensor,) = named
    if tensor.type not in _OUTPUT_TYPES:
        raise RecipeError(f"{where}: {tensor} must be one of {', '.join(_OUTPUT_TYPES)}")
    pooling = _pooling(tensor, output, where)
    axis = 2 if len(tensor.shape) == 3 else 1
    fixed = {tensor.shape[axis]} - {None} if tensor.shape else set()
    return tensor, _agreed("dim", output.dim, fixed, tensor, where), pooling


def _pooling(tensor: Tensor, output: Output, where: str) -> Pooling:
    """As told; none where there is nothing to pool."""
    if not tensor.shape:
        if output.pooling is None or output.dim is None:
            raise RecipeError(
                f"{where}: the graph does not say how many axes {tensor.name} has: "
                "say pooling and dim here, or export the model with fixed axes"
            )
        return Pooling(output.pooling, output.p)
    fitting = FITTING.get(len(tensor.shape))
    if fitting is None:
        raise RecipeError(
            f"{where}: {tensor} is not [n, d], [n, tokens, d] or [n, d, h, w]: take another output"
        )
    kind = output.pooling or ("none" if "none" in fitting else None)
    if kind not in fitting:
        said = "is missing" if kind is None else f"is {kind!r}"
        raise RecipeError(
            f"{where}: pooling {said}; for {tensor} it is one of {', '.join(fitting)}"
        )
    return Pooling(kind, output.p)

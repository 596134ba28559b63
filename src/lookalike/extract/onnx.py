"""Networks as ONNX files: pixels in, one vector a picture out, in ONNX Runtime.

A model is a pair of files, `NAME.onnx` and `NAME.toml`; the TOML says how pictures are brought to
the network's input and what its output is. Some come with lookalike, others are given by path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import DeviceUnavailable, NoText, RecipeError, UnknownName, WeightsUnusable
from ..types import Picture, Vectors
from .class_words import ClassWords, ClassWordsOptions
from .onnx_file import Array, Network
from .onnx_model import Model
from .pooling import unit
from .text_tower import TextTower

_INSTALL_CUDA = (
    "install the GPU build in its place: "
    "`pip uninstall -y onnxruntime && pip install onnxruntime-gpu` "
    "(the two packages overwrite each other's files)"
)


@dataclass(frozen=True, slots=True)
class OnnxOptions:
    """Which network."""

    model: str
    """The name of a model that comes with lookalike, or the path of a `.onnx` file."""

    def __post_init__(self) -> None:
        path = Path(self.model)
        if path.suffix == ".onnx" and not (path.is_absolute() or path.parts[0].startswith("~")):
            # A collection keeps its recipe, and is opened from other folders than this one.
            raise ValueError(f"model must be a whole path, as {str(path.absolute())!r}")


class OnnxExtractor:
    """A network in ONNX Runtime. One thread a call: callers run several calls at once."""

    Options: ClassVar = OnnxOptions

    def __init__(self, options: OnnxOptions, device: str) -> None:
        self.model = Model.named(options.model)
        self.dim = self.model.dim
        self.fingerprint = self.model.fingerprint
        self.shortest_side = self.model.preprocessing.shortest_side
        self._device = device
        self._network = Network(self.model.path, self.model.sha256, self._providers, device)
        if device.startswith("cuda"):  # said before anything is made for it
            self._providers()
        if not self.model.bundled and self.reads_text:
            _ = self._text_encoder  # says what is wrong with its files

    def extract(self, pictures: Sequence[Picture]) -> Vectors:
        """`pictures`: n of them -> float32 [n, dim], as the network gives them, pooled."""
        if not pictures:
            return np.empty((0, self.dim), np.float32)
        return self.of_values(self._values(pictures))

    def of_values(self, values: Array) -> Vectors:
        """`values`: n pictures in the type and layout of the graph's input -> float32 [n, dim]."""
        model = self.model
        vectors = model.pooling(self._network.run(model.output, {model.input: values}, model.batch))
        if vectors.shape != (len(values), self.dim):
            raise RecipeError(
                f"{model.path} gives {list(vectors.shape)} for {len(values)} pictures, not "
                f"[{len(values)}, {self.dim}]: correct dim and pooling in its TOML"
            )
        if not np.isfinite(vectors).all():
            raise WeightsUnusable(
                f"{model.path} gives values that are no numbers (NaN or infinite): its weights are "
                "damaged, mean and std are not its own, or it overflows at half precision"
            )
        return unit(vectors) if model.normalise else vectors

    @property
    def reads_text(self) -> bool:
        """Whether this model has a part for text."""
        return self.model.text is not None

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """`texts`: n of them -> float32 [n, dim], each of length 1; else `NoText`."""
        if not self.reads_text:
            raise NoText(self.model.name)
        return self._text_encoder.encode(texts)

    @property
    def device(self) -> str:
        """What it runs on, `cpu` or `cuda`; loads the model."""
        return "cuda" if "CUDA" in self._network.session.get_providers()[0] else "cpu"

    @property
    def why(self) -> str:
        """Why it runs there, for a person."""
        if self._device != "auto":
            return f"as {self._device!r} was asked for"
        if "cuda" not in self.model.devices:
            return "this model is made for CPUs"
        return "the fastest that ONNX Runtime offers here"

    @cached_property
    def _text_encoder(self) -> TextTower | ClassWords:
        text, folder = self.model.text, self.model.path.parent
        assert text is not None
        if isinstance(text, ClassWordsOptions):
            return ClassWords.load(folder / text.file, text.sha256, text.temperature)
        return TextTower(text, folder, self.dim, self._providers, self._device)

    def _values(self, pictures: Sequence[Picture]) -> Array:
        """`pictures`: n of them -> what the graph takes, in its type and layout."""
        preprocessing, layout = self.model.preprocessing, self.model.layout
        kind = self._network.input_type(self.model.input)
        if kind == "uint8":
            squares = preprocessing.squares(pictures)
            return squares if layout == "nhwc" else _contiguous(squares.transpose(0, 3, 1, 2))
        values = preprocessing.normalised(pictures)
        if layout == "nhwc":
            values = _contiguous(values.transpose(0, 2, 3, 1))
        return values.astype(np.float16) if kind == "float16" else values

    def _providers(self) -> list[Any]:
        import onnxruntime

        return providers_for(self._device, self.model, onnxruntime.get_available_providers())


def providers_for(device: str, model: Model, available: Sequence[str]) -> list[Any]:
    """ONNX Runtime's providers for a device, `DeviceUnavailable` when that cannot be had.

    `available`: the providers of the installed ONNX Runtime.
    """
    name, _, number = device.partition(":")
    if name not in ("auto", "cpu", "cuda") or (number and not number.isdecimal()):
        raise UnknownName("device", device, ("auto", "cpu", "cuda", "cuda:0"))
    cuda = "CUDAExecutionProvider" in available
    if name == "cuda" and "cuda" not in model.devices:
        instead = (
            "on a GPU use `--recipe default-fp16` with a collection of its own, whose vectors are "
            "not mixed with these"
            if model.bundled
            else f"its TOML says devices = {list(model.devices)}"
        )
        raise DeviceUnavailable(f"{model.name} is made for CPUs; {instead}")
    if name == "cuda" and not cuda:
        raise DeviceUnavailable(f"this ONNX Runtime has no CUDA: {_INSTALL_CUDA}")
    if name == "cpu" or not cuda or "cuda" not in model.devices:
        return ["CPUExecutionProvider"]
    return [
        ("CUDAExecutionProvider", {"device_id": int(number or 0)}),
        "CPUExecutionProvider",
    ]


def _contiguous(values: Array) -> Array:
    return np.ascontiguousarray(values)

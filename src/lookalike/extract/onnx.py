"""Networks as ONNX files: pixels in, one vector a picture out, in ONNX Runtime.

A model is a pair of files, `NAME.onnx` and `NAME.toml`; the TOML says how pictures are brought to
the network's input and what its output is. The graph takes uint8 pixels and does all the rest.
"""

from __future__ import annotations

import hashlib
import threading
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import DeviceUnavailable, RecipeError, UnknownName
from ..types import Picture, Vectors
from .class_words import ClassWords
from .preprocessing import Preprocessing

_INSTALL_CUDA = (
    "install the GPU build in its place: "
    "`pip uninstall -y onnxruntime && pip install onnxruntime-gpu` "
    "(the two packages overwrite each other's files)"
)


@dataclass(frozen=True, slots=True)
class OnnxOptions:
    """Which network."""

    model: str
    """The name of a model that comes with lookalike."""


@dataclass(frozen=True, slots=True)
class Model:
    """What the TOML beside an ONNX file says."""

    name: str
    path: Path
    sha256: str
    devices: tuple[str, ...]
    input: str
    preprocessing: Preprocessing
    output: str
    dim: int
    text: Mapping[str, Any] | None = None
    """How it reads text, if it does. Vectors of pictures do not depend on it."""

    @classmethod
    def named(cls, name: str) -> Model:
        """A model that comes with lookalike."""
        folder = Path(str(files("lookalike").joinpath("models")))
        description = folder / f"{name}.toml"
        if not description.is_file():
            raise UnknownName("model", name, (path.stem for path in folder.glob("*.toml")))
        table = tomllib.loads(description.read_text("utf-8"))
        try:
            return cls(
                name=table["name"],
                path=description.with_suffix(".onnx"),
                sha256=table["sha256"],
                devices=tuple(table["devices"]),
                input=table["input"]["name"],
                preprocessing=Preprocessing(table["input"]["size"], table["input"]["resize"]),
                output=table["output"]["name"],
                dim=table["output"]["dim"],
                text=table.get("text"),
            )
        except KeyError as error:
            raise RecipeError(f"{description} lacks the key {error}") from error

    @property
    def fingerprint(self) -> str:
        """Hexadecimal sha256 over the weights and the preprocessing."""
        text = f"{self.sha256} {self.preprocessing} {self.output}"
        return hashlib.sha256(text.encode()).hexdigest()


class OnnxExtractor:
    """A network in ONNX Runtime. One thread a call: callers run several calls at once."""

    Options: ClassVar = OnnxOptions

    def __init__(self, options: OnnxOptions, device: str) -> None:
        self.model = Model.named(options.model)
        self.dim = self.model.dim
        self.fingerprint = self.model.fingerprint
        self.shortest_side = self.model.preprocessing.shortest_side
        self._device = device
        if device.startswith("cuda"):  # said before anything is made for it
            self._providers()
        self._loading = threading.Lock()

    def extract(self, pictures: Sequence[Picture]) -> Vectors:
        """`pictures`: n of them -> float32 [n, dim], as the network gives them."""
        if not pictures:
            return np.empty((0, self.dim), np.float32)
        pixels = self.model.preprocessing.squares(pictures)
        (vectors,) = self._session.run([self.model.output], {self.model.input: pixels})
        return np.ascontiguousarray(vectors, np.float32)

    @property
    def reads_text(self) -> bool:
        """Whether the model's description has a part for text."""
        return self.model.text is not None

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """`texts`: n of them -> float32 [n, dim], each of length 1; `BadQuery` for an empty one."""
        return self._text_encoder.encode(texts)

    @property
    def device(self) -> str:
        """What it runs on, `cpu` or `cuda`; loads the model."""
        return "cuda" if "CUDA" in self._session.get_providers()[0] else "cpu"

    @property
    def why(self) -> str:
        """Why it runs there, for a person."""
        if self._device != "auto":
            return f"as {self._device!r} was asked for"
        if "cuda" not in self.model.devices:
            return "this model is made for CPUs"
        return "the fastest that ONNX Runtime offers here"

    @property
    def _session(self) -> Any:
        with self._loading:
            return self._loaded

    @cached_property
    def _loaded(self) -> Any:
        import onnxruntime

        try:
            content = self.model.path.read_bytes()
        except OSError as error:
            raise RecipeError(f"cannot read the model {self.model.path}: {error}") from error
        if hashlib.sha256(content).hexdigest() != self.model.sha256:
            raise RecipeError(f"{self.model.path} is damaged: its sha256 is not the expected one")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(content, options, providers=self._providers())
        if self._device.startswith("cuda") and "CUDA" not in session.get_providers()[0]:
            # Where CUDA's own libraries are missing, ONNX Runtime takes the CPU without a word.
            raise DeviceUnavailable(
                f"{self._device!r} was asked for, but ONNX Runtime cannot start CUDA here: "
                "see that the NVIDIA driver, CUDA and cuDNN are installed in the versions it wants"
            )
        return session

    @cached_property
    def _text_encoder(self) -> ClassWords:
        text = self.model.text
        if text is None:
            raise RecipeError(f"the model {self.model.name} has no part for text")
        return ClassWords.load(
            self.model.path.with_name(text["file"]), text["sha256"], text["temperature"]
        )

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
        raise DeviceUnavailable(
            f"{model.name} is made for CPUs; on a GPU use `--recipe default-fp16` with a "
            "collection of its own, whose vectors are not mixed with these"
        )
    if name == "cuda" and not cuda:
        raise DeviceUnavailable(f"this ONNX Runtime has no CUDA: {_INSTALL_CUDA}")
    if name == "cpu" or not cuda or "cuda" not in model.devices:
        return ["CPUExecutionProvider"]
    return [
        ("CUDAExecutionProvider", {"device_id": int(number or 0)}),
        "CPUExecutionProvider",
    ]

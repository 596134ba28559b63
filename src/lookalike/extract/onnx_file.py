"""ONNX files: what goes into a graph and comes out, the digest of its weights, and running it."""

from __future__ import annotations

import hashlib
import mmap
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DeviceUnavailable, RecipeError

Array = npt.NDArray[Any]
Providers = Callable[[], list[Any]]
Stamp = tuple[tuple[Path, int, int], ...]
"""Files, each with when it was changed (ns) and its bytes."""

# A file's name as protocol buffers write it: the entry {"location": NAME} of a tensor whose values
# lie outside. A name's length takes one byte, or two from 128 on.
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f]|[\x80-\xff][\x01-\x1f])")
_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or an output of a graph."""

    name: str
    type: str
    """As ONNX Runtime writes it: `float`, `float16`, `uint8`, `int64`…"""
    shape: tuple[int | None, ...]
    """None where a length is not fixed; empty when not even their number is."""

    def __str__(self) -> str:
        lengths = ", ".join("?" if each is None else str(each) for each in self.shape)
        return f"{self.name} ({self.type} [{lengths or '...'}])"


@dataclass(frozen=True, slots=True)
class Graph:
    """What goes in and what comes out."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Network:
    """A graph that runs; loaded when it is first used. Safe to call from several threads.

    `sha256`: the digest that its weights must have. `providers`: gives ONNX Runtime's, for the
    `device` that was asked for.
    """

    def __init__(self, path: Path, sha256: str, providers: Providers, device: str) -> None:
        self._path = path
        self._sha256 = sha256
        self._providers = providers
        self._device = device
        self._loading = threading.Lock()

    def run(self, output: str, given: Mapping[str, Array], batch: int | None = None) -> Array:
        """`given`: by input, each [n, ...]; what comes out of `output`, [n, ...].

        `batch`: how many the graph takes at once, if that is fixed; what lacks is filled up.
        """
        count = len(next(iter(given.values())))
        step = batch or max(1, count)
        parts = [
            self._run_batch(
                output, {name: each[i : i + step] for name, each in given.items()}, batch
            )
            for i in range(0, count, step)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def input_type(self, name: str) -> str:
        """The type of an input, as `Tensor.type`."""
        return next(each.type for each in _tensors(self.session.get_inputs()) if each.name == name)

    @property
    def session(self) -> Any:
        """ONNX Runtime's own object."""
        with self._loading:
            return self._loaded

    @cached_property
    def _loaded(self) -> Any:
        if sha256_of(self._path) != self._sha256:
            raise RecipeError(
                f"{self._path} is damaged or another file: its sha256 is not the expected one"
            )
        session = _session(self._path, self._providers())
        if self._device.startswith("cuda") and "CUDA" not in session.get_providers()[0]:
            # Where CUDA's own libraries are missing, ONNX Runtime takes the CPU without a word.
            raise DeviceUnavailable(
                f"{self._device!r} was asked for, but ONNX Runtime cannot start CUDA here: "
                "see that the NVIDIA driver, CUDA and cuDNN are installed in the versions it wants"
            )
        return session

    def _run_batch(self, output: str, given: Mapping[str, Array], batch: int | None) -> Array:
        count = len(next(iter(given.values())))
        if batch is not None and count < batch:
            given = {
                name: np.concatenate([each, np.repeat(each[-1:], batch - count, axis=0)])
                for name, each in given.items()
            }
        session = self.session
        try:
            (values,) = session.run([output], dict(given))
        except Exception as error:  # ONNX Runtime's errors have no root of their own
            raise RecipeError(f"{self._path} cannot be run: {_said(error)}") from error
        return np.asarray(values) if batch is None else np.asarray(values)[:count]


def graph_of(path: Path) -> Graph:
    """What goes into the graph and comes out; `RecipeError` if it is not a sound ONNX file."""
    _beside(path)  # says better than ONNX Runtime what is missing
    return _graph(_stamp([path]))


def sha256_of(path: Path) -> str:
    """Hexadecimal, over the file and then the files beside it that hold its weights, if any do."""
    return _sha256(_stamp([path, *_beside(path)]))


@cache
def _graph(stamp: Stamp) -> Graph:
    path = stamp[0][0]
    session = _session(path, ["CPUExecutionProvider"], only_look=True)
    return Graph(_tensors(session.get_inputs()), _tensors(session.get_outputs()))


@cache
def _sha256(stamp: Stamp) -> str:
    digest = hashlib.sha256()
    for path, _, _ in stamp:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _beside(path: Path) -> list[Path]:
    """The files beside a graph that hold its weights, sorted."""
    files = [path.parent / name for name in _locations(_stamp([path]))]
    for each in files:
        if not each.is_file():
            raise RecipeError(
                f"{path} has its weights in {each.name}, which is not beside it: copy both"
            )
    return files


@cache
def _locations(stamp: Stamp) -> list[str]:
    ((path, _, size),) = stamp
    if size == 0:
        raise RecipeError(f"{path} is empty: copy or export it again")
    names = set()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for found in _LOCATION.finditer(content):
            first, *more = found[1]
            length = (first & 0x7F) | (more[0] << 7 if more else 0)
            names.add(content[found.end() : found.end() + length].decode("utf-8", "replace"))
    return sorted(names)


def _stamp(paths: Sequence[Path]) -> Stamp:
    try:
        every = [(path, path.stat()) for path in paths]
        return tuple((path, each.st_mtime_ns, each.st_size) for path, each in every)
    except OSError as error:
        raise RecipeError(f"cannot read the model {error.filename}: {error.strerror}") from error


def _session(path: Path, providers: Sequence[Any], *, only_look: bool = False) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if only_look:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(path, options, providers=list(providers))
    except Exception as error:  # ONNX Runtime's errors have no root of their own
        raise RecipeError(
            f"{path} is not an ONNX model that this ONNX Runtime {onnxruntime.__version__} can "
            f"load ({_said(error)}): copy or export it again"
        ) from error


def _tensors(described: Sequence[Any]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(
            each.name,
            each.type.removeprefix("tensor(").removesuffix(")"),
            tuple(
                length if isinstance(length, int) and length > 0 else None for length in each.shape
            ),
        )
        for each in described
    )


def _said(error: Exception) -> str:
    """What ONNX Runtime says, in one line without its codes."""
    return _PREFIX.sub("", str(error)).partition("\n")[0].strip().rstrip(".")

"""A named array of a file of features, in each of the formats, read from its beginning."""

from __future__ import annotations

import base64
import json
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, NoReturn, Protocol

import numpy as np

from ..errors import MissingPackage

_LONGEST_TEXT = 1 << 20
_LONGEST_LINE = 1 << 26


class Column(Protocol):
    """One named array of a file, read from its beginning as often as one likes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the length of each if it is a matrix."""
        ...

    def arrays(self, size: int) -> Iterator[np.ndarray[Any, Any]]:
        """Numbers, `size` rows at a time."""
        ...

    def texts(self, size: int) -> Iterator[list[str]]:
        """Text, `size` rows at a time."""
        ...

    def text(self) -> str:
        """The only text."""
        ...

    def content(self) -> bytes:
        """Bytes, all of them."""
        ...


@dataclass(frozen=True, slots=True)
class NumpyColumn:
    """An array in NumPy's format, in a file or a member of an archive."""

    open: Callable[[], IO[bytes]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the length of each if it is a matrix."""
        with self.open() as stream:
            return header(stream)[0]

    def arrays(self, size: int) -> Iterator[np.ndarray[Any, Any]]:
        """Numbers, `size` rows at a time."""
        with self.open() as stream:
            shape, by_columns, kind = header(stream)
            if by_columns and len(shape) > 1:  # its rows lie scattered
                whole = np.frombuffer(_exactly(stream, math.prod(shape) * kind.itemsize), kind)
                yield from _slices(whole.reshape(shape, order="F"), size)
            else:
                width = math.prod(shape[1:]) * kind.itemsize
                for start in range(0, shape[0], size):
                    count = min(size, shape[0] - start)
                    block = np.frombuffer(_exactly(stream, count * width), kind)
                    yield block.reshape(count, *shape[1:])
            _ends(stream)

    def texts(self, size: int) -> Iterator[list[str]]:
        """Text, `size` rows at a time."""
        with self.open() as stream:
            shape, _, kind = header(stream)
            if kind == np.uint8:
                yield from _lines(stream, shape, size)
                return
        if kind.kind not in "US" or len(shape) != 1 or kind.itemsize > _LONGEST_TEXT:
            raise ValueError(f"expected text [n], it is {kind} {list(shape)}")
        for block in self.arrays(size):
            yield (np.char.decode(block, "utf-8") if kind.kind == "S" else block).tolist()

    def text(self) -> str:
        """The only text."""
        with self.open() as stream:
            shape, _, kind = header(stream)
            if kind.kind not in "US" or math.prod(shape) != 1 or kind.itemsize > _LONGEST_LINE:
                raise ValueError(f"expected one text, it is {kind} {list(shape)}")
            value = np.frombuffer(_exactly(stream, kind.itemsize), kind)[0] if kind.itemsize else ""
            _ends(stream)
            return value.decode() if isinstance(value, bytes) else str(value)

    def content(self) -> bytes:
        """Bytes, all of them."""
        with self.open() as stream:
            shape, _, kind = header(stream)
            if kind != np.uint8 or len(shape) != 1:
                raise ValueError(f"expected uint8 [n], it is {kind} {list(shape)}")
            content = _exactly(stream, shape[0])
            _ends(stream)
            return content


@dataclass(frozen=True, slots=True)
class JsonColumn:
    """A value in the JSON beside a `.npy`."""

    value: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the length of each if it is a matrix."""
        return (len(self.value),) if isinstance(self.value, list) else ()

    def arrays(self, size: int) -> NoReturn:  # noqa: ARG002
        """None: vectors lie in the `.npy`."""
        raise ValueError("vectors belong into the .npy")

    def texts(self, size: int) -> Iterator[list[str]]:
        """Text, `size` rows at a time."""
        if not isinstance(self.value, list):
            raise ValueError(f"expected a list, it is {type(self.value).__name__}")
        for block in _slices(self.value, size, len(self.value)):
            yield [each if isinstance(each, str) else json.dumps(each) for each in block]

    def text(self) -> str:
        """The only text."""
        if not isinstance(self.value, str):
            raise ValueError(f"expected text, it is {type(self.value).__name__}")
        return self.value

    def content(self) -> bytes:
        """Bytes, all of them."""
        return base64.b64decode(self.text(), validate=True)


@dataclass(frozen=True, slots=True)
class Hdf5Column:
    """A dataset of an HDF5 file."""

    dataset: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the length of each if it is a matrix."""
        return tuple(self.dataset.shape)

    def arrays(self, size: int) -> Iterator[np.ndarray[Any, Any]]:
        """Numbers, `size` rows at a time."""
        if self.dataset.dtype.hasobject:
            raise ValueError("expected numbers, it holds text or objects")
        yield from _slices(self.dataset, size)

    def texts(self, size: int) -> Iterator[list[str]]:
        """Text, `size` rows at a time."""
        if h5py().check_string_dtype(self.dataset.dtype) is None or len(self.shape) != 1:
            raise ValueError(f"expected text [n], it is {self.dataset.dtype} {list(self.shape)}")
        for block in _slices(self.dataset.asstr(), size, self.shape[0]):
            yield block.tolist()

    def text(self) -> str:
        """The only text."""
        if h5py().check_string_dtype(self.dataset.dtype) is None or math.prod(self.shape) != 1:
            raise ValueError(f"expected one text, it is {self.dataset.dtype} {list(self.shape)}")
        return str(np.asarray(self.dataset.asstr()[()]).item())

    def content(self) -> bytes:
        """Bytes, all of them."""
        if self.dataset.dtype != np.uint8 or len(self.shape) != 1:
            raise ValueError(f"expected uint8 [n], it is {self.dataset.dtype} {list(self.shape)}")
        return bytes(self.dataset[:].tobytes())


def h5py() -> Any:
    """The package for HDF5."""
    try:
        import h5py as package
    except ImportError as error:
        raise MissingPackage("HDF5", "pip install 'lookalike[hdf5]'") from error
    return package


def header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it lies column by column, and type of an array; its data come next."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of NumPy's format is not one for plain arrays")
    with warnings.catch_warnings(action="ignore"):  # of Python, which reads the header
        if version == (1, 0):
            shape, by_columns, kind = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, by_columns, kind = np.lib.format.read_array_header_2_0(stream)
    if kind.hasobject:
        raise ValueError("it holds pickled Python objects, which are never loaded")
    if min(shape, default=0) < 0:
        raise ValueError(f"a shape of {shape}")
    return shape, by_columns, kind


def _exactly(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise ValueError("it ends too early (truncated)")
    return content


def _ends(stream: IO[bytes]) -> None:
    """Nothing may follow; an archive compares its checksum here."""
    if stream.read(1):
        raise ValueError("more follows than its header says")


def _lines(stream: IO[bytes], shape: tuple[int, ...], size: int) -> Iterator[list[str]]:
    """The lines of a text that lies in an array of bytes."""
    if len(shape) != 1:
        raise ValueError(f"expected lines of text as uint8 [n], its shape is {list(shape)}")
    left, block = shape[0], list[str]()
    while line := stream.readline(_LONGEST_LINE):
        left -= len(line)
        block.append(line.removesuffix(b"\n").decode())
        if len(block) == size:
            yield block
            block = []
    if left:
        raise ValueError("it ends too early (truncated)" if left > 0 else "it is too long")
    if block:
        yield block


def _slices(array: Any, size: int, count: int | None = None) -> Iterator[Any]:
    for start in range(0, array.shape[0] if count is None else count, size):
        yield array[start : start + size]

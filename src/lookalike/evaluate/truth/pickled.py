"""Data out of a pickle that may be hostile: containers, text, numbers and arrays, nothing else.

A pickle is a program. This one can call only what stands in `_ALLOWED`, all of it ours: not even
NumPy's own functions are run on what it says. See "Restricting globals" in Python's documentation
of `pickle`.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_LARGEST = 100_000_000
"""Bytes; ground truth of a million pictures has a tenth of them."""


class Refused(Exception):
    """A pickle that asks for more than data, or is none; the text says why."""


def load(path: Path) -> Any:
    """What a pickle holds: arrays as lists. `Refused` if it is not plain data, or is broken."""
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise Refused(f"larger than {_LARGEST / 1e6:g} MB, which no ground truth is")
    try:
        # Latin-1, so that bytes of a pickle made by Python 2 come through.
        return _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except Refused:
        raise
    except MemoryError as error:
        raise Refused("it asks for more memory than there is") from error
    except _BROKEN as error:
        raise Refused(f"not a whole pickle: {error or type(error).__name__}") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """What the pickle asks for by name."""
        asked = f"{module.replace('._core', '.core')}.{name}"
        if asked not in _ALLOWED:
            raise Refused(f"it wants to call `{module}.{name}`, which data has no need of")
        return _Callable(_ALLOWED[asked])


class _Callable:
    """A function that a pickle may call, but not change: it has no attributes to set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


class _Type:
    """A NumPy type: numbers alone, so that no array can hold objects."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: Any, *_: Any) -> None:
        if str(code) not in _NUMBERS:
            raise Refused(f"it has an array of {str(code)!r:.40}, not of numbers")
        self._code = str(code)
        self._order = "<"

    def __setstate__(self, state: Any) -> None:
        self._order = ">" if state[1] == ">" else "<"

    def read(self, data: Any) -> list[Any]:
        """The numbers in these bytes."""
        raw = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(raw, bytes | bytearray):  # a number would be so many bytes
            raise Refused("an array has no bytes")
        values: list[Any] = np.frombuffer(raw, f"{self._order}{self._code}").tolist()
        return values


class _Array(list[Any]):
    """An array while it is read: it becomes a list of its numbers."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, _, data = state
        self[:] = _flat(kind, data, shape)


def _flat(kind: _Type, data: Any, shape: Any) -> list[Any]:
    """The numbers of an array of one dimension."""
    values = kind.read(data)
    if tuple(shape) != (len(values),):
        raise Refused(f"an array has the shape {shape!r:.60}, where a list was expected")
    return values


def _scalar(kind: _Type, data: Any) -> Any:
    (value,) = kind.read(data)
    return value


def _empty() -> bytes:
    """How pickles of protocol 2 write no bytes."""
    return b""


def _encoded(text: str, encoding: str) -> bytes:
    """How pickles of protocol 2 write bytes."""
    if encoding != "latin1":
        raise Refused(f"it has text in {encoding!r:.40}")
    return text.encode("latin1")


_NUMBERS = frozenset(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)) | {"f4", "f8"}

_ALLOWED: Mapping[str, Callable[..., Any]] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Type,
    "numpy.core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": lambda data, kind, shape, _: _flat(kind, data, shape),
    "_codecs.encode": _encoded,
    "__builtin__.bytes": _empty,
}

# What the unpickler, and what it calls, raise on bytes that are no pickle of data.
_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    ImportError,
)

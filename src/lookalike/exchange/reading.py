"""A file of features, read column by column: strangers write such files, nothing is unpickled."""

from __future__ import annotations

import contextlib
import json
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from ..errors import BadFeatures
from .columns import Column, Hdf5Column, JsonColumn, NumpyColumn, h5py, header

ENDINGS = (".npy", ".npz", ".hdf5", ".h5")

# What the readers of the three formats raise on what is not theirs, or is broken.
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,  # an encrypted member; h5py; nested too deep
    MemoryError,
    NotImplementedError,
    SyntaxError,  # in the header of an array
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class FeatureFile:
    """What a file holds; whatever is wrong with it is a `BadFeatures`."""

    def __init__(self, path: Path, columns: Mapping[str, Column]) -> None:
        self.path = path
        self.columns = columns

    @property
    def recipe(self) -> str | None:
        """The text of the recipe that it carries."""
        return self._text("recipe")

    def named(self, word: str, default: str) -> dict[str, str]:
        """The columns `word` and `word.NAME`, by embedding; `default`: of one that says no name."""
        first = self._text("embedding") or default
        given = {first: word} if word in self.columns else {}
        others = [each for each in self.columns if each.startswith(f"{word}.")]
        return {**{each.partition(".")[2]: each for each in others}, **given}

    def fingerprints(self, default: str) -> dict[str, str]:
        """Which model made the vectors, by embedding."""
        found = {}
        for name, column in self.named("vectors", default).items():
            fingerprint = self._text(column.replace("vectors", "fingerprint", 1))
            if fingerprint is None:
                raise BadFeatures(
                    self.path,
                    "it has no `fingerprint`, which says what model made the vectors: "
                    "`lookalike stats --json` prints that of a collection",
                )
            found[name] = fingerprint
        if not found:
            raise BadFeatures(self.path, "it has no `vectors`")
        return found

    def learned(self, default: str) -> dict[str, bytes]:
        """What the extractors had learned, by embedding."""
        with readable(self.path, "learned"):
            found = self.named("learned", default)
            return {name: self.columns[column].content() for name, column in found.items()}

    def _text(self, name: str) -> str | None:
        with readable(self.path, name):
            return self.columns[name].text() if name in self.columns else None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[FeatureFile]:
    """The columns of a file by its ending; `BadFeatures` if it is not what that says."""
    if path.suffix.lower() not in ENDINGS:
        raise BadFeatures(path, f"the ending says the format, one of {', '.join(ENDINGS)}")
    with contextlib.ExitStack() as stack:
        with readable(path):
            columns = _OPENERS[path.suffix.lower()](path, stack)
        yield FeatureFile(path, columns)


@contextlib.contextmanager
def readable(path: Path, column: str | None = None) -> Iterator[None]:
    """What goes wrong in here is the file's fault."""
    try:
        yield
    except _BROKEN as error:
        what = f"its `{column}` cannot be read" if column else "it cannot be read"
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BadFeatures(path, f"{what}: {' '.join(why.split())}") from error


def sidecar(path: Path) -> Path:
    """The file of keys beside a `.npy`."""
    return path.with_suffix(".json")


def _npy(path: Path, stack: contextlib.ExitStack) -> dict[str, Column]:  # noqa: ARG001
    with path.open("rb") as stream:
        header(stream)
    beside = sidecar(path)
    if not beside.exists():
        raise BadFeatures(path, f"{beside.name}, which says its keys and fingerprint, is missing")
    with readable(beside):
        keys = json.loads(beside.read_text("utf-8"))
        if not isinstance(keys, dict):
            raise ValueError("expected an object with `paths`, `fingerprint` and others")
    columns: dict[str, Column] = {
        name: JsonColumn(value) for name, value in keys.items() if value is not None
    }
    return {**columns, "vectors": NumpyColumn(lambda: path.open("rb"))}


def _npz(path: Path, stack: contextlib.ExitStack) -> dict[str, Column]:
    archive = stack.enter_context(zipfile.ZipFile(path))
    return {
        name.removesuffix(".npy"): NumpyColumn(_member(archive, name))
        for name in archive.namelist()
        if name.endswith(".npy")
    }


def _member(archive: zipfile.ZipFile, name: str) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(name)


def _hdf5(path: Path, stack: contextlib.ExitStack) -> dict[str, Column]:
    package = h5py()
    with path.open("rb"):  # h5py's own words for a file that is not there are three lines long
        pass
    if not package.is_hdf5(path):
        raise ValueError("it is not HDF5, or it ends too early")
    file = stack.enter_context(package.File(path, "r"))
    columns: dict[str, Column] = {}
    for name in file:
        # A link to another file would read what its maker could not.
        if isinstance(file.get(name, getlink=True), package.HardLink):
            dataset = file[name]
            if isinstance(dataset, package.Dataset):
                if dataset.external or dataset.is_virtual:
                    raise ValueError(f"`{name}` lies in another file")
                columns[name] = Hdf5Column(dataset)
    return columns


_OPENERS: Mapping[str, Callable[[Path, contextlib.ExitStack], dict[str, Column]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".hdf5": _hdf5,
    ".h5": _hdf5,
}

"""A file of features, written column by column without ever being held in memory."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import BadFeatures
from ..types import Place, Record, Vectors
from .columns import h5py
from .reading import ENDINGS, sidecar

TEXTS = ("ids", "paths", "records")
"""The keys of a picture; each a column of text."""

_AT_ONCE = 1024


@contextlib.contextmanager
def spool(path: Path, embeddings: Sequence[str], *, overwrite: bool) -> Iterator[Spool]:
    """Collects columns in a hidden folder beside `path`; `BadFeatures` if it can't be written."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise BadFeatures(path, f"the ending says the format, one of {', '.join(ENDINGS)}")
    if ending == ".npy" and len(embeddings) > 1:
        names = ", ".join(embeddings)
        raise BadFeatures(path, f"a .npy holds one kind of vectors: name one of {names}")
    if ending in (".hdf5", ".h5"):
        h5py()
    for each in (path, sidecar(path)) if ending == ".npy" else (path,):
        if each.exists() and not overwrite:
            raise BadFeatures(each, "it is there already: name another, or say --overwrite")
    with contextlib.ExitStack() as stack:
        with _writable(path):
            hidden = tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)
            made = Spool(path, Path(stack.enter_context(hidden)), embeddings, stack)
        yield made


class Spool:
    """The columns of a file while they are collected, each in a file of its own."""

    def __init__(
        self, path: Path, folder: Path, embeddings: Sequence[str], stack: contextlib.ExitStack
    ) -> None:
        self._path = path
        self._folder = folder
        self._columns = {
            name: "vectors" if name == embeddings[0] else f"vectors.{name}" for name in embeddings
        }
        self._files: dict[str, IO[bytes]] = {
            name: stack.enter_context((folder / name).open("w+b"))
            for name in (*self._columns.values(), *TEXTS)
        }
        self.count = 0
        """Pictures so far."""
        self._longest = 1

    def add(self, records: Sequence[Record], vectors: Mapping[str, Vectors]) -> None:
        """`vectors`: by embedding, float32 [len(records), dim]."""
        with _writable(self._path):
            for name, column in self._columns.items():
                self._files[column].write(np.ascontiguousarray(vectors[name], "<f4").data)
            for record in records:
                said = (record.id, record.path, _described(record))
                for name, value in zip(TEXTS, said, strict=True):
                    self._files[name].write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
                self._longest = max(self._longest, len(record.path))
        self.count += len(records)

    def write(self, about: Mapping[str, str | bytes], dims: Mapping[str, int]) -> None:
        """Make the file of what was collected, and give it its name."""
        shapes = {column: (self.count, dims[name]) for name, column in self._columns.items()}
        made = self._folder / "made"
        with _writable(self._path):
            if self._path.suffix.lower() == ".npz":
                self._write_npz(made, about, shapes)
            elif self._path.suffix.lower() == ".npy":
                self._write_sidecar(self._folder / "sidecar", about)
                with made.open("wb") as file:
                    self._write_array(file, "vectors", shapes["vectors"])
                sidecar(self._path).unlink(missing_ok=True)  # never beside vectors not its own
            else:
                self._write_hdf5(made, about, shapes)
            made.replace(self._path)
            if self._path.suffix.lower() == ".npy":
                (self._folder / "sidecar").replace(sidecar(self._path))

    def _write_npz(
        self, made: Path, about: Mapping[str, str | bytes], shapes: Mapping[str, tuple[int, int]]
    ) -> None:
        with zipfile.ZipFile(made, "w") as archive:

            def member(name: str, compression: int = zipfile.ZIP_DEFLATED) -> Any:
                info = zipfile.ZipInfo(f"{name}.npy")
                info.compress_type = compression
                return archive.open(info, "w", force_zip64=True)

            for name, shape in shapes.items():
                with member(name, zipfile.ZIP_STORED) as file:
                    self._write_array(file, name, shape)
            for name, width in (("ids", 64), ("paths", self._longest)):
                with member(name) as file:
                    _write_header(file, f"<U{width}", (self.count,))
                    for lines in self._texts(name):
                        texts = [json.loads(each) for each in lines]
                        file.write(np.array(texts, f"<U{width}").tobytes())
            with member("records") as file:
                _write_header(file, "|u1", (self._files["records"].tell(),))
                self._copy("records", file)
            for name, value in about.items():
                with member(name) as file:
                    np.lib.format.write_array(file, _array(value), allow_pickle=False)

    def _write_hdf5(
        self, made: Path, about: Mapping[str, str | bytes], shapes: Mapping[str, tuple[int, int]]
    ) -> None:
        with h5py().File(made, "w") as file:
            for name, (count, dim) in shapes.items():
                column = file.create_dataset(name, (count, dim), "<f4")
                self._files[name].seek(0)
                for start in range(0, count, _AT_ONCE):
                    block = self._files[name].read(_AT_ONCE * dim * 4)
                    column[start : start + _AT_ONCE] = np.frombuffer(block, "<f4").reshape(-1, dim)
            for name in TEXTS:
                column = file.create_dataset(name, (self.count,), h5py().string_dtype())
                for number, lines in enumerate(self._texts(name)):
                    texts = lines if name == "records" else [json.loads(each) for each in lines]
                    column[number * _AT_ONCE : number * _AT_ONCE + len(texts)] = texts
            for name, value in about.items():
                file[name] = value if isinstance(value, str) else _array(value)

    def _write_sidecar(self, made: Path, about: Mapping[str, str | bytes]) -> None:
        """One JSON object, a line for each picture and column."""
        with made.open("w", encoding="utf-8") as file:
            for name, value in about.items():
                text = value if isinstance(value, str) else base64.b64encode(value).decode()
                file.write(f"{',' if name != next(iter(about)) else '{'}\n")
                file.write(f"{json.dumps(name)}: {json.dumps(text)}")
            for name in TEXTS:
                file.write(f",\n{json.dumps(name)}: [")
                for number, lines in enumerate(self._texts(name)):
                    file.write((",\n" if number else "\n") + ",\n".join(lines))
                file.write("]")
            file.write("\n}\n")

    def _write_array(self, file: Any, name: str, shape: tuple[int, ...]) -> None:
        _write_header(file, "<f4", shape)
        self._copy(name, file)

    def _copy(self, name: str, file: Any) -> None:
        self._files[name].seek(0)
        shutil.copyfileobj(self._files[name], file, 1 << 20)

    def _texts(self, name: str) -> Iterator[list[str]]:
        """A column of text as lines of JSON, some at a time."""
        self._files[name].seek(0)
        while lines := list(islice(self._files[name], _AT_ONCE)):
            yield [line.decode().removesuffix("\n") for line in lines]


def _write_header(file: Any, kind: str, shape: tuple[int, ...]) -> None:
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _array(value: str | bytes) -> np.ndarray[Any, Any]:
    return np.array(value) if isinstance(value, str) else np.frombuffer(value, np.uint8)


def _described(record: Record) -> dict[str, Any]:
    return {
        "format": record.format,
        "width": record.width,
        "height": record.height,
        "size": record.size,
        "places": [_place(each) for each in record.places],
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "path": place.path,
        "label": place.label,
        "metadata": dict(place.metadata),
        "size": place.size,
        "modified_ns": place.modified_ns,
    }


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    """What goes wrong in here is the disk's fault."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # h5py raises all three
        why = getattr(error, "strerror", None) or str(error)
        raise BadFeatures(path, f"it cannot be written: {why}") from error

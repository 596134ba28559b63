"""A structure on disk: a cache of the catalogue, never the truth.

One folder a version: the structure's files, `rows.npy` and `header.json`. It is written under a
temporary name, fsynced and renamed, and used only if the catalogue names it (by its token), so an
unfinished or foreign one is never read. Header, lengths and row numbers are checked at once, the
structure's checksums by `verify`.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from .. import registry
from ..types import Rows
from . import Structure
from .projection import Projection

_BLOCK = 1 << 24
_VERSION = 3
_PROJECTION = "projection.npz"


class CacheUnusable(Exception):
    """The cache is missing, stale or damaged, and is to be rebuilt; the text says which."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a cached structure holds, and up to where in the catalogue."""

    collection: str
    """The uuid of the catalogue that it is a cache of."""
    index: str
    """The index that was asked for; it may choose between several kinds."""
    kind: str
    distance: str
    dim: int
    pca: int
    """How many of the collection's own principal components were wanted, 0 for none."""
    last_row: int
    """The highest row number that it takes in."""
    last_removal: int
    """The number of the last removal that it takes in."""


class Cached(NamedTuple):
    """A structure, and what is needed to use it."""

    header: Header
    structure: Structure
    rows: Rows
    """int64 [n] ascending, the row of each of its positions."""
    projection: Projection | None
    """Applied to every vector before the structure sees it."""


def write(folder: Path, cached: Cached) -> None:
    """Make the cache durable under `folder`, which must not exist yet; or leave nothing there."""
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        cached.structure.save(temporary)
        np.save(temporary / "rows.npy", cached.rows)
        if cached.projection is not None:
            cached.projection.save(temporary / _PROJECTION)
        files = {file.name: _checksums(file) for file in sorted(temporary.iterdir())}
        content = {"version": _VERSION, "header": asdict(cached.header), "files": files}
        content["crc32"] = _checksum_of(content)
        (temporary / "header.json").write_text(json.dumps(content))
        for path in (*temporary.iterdir(), temporary):
            _fsync(path)
        temporary.rename(folder)
        _fsync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def header_of(folder: Path) -> Header:
    """What the cache says of itself; `CacheUnusable` if it is not whole."""
    return _header(folder)[0]


def read(folder: Path, options: Any, *, mapped: bool = True) -> Cached:
    """The structure and what belongs to it; `CacheUnusable` if lengths are wrong."""
    header, files = _header(folder)
    try:
        for name, expected in files.items():
            size = (folder / name).stat().st_size
            if size != expected["bytes"]:
                raise CacheUnusable(f"{name} has {size} bytes instead of {expected['bytes']}")
        for name in files:  # which picture is where must not wait for `verify`
            if name.endswith(".npy"):
                _compare(folder / name, files[name])
        structure = registry.load("index", header.kind).load(folder, options, mapped=mapped)
        rows = np.load(folder / "rows.npy", allow_pickle=False)
        projection = Projection.load(folder / _PROJECTION) if _PROJECTION in files else None
    except (RuntimeError, ValueError, OSError, KeyError, MemoryError, BadZipFile) as error:
        raise CacheUnusable(f"it cannot be read ({error})") from error
    dim = projection.components if projection else header.dim
    fits = len(structure) == len(rows) and structure.at(slice(0, 0)).shape[1] == dim
    if not fits or rows.dtype != np.int64 or (rows[1:] <= rows[:-1]).any():
        raise CacheUnusable("vectors and row numbers do not match")
    return Cached(header, structure, rows, projection)


def verify(folder: Path, go_on: Callable[[], bool] = lambda: True) -> None:
    """Read every block and compare its checksum; `CacheUnusable` names the first that differs.

    Ends early, without a verdict, once `go_on` says no.
    """
    for name, expected in _header(folder)[1].items():
        _compare(folder / name, expected, go_on)


def remove_others(parent: Path, keep: Iterable[str]) -> None:
    """Delete every cached version below `parent` but those named."""
    kept = set(keep)
    for path in parent.iterdir():
        if path.name in kept:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:  # what an unfinished build has left
            path.unlink(missing_ok=True)


def _header(folder: Path) -> tuple[Header, dict[str, Any]]:
    try:
        content = json.loads((folder / "header.json").read_text())
        if content["version"] != _VERSION:
            raise CacheUnusable(f"it has format {content['version']}")
        if content.pop("crc32") != _checksum_of(content):
            raise CacheUnusable("its header is damaged")
        return Header(**content["header"]), content["files"]
    except FileNotFoundError as error:
        raise CacheUnusable("it is missing") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CacheUnusable("its header cannot be read") from error


def _checksums(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "crc32": list(_block_checksums(path))}


def _checksum_of(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _compare(
    path: Path, expected: dict[str, Any], go_on: Callable[[], bool] = lambda: True
) -> None:
    try:
        pairs = zip_longest(_block_checksums(path), expected["crc32"])
        for number, (found, wanted) in enumerate(pairs):
            if found != wanted:
                raise CacheUnusable(f"{path.name} is damaged in block {number}")
            if not go_on():
                return
    except OSError as error:
        raise CacheUnusable(f"{path.name} cannot be read ({error})") from error


def _block_checksums(path: Path) -> Iterable[int]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield zlib.crc32(block)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""A structure on disk: a cache of the catalogue, never the truth.

One sealed folder a version: the structure's files and `rows.npy`. It is used only if the catalogue
names it (by its token), so a foreign one is never read. Header, lengths and row numbers are checked
at once, the structure's checksums by `verify`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from .. import registry, sealed
from ..sealed import Unusable
from ..types import Rows
from . import Structure
from .projection import Projection

_VERSION = 3
_PROJECTION = "projection.npz"


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

    def fill(into: Path) -> None:
        cached.structure.save(into)
        np.save(into / "rows.npy", cached.rows)
        if cached.projection is not None:
            cached.projection.save(into / _PROJECTION)

    sealed.write(folder, _VERSION, fill, asdict(cached.header))


def header_of(folder: Path) -> Header:
    """What the cache says of itself; `Unusable` if it is not whole."""
    return _header(folder)[0]


def read(folder: Path, options: Any, *, mapped: bool = True) -> Cached:
    """The structure and what belongs to it; `Unusable` if lengths are wrong."""
    header, files = _header(folder)
    try:
        sealed.check_lengths(folder, files)
        # Which picture is where must not wait for `verify`.
        sealed.check(folder, {name: files[name] for name in files if name.endswith(".npy")})
        structure = registry.load("index", header.kind).load(folder, options, mapped=mapped)
        rows = np.load(folder / "rows.npy", allow_pickle=False)
        projection = Projection.load(folder / _PROJECTION) if _PROJECTION in files else None
    except (RuntimeError, ValueError, OSError, KeyError, MemoryError, BadZipFile) as error:
        raise Unusable(f"it cannot be read ({error})") from error
    dim = projection.components if projection else header.dim
    fits = len(structure) == len(rows) and structure.at(slice(0, 0)).shape[1] == dim
    if not fits or rows.dtype != np.int64 or (rows[1:] <= rows[:-1]).any():
        raise Unusable("vectors and row numbers do not match")
    return Cached(header, structure, rows, projection)


def verify(folder: Path, go_on: Callable[[], bool] = lambda: True) -> None:
    """Read every block and compare its checksum; `Unusable` names the first that differs.

    Ends early, without a verdict, once `go_on` says no.
    """
    sealed.check(folder, _header(folder)[1], go_on)


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
    said, files = sealed.read(folder, _VERSION)
    try:
        return Header(**said), files
    except TypeError as error:
        raise Unusable("its header cannot be read") from error

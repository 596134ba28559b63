"""Pictures inside zip and tar archives, read one after the other without unpacking to disk."""

from __future__ import annotations

import functools
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from .decoding import Encoded
from .errors import BadSource, PictureError
from .places import LITTER, disk_path, place_name
from .types import Place

_TARS = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_MEMBER_BYTES = 100_000_000
_MARK = "!/"

_UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,  # an encrypted member
    NotImplementedError,  # a compression that Python lacks
    zipfile.BadZipFile,
    zlib.error,
    tarfile.TarError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside an archive. It can be read until the next member is asked for."""

    place: Place
    read: Callable[[], Encoded]


def is_archive(path: Path) -> bool:
    """By the ending of its name."""
    return path.name.lower().endswith((".zip", *_TARS))


def members(path: Path) -> Iterator[Member]:
    """Every file of an archive, in its own order; `BadSource` if it is none."""
    try:
        yield from _zip(path) if path.name.lower().endswith(".zip") else _tar(path)
    except _UNREADABLE as error:
        raise BadSource(f"{path} cannot be read as an archive: {error}") from error


def is_member(place: str) -> bool:
    """Whether a place is inside an archive."""
    return _MARK in place and not disk_path(place).exists()


def read(place: str) -> Encoded:
    """The picture at such a place; `PictureError` if it is gone."""
    archive, _, name = place.partition(_MARK)
    path = disk_path(archive)
    try:
        if path.name.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as opened:
                return _bounded(lambda: opened.open(name), place)
        with tarfile.open(path) as opened_tar:
            return _bounded(lambda: opened_tar.extractfile(name), place)
    except (KeyError, *_UNREADABLE) as error:
        raise PictureError(place, "its archive cannot be read any more", retry=True) from error


def has(place: str) -> bool:
    """Whether such a place is still there. An archive that cannot be read counts as there."""
    archive, _, name = place.partition(_MARK)
    path = disk_path(archive)
    if not path.exists():
        return False
    try:
        return name in _names(path, path.stat().st_mtime_ns)
    except _UNREADABLE:
        return True


def _zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir() and not _hidden(member.filename):
                place = _place(path, member.filename, member.file_size, _zip_time(member))
                opened = functools.partial(archive.open, member)
                yield Member(place, functools.partial(_bounded, opened, place.path))


def _tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and not _hidden(member.name):
                place = _place(path, member.name, member.size, int(member.mtime * 1e9))
                opened = functools.partial(archive.extractfile, member)
                yield Member(place, functools.partial(_bounded, opened, place.path))


def _place(archive: Path, member: str, size: int, modified_ns: int) -> Place:
    name = member.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    folder = PurePosixPath(name).parent.name or archive.name.partition(".")[0]
    return Place(f"{place_name(archive)}{_MARK}{name}", folder, {}, size, modified_ns)


def _bounded(open_member: Callable[[], IO[bytes] | None], place: str) -> Encoded:
    """A member's bytes, never more than a picture may have, whatever its header says."""
    try:
        file = open_member()
        if file is None:
            raise PictureError(place, "not a file inside its archive")
        with file:
            content = file.read(_MEMBER_BYTES + 1)
    except _UNREADABLE as error:
        raise PictureError(place, f"cannot be unpacked ({error})") from error
    if len(content) > _MEMBER_BYTES:
        raise PictureError(place, "larger than 100 MB, the limit inside an archive")
    return Encoded(place, data=content)


@functools.lru_cache(maxsize=4)
def _names(path: Path, modified_ns: int) -> frozenset[str]:  # noqa: ARG001 - part of the key
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as opened:
            return frozenset(opened.namelist())
    with tarfile.open(path) as opened_tar:
        return frozenset(opened_tar.getnames())


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part in LITTER for part in PurePosixPath(name).parts)


def _zip_time(member: zipfile.ZipInfo) -> int:
    """Its time as a number that changes when the time does; archives know no time zone."""
    year, month, day, hour, minute, second = member.date_time
    return ((((year * 12 + month) * 31 + day) * 24 + hour) * 60 + minute) * 60 + second

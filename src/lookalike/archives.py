"""Pictures inside zip and tar archives, read one after the other without unpacking to disk."""

from __future__ import annotations

import functools
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from .decoding import Encoded
from .errors import PictureError
from .places import LITTER, disk_path, in_64_bits, is_there, place_name
from .types import Place

HEAD_BYTES = 262
"""How many first bytes `is_archive` needs."""

_ENDINGS = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_MEMBER_BYTES = 100_000_000
_MARK = "!/"

# What Python's readers are known to raise on hostile bytes, beside what they document.
_BROKEN = (
    EOFError,
    RuntimeError,  # an encrypted member
    NotImplementedError,  # a compression that Python lacks
    ValueError,
    ArithmeticError,
    LookupError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
)
_UNREADABLE = (OSError, *_BROKEN)


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside an archive. It can be read until the next member is asked for."""

    place: Place
    read: Callable[[], Encoded]


def is_archive(path: Path, head: bytes) -> bool:
    """By its first bytes, or by the ending of its name, for what is broken or compressed."""
    return _is_zip(head) or head[257:262] == b"ustar" or path.name.lower().endswith(_ENDINGS)


def members(path: Path) -> Iterator[Member]:
    """Every file of an archive, in its own order.

    Where it breaks off, the last is the archive itself, which cannot be read.
    """
    try:
        yield from _zip(path) if _opens_as_zip(path) else _tar(path)
    except _UNREADABLE as error:
        yield _broken(path, error)


def is_member(place: str) -> bool:
    """Whether a place is inside an archive."""
    return _MARK in place and not disk_path(place).exists()


def read(place: str) -> Encoded:
    """The picture at such a place; `PictureError` if it is gone."""
    path, name = _split(place)
    try:
        if _opens_as_zip(path):
            with zipfile.ZipFile(path) as opened:
                return _bounded(lambda: opened.open(name), place)
        with tarfile.open(path) as opened_tar:
            return _bounded(lambda: opened_tar.extractfile(name), place)
    except _UNREADABLE as error:
        raise PictureError(place, "its archive cannot be read any more", retry=True) from error


def has(place: str) -> bool:
    """Whether such a place is still there. An archive that cannot be read counts as there."""
    path, name = _split(place)
    if not is_there(path):
        return False
    try:
        return name in _names(path, path.stat().st_mtime_ns)
    except _UNREADABLE:
        return True


def _split(place: str) -> tuple[Path, str]:
    """The archive and the member's name; a folder's name may end in `!` as well."""
    marks = [at for at in range(len(place)) if place.startswith(_MARK, at)]
    at = next((at for at in marks if disk_path(place[:at]).is_file()), marks[0])
    return disk_path(place[:at]), place[at + len(_MARK) :]


def _is_zip(head: bytes) -> bool:
    return head[:4] in (b"PK\3\4", b"PK\5\6")


def _opens_as_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return _is_zip(file.read(4)) or path.name.lower().endswith(".zip")


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


def _broken(path: Path, error: Exception) -> Member:
    name = place_name(path)
    reason = f"it cannot be read as an archive: {_why(error)}"
    retry = isinstance(error, OSError) and not isinstance(error, tarfile.TarError)

    def refuse() -> Encoded:
        raise PictureError(name, reason, retry=retry)

    return Member(Place(name), refuse)


def _place(archive: Path, member: str, size: int, modified_ns: int) -> Place:
    name = member.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    folder = PurePosixPath(name).parent.name or archive.name.partition(".")[0]
    return Place(
        f"{place_name(archive)}{_MARK}{name}",
        folder,
        {},
        in_64_bits(size),
        in_64_bits(modified_ns),
    )


def _bounded(open_member: Callable[[], IO[bytes] | None], place: str) -> Encoded:
    """A member's bytes, never more than a picture may have, whatever its header says."""
    try:
        file = open_member()
        if file is None:
            raise PictureError(place, "not a file inside its archive")
        with file:
            content = file.read(_MEMBER_BYTES + 1)
    except _UNREADABLE as error:
        raise PictureError(place, f"it cannot be unpacked: {_why(error)}") from error
    if len(content) > _MEMBER_BYTES:
        raise PictureError(place, "larger than 100 MB, the limit inside an archive")
    return Encoded(place, data=content)


def _why(error: Exception) -> str:
    """In one line."""
    return str(error).partition("\n")[0].rstrip(":") or type(error).__name__


@functools.lru_cache(maxsize=4)
def _names(path: Path, modified_ns: int) -> frozenset[str]:  # noqa: ARG001 - part of the key
    if _opens_as_zip(path):
        with zipfile.ZipFile(path) as opened:
            return frozenset(opened.namelist())
    with tarfile.open(path) as opened_tar:
        return frozenset(opened_tar.getnames())


def _hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any((part.startswith(".") and part != "..") or part in LITTER for part in parts)


def _zip_time(member: zipfile.ZipInfo) -> int:
    """Its time as a number that changes when the time does; archives know no time zone."""
    year, month, day, hour, minute, second = member.date_time
    return ((((year * 12 + month) * 31 + day) * 24 + hour) * 60 + minute) * 60 + second

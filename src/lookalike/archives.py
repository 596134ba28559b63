"""Pictures inside zip and tar archives, read one after the other without unpacking to disk."""

from __future__ import annotations

import functools
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from .decoding import Encoded
from .errors import PictureError
from .places import (
    LITTER,
    MARK,
    disk_path,
    in_64_bits,
    in_archive,
    is_there,
    member_place,
    place_name,
    written,
)
from .types import Place

HEAD_BYTES = 262
"""How many first bytes `is_archive` needs."""

_ENDINGS = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_MEMBER_BYTES = 100_000_000
_LINK = "a link inside an archive, which is not followed"

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

_Held = tuple[tarfile.TarInfo, tarfile.TarInfo]
"""A member of a tar, and the one that holds its content: another one for a hard link."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside an archive. It can be read until the next member is asked for."""

    place: Place
    read: Callable[[], Encoded]


def is_archive(path: Path, head: bytes) -> bool:
    """By its first bytes, or by the ending of its name, for what is broken or compressed."""
    return _is_zip(head) or head[257:262] == b"ustar" or path.name.lower().endswith(_ENDINGS)


def members(path: Path) -> Iterator[Member]:
    """Every file of an archive, in its own order; of several with one name the last.

    Where it breaks off, the last is the archive itself, which cannot be read.
    """
    try:
        yield from _every(path)
    except _UNREADABLE as error:
        yield _broken(path, error)


def is_member(place: str) -> bool:
    """Whether a place is inside an archive."""
    return MARK in place and not os.path.exists(disk_path(place))  # noqa: PTH110 - pathlib's raises


def read(place: str) -> Encoded:
    """The picture at such a place; `PictureError` if it is gone."""
    path, name = _split(place)
    wanted = member_place(path, name)
    try:
        for member in _every(path):
            if member.place.path == wanted:
                return member.read()
    except _UNREADABLE as error:
        raise PictureError(place, "its archive cannot be read any more", retry=True) from error
    raise PictureError(place, "it is not in its archive any more")


def has(place: str) -> bool:
    """Whether such a place is still there. An archive that cannot be read counts as there."""
    path, name = _split(place)
    if not is_there(path):
        return False
    try:
        return member_place(path, name) in _places(path, path.stat().st_mtime_ns)
    except _UNREADABLE:
        return True


def _split(place: str) -> tuple[Path, str]:
    """The archive and the member's name, also where the archive is gone."""
    archive, _, name = place.partition(MARK)
    return in_archive(place) or (disk_path(archive), name)


def _every(path: Path) -> Iterator[Member]:
    return _zip(path) if _opens_as_zip(path) else _tar(path)


def _is_zip(head: bytes) -> bool:
    return head[:4] in (b"PK\3\4", b"PK\5\6")


def _opens_as_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return _is_zip(file.read(4)) or path.name.lower().endswith(".zip")


def _zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        last = {written(member.filename): member for member in archive.infolist()}
        for name, member in last.items():
            if member.is_dir() or _hidden(name):
                continue
            place = _place(path, name, member.file_size, _zip_time(member))
            if stat.S_ISLNK(member.external_attr >> 16):
                yield _refused(place, _LINK)
            elif member.flag_bits & 1:
                yield _refused(place, "it is encrypted: unpack it yourself", recognised=True)
            else:
                unpack = functools.partial(_unpacked, archive.open, member)
                yield Member(place, functools.partial(_bounded, unpack, place.path))


def _tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        last, broken = _headers(archive)
        # What is compressed is unpacked from its beginning to go back in it: so hard links come
        # right after what they stand for, whose content is still at hand.
        content = functools.lru_cache(maxsize=1)(functools.partial(_unpacked, archive.extractfile))
        for name, (member, holder) in sorted(last.items(), key=lambda each: each[1][1].offset):
            if member.isdir() or _hidden(name):
                continue
            place = _place(path, name, holder.size, int(member.mtime * 1e9))
            if holder.isfile():
                unpack = functools.partial(content, holder)
                yield Member(place, functools.partial(_bounded, unpack, place.path))
            elif holder.issym() or holder.islnk():
                yield _refused(place, _LINK)
            elif holder.isdev():
                yield _refused(place, "not a file but a pipe or a device")
        if broken is not None:
            raise broken


def _headers(archive: tarfile.TarFile) -> tuple[dict[str, _Held], Exception | None]:
    """The last member of each name, and why the archive breaks off if it does.

    A hard link has the content of what came before it under the name that it gives.
    """
    last: dict[str, _Held] = {}
    try:
        for member in archive:
            target = last.get(written(member.linkname)) if member.islnk() else None
            last[written(member.name)] = (member, target[1] if target else member)
    except _UNREADABLE as error:
        return last, error
    return last, None


def _broken(path: Path, error: Exception) -> Member:
    name = place_name(path)
    reason = f"it cannot be read as an archive: {_why(error)}"
    retry = isinstance(error, OSError) and not isinstance(error, tarfile.TarError)

    def refuse() -> Encoded:
        raise PictureError(name, reason, retry=retry)

    return Member(Place(name), refuse)


def _refused(place: Place, reason: str, *, recognised: bool = False) -> Member:
    """A member that says why it gives no picture."""

    def refuse() -> Encoded:
        raise PictureError(place.path, reason, recognised=recognised)

    return Member(place, refuse)


def _place(archive: Path, name: str, size: int, modified_ns: int) -> Place:
    folder = PurePosixPath(name).parent.name or archive.name.partition(".")[0]
    return Place(member_place(archive, name), folder, {}, in_64_bits(size), in_64_bits(modified_ns))


def _unpacked(open_member: Callable[[Any], IO[bytes] | None], member: Any) -> bytes:
    """A member's bytes, never many more than a picture may have, whatever its header says."""
    file = open_member(member)
    if file is None:
        raise LookupError("not a file inside its archive")
    with file:
        return file.read(_MEMBER_BYTES + 1)


def _bounded(unpack: Callable[[], bytes], place: str) -> Encoded:
    try:
        content = unpack()
    except _UNREADABLE as error:
        raise PictureError(place, f"it cannot be unpacked: {_why(error)}") from error
    if len(content) > _MEMBER_BYTES:
        raise PictureError(place, "larger than 100 MB, the limit inside an archive")
    return Encoded(place, data=content)


def _why(error: Exception) -> str:
    """In one line."""
    return str(error).partition("\n")[0].rstrip(":") or type(error).__name__


@functools.lru_cache(maxsize=4)
def _places(path: Path, modified_ns: int) -> frozenset[str]:  # noqa: ARG001 - part of the key
    return frozenset(member.place.path for member in _every(path))


def _hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any((part.startswith(".") and part != "..") or part in LITTER for part in parts)


def _zip_time(member: zipfile.ZipInfo) -> int:
    """Its time as a number that changes when the time does; archives know no time zone."""
    year, month, day, hour, minute, second = member.date_time
    return ((((year * 12 + month) * 31 + day) * 24 + hour) * 60 + minute) * 60 + second

"""What a collection keeps of pictures: the bytes of those that came as bytes, and thumbnails.

In a folder, or in an object store, which any number of servers may share. An upload is kept once
for each content. Its place is `upload:SHA256/NAME`, so that all can be moved elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from . import objects
from .decoding import Encoded
from .errors import CannotWrite, ObjectStoreUnusable, PictureError, PictureUnreachable

SCHEME = "upload:"
"""What the place of an upload begins with."""
_NAME_LENGTH = 120
_ID = re.compile("[0-9a-f]{64}")
_MOST_BYTES = 1 << 30
"""Of what is kept, whose size was looked at before."""


class Uploads:
    """The bytes of uploads."""

    def __init__(self, where: Path | str) -> None:
        """`where`: a folder, or the URL of one in an object store."""
        self._kept = _kept_in(where)

    @classmethod
    def among(cls, files: Path | str) -> Self:
        """Those of a collection that keeps its files there."""
        return cls(_inside(files, "uploads"))

    def place(self, sha256: bytes, name: str) -> str:
        """The place of an upload that was called `name` where it came from."""
        last = name.replace("\\", "/").rpartition("/")[2]
        plain = "".join(letter for letter in last if letter.isprintable())
        plain = plain.encode("utf-8", "replace").decode()
        return f"{SCHEME}{sha256.hex()}/{plain[-_NAME_LENGTH:] or 'picture'}"

    def owns(self, place: str) -> bool:
        """Whether a place is one of ours."""
        return place.startswith(SCHEME)

    def id_of(self, place: str) -> str:
        """The SHA-256 of the content at such a place, in hexadecimal."""
        return place.removeprefix(SCHEME).partition("/")[0]

    def encoded(self, place: str) -> Encoded:
        """The kept picture, not looked at yet."""
        return self._kept.encoded(place, _name(self.id_of(place)))

    def keep(self, sha256: bytes, data: bytes) -> None:
        """Make the bytes durable, whole or not at all; `CannotWrite`, `ObjectStoreUnusable`."""
        self._kept.write(_name(sha256.hex()), data, durable=True)

    def read(self, id: str) -> bytes:
        """The bytes of a picture; `PictureError` if they are not there or cannot be read."""
        return self._kept.read(_name(id))

    def has(self, *ids: str) -> list[bool]:
        """Whether the bytes of each picture are kept; `ObjectStoreUnusable`."""
        return self._kept.has([_name(id) for id in ids])

    def kept(self, before: float) -> Iterator[str]:
        """The ids of all whose bytes have been kept since before a time, in seconds since 1970."""
        for name, written in self._kept.every():
            id = name.rpartition("/")[2]
            if _ID.fullmatch(id) and written < before:
                yield id

    def drop(self, id: str) -> None:
        """Delete the bytes of a picture, if they are kept."""
        self._kept.delete(_name(id))

    def where(self, id: str) -> str:
        """What a user calls the file or object with the bytes of a picture."""
        return self._kept.where(_name(id))

    def try_out(self) -> str:
        """Keep something, have it back and delete it; where that was. Raises what these do."""
        name = f"trial-{secrets.token_hex(8)}"
        self._kept.write(name, b"lookalike", durable=True)
        try:
            self._kept.read(name)
        finally:
            self._kept.delete(name)
        return self._kept.where("")


class Thumbnails:
    """JPEGs that were made before; a cache, which may be deleted."""

    def __init__(self, where: Path | str) -> None:
        """`where`: as for `Uploads`."""
        self._kept = _kept_in(where)

    @classmethod
    def among(cls, files: Path | str) -> Self:
        """Those of a collection that keeps its files there."""
        return cls(_inside(files, "thumbnails"))

    def get(self, id: str, side: int) -> bytes | None:
        """The one of a picture for this side, None if there is none."""
        with contextlib.suppress(PictureError):
            return self._kept.read(_name(id, f"{side}.jpg"))
        return None

    def keep(self, id: str, side: int, content: bytes) -> None:
        """Keep one; where nothing can be written it is made anew each time."""
        with contextlib.suppress(CannotWrite, ObjectStoreUnusable):
            self._kept.write(_name(id, f"{side}.jpg"), content, durable=False)

    def drop(self, id: str) -> None:
        """Delete those of a picture."""
        self._kept.delete_below(_name(id))

    def drop_unless(self, is_stored: Callable[[str], bool]) -> None:
        """Delete those of pictures that are gone."""
        for id in {name.split("/")[1] for name, _ in self._kept.every()}:
            if not is_stored(id):
                self.drop(id)


def _name(id: str, *more: str) -> str:
    return "/".join((id[:2], id, *more))


def _inside(files: Path | str, name: str) -> Path | str:
    return files / name if isinstance(files, Path) else f"{files}/{name}"


def _kept_in(where: Path | str) -> _Folder | _Objects:
    return _Folder(where) if isinstance(where, Path) else _Objects(where)


class _Folder:
    """Files below a folder; the content that has a name never changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def encoded(self, source: str, name: str) -> Encoded:
        return Encoded(source, path=self._folder / name)

    def read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise PictureError(self.where(name), error.strerror or "", retry=True) from error

    def write(self, name: str, content: bytes, *, durable: bool) -> None:
        if not (self._folder / name).exists():
            write_whole(self._folder / name, content, durable=durable)

    def has(self, names: Sequence[str]) -> list[bool]:
        return [(self._folder / name).is_file() for name in names]

    def every(self) -> Iterator[tuple[str, float]]:
        """Each name, and when it was written, in seconds since 1970."""
        for path in sorted(self._folder.rglob("*")):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.name.startswith("."):
                    yield path.relative_to(self._folder).as_posix(), path.stat().st_mtime

    def delete(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def delete_below(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def where(self, name: str) -> str:
        return str(self._folder / name)


class _Objects:
    """The same in an object store, whose writes are whole and durable when they return."""

    def __init__(self, url: str) -> None:
        self._url = objects.root(url)

    def encoded(self, source: str, name: str) -> Encoded:
        return Encoded(source, url=self.where(name))

    def read(self, name: str) -> bytes:
        return objects.read(self.where(name), _MOST_BYTES)

    def write(self, name: str, content: bytes, *, durable: bool) -> None:  # noqa: ARG002
        objects.write(self.where(name), content)

    def has(self, names: Sequence[str]) -> list[bool]:
        found = objects.look_all([self.where(name) for name in names])
        for each in found:
            if each is not None and isinstance(each.refusal, PictureUnreachable):
                raise ObjectStoreUnusable(self._url, each.refusal.reason)
        return [each is not None and each.refusal is None for each in found]

    def every(self) -> Iterator[tuple[str, float]]:
        for place in objects.below(self._url):
            yield place.path.removeprefix(f"{self._url}/"), place.modified_ns / 1e9

    def delete(self, name: str) -> None:
        objects.delete(self.where(name))

    def delete_below(self, name: str) -> None:
        for place in objects.below(self.where(name)):
            objects.delete(place.path)

    def where(self, name: str) -> str:
        return f"{self._url}/{name}"


def write_whole(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file under another name and rename it, so that it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise CannotWrite(path.parent, error.strerror or str(error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """A new name is as durable as the folder that holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

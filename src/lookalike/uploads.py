"""Bytes in the collection's own folder: pictures that came as bytes, and thumbnails.

An upload is kept once for each content. Its place is `upload:SHA256/NAME`, so that a collection can
be moved as a folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .decoding import Encoded
from .errors import CannotWrite

SCHEME = "upload:"
"""What the place of an upload begins with."""
_NAME_LENGTH = 120
_ID = re.compile("[0-9a-f]{64}")


class Uploads:
    """The folder of kept bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, sha256: bytes, name: str) -> str:
        """The place of an upload that was called `name` where it came from."""
        last = name.replace("\\", "/").rpartition("/")[2]
        plain = "".join(letter for letter in last if letter.isprintable())
        plain = plain.encode("utf-8", "replace").decode()
        return f"{SCHEME}{sha256.hex()}/{plain[-_NAME_LENGTH:] or 'picture'}"

    def owns(self, place: str) -> bool:
        """Whether a place is one of ours."""
        return place.startswith(SCHEME)

    def encoded(self, place: str) -> Encoded:
        """The kept picture."""
        return Encoded(place, path=self.path_of(self.id_of(place)))

    def id_of(self, place: str) -> str:
        """The SHA-256 of the content at such a place, in hexadecimal."""
        return place.removeprefix(SCHEME).partition("/")[0]

    def keep(self, sha256: bytes, data: bytes) -> None:
        """Make the bytes durable; `CannotWrite` if that fails."""
        path = self.path_of(sha256.hex())
        if not path.exists():
            write_whole(path, data, durable=True)

    def has(self, id: str) -> bool:
        """Whether the bytes of a picture are kept."""
        return self.path_of(id).is_file()

    def kept(self, before: float) -> Iterator[str]:
        """The ids of all whose bytes have been kept since before a time, in seconds since 1970."""
        for path in sorted(self._folder.glob("??/*")):
            if _ID.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime < before:
                        yield path.name

    def drop(self, id: str) -> None:
        """Delete the bytes of a picture, if they were kept."""
        self.path_of(id).unlink(missing_ok=True)

    def path_of(self, id: str) -> Path:
        """The file with the bytes of a picture, if they are kept."""
        return self._folder / id[:2] / id


class Thumbnails:
    """JPEGs that were made before; a cache, which may be deleted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, id: str, side: int) -> bytes | None:
        """The one of a picture for this side, None if there is none."""
        with contextlib.suppress(OSError):
            return self._path(id, side).read_bytes()
        return None

    def keep(self, id: str, side: int, content: bytes) -> None:
        """Keep one; on a full or read-only disk it is made anew each time."""
        with contextlib.suppress(CannotWrite):
            write_whole(self._path(id, side), content)

    def drop(self, id: str) -> None:
        """Delete those of a picture."""
        self._drop((self._folder / id[:2]).glob(f"{id}-*"))

    def drop_unless(self, is_stored: Callable[[str], bool]) -> None:
        """Delete those of pictures that are gone."""
        every = self._folder.glob("*/*-*.jpg")
        self._drop(file for file in every if not is_stored(file.name.partition("-")[0]))

    def _drop(self, files: Iterable[Path]) -> None:
        for file in files:
            file.unlink(missing_ok=True)

    def _path(self, id: str, side: int) -> Path:
        return self._folder / id[:2] / f"{id}-{side}.jpg"


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

"""How a place is written down.

A file is its absolute path; one whose name is not valid UTF-8 is a `file://` URI, whose escapes
hold every byte of it. A member of an archive is `ARCHIVE!/MEMBER`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import unquote_to_bytes

LITTER = frozenset(("Thumbs.db", "desktop.ini", "@eaDir", "__MACOSX"))
"""What systems leave in folders and archives, and nobody means as a picture."""

_URI = "file://"
_LARGEST = 2**63 - 1


def absolute(path: str) -> Path:
    """A path as a user wrote it -> absolute, `~` filled in, links left as they are."""
    # pathlib's own would follow links, and raise for the `~` of nobody.
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111


def place_of(text: str) -> str:
    """The place that a user means, who may have copied it from a hit."""
    return text if text.startswith(_URI) else place_name(absolute(text))


def place_name(path: Path) -> str:
    """The place of a file."""
    text = str(path)
    if plain_text(text) == text:
        return text
    try:
        return path.as_uri()
    except UnicodeEncodeError:  # no name that a file could have
        return plain_text(text)


def plain_text(text: str) -> str:
    """The same without what cannot be written as UTF-8, each replaced by a question mark."""
    return text.encode("utf-8", "replace").decode()


def disk_path(place: str) -> Path:
    """The file of a place."""
    if place.startswith(_URI):
        return Path(os.fsdecode(unquote_to_bytes(place.removeprefix(_URI))))
    return Path(place)


def is_there(path: Path) -> bool:
    """Whether something lies there; what cannot be looked at counts as there.

    A folder only counts while it cannot be read, as nothing but its refusal has it as a place.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return not stat.S_ISDIR(status.st_mode) or not os.access(path, os.R_OK | os.X_OK)


def in_64_bits(number: int) -> int:
    """A size or a time as a store can hold it: file systems and archives may claim any."""
    return max(-_LARGEST, min(number, _LARGEST))

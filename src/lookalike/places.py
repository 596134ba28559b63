"""How a place is written down.

A file is its absolute path; one whose name is not valid UTF-8 is a `file://` URI, whose escapes
hold every byte of it. A member of an archive is `ARCHIVE!/MEMBER`.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

LITTER = frozenset(("Thumbs.db", "desktop.ini", "@eaDir", "__MACOSX"))
"""What systems leave in folders and archives, and nobody means as a picture."""


def absolute(path: str) -> Path:
    """A path as a user wrote it -> absolute, `~` filled in, links left as they are."""
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() follows links


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
    if place.startswith("file://"):
        return Path(os.fsdecode(unquote_to_bytes(place.removeprefix("file://"))))
    return Path(place)

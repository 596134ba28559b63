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


def place_name(path: Path) -> str:
    """The place of a file."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return path.as_uri()
    return str(path)


def disk_path(place: str) -> Path:
    """The file of a place."""
    if place.startswith("file://"):
        return Path(os.fsdecode(unquote_to_bytes(place.removeprefix("file://"))))
    return Path(place)

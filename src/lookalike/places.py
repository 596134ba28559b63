"""How a place is written down.

A file is its absolute path; one whose name is not valid UTF-8 is a `file://` URI, whose escapes
hold every byte of it. A member of an archive is `ARCHIVE!/MEMBER`, its name as the archive has it.
An object is its URL, `s3://BUCKET/KEY`; `objects` reads those.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import unquote_to_bytes

LITTER = frozenset(("Thumbs.db", "desktop.ini", "@eaDir", "__MACOSX"))
"""What systems leave in folders and archives, and nobody means as a picture."""

MARK = "!/"
"""What stands between an archive and the name of a member."""

_URI = "file://"
SCHEMES = ("s3", "gs", "az", "hf", "memory")
"""Of object stores."""
_OBJECTS = tuple(f"{scheme}://" for scheme in SCHEMES)
_LARGEST = 2**63 - 1


def absolute(path: str) -> Path:
    """A path as a user wrote it -> absolute, `~` filled in, links left as they are."""
    # pathlib's own would follow links, and raise for the `~` of nobody.
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111


def path_of(text: str) -> Path:
    """The file that a user means, by its path or by a URI copied from a hit."""
    return absolute(str(disk_path(text)) if text.startswith(_URI) else text)


def is_object(text: str) -> bool:
    """Whether it is the URL of an object, or of a folder of them."""
    return text.startswith(_OBJECTS)


def place_of(text: str) -> str:
    """The place that a user means, who may have copied it from a hit."""
    if is_object(text):
        return plain_text(text)
    inside = in_archive(text)
    return member_place(*inside) if inside else place_name(path_of(text))


def in_archive(text: str) -> tuple[Path, str] | None:
    """The archive and the member's name, if a user means a member of an archive that is there."""
    if MARK not in text or os.path.lexists(path_of(text)):  # a folder's name may end in `!` as well
        return None
    for at in (at for at in range(len(text)) if text.startswith(MARK, at)):
        archive = path_of(text[:at])
        if os.path.isfile(archive):  # noqa: PTH113 - pathlib's raises
            return archive, text[at + len(MARK) :]
    return None


def member_place(archive: Path, member: str) -> str:
    """The place of a member of an archive."""
    return f"{place_name(archive)}{MARK}{written(member)}"


def written(member: str) -> str:
    """A member's name with escapes for what is not valid UTF-8; what is written stays as it is."""
    try:
        return member.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # no name that a member could have
        return plain_text(member)


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

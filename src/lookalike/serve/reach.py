"""Which files and folders of the server clients may name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import BadSource
from ..picture import HEAD_BYTES, sniff
from .problems import forbidden_path


def path_within(path: str, roots: Sequence[Path]) -> Path:
    """The real path of a folder or a picture inside a root.

    Otherwise 403, or `BadSource` if nothing is there, or a file that is no picture: a list of
    pictures could name others, outside the roots.
    """
    try:
        given = Path(path)
        real = given.resolve()
        is_folder, is_file = real.is_dir(), real.is_file()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL, a name too long
        raise forbidden_path(path) from None
    if not given.is_absolute() or not any(real.is_relative_to(root) for root in roots):
        raise forbidden_path(path)
    if is_folder or (is_file and _is_picture(real)):
        return real
    raise BadSource(f"{path} is neither a folder nor a picture")


def _is_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return sniff(file.read(HEAD_BYTES)) is not None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadSource(f"{path} cannot be read: {reason}") from error

"""Moves and links of files that overwrite nothing, and that an interruption leaves recoverable."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from pathlib import Path


class Refused(Exception):
    """A file that is better left as it is; the text says why."""


def sha256_of(path: Path) -> str:
    """Hexadecimal, of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def move(path: Path, to: Path) -> None:
    """Give a file another name, also on another disk; `FileExistsError` if that is taken.

    At every moment the whole file is under one of both names, or both.
    """
    try:
        os.link(path, to, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # another disk, or one that knows no hard links
        _copy(path, to)
    path.unlink()
    sync_folder(to.parent)
    sync_folder(path.parent)


def undo_move(path: Path, to: Path, sha256: str) -> bool:
    """Bring `to` back to `path`, however far the move had come; whether it was not back."""
    moved, there = _holds(to, sha256), _holds(path, sha256)
    if there:
        interrupted = moved or _begins_like(to, path)
        if interrupted:
            to.unlink()
        return interrupted
    if os.path.lexists(path):
        raise Refused("another file is there by now")
    if not moved:
        raise Refused(f"{to} is not there any more, or has changed")
    path.parent.mkdir(parents=True, exist_ok=True)
    move(to, path)
    return True


def link_instead(path: Path, original: Path) -> None:
    """Replace a file with a hard link to another, in one step."""
    temporary = _beside(path)
    os.link(original, temporary, follow_symlinks=False)
    try:
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def copied_back(path: Path, original: Path, sha256: str, mode: int, modified_ns: int) -> bool:
    """Make a file of its own again of a hard link, with the mode and time that it had.

    Whether it was a link.
    """
    if not os.path.lexists(path):
        raise Refused("it is no longer there")
    if not original.exists() or not path.samefile(original):
        if _holds(path, sha256):
            return False
        raise Refused("another file is there by now")
    if not _holds(path, sha256):
        raise Refused("it has changed since it was linked, and so has the one that was kept")
    temporary = _beside(path)
    try:
        _copy(path, temporary)
        temporary.chmod(mode)
        os.utime(temporary, ns=(modified_ns, modified_ns))
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where its file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _copy(path: Path, to: Path) -> None:
    """The bytes, mode and times, durable; never over a file. What fails leaves nothing."""
    with path.open("rb") as source, to.open("xb") as target:
        try:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
            shutil.copystat(path, to)
        except BaseException:
            to.unlink(missing_ok=True)
            raise


def _holds(path: Path, sha256: str) -> bool:
    """Whether a plain file with this content is there."""
    return path.is_file() and not path.is_symlink() and sha256_of(path) == sha256


def _begins_like(part: Path, whole: Path) -> bool:
    """Whether a file is the beginning of another, as a copy that was interrupted leaves it."""
    if not part.is_file() or part.is_symlink():
        return False
    left = part.stat().st_size
    if left >= whole.stat().st_size:
        return False
    with part.open("rb") as one, whole.open("rb") as other:
        while left:
            some = one.read(min(left, 1 << 20))
            if not some or some != other.read(len(some)):
                return False
            left -= len(some)
    return True


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")

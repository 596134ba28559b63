"""A folder beside a file or folder to be, where that is made before it is given its name."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import BadBackup, CannotWrite


@contextlib.contextmanager
def staging(target: Path, ending: str) -> Iterator[Path]:
    """An empty folder for one process at a time; gone afterwards, unless it was renamed.

    What a process that was killed has left there is cleared away by the next.
    """
    folder = target.parent / f".{target.name}.{ending}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise CannotWrite(target.parent, error.strerror or str(error)) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadBackup(target, "another process is making it at this moment") from None
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield folder
        finally:
            if folder.exists() and os.path.samestat(folder.stat(), os.fstat(descriptor)):
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)

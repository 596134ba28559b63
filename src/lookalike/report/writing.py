"""A page as a file: only over one of its kind, and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import CannotWritePage


def check(path: Path, signed: str, option: str) -> None:
    """`CannotWritePage` if `write` could not write there; before all the work.

    `signed`: by which a page of this kind is known; `option`: which named the file.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise CannotWritePage(path, "its name does not end in .html", option)
    with _writing(path, option):
        if not path.parent.is_dir():
            raise CannotWritePage(path, "its folder is not there", option)
        if path.is_dir():
            raise CannotWritePage(path, "it is a folder", option)
        if path.exists() and signed.encode() not in path.read_bytes()[:1000]:
            raise CannotWritePage(path, "another file is there, no such page of ours", option)
        if not os.access(path.parent, os.W_OK):
            raise CannotWritePage(path, "its folder cannot be written to", option)


def write(page: str, path: Path, signed: str, option: str) -> None:
    """Write a page; `CannotWritePage`."""
    check(path, signed, option)
    text = page.encode("utf-8", "replace")
    with _writing(path, option):
        descriptor, name = tempfile.mkstemp(prefix=".report-", suffix=".html", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _writing(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWritePage(path, error.strerror or str(error), option) from error


def _umask() -> int:
    """What the user takes away from new files; `mkstemp` takes away more."""
    mask = os.umask(0)
    os.umask(mask)
    return mask

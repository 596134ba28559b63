"""The page as a file: only over one of ours, and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..comparison import RecipeComparison
from ..errors import CannotWritePage
from .page import SIGNED, page

_OPTION = "-o"


def check(path: Path) -> None:
    """`CannotWritePage` if `write` could not write there; before all the work."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise CannotWritePage(path, "its name does not end in .html", _OPTION)
    with _writing(path):
        if not path.parent.is_dir():
            raise CannotWritePage(path, "its folder is not there", _OPTION)
        if path.is_dir():
            raise CannotWritePage(path, "it is a folder", _OPTION)
        if path.exists() and SIGNED.encode() not in path.read_bytes()[:1000]:
            raise CannotWritePage(path, "another file is there, no report of ours", _OPTION)
        if not os.access(path.parent, os.W_OK):
            raise CannotWritePage(path, "its folder cannot be written to", _OPTION)


def write(comparison: RecipeComparison, path: Path) -> None:
    """Write the page; `CannotWritePage`."""
    check(path)
    text = page(comparison).encode("utf-8", "replace")
    with _writing(path):
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
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWritePage(path, error.strerror or str(error), _OPTION) from error


def _umask() -> int:
    """What the user takes away from new files; `mkstemp` takes away more."""
    mask = os.umask(0)
    os.umask(mask)
    return mask

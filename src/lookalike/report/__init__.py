"""Pages to look at: one file that needs no other, and no network. Of a comparison of recipes."""

from __future__ import annotations

from pathlib import Path

from ..comparison import RecipeComparison
from . import writing
from .page import SIGNED, page

__all__ = ["check", "write"]

_OPTION = "-o"


def check(path: Path) -> None:
    """`CannotWritePage` if `write` could not write there; before all the work."""
    writing.check(path, SIGNED, _OPTION)


def write(comparison: RecipeComparison, path: Path) -> None:
    """Write the page; `CannotWritePage`."""
    writing.write(page(comparison), path, SIGNED, _OPTION)

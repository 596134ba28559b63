"""What became of paths, a line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..terminal import print_json, print_row

if TYPE_CHECKING:
    from ..store import LedgerEntry


def show_failures(entries: Iterable[LedgerEntry], *, as_json: bool) -> None:
    """Paths that gave no picture, each with its reason."""
    for entry in entries:
        if as_json:
            print_json(entry.to_json())
        else:
            again = "to be tried again: " if entry.verdict == "retry" else ""
            print_row(entry.path, f"{again}{entry.reason}")


def show_ledger(entries: Sequence[tuple[str, LedgerEntry | None]], *, as_json: bool) -> int:
    """What became of paths; how many of them were never seen."""
    for path, entry in entries:
        if as_json:
            print_json(entry.to_json() if entry else {"path": path, "verdict": None})
        elif entry is None:
            print_row(path, "never seen")
        elif entry.reason is not None:
            word = "to be tried again" if entry.verdict == "retry" else "skipped"
            print_row(path, f"{word}: {entry.reason}")
        elif entry.copy_of is not None:
            print_row(path, f"another place of {entry.copy_of}")
        else:
            print_row(path, f"stored as {entry.id}")
    return sum(entry is None for _, entry in entries)

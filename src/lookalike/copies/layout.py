"""A copy-detection set as it lies on disk: `collection/`, `queries/`, `truth.csv`, `about.json`."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CannotMakeCopies

COLLECTION, QUERIES, TRUTH, ABOUT = "collection", "queries", "truth.csv", "about.json"

HEADING = ("query_id", "reference_id", "group")
"""Those of DISC21's ground truth, where an empty reference says that there is no copy."""


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """A line of the truth; paths start at the folder of the set."""

    query: str
    original: str
    """Empty where it is not in the collection."""
    edit: str


def check(target: Path, pictures: Path) -> None:
    """`CannotMakeCopies` unless a set may be made in `target` from the pictures in a folder."""
    if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(pictures)):
        raise CannotMakeCopies(
            f"{target} lies inside the pictures, and would count as some of them: "
            "name a folder elsewhere"
        )
    with _writing(target):
        if not target.exists():
            return
        if not target.is_dir():
            raise CannotMakeCopies(f"{target} is a file: name a folder that is new, or empty")
        if any(target.iterdir()):
            raise CannotMakeCopies(f"{target} is not empty: name a folder that is new, or empty")


@contextlib.contextmanager
def filled(target: Path) -> Iterator[Path]:
    """A hidden folder inside `target`; at the end all that is in it goes there, or nothing.

    Raises `CannotMakeCopies` for all that a disk may refuse meanwhile.
    """
    with _writing(target):
        is_new = not target.exists()
        target.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(prefix=".making-", dir=target) as name:
                for each in (COLLECTION, QUERIES):
                    (Path(name) / each).mkdir()
                yield Path(name)
                for each in (COLLECTION, QUERIES, ABOUT, TRUTH):  # the truth last
                    (Path(name) / each).rename(target / each)
        except BaseException:
            if is_new:
                with contextlib.suppress(OSError):
                    target.rmdir()
            raise


def write_truth(folder: Path, rows: Iterable[Row]) -> None:
    """The truth, by the names of the queries."""
    with (folder / TRUTH).open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(HEADING)
        writer.writerows((row.query, row.original, row.edit) for row in sorted(rows))


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """What the set is, and how to make it again."""
    (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n", "utf-8")


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    """What goes wrong in here is the disk's fault."""
    try:
        yield
    except OSError as error:
        raise CannotMakeCopies(
            f"cannot write to {target}: {error.strerror or error}. Nothing was kept there: make "
            "room, or name a folder that you may write to"
        ) from error

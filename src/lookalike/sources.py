"""Where pictures come from: folders, files, globs, lists and archives -> one item a picture.

How a place is written down is said in `places`.
"""

from __future__ import annotations

import csv
import glob
import json
import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from . import archives
from .decoding import Encoded
from .errors import BadSource, PictureError
from .places import LITTER, absolute, disk_path, place_name, plain_text
from .types import Place

CATALOGUE = "catalogue.sqlite"
"""A folder with this file in it is a collection: it is not walked into."""

_LISTS = (".csv", ".jsonl", ".ndjson")
_PICTURES = frozenset(
    f".{ending}"
    for ending in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "gif", "bmp", "dib"),
        *("tif", "tiff", "heic", "heif", "hif", "avif"),
    )
)


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to be taken in, not yet read."""

    place: Place
    encoded: Callable[[], Encoded]
    """Gives the picture to decode; `PictureError` if it cannot be read."""
    described: bool = False
    """Whether the source itself says label and metadata, as a list does."""
    explicit: bool = False
    """Whether it was named as a picture, so that it is a failure if it is none."""
    streamed: bool = False
    """Whether it can only be read before the next item is asked for."""


def find(source: str | os.PathLike[str]) -> Iterator[Item]:
    """Every picture of a source, folders in the order of their names; `BadSource` if none is there.

    What is no picture by its bytes is among them: only decoding tells.
    """
    text = os.fspath(source)
    path = absolute(text)
    if path.is_dir():
        return _folder(path)
    if path.exists():
        return _file(path)
    if glob.has_magic(text):
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - as a shell does
        if matches:
            return (item for match in matches for item in find(match))
        raise BadSource(f"nothing matches {text}: check the pattern, and quote it for the shell")
    raise BadSource(f"{text} does not exist: give a folder, a picture, a list or an archive")


def encoded_at(path: str) -> Encoded:
    """The picture at a place that an item once had; `PictureError` if it is gone."""
    if archives.is_member(path):
        return archives.read(path)
    return Encoded(path, path=disk_path(path))


def exists(path: str) -> bool:
    """Whether a place is still there. An archive that cannot be read counts as there."""
    return archives.has(path) if archives.is_member(path) else disk_path(path).exists()


def looks_like_a_picture(path: str) -> bool:
    """By the ending of its name, which only decides whether to call a refusal a failure."""
    return os.path.splitext(path)[1].lower() in _PICTURES  # noqa: PTH122 - may be a URI


def _folder(folder: Path) -> Iterator[Item]:
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    if any(entry.name == CATALOGUE for entry in entries):
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in LITTER:
            continue
        if entry.is_dir(follow_symlinks=False):
            try:
                yield from _folder(Path(entry.path))
            except PermissionError as error:
                yield _unreadable(Path(entry.path), error.strerror or "not permitted")
        else:
            yield from _one(Path(entry.path))


def _one(path: Path) -> Iterator[Item]:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in a name out of a list
        yield _unreadable(path, getattr(error, "strerror", None) or str(error))
        return
    if stat.S_ISREG(status.st_mode):
        place = Place(
            place_name(path),
            plain_text(path.parent.name) or None,
            {},
            status.st_size,
            status.st_mtime_ns,
        )
        yield Item(place, lambda: Encoded(place.path, path=path))


def _unreadable(path: Path, why: str) -> Item:
    name = place_name(path)

    def refuse() -> Encoded:
        raise PictureError(name, f"cannot be read ({why.lower()})", retry=True)

    return Item(Place(name), refuse)


def _file(path: Path) -> Iterator[Item]:
    name = path.name.lower()
    if name.endswith(_LISTS):
        return _list(path)
    if archives.is_archive(path):
        return (Item(member.place, member.read, streamed=True) for member in archives.members(path))
    return (replace(item, explicit=True) for item in _one(path))


def _list(path: Path) -> Iterator[Item]:
    """The pictures that a list names; relative paths start at the list's own folder."""
    rows = _csv_rows if path.name.lower().endswith(".csv") else _json_rows
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in rows(path, file):
                yield from _listed(path, number, dict(row))
    except UnicodeDecodeError as error:
        raise BadSource(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise BadSource(f"{path} cannot be read: {error}") from error


def _csv_rows(path: Path, file: IO[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(file)
    if "path" not in (reader.fieldnames or ()):
        raise BadSource(f"{path}, line 1: the first line must name the columns, one of them `path`")
    for row in reader:
        if None in row:
            raise BadSource(f"{path}, line {reader.line_num}: more values than columns")
        yield (
            reader.line_num,
            {
                key: _csv_value(value) if key not in ("path", "label") else value
                for key, value in row.items()
                if value not in (None, "")
            },
        )


def _csv_value(text: str) -> str | int | float:
    """Numbers as numbers, so that a filter can compare them."""
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return int(text) if text.lstrip("+-").isdecimal() else number


def _json_rows(path: Path, file: IO[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_no_number)
        except ValueError as error:
            raise BadSource(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise BadSource(f'{path}, line {number}: expected an object such as {{"path": "…"}}')
        yield number, row


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _listed(path: Path, number: int, row: dict[str, Any]) -> Iterator[Item]:
    given = row.pop("path", None)
    if not isinstance(given, str) or not given:
        raise BadSource(f"{path}, line {number}: it has no path")
    label = row.pop("label", None)
    target = absolute(str(path.parent / Path(given).expanduser()))
    for item in _one(target):
        place = replace(
            item.place,
            label=item.place.label if label is None else plain_text(str(label)),
            metadata=row,
        )
        yield replace(item, place=place, described=True, explicit=True)

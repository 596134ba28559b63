"""Where pictures come from: folders, lists, archives, object stores … -> one item a picture.

How a place is written down is said in `places`.
"""

from __future__ import annotations

import csv
import glob
import json
import math
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

from . import archives, objects
from .decoding import Encoded
from .errors import BadQuery, BadSource, PictureError
from .picture import HEAD_BYTES, sniff
from .places import (
    LITTER,
    absolute,
    disk_path,
    in_64_bits,
    in_archive,
    is_object,
    is_there,
    member_place,
    path_of,
    place_name,
    place_of,
    plain_text,
)
from .store.writes import metadata_text
from .types import Place

CATALOGUE = "catalogue.sqlite"
"""A folder with this file in it is a collection: it is not walked into."""

_OBJECT_BYTES = 100_000_000
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

    def is_meant(self, error: PictureError) -> bool:
        """Whether this is a failed picture, rather than a file that nobody took for one."""
        return error.recognised or self.explicit or looks_like_a_picture(self.place.path)


def find(source: str | os.PathLike[str]) -> Iterator[Item]:
    """Every picture of a source, folders in the order of their names.

    What is no picture by its bytes is among them: only decoding tells. Raises `BadSource` at
    once if nothing is there, or a row of a list is wrong.
    """
    text = os.fspath(source)
    if is_object(text):
        return _objects(text)
    path = path_of(text)
    inside = in_archive(text)
    if inside is not None and archives.has(member_place(*inside)):
        return _member(*inside)
    try:
        mode = path.stat().st_mode if text else 0
    except (FileNotFoundError, NotADirectoryError) as error:
        if glob.has_magic(text):
            return _matches(text)
        raise BadSource(
            f"{text} does not exist: give a folder, a picture, a list or an archive"
        ) from error
    except (OSError, ValueError) as error:
        raise BadSource(f"{text} cannot be read: {_why(error)}") from error
    if not text:
        raise BadSource("an empty name: give a folder, a picture, a list or an archive")
    if not stat.S_ISDIR(mode):
        # What lies in an archive was not named one by one.
        return (replace(item, explicit=not item.streamed) for item in _file(path))
    if is_collection(path):
        raise BadSource(f"{text} is a collection, not a folder of pictures")
    try:
        os.scandir(path).close()
    except OSError as error:
        raise BadSource(f"{text} cannot be read: {_why(error)}") from error
    return _folder(path)


def roots(source: str | os.PathLike[str]) -> Iterator[str]:
    """The places that a source speaks of; what lies below them and is gone may be forgotten."""
    text = os.fspath(source)
    if is_object(text):
        yield objects.root(text)
        return
    path = path_of(text)
    if _is_list(path):
        yield from (item.place.path for item in _list(path))
        return
    if in_archive(text):
        yield place_of(text)
        return
    if not os.path.lexists(path):
        # The part of a pattern before its first magic.
        path = next(
            each for each in path.parents if os.path.lexists(each) or not glob.has_magic(str(each))
        )
    yield place_name(path)
    yield path.as_uri()  # what lies there under a name that is not valid UTF-8


def held_within(items: Iterable[Item], folders: Sequence[Path]) -> Iterator[Item]:
    """The same; what a link leads out of all these folders, by their real paths, is refused."""
    for item in items:
        path = disk_path(item.place.path)
        real = Path(os.path.realpath(path))
        if any(real.is_relative_to(folder) for folder in folders):
            yield item
        else:
            yield _refused(path, "a link that leads out of the folder")


def count(
    given: Iterable[str], on_found: Callable[[int], None] = lambda _number: None
) -> int | None:
    """How many items there are; None where finding out takes as long as reading them.

    `on_found` is told each number as it is reached; what it raises ends the counting.
    """
    number = 0
    for item in chain.from_iterable(map(find, given)):
        if item.streamed:
            return None
        number += 1
        on_found(number)
    return number


def named(text: str) -> Item:
    """The picture at a path or a place; what is wrong with it, its `encoded` says."""
    place = place_of(text)
    if is_object(place):
        return Item(Place(place), lambda: encoded_at(place), explicit=True)
    if archives.is_member(place):
        return Item(Place(place), lambda: archives.read(place), explicit=True)
    return replace(next(_one(disk_path(place))), explicit=True)


def encoded_at(place: str) -> Encoded:
    """The picture at a place that an item once had; `PictureError` if it is gone."""
    if is_object(place):
        return Encoded(place, data=objects.read(place, _OBJECT_BYTES))
    if archives.is_member(place):
        return archives.read(place)
    return Encoded(place, path=disk_path(place))


def exists(place: str) -> bool:
    """Whether a place is still there. What cannot be looked at counts as there."""
    if is_object(place):
        return objects.exists(place)
    return archives.has(place) if archives.is_member(place) else is_there(disk_path(place))


def is_collection(folder: Path) -> bool:
    """Whether a folder is a collection of ours; what cannot be looked at is none."""
    return os.path.isfile(folder / CATALOGUE)  # noqa: PTH113 - pathlib's raises


def looks_like_a_picture(path: str) -> bool:
    """By the ending of its name, which only decides whether to call a refusal a failure."""
    return os.path.splitext(path)[1].lower() in _PICTURES  # noqa: PTH122 - may be a URI


def _objects(url: str) -> Iterator[Item]:
    found, named = objects.find(url)
    return (_object(each, explicit=named) for each in found)


def _object(found: objects.Found, *, explicit: bool) -> Item:
    place = found.place

    def encoded() -> Encoded:
        if found.refusal is not None:
            raise found.refusal
        if place.size > _OBJECT_BYTES:
            limit = f"larger than {_OBJECT_BYTES / 1e6:g} MB, the limit for objects"
            raise PictureError(place.path, limit)
        return Encoded(place.path, url=place.path) if place.size else Encoded(place.path, data=b"")

    return Item(place, encoded, explicit=explicit)


def _matches(pattern: str) -> Iterator[Item]:
    """What a pattern matches, each once, though it may match a folder and what is in it."""
    names = glob.glob(_escaped(os.path.expanduser(pattern)), recursive=True)  # noqa: PTH111, PTH207
    if not names:
        raise BadSource(f"nothing matches {pattern}: check it, and quote it for the shell")
    matches = sorted({absolute(name) for name in names})
    folders = {path for path in matches if os.path.isdir(path)}  # noqa: PTH112 - pathlib's raises
    ours = {folder for path in matches for folder in path.parents if is_collection(folder)}
    tops = [path for path in matches if (folders | ours).isdisjoint(path.parents)]
    return chain.from_iterable(_folder(path) if path in folders else _file(path) for path in tops)


def _escaped(pattern: str) -> str:
    """The same, so that a folder that is there is none of the pattern, whatever its name."""
    ends = [at for at, letter in enumerate(pattern) if letter == "/"]
    end = next((at for at in reversed(ends) if os.path.lexists(pattern[:at])), 0)
    return glob.escape(pattern[:end]) + pattern[end:]


def _member(archive: Path, name: str) -> Iterator[Item]:
    """A member that was named; also what says why the archive breaks off, if it does."""
    wanted = (member_place(archive, name), place_name(archive))
    for member in archives.members(archive):
        if member.place.path in wanted:
            yield Item(member.place, member.read, explicit=True, streamed=True)


def _folder(folder: Path) -> Iterator[Item]:
    """All below a folder. With a stack of its own: folders nest deeper than Python's calls."""
    waiting: list[Path | os.DirEntry[str]] = [folder]
    while waiting:
        next_one = waiting.pop()
        path = Path(next_one)
        if isinstance(next_one, os.DirEntry) and not next_one.is_dir(follow_symlinks=False):
            yield from _one(path)
            continue
        try:
            entries = _entries(path)
        except OSError as error:
            yield _unreadable(path, error)
            continue
        if not any(entry.name == CATALOGUE for entry in entries):
            waiting += reversed(entries)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name, without what is hidden."""
    with os.scandir(folder) as found:
        shown = [
            each for each in found if not each.name.startswith(".") and each.name not in LITTER
        ]
    return sorted(shown, key=lambda entry: entry.name)


def _file(path: Path) -> Iterator[Item]:
    """A file that was named: a list, an archive, or a picture whatever its name says."""
    if _is_list(path):
        return _list(path)
    head = _head(path)
    if sniff(head) is None and archives.is_archive(path, head):
        return (Item(member.place, member.read, streamed=True) for member in archives.members(path))
    return _one(path)


def _head(path: Path) -> bytes:
    """The first bytes of a regular file, as many as there are; none if it cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b""
        with path.open("rb") as file:
            return file.read(max(HEAD_BYTES, archives.HEAD_BYTES))
    except OSError:
        return b""


def _one(path: Path) -> Iterator[Item]:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in a name out of a list
        yield _unreadable(path, error)
        return
    if stat.S_ISDIR(status.st_mode):
        what = "a folder behind a link, which is not followed" if path.is_symlink() else "a folder"
        yield _refused(path, f"{what}: name it itself")
    elif not stat.S_ISREG(status.st_mode):
        yield _refused(path, "not a file but a pipe, a socket or a device")
    else:
        place = Place(
            place_name(path),
            plain_text(path.parent.name) or None,
            {},
            status.st_size,
            in_64_bits(status.st_mtime_ns),
        )
        yield Item(place, lambda: Encoded(place.path, path=path))


def _refused(path: Path, reason: str, *, retry: bool = False) -> Item:
    """An item that says why there is no picture."""
    name = place_name(path)

    def refuse() -> Encoded:
        raise PictureError(name, reason, retry=retry, recognised=retry)

    return Item(Place(name), refuse)


def _unreadable(path: Path, error: Exception) -> Item:
    return _refused(path, f"it cannot be read: {_why(error)}", retry=True)


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def _is_list(path: Path) -> bool:
    return path.name.lower().endswith(_LISTS) and sniff(_head(path)) is None


def _list(path: Path) -> Iterator[Item]:
    """The pictures that a list names; relative paths start at the list's own folder.

    Read once to see that every row is right, before the first picture is taken in.
    """
    for _ in _rows(path):
        pass
    return chain.from_iterable(_listed(path, row) for row in _rows(path))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a list, each with a path; `BadSource` names the line that is wrong."""
    read = _csv_rows if path.name.lower().endswith(".csv") else _json_rows
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in read(path, file):
                given = row.get("path")
                if not isinstance(given, str) or not given:
                    raise BadSource(f"{path}, line {number}: it has no path")
                metadata_text(Place(given, metadata={**row, "path": None}))
                yield dict(row)
    except BadQuery as error:
        raise BadSource(f"{path}, line {number}: {error}") from error
    except UnicodeDecodeError as error:
        raise BadSource(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise BadSource(f"{path} cannot be read: {_why(error)}") from error


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
    """Numbers as numbers, so that a filter can compare them; what reads otherwise stays text."""
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number) or not text.isascii() or "_" in text:
        return text
    digits = text.lstrip("+-")
    if digits.isdecimal():
        # What a number would lose: a postcode's zeros, a telephone's plus, digits beyond 64 bits.
        return text if digits != str(int(digits[:18])) or text[0] == "+" else int(text)
    return number


def _json_rows(path: Path, file: IO[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise BadSource(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise BadSource(f'{path}, line {number}: expected an object such as {{"path": "…"}}')
        yield number, row


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _listed(path: Path, row: dict[str, Any]) -> Iterator[Item]:
    given = os.path.expanduser(row.pop("path"))  # noqa: PTH111 - pathlib's raises
    label = row.pop("label", None)
    for item in _one(absolute(str(path.parent / given))):
        place = replace(
            item.place,
            label=item.place.label if label is None else plain_text(str(label)),
            metadata=row,
        )
        yield replace(item, place=place, described=True, explicit=True)

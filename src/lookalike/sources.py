"""Where pictures come from: folders, lists, archives, object stores … -> one item a picture.

How a place is written down is said in `places`.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from . import archives, lists, objects
from .decoding import Encoded
from .errors import BadSource, PictureError
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
from .types import Place

CATALOGUE = "catalogue.sqlite"
"""A folder with this file in it is a collection: it is not walked into."""

Within = Sequence[Path] | None
"""Real paths of the folders that may be read alone; None for any."""

_OBJECT_BYTES = 100_000_000
_LEADS_OUT = "a link that leads out of the folder"
_ROWS_AT_ONCE = 512
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


def find(source: str | os.PathLike[str], within: Within = None) -> Iterator[Item]:
    """Every picture of a source, folders in the order of their names.

    What is no picture by its bytes is among them: only decoding tells. What lies outside all
    folders of `within`, by their real paths, is refused, whatever leads there. Raises `BadSource`
    at once if nothing is there, or a row of a list is wrong.
    """
    found = _found(os.fspath(source), within)
    return found if within is None else _held(found, within)


def _found(text: str, within: Within) -> Iterator[Item]:
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
        return (replace(item, explicit=not item.streamed) for item in _file(path, within))
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
        for row in lists.rows(path):
            yield from _row_roots(_given(path, row))
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


def count(
    given: Iterable[str],
    on_found: Callable[[int], None] = lambda _number: None,
    within: Within = None,
) -> int | None:
    """How many items there are; None where finding out takes as long as reading them.

    `within`: as for `find`.
    `on_found` is told each number as it is reached; what it raises ends the counting.
    """
    number = 0
    for item in chain.from_iterable(find(each, within) for each in given):
        if item.streamed:
            return None
        number += 1
        on_found(number)
    return number


def named(text: str) -> Item:
    """The picture at a path or a place; what is wrong with it, its `encoded` says."""
    place = place_of(text)
    if is_object(place):
        return _object_at(place, objects.look(place))
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


def _held(items: Iterable[Item], within: Sequence[Path]) -> Iterator[Item]:
    for item in items:
        place = item.place.path
        held = not is_object(place) and _is_within(disk_path(place), within)
        yield item if held else replace(_refused(place, _LEADS_OUT), explicit=item.explicit)


def _is_within(path: Path, folders: Sequence[Path]) -> bool:
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(folder) for folder in folders)


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


def _object_at(place: str, found: objects.Found | None) -> Item:
    """An object that was named, as it is now."""
    if found is None:
        reason = PictureError(place, "it is no longer there", retry=True)
        found = objects.Found(Place(place), reason)
    return _object(found, explicit=True)


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


def _file(path: Path, within: Within = None) -> Iterator[Item]:
    """A file that was named: a list, an archive, or a picture whatever its name says."""
    if _is_list(path):
        return _list(path, within)
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
        yield _refused(place_name(path), f"{what}: name it itself")
    elif not stat.S_ISREG(status.st_mode):
        yield _refused(place_name(path), "not a file but a pipe, a socket or a device")
    else:
        place = Place(
            place_name(path),
            plain_text(path.parent.name) or None,
            {},
            status.st_size,
            in_64_bits(status.st_mtime_ns),
        )
        yield Item(place, lambda: Encoded(place.path, path=path))


def _refused(place: str, reason: str, *, retry: bool = False) -> Item:
    """An item that says why there is no picture."""

    def refuse() -> Encoded:
        raise PictureError(place, reason, retry=retry, recognised=retry)

    return Item(Place(place), refuse)


def _unreadable(path: Path, error: Exception) -> Item:
    return _refused(place_name(path), f"it cannot be read: {_why(error)}", retry=True)


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def _is_list(path: Path) -> bool:
    return path.name.lower().endswith(lists.ENDINGS) and sniff(_head(path)) is None


def _list(path: Path, within: Within) -> Iterator[Item]:
    """The pictures of the sources that a list names; relative paths start at its own folder.

    Read once to see that every row is right, before the first picture is taken in.
    """
    for _ in lists.rows(path):
        pass
    blocks = _some_at_a_time(lists.rows(path))
    return chain.from_iterable(_listed(path, rows, within) for rows in blocks)


def _some_at_a_time(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        yield some


def _listed(path: Path, rows: Sequence[dict[str, Any]], within: Within) -> Iterator[Item]:
    """What several rows name; objects are looked at all at once."""
    given = [_given(path, row) for row in rows]
    urls = [each for each in given if is_object(each)] if within is None else []
    looked = dict(zip(urls, objects.look_all(urls), strict=True))
    for row, each in zip(rows, given, strict=True):
        label = row.pop("label", None)
        del row["path"]
        for item in _of_row(each, looked, within):
            place = replace(
                item.place,
                label=item.place.label if label is None else plain_text(str(label)),
                metadata=row,
            )
            yield replace(item, place=place, described=True)


def _given(path: Path, row: Mapping[str, Any]) -> str:
    """The source that a row names: a URL, or a path from the root."""
    given: str = row["path"]
    if is_object(given):
        return place_of(given)
    given = str(disk_path(given)) if given.startswith("file://") else given
    return str(absolute(str(path.parent / os.path.expanduser(given))))  # noqa: PTH111


def _of_row(
    given: str, looked: Mapping[str, objects.Found | None], within: Within
) -> Iterator[Item]:
    """What lies outside of `within` is refused before it is looked at."""
    found = looked.get(given)
    if given in looked and not (found is not None and found.is_folder):
        return iter([_object_at(given, found)])
    path = Path(given)
    if within is not None and (is_object(given) or not _is_within(path, within)):
        return _row_failure(given, _LEADS_OUT)
    if os.path.isfile(path) and _is_list(path):  # noqa: PTH113 - pathlib's raises
        return _row_failure(given, "a list in a list: name it itself")
    is_there = is_object(given) or os.path.lexists(path)
    # Of folders that are not ours a pattern might tell the names.
    if is_there or (within is None and glob.has_magic(given)) or in_archive(given):
        try:
            return find(given, within)
        except BadSource as error:
            return _row_failure(given, str(error).removeprefix(f"{given} "))
    return (replace(item, explicit=True) for item in _one(path))


def _row_failure(given: str, reason: str) -> Iterator[Item]:
    yield replace(_refused(given if is_object(given) else place_of(given), reason), explicit=True)


def _row_roots(given: str) -> Iterator[str]:
    is_one = not (is_object(given) or os.path.isdir(given))  # noqa: PTH112 - pathlib's raises
    if is_one and (os.path.lexists(given) or not glob.has_magic(given)):
        yield place_of(given)
    else:
        yield from roots(given)

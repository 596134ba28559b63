"""Which picture a name means: ground truth is seldom written with the paths of this machine."""

from __future__ import annotations

import os.path
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ...places import place_of


class Match(NamedTuple):
    """A picture that a name may mean."""

    id: str
    place: str


class Names:
    """Pictures that can be found by id, by place, and by how a place ends."""

    def __init__(self, pictures: Iterable[tuple[str, Iterable[str]]]) -> None:
        """`pictures`: the id of each, and its places."""
        self._first: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._by_file: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for id, places in pictures:
            for place in places:
                self._first.setdefault(id, place)
                self._ids[place] = id
                file = posixpath.basename(place)
                self._by_file.setdefault(file, []).append(place)
                self._by_stem.setdefault(_stem(file), []).append(place)

    def at(self, place: str) -> str | None:
        """The id of the picture at exactly this place."""
        return self._ids.get(place)

    def find(self, name: str, roots: Sequence[Path]) -> list[Match]:
        """The pictures that a name may mean: one if all is well, none if it means nothing.

        A name is an id, a path (from one of `roots` if it does not begin at `/`), the end of a
        path, such as `cup/3.jpg` or `3.jpg`, or either without the ending of its file. What comes
        first in this order and means anything is what is meant. Two places of one picture are one.
        """
        if name in self._first:
            return [Match(name, self._first[name])]
        for place in _exact(name, roots):
            if place in self._ids:
                return [Match(self._ids[place], place)]
        end = _end(name, roots)
        file = posixpath.basename(end)
        whole = self._by_file.get(file, ())
        found = [place for place in whole if _ends(place, end)]
        if not found:
            found = [place for place in self._by_stem.get(file, ()) if _ends(_stem(place), end)]
        return [Match(id, place) for id, place in {self._ids[each]: each for each in found}.items()]


def _exact(name: str, roots: Sequence[Path]) -> Iterator[str]:
    if name.startswith("/") or "://" in name:
        yield name
        yield place_of(name)
    else:
        yield from (place_of(str(root / name)) for root in roots)


def _end(name: str, roots: Sequence[Path]) -> str:
    """What a place must end with: of a path below one of the roots, what follows the root."""
    for root in roots:
        if name.startswith(f"{root}/"):
            return name[len(str(root)) + 1 :]
    return posixpath.normpath(name)


def _ends(place: str, end: str) -> bool:
    """Whether a place ends with whole parts of a path."""
    return place == end or place.endswith(f"/{end}")


def _stem(place: str) -> str:
    return os.path.splitext(place)[0]  # noqa: PTH122 - a place may be a URI

"""Pairs of pictures of which somebody has said that they are the same, or that they are not."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..collection import Collection
from ..errors import CannotCalibrate, PictureError, UnknownPicture
from ..types import Record

PAIRS = "pairs"
"""What they are counted under, beside the edits."""
_VERDICTS = {"same": True, "different": False}
_MOST_TEXT = 100_000_000
"""Bytes of a file of pairs."""


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """Two pictures, each by its path or, if it is stored, by its id."""

    a: str
    b: str
    same: bool


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """What each scorer says of a pair; lacking where it cannot compare them."""

    same: bool
    scores: Mapping[str, float]


def read_pairs(path: Path) -> list[JudgedPair]:
    """Lines of `a,b,same` or `a,b,different`; the first may be a heading.

    Paths that do not start at the root start at the folder of the file. `CannotCalibrate` names
    the line that is wrong.
    """
    try:
        if path.stat().st_size > _MOST_TEXT:
            raise CannotCalibrate(f"{path} is larger than 100 MB: that is no list of pairs")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise CannotCalibrate(f"cannot read the pairs {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CannotCalibrate(f"cannot read the pairs {path}: it is not UTF-8 text") from error
    pairs = []
    try:
        for number, row in enumerate(csv.reader(text.splitlines()), 1):
            cells = [cell.strip() for cell in row]
            if not any(cells) or (number == 1 and cells[:2] == ["a", "b"]):
                continue
            if len(cells) != 3 or cells[2].lower() not in _VERDICTS or not all(cells):
                raise CannotCalibrate(
                    f"{path}, line {number}: it must be two pictures and same or different, "
                    f"such as a.jpg,b.jpg,same, not {','.join(row)[:200]!r}"
                )
            a, b = (_resolved(cell, path.parent) for cell in cells[:2])
            pairs.append(JudgedPair(a, b, _VERDICTS[cells[2].lower()]))
    except csv.Error as error:
        raise CannotCalibrate(f"{path} is not CSV: {error}") from error
    return pairs


def kept_pairs(collection: Collection) -> list[JudgedPair]:
    """Those of the collection's judgements whose pictures are both stored."""
    return [
        JudgedPair(said.a, said.b, said.same)
        for said in collection.judgements()
        if said.a in collection and said.b in collection
    ]


def by_ids(collection: Collection, pairs: Sequence[JudgedPair]) -> dict[tuple[str, str], bool]:
    """What is said of pairs that are both stored, by their ids, the lower one first."""
    said = {}
    for pair in pairs:
        a, b = (stored(collection, text) for text in (pair.a, pair.b))
        if a is not None and b is not None:
            said[min(a.id, b.id), max(a.id, b.id)] = pair.same
    return said


def scored_pairs(
    collection: Collection, pairs: Sequence[JudgedPair], comparators: Sequence[str]
) -> list[ScoredPair]:
    """Each with the score of every embedding and of these comparators.

    `CannotCalibrate` for a picture that is neither stored nor can be read.
    """
    return [_scored(collection, pair, comparators) for pair in pairs]


def _scored(collection: Collection, pair: JudgedPair, comparators: Sequence[str]) -> ScoredPair:
    a, b = (stored(collection, text) for text in (pair.a, pair.b))
    try:
        compared = collection.match(a or pair.a, b or pair.b, compare=comparators or "verified")
        scores = {name: compared.scores[name] for name in comparators}
        if b is not None:
            for name, vector in compared.first.vectors.items():
                scores |= {name: collection.store.scores(name, vector, [b.id]).get(b.id)}
    except PictureError as error:
        raise CannotCalibrate(
            f"the pair {pair.a}, {pair.b} cannot be compared: {error}. Name pictures that are "
            "stored, by id or path, or files"
        ) from error
    return ScoredPair(pair.same, {n: score for n, score in scores.items() if score is not None})


def stored(collection: Collection, text: str) -> Record | None:
    """The stored picture that an id or a path means."""
    try:
        return collection.meant(text)
    except UnknownPicture:
        return None


def _resolved(text: str, folder: Path) -> str:
    """A file in this folder as a whole path; an id, or what is no file, as it is."""
    path = folder / Path(text).expanduser()
    return str(path) if path.exists() else text

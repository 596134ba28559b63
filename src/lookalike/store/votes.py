"""What local features vote for: an inverted file in step with where those are stored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import TooLittleToLearnFrom
from ..local import exhaustive
from ..local.inverted_file import InvertedFile
from ..local.vocabulary import Vocabulary
from ..types import LocalFeatures, Rows

Descriptors = npt.NDArray[Any]
"""Of the keypoints of one picture, [n, width]."""
Voted = tuple[list[int], list[float]]
"""Rows and their votes, most first."""

_LEARN_FROM = 2_500
"""Pictures of which the words are learned."""
_OUTGROWN = 4
"""Times the pictures that its words were learned for, from which on there are to be others."""
_BEFORE_ALL = -1


@dataclass(slots=True)
class Block:
    """Some pictures with local features, in the order in which those came."""

    last: int
    """Of the last of them, the number that they go by in this order."""
    rows: Rows
    """int64 [n]."""
    descriptors: list[Descriptors]
    """Of each picture."""


class Reader(Protocol):
    """How the local features of a collection are read: those of one extractor."""

    def count(self) -> int:
        """How many pictures have some."""
        ...

    def sample(self, count: int) -> list[Descriptors]:
        """Of at most `count` pictures, from all over the collection."""
        ...

    def after(self, number: int) -> Block | None:
        """The next pictures after a number; None if there are none."""
        ...

    def removed_after(self, number: int) -> tuple[int, Rows]:
        """The number of the last removal, and the rows of those after `number`, ascending."""
        ...

    def sizes(self) -> tuple[int, int]:
        """How many pictures have some, and their bytes."""
        ...


@dataclass(slots=True)
class Held:
    """An inverted file, and up to where it has taken in what is stored."""

    file: InvertedFile
    learned_for: int
    """Pictures there were when its words were learned."""
    number: int = _BEFORE_ALL
    removal: int = 0


class Saved(Protocol):
    """Where inverted files are kept for the next process."""

    def open(self) -> Held | None:
        """The one that has most, if there is one that is still right."""
        ...

    @property
    def damaged(self) -> bool:
        """Whether there are some that could not be opened, so that every process would try."""
        ...

    def keep(self, held: Held) -> None:
        """Keep this one, if that is worth it."""
        ...


class Votes:
    """Of one collection. Safe to use from several threads."""

    def __init__(self, reader: Reader, saved: Saved | None = None) -> None:
        """`saved`: unless given, every process makes its own file when it is first asked."""
        self._reader = reader
        self._saved = saved
        self._following = threading.Lock()
        self._held: Held | None = None

    def voted(self, features: LocalFeatures, count: int | None, allowed: Rows | None) -> Voted:
        """The pictures that have most in common with one, by the votes of the inverted file."""
        file = self._followed()
        if file is None or len(features.descriptors) == 0:
            return [], []
        rows, votes = file.votes(features.descriptors, count or max(len(file), 1), allowed)
        return rows.tolist(), votes.tolist()

    def matched(self, features: LocalFeatures, count: int | None, allowed: Rows | None) -> Voted:
        """The same by mutual matches with every picture, in time linear in their number."""
        if len(features.descriptors) == 0:
            return [], []
        blocks = (_allowed(block, allowed) for block in self._blocks(_BEFORE_ALL))
        most = count or np.iinfo(np.int64).max
        rows, matches = exhaustive.votes(features.descriptors, blocks, most)
        return rows.tolist(), matches.tolist()

    def settle(self) -> None:
        """Take in what there is, under other words if it has outgrown them, and keep the file."""
        with self._following:
            held = self._held = self._held or self._opened()
            # Told before pictures are taken in: under other words all of them are taken in again.
            if held is not None and self._reader.count() > _OUTGROWN * held.learned_for:
                self._held = None
            self._take_in()
            if self._saved is not None and self._held is not None:
                self._saved.keep(self._held)

    def describe(self) -> dict[str, int]:
        """Counts and sizes, as JSON values."""
        pictures, stored = self._reader.sizes()
        file = None if self._held is None else self._held.file
        return {
            "pictures": pictures,
            "bytes": stored,
            "words": 0 if file is None else len(file.vocabulary),
            "index_bytes": 0 if file is None else file.memory_bytes,
        }

    def _followed(self) -> InvertedFile | None:
        """The file with all that is stored; None where there is nothing to be found."""
        with self._following:
            self._held = self._held or self._opened()
            self._take_in()
            if self._held is None:
                return None
            if self._saved is not None and self._saved.damaged:
                self._saved.keep(self._held)
            return self._held.file

    def _opened(self) -> Held | None:
        return None if self._saved is None else self._saved.open()

    def _take_in(self) -> None:
        held = self._held = self._held or self._learned()
        if held is None:
            return
        held.removal, removed = self._reader.removed_after(held.removal)
        if len(removed):
            held.file.remove(removed)
        for block in self._blocks(held.number):
            held.file.remove(np.sort(block.rows))  # whose features have been made again
            held.file.add(block.rows, block.descriptors)
            held.number = block.last

    def _learned(self) -> Held | None:
        """An empty file, whose words are learned of some of the pictures."""
        last_removal, _ = self._reader.removed_after(0)
        count = self._reader.count()
        sample = self._reader.sample(min(count, _LEARN_FROM)) if count else []
        if not sample:
            return None
        try:
            vocabulary = Vocabulary.learn(np.concatenate(sample), count)
        except TooLittleToLearnFrom:  # pictures without keypoints find nothing
            return None
        return Held(InvertedFile(vocabulary), count, removal=last_removal)

    def _blocks(self, number: int) -> Iterator[Block]:
        while (block := self._reader.after(number)) is not None:
            yield block
            number = block.last


def _allowed(block: Block, allowed: Rows | None) -> tuple[Rows, list[Descriptors]]:
    """Rows and their descriptors, those of a block that a filter allows."""
    passed = np.ones(len(block.rows), np.bool_) if allowed is None else np.isin(block.rows, allowed)
    places = np.flatnonzero(passed).tolist()
    return block.rows[passed], [block.descriptors[place] for place in places]

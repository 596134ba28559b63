"""The inverted file of local features, kept in step with the catalogue, whose cache it is."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import TooLittleToLearnFrom
from ..local import exhaustive
from ..local.inverted_file import InvertedFile
from ..local.packing import unpacked
from ..local.vocabulary import Vocabulary
from ..sealed import Unusable
from ..types import LocalFeatures, Rows
from . import local_features
from .catalogue import Catalogue
from .connection import readable

_log = logging.getLogger(__name__)

_AT_ONCE = 256
"""Pictures whose features are read at a time."""
_LEARN_FROM = 2_500
"""Pictures of which the words are learned."""
_OUTGROWN = 4
"""Times the pictures that its words were learned for, from which on there are to be others."""
_WORTH_SAVING = 0.05
"""The share of pictures that are not in the saved file, from which on it is written again."""

Voted = tuple[list[int], list[float]]
"""Rows and their votes, most first."""


class LocalIndex:
    """Follows the catalogue's local features and removals. Safe to use from several threads."""

    def __init__(self, catalogue: Catalogue, fingerprint: str) -> None:
        self._catalogue = catalogue
        self._fingerprint = fingerprint
        self._folder = catalogue.folder / "local"
        self._following = threading.Lock()
        self._file: InvertedFile | None = None
        self._learned_for = 0
        self._saved = 0
        """How many pictures the saved file has."""
        self._unusable: list[Path] = []
        """Saved files that are to be replaced."""
        self._number = 0
        self._removal = 0

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
        blocks = (_allowed(block, allowed) for block in self._blocks(0))
        most = count or np.iinfo(np.int64).max
        rows, matches = exhaustive.votes(features.descriptors, blocks, most)
        return rows.tolist(), matches.tolist()

    def settle(self) -> None:
        """Take in what there is, and save it, if there is much that has not been saved."""
        with self._following:
            if self._file is None:
                self._open()
            if self._has_outgrown_its_words():
                self._file = None
            self._take_in()
            file = self._file
            if file is not None and len(file) - self._saved > _WORTH_SAVING * len(file):
                self._save(file)

    def describe(self) -> dict[str, int]:
        """Counts and sizes, as JSON values."""
        with self._catalogue.reading() as connection:
            pictures, stored = local_features.sizes(connection)
        file = self._file
        return {
            "pictures": pictures,
            "bytes": stored,
            "words": 0 if file is None else len(file.vocabulary),
            "index_bytes": 0 if file is None else file.memory_bytes,
        }

    def _followed(self) -> InvertedFile | None:
        """The file with every commit of every process; None where there is nothing to be found."""
        with self._following:
            if self._file is None:
                self._open()
            self._take_in()
            if self._unusable and self._file is not None:  # else every process would make it anew
                self._save(self._file)
            return self._file

    def _has_outgrown_its_words(self) -> bool:
        """Told before pictures are taken in: under other words all of them are taken in again."""
        with self._catalogue.reading() as connection:
            there_are = local_features.count(connection, self._fingerprint)
        return there_are > _OUTGROWN * self._learned_for

    def _take_in(self) -> None:
        if self._file is None:
            self._learn()
        file = self._file
        if file is None:
            return
        with self._catalogue.reading() as connection:
            self._removal, removed = self._catalogue.removals_after(connection, self._removal)
        if len(removed):
            file.remove(removed)
        for block in self._blocks(self._number):
            rows = np.array([row for _, row, _ in block], np.int64)
            file.remove(np.sort(rows))  # whose features were lost, and have been made again
            file.add(rows, [features.descriptors for _, _, features in block])
            self._number = block[-1][0]

    def _learn(self) -> None:
        """Begin an empty file, whose words are learned of some of the pictures."""
        with self._catalogue.reading() as connection:
            numbers = local_features.numbers(connection, self._fingerprint)
            last_removal, _ = self._catalogue.removals_after(connection, 0)
        if not numbers:
            return
        chosen = np.linspace(0, len(numbers) - 1, min(_LEARN_FROM, len(numbers)), dtype=np.int64)
        sample = self._descriptors([numbers[place] for place in chosen.tolist()])
        try:
            vocabulary = Vocabulary.learn(sample, len(numbers))
        except TooLittleToLearnFrom:  # pictures without keypoints find nothing
            return
        self._file = InvertedFile(vocabulary)
        self._learned_for, self._saved, self._number = len(numbers), 0, 0
        self._removal = last_removal

    def _descriptors(self, numbers: list[int]) -> npt.NDArray[np.generic]:
        with self._catalogue.reading() as connection:
            packed = local_features.at(connection, numbers)
        with readable(self._catalogue.folder):
            return np.concatenate([unpacked(each).descriptors for each in packed])

    def _blocks(self, number: int) -> Iterator[list[tuple[int, int, LocalFeatures]]]:
        """Number, row and features of pictures after a number, a block at a time."""
        while True:
            with self._catalogue.reading() as connection:
                found = local_features.after(connection, self._fingerprint, number, _AT_ONCE)
            if not found:
                return
            number = found[-1][0]
            with readable(self._catalogue.folder):
                yield [(each, row, unpacked(data)) for each, row, data in found]

    def _open(self) -> None:
        """Take up the saved file that has most, if one is sound and still of this collection."""
        with self._catalogue.reading() as connection:
            last = local_features.last_number(connection, self._fingerprint)
        for saved in sorted(self._saved_files(), key=lambda each: -each.number):
            if saved.number > last:
                continue
            try:
                file = InvertedFile.load(saved.path, mapped=True)
            except Unusable as why:
                _log.warning("%s is not used, and is made anew now: %s", saved.path, why)
                self._unusable.append(saved.path)
                continue
            self._file = file
            self._learned_for, self._saved = saved.learned_for, len(file)
            self._number, self._removal = saved.number, saved.removal
            return

    def _save(self, file: InvertedFile) -> None:
        """Under a name that says what it has; the former ones go."""
        name = "-".join(map(str, (self._number, self._removal, self._learned_for)))
        path = self._folder / f"{self._owner()}-{name}"
        for each in self._unusable:
            shutil.rmtree(each, ignore_errors=True)
        self._unusable.clear()
        before = [each.path for each in self._saved_files()]
        try:
            if path not in before:
                file.save(path)
            self._saved = len(file)
            for each in before:
                if each != path:
                    shutil.rmtree(each, ignore_errors=True)
        except OSError as error:
            # The file is only for speed: the next process makes it anew.
            _log.warning("The inverted file of local features cannot be written: %s", error)

    def _saved_files(self) -> list[_Saved]:
        owner = self._owner()
        return [_Saved(path) for path in self._folder.glob(f"{owner}-*-*-*") if _Saved.is_one(path)]

    def _owner(self) -> str:
        """Whose files they are: of which collection, and which kind of features."""
        return f"{self._catalogue.about()['uuid']}-{self._fingerprint[:12]}"


def _allowed(
    block: Sequence[tuple[int, int, LocalFeatures]], allowed: Rows | None
) -> tuple[Rows, list[npt.NDArray[np.generic]]]:
    """Rows and their descriptors, those of a block that a filter allows."""
    rows = np.array([row for _, row, _ in block], np.int64)
    passed = np.ones(len(rows), np.bool_) if allowed is None else np.isin(rows, allowed)
    descriptors = [features.descriptors for _, _, features in block]
    return rows[passed], [descriptors[place] for place in np.flatnonzero(passed).tolist()]


class _Saved:
    """A saved inverted file: what its name says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number, self.removal, self.learned_for = map(int, path.name.rsplit("-", 3)[1:])

    @staticmethod
    def is_one(path: Path) -> bool:
        return all(part.isdigit() for part in path.name.rsplit("-", 3)[1:])

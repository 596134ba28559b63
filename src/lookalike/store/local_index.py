"""The local features in a catalogue as votes are counted by them, and the files kept of that."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np

from ..local.inverted_file import InvertedFile
from ..local.packing import unpacked
from ..sealed import Unusable
from ..types import Rows
from . import local_features
from .catalogue import Catalogue
from .connection import readable
from .votes import Block, Descriptors, Held

_log = logging.getLogger(__name__)

_AT_ONCE = 256
"""Pictures whose features are read at a time."""
_WORTH_SAVING = 0.05
"""The share of pictures that are not in the saved file, from which on it is written again."""


class CatalogueFeatures:
    """See `Reader`."""

    def __init__(self, catalogue: Catalogue, fingerprint: str) -> None:
        self._catalogue = catalogue
        self._fingerprint = fingerprint

    def count(self) -> int:
        """How many pictures have some."""
        with self._catalogue.reading() as connection:
            return local_features.count(connection, self._fingerprint)

    def sample(self, count: int) -> list[Descriptors]:
        """Of at most `count` pictures, evenly spread."""
        with self._catalogue.reading() as connection:
            numbers = local_features.numbers(connection, self._fingerprint)
            chosen = np.linspace(0, len(numbers) - 1, min(count, len(numbers)), dtype=np.int64)
            packed = local_features.at(connection, [numbers[place] for place in chosen.tolist()])
        with readable(self._catalogue.folder):
            return [unpacked(each).descriptors for each in packed]

    def after(self, number: int) -> Block | None:
        """The next pictures after a number."""
        with self._catalogue.reading() as connection:
            found = local_features.after(connection, self._fingerprint, number, _AT_ONCE)
        if not found:
            return None
        with readable(self._catalogue.folder):
            descriptors = [unpacked(data).descriptors for _, _, data in found]
        return Block(found[-1][0], np.array([row for _, row, _ in found], np.int64), descriptors)

    def removed_after(self, number: int) -> tuple[int, Rows]:
        """The number of the last removal, and the rows of those after `number`."""
        with self._catalogue.reading() as connection:
            return self._catalogue.removals_after(connection, number)

    def sizes(self) -> tuple[int, int]:
        """How many pictures have some, and their bytes."""
        with self._catalogue.reading() as connection:
            return local_features.sizes(connection)


class SavedFiles:
    """Inverted files beside the catalogue, whose cache they are; see `Saved`."""

    def __init__(self, catalogue: Catalogue, fingerprint: str) -> None:
        self._catalogue = catalogue
        self._fingerprint = fingerprint
        self._folder = catalogue.folder / "local"
        self._saved = (0, 0)
        """Of the saved file, for how many pictures its words were learned, and how many it has."""
        self._unusable: list[Path] = []

    @property
    def damaged(self) -> bool:
        """Whether there are files that cannot be used, and are to be replaced."""
        return bool(self._unusable)

    def open(self) -> Held | None:
        """The one that has most, if one is sound and still of this collection."""
        with self._catalogue.reading() as connection:
            last = local_features.last_number(connection, self._fingerprint)
        for saved in sorted(self._files(), key=lambda each: -each.number):
            if saved.number > last:
                continue
            try:
                file = InvertedFile.load(saved.path, mapped=True)
            except Unusable as why:
                _log.warning("%s is not used, and is made anew now: %s", saved.path, why)
                self._unusable.append(saved.path)
                continue
            self._saved = (saved.learned_for, len(file))
            return Held(file, saved.learned_for, saved.number, saved.removal)
        return None

    def keep(self, held: Held) -> None:
        """Under a name that says what it has, if that is much more; the former ones go."""
        learned_for, pictures = self._saved
        there = pictures if learned_for == held.learned_for else 0
        if len(held.file) - there <= _WORTH_SAVING * len(held.file) and not self.damaged:
            return
        for each in self._unusable:
            shutil.rmtree(each, ignore_errors=True)
        self._unusable.clear()
        name = "-".join(map(str, (held.number, held.removal, held.learned_for)))
        path = self._folder / f"{self._owner()}-{name}"
        before = [each.path for each in self._files()]
        try:
            if path not in before:
                held.file.save(path)
            self._saved = (held.learned_for, len(held.file))
            for each in before:
                if each != path:
                    shutil.rmtree(each, ignore_errors=True)
        except OSError as error:
            # The file is only for speed: the next process makes it anew.
            _log.warning("The inverted file of local features cannot be written: %s", error)

    def _files(self) -> list[_File]:
        owner = self._owner()
        return [_File(path) for path in self._folder.glob(f"{owner}-*-*-*") if _File.is_one(path)]

    def _owner(self) -> str:
        """Whose files they are: of which collection, and which kind of features."""
        return f"{self._catalogue.about()['uuid']}-{self._fingerprint[:12]}"


class _File:
    """A saved inverted file: what its name says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number, self.removal, self.learned_for = map(int, path.name.rsplit("-", 3)[1:])

    @staticmethod
    def is_one(path: Path) -> bool:
        return all(part.isdigit() for part in path.name.rsplit("-", 3)[1:])

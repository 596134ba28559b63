"""The inverted file: local features of a collection -> which pictures share them with a query.

Signatures of 64 bits beside each posting tell apart what is one word: Jégou, Douze and Schmid,
"Hamming embedding and weak geometric consistency for large scale image search", 2008.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from .. import sealed
from ..sealed import Unusable
from ..types import Rows
from . import voting
from .postings import Mask, Segment, merged
from .vocabulary import Vocabulary

_VERSION = 2
_POSTINGS = ("pictures.npy", "signatures.npy")
_WORDS_ASKED = 3
"""How many words of each descriptor of a query are looked at."""


class _State(NamedTuple):
    """What there is, never changed: a search keeps to the one that it has begun with."""

    segments: tuple[Segment, ...]
    alive: tuple[Mask, ...]


class InvertedFile:
    """Safe to use from several threads at once, also while it grows."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._state = _State((), ())
        self._writing = threading.Lock()

    def __len__(self) -> int:
        """How many pictures there are, those without a keypoint as well."""
        return sum(int(mask.sum()) for mask in self._state.alive)

    @property
    def rows(self) -> Rows:
        """The pictures that there are, int64 [n] ascending, those without a keypoint as well."""
        here = (each.rows[mask] for each, mask in zip(*self._state, strict=True))
        return np.sort(np.concatenate([np.empty(0, np.int64), *here]))

    @property
    def postings(self) -> int:
        """How many keypoints are listed, also of removed pictures until segments are merged."""
        return sum(len(each.pictures) for each in self._state.segments)

    @property
    def memory_bytes(self) -> int:
        """What has to be in memory for votes to be fast, mapped or not."""
        return self.vocabulary.memory_bytes + sum(each.bytes for each in self._state.segments)

    def add(self, rows: Rows, features: Sequence[npt.NDArray[Any]]) -> None:
        """Pictures by their rows, int64 [pictures], each with its descriptors, [n, width].

        `ValueError` for descriptors of another kind than the vocabulary's, or for a row that is
        here already.
        """
        if len(rows) != len(features):
            raise ValueError(f"{len(rows)} rows for {len(features)} pictures")
        if len(rows) == 0:
            return
        keypoints = np.array([len(each) for each in features], np.uint32)
        values = self.vocabulary.values(np.concatenate(features))
        words = self.vocabulary.nearest(values, 1)[:, 0]
        signatures = self.vocabulary.signatures(values, words)
        rows = np.asarray(rows, np.int64)
        self.take_in(Segment.of(rows, keypoints, words, signatures, len(self.vocabulary)))

    def take_in(self, segment: Segment) -> None:
        """Pictures whose postings are ready, as words and signatures of this vocabulary.

        `ValueError` for a row that is here already, or twice.
        """
        with self._writing:
            segments, alive = self._state
            here = [each.rows[mask] for each, mask in zip(segments, alive, strict=True)]
            twice = (segment.rows[1:] == segment.rows[:-1]).any()
            if twice or any(np.isin(segment.rows, each).any() for each in here):
                raise ValueError("a row is here already, or named twice")
            self._state = _settled([*segments, segment], [*alive, np.ones(len(segment.rows), bool)])

    def remove(self, rows: Rows) -> None:
        """Pictures that get no votes any more; rows that are not here do no harm."""
        with self._writing:
            segments, alive = self._state
            masks = (
                mask & ~np.isin(each.rows, rows) for each, mask in zip(segments, alive, strict=True)
            )
            self._state = _State(segments, tuple(masks))

    def votes(
        self, queries: npt.NDArray[Any], count: int, allowed: Rows | None = None
    ) -> tuple[Rows, npt.NDArray[np.float32]]:
        """The `count` pictures with most votes: int64 [m] and float32 [m], most first, m <= count.

        `queries`: the descriptors of one picture, [n, width]. `allowed`: rows that may have votes;
        None for all. Pictures without any vote are left out; of equals the lowest row comes first.
        """
        segments, alive = self._state
        values = self.vocabulary.values(queries)
        words = self.vocabulary.nearest(values, _WORDS_ASKED)
        signatures = self.vocabulary.signatures(values, words)
        masks = [_usable(each, mask, allowed) for each, mask in zip(segments, alive, strict=True)]
        given = voting.votes(segments, masks, words, signatures)
        voted = np.flatnonzero(given)
        rows = np.concatenate([np.empty(0, np.int64), *(each.rows for each in segments)])[voted]
        best = np.lexsort((rows, -given[voted]))[:count]
        return rows[best], given[voted][best]

    def save(self, folder: Path) -> None:
        """Make all of it durable under `folder`, which must not exist yet; or leave nothing there.

        It becomes one segment; `OSError` if it cannot be written.
        """
        state = self._state
        whole = Segment.empty(len(self.vocabulary))
        if state.segments:
            whole = merged(state.segments, state.alive)

        def fill(into: Path) -> None:
            whole.save(into)
            for name, array in self.vocabulary.to_arrays().items():
                np.save(into / f"vocabulary-{name}.npy", array)

        sealed.write(folder, _VERSION, fill, {})

    @classmethod
    def load(cls, folder: Path, *, mapped: bool = True) -> Self:
        """What `save` wrote; `Unusable` if it is missing, or visibly damaged.

        Lengths and the small files are checked at once, the postings by `verify`. If `mapped`,
        postings stay in their files and are read as they are needed.
        """
        files = sealed.read(folder, _VERSION).files
        try:
            sealed.check_lengths(folder, files)
            sealed.check(folder, {name: files[name] for name in files if name not in _POSTINGS})
            arrays = {
                path.stem.removeprefix("vocabulary-"): np.load(path, allow_pickle=False)
                for path in folder.glob("vocabulary-*.npy")
            }
            opened = cls(Vocabulary.from_arrays(arrays))
            segment = Segment.load(folder, mapped=mapped)
        except (OSError, ValueError, EOFError) as error:
            raise Unusable(f"it cannot be read ({error})") from error
        if len(segment.offsets) != len(opened.vocabulary) + 1:
            raise Unusable("postings and words do not match")
        opened._state = _State((segment,), (np.ones(len(segment.rows), bool),))
        return opened

    @staticmethod
    def verify(folder: Path) -> None:
        """Read every block and compare its checksum; `Unusable` names what differs."""
        sealed.check(folder, sealed.read(folder, _VERSION).files)


def _settled(segments: list[Segment], alive: list[Mask]) -> _State:
    """The last ones merged until each has more than twice as many postings as the next."""
    while len(segments) > 1 and len(segments[-2].pictures) <= 2 * len(segments[-1].pictures):
        one = merged(segments[-2:], alive[-2:])
        segments[-2:] = [one]
        alive[-2:] = [np.ones(len(one.rows), bool)]
    return _State(tuple(segments), tuple(alive))


def _usable(segment: Segment, alive: Mask, allowed: Rows | None) -> Mask | None:
    """The pictures of a segment that may have votes; None if all of them may."""
    if allowed is not None:
        return alive & np.isin(segment.rows, allowed)
    return None if alive.all() else alive

"""Postings sorted by word: which pictures have a word, and with which signature.

A segment is never changed once it is made: what is new becomes a segment of its own beside the
others, what is removed is left out where it is read, until segments are merged.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from ..types import Rows
from .vocabulary import Signatures, Words

Mask = npt.NDArray[np.bool_]
"""bool [pictures of a segment]."""

_POSTINGS_AT_ONCE = 1 << 22
_FILES = ("rows", "keypoints", "offsets", "pictures", "signatures")


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Postings of some pictures. 12 bytes a keypoint, 12 a picture, 8 a word."""

    rows: Rows
    """int64 [pictures], ascending."""
    keypoints: npt.NDArray[np.uint32]
    """uint32 [pictures], how many each has."""
    offsets: npt.NDArray[np.int64]
    """int64 [k + 1]: the postings of word w are those from offsets[w] to offsets[w + 1]."""
    pictures: npt.NDArray[np.uint32]
    """uint32 [n]: each posting's picture, as a position in `rows`."""
    signatures: Signatures
    """uint64 [n]."""

    @classmethod
    def of(
        cls,
        rows: Rows,
        keypoints: npt.NDArray[np.uint32],
        words: Words,
        signatures: Signatures,
        k: int,
    ) -> Self:
        """`words` and `signatures` of all keypoints, picture after picture; `k` words in all."""
        order = np.argsort(rows, kind="stable")
        place = np.empty(len(rows), np.uint32)
        place[order] = np.arange(len(rows), dtype=np.uint32)
        by_word = np.lexsort((np.repeat(place, keypoints), words))
        return cls(
            rows[order],
            keypoints[order],
            _offsets(np.bincount(words, minlength=k)),
            np.repeat(place, keypoints)[by_word],
            signatures[by_word],
        )

    @classmethod
    def empty(cls, k: int) -> Self:
        """No pictures."""
        none = np.empty(0, np.uint32)
        return cls(
            np.empty(0, np.int64), none, np.zeros(k + 1, np.int64), none, np.empty(0, np.uint64)
        )

    @property
    def bytes(self) -> int:
        """What its arrays take, in memory or mapped."""
        return sum(getattr(self, name).nbytes for name in _FILES)

    def save(self, folder: Path) -> None:
        """Write its arrays into `folder`, a file each."""
        for name in _FILES:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def load(cls, folder: Path, *, mapped: bool) -> Self:
        """What `save` wrote; `ValueError` or `OSError` if that cannot be read, or is not sound.

        Postings are read from the file as they are needed, if `mapped`.
        """
        mode: dict[str, str | None] = dict.fromkeys(_FILES)
        if mapped:
            mode |= {"pictures": "r", "signatures": "r"}
        segment = cls(
            *(
                np.load(folder / f"{name}.npy", mmap_mode=mode[name], allow_pickle=False)  # type: ignore[arg-type]
                for name in _FILES
            )
        )
        segment._check()
        return segment

    def _check(self) -> None:
        wanted = (np.int64, np.uint32, np.int64, np.uint32, np.uint64)
        for name, dtype in zip(_FILES, wanted, strict=True):
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != 1:
                raise ValueError(f"{name}.npy is not what it should be")
        count, ends = (
            len(self.pictures),
            self.offsets[[0, -1]].tolist() if len(self.offsets) else [],
        )
        if ends != [0, count] or (np.diff(self.offsets) < 0).any():
            raise ValueError("the postings do not fit their words")
        if len(self.signatures) != count or int(self.keypoints.sum()) != count:
            raise ValueError("the postings do not fit their signatures")
        if len(self.rows) != len(self.keypoints) or (self.rows[1:] <= self.rows[:-1]).any():
            raise ValueError("the row numbers are not in order")


def merged(segments: Sequence[Segment], alive: Sequence[Mask]) -> Segment:
    """One segment of what is `alive` in each; the same as if all that had been added at once."""
    rows = np.concatenate([each.rows[mask] for each, mask in zip(segments, alive, strict=True)])
    order = np.argsort(rows, kind="stable")
    place = np.empty(len(rows), np.uint32)
    place[order] = np.arange(len(rows), dtype=np.uint32)
    keypoints = [each.keypoints[mask] for each, mask in zip(segments, alive, strict=True)]
    numbers, first = [], 0
    for mask in alive:  # where each segment's pictures come to lie
        number = np.zeros(len(mask), np.uint32)
        count = int(mask.sum())
        number[mask] = place[first : first + count]
        numbers.append(number)
        first += count
    counts = [_alive_postings(each, mask) for each, mask in zip(segments, alive, strict=True)]
    offsets = _offsets(np.sum(counts, axis=0))
    result = Segment(
        rows[order],
        np.concatenate(keypoints)[order],
        offsets,
        np.empty(offsets[-1], np.uint32),
        np.empty(offsets[-1], np.uint64),
    )
    for start, end in _blocks(offsets):
        _merge_words(segments, alive, numbers, start, end, result)
    return result


def _merge_words(
    segments: Sequence[Segment],
    alive: Sequence[Mask],
    numbers: Sequence[npt.NDArray[np.uint32]],
    start: int,
    end: int,
    result: Segment,
) -> None:
    """Write the postings of the words from `start` to before `end`, ordered by picture."""
    words, pictures, signatures = [], [], []
    for segment, mask, number in zip(segments, alive, numbers, strict=True):
        span = slice(segment.offsets[start], segment.offsets[end])
        theirs = segment.pictures[span]
        kept = mask[theirs]
        lengths = np.diff(segment.offsets[start : end + 1])
        words.append(np.repeat(np.arange(end - start), lengths)[kept])
        pictures.append(number[theirs[kept]])
        signatures.append(segment.signatures[span][kept])
    picture = np.concatenate(pictures)
    order = np.lexsort((picture, np.concatenate(words)))
    span = slice(result.offsets[start], result.offsets[end])
    result.pictures[span] = picture[order]
    result.signatures[span] = np.concatenate(signatures)[order]


def _alive_postings(segment: Segment, mask: Mask) -> npt.NDArray[np.int64]:
    """int64 [k]: how many postings of each word remain."""
    counts = np.diff(segment.offsets)
    if mask.all():
        return counts
    for start, end in _blocks(segment.offsets):
        span = slice(segment.offsets[start], segment.offsets[end])
        words = np.repeat(np.arange(end - start), counts[start:end])
        kept = mask[segment.pictures[span]]
        counts[start:end] = np.bincount(words[kept], minlength=end - start)
    return counts


def _blocks(offsets: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Spans of words, all of them together, of some million postings each."""
    every = np.arange(0, int(offsets[-1]) + _POSTINGS_AT_ONCE, _POSTINGS_AT_ONCE)
    starts = np.unique(np.append(np.searchsorted(offsets, every), [0, len(offsets) - 1]))
    return [
        (int(start), int(end)) for start, end in itertools.pairwise(starts) if end < len(offsets)
    ]


def _offsets(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets

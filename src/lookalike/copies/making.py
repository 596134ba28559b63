"""A seeded copy-detection set out of any folder: a collection, queries, and the truth.

The same pictures and the same seed give the same bytes, whatever the files are called and however
many cores there are: all chance comes from the seed, a picture's content, and what it is for.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from .. import __version__, sources
from ..decoding import DecodePool, Encoded
from ..edits import EDITS, LONGEST_SIDE, Edit, chosen
from ..errors import BadQuantity, BadSource, CannotMakeCopies, PictureError
from ..ingest import encoded
from ..places import absolute
from ..quantities import written_bytes
from ..sources import Item
from ..types import Limits, Picture
from . import casting, layout
from .casting import Cast, Known
from .maker import Done, Maker

OnProgress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and of how much."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the set is to be like."""

    seed: int = 0
    originals: int = 100
    """How many pictures are edited and are to be found; fewer if there are not so many."""
    edits: tuple[str, ...] = tuple(EDITS)
    without_copy: float | None = None
    """The share of the pictures that are kept out; none for as many as originals, or a fifth."""


_USUAL = Wish()
_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Made:
    """What was made."""

    path: Path
    wish: Wish
    pictures: int
    """Different contents that can be read."""
    identical: int
    """Files with the content of another."""
    twins: int
    """Pictures left out because an original, or one kept out, shows the same."""
    ignored: int
    """Files that are no pictures, by their bytes and by their names."""
    failures: tuple[PictureError, ...]
    collection: int
    originals: int
    kept_out: int
    with_copy: int
    """Queries whose original is in the collection."""
    without_copy: int
    """Queries that have none there."""
    bytes: int
    seconds: float

    @property
    def edits(self) -> Sequence[Edit]:
        """Those that were made, in the order of the table."""
        return chosen(self.wish.edits)

    def counts(self) -> dict[str, int]:
        """How many there are of everything."""
        return {
            "pictures": self.pictures,
            "identical": self.identical,
            "twins": self.twins,
            "failed": len(self.failures),
            "ignored": self.ignored,
            "collection": self.collection,
            "originals": self.originals,
            "kept_out": self.kept_out,
            "with_copy": self.with_copy,
            "without_copy": self.without_copy,
        }

    def to_json(self) -> dict[str, Any]:
        """As `lookalike make-copies --json` prints it."""
        return {
            "path": str(self.path),
            "seed": self.wish.seed,
            **self.counts(),
            "edits": [edit.name for edit in self.edits],
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "failures": [{"path": each.source, "reason": each.reason} for each in self.failures],
        }


def make_copies(
    pictures: str | os.PathLike[str],
    out: str | os.PathLike[str],
    wish: Wish = _USUAL,
    *,
    limits: Limits = _LIMITS,
    on_progress: OnProgress = lambda *_: None,
) -> Made:
    """Make a set in `out`, an empty or new folder, of the pictures in a folder, which stay.

    `out` gets all of it or nothing. Pictures that cannot be read are in `Made.failures`. Raises
    `BadSource`, `UnknownName` for an edit, `BadQuantity`, or `CannotMakeCopies`.
    """
    started = time.monotonic()
    edits = _edits_of(wish)
    source, target = absolute(os.fspath(pictures)), absolute(os.fspath(out))
    items = _items(source)
    layout.check(target, source)
    with layout.filled(target) as folder:
        with _Lanes(limits, on_progress) as lanes:
            read = _read(items, lanes)
            roles = casting.cast(read.known, wish.seed, wish.originals, wish.without_copy)
            _check_room(folder, roles)
            done = _made(Maker(folder, roles, edits, wish.seed, lanes.decoder), roles, lanes)
        rows = [row for each in done for row in each.rows]
        made = Made(
            path=target,
            wish=wish,
            pictures=len(read.known),
            identical=read.identical,
            twins=roles.twins,
            ignored=read.ignored,
            failures=(*read.failures, *(error for each in done for error in each.failures)),
            collection=sum(each.copied for each in done),
            originals=len({row.original for row in rows if row.original}),
            kept_out=len(roles.kept_out),
            with_copy=sum(bool(row.original) for row in rows),
            without_copy=sum(not row.original for row in rows),
            bytes=sum(each.bytes for each in done),
            seconds=time.monotonic() - started,
        )
        layout.write_truth(folder, rows)
        layout.write_about(folder, _about(made))
    return made


def _edits_of(wish: Wish) -> list[Edit]:
    casting.check(wish.originals, wish.without_copy)
    if not wish.edits:
        raise BadQuantity("--edits", "", "names, with commas between")
    return chosen(wish.edits)


def _items(folder: Path) -> list[Item]:
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise BadSource(f"{folder} {what}: give a folder of pictures")
    return list(sources.find(folder))


def _about(made: Made) -> dict[str, Any]:
    """What is needed to make the same again; no time and no path, as those would differ."""
    return {
        "made_by": "lookalike make-copies",
        "version": __version__,
        "libraries": {
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "pillow": version("pillow"),
        },
        "seed": made.wish.seed,
        "options": {
            "originals": made.wish.originals,
            "without_copy": made.wish.without_copy,
            "edits": [edit.name for edit in made.edits],
        },
        "longest_side": LONGEST_SIDE,
        "counts": made.counts(),
        "edits": {
            edit.name: {
                "what": edit.what,
                "parameters": dict(edit.parameters),
                "jpeg_quality": edit.quality,
            }
            for edit in made.edits
        },
    }


_T = TypeVar("_T")
_Result = TypeVar("_Result")


class _Lanes:
    """Decoding processes, and as many threads that edit and write."""

    def __init__(self, limits: Limits, on_progress: OnProgress) -> None:
        lanes = (os.cpu_count() or 1) + 1
        self.decoder = DecodePool(lanes, limits)
        self._threads = ThreadPoolExecutor(lanes, "lookalike-copies")
        self._on_progress = on_progress

    def __enter__(self) -> _Lanes:
        return self

    def __exit__(self, *_: object) -> None:
        self.decoder.close()  # first: whoever interrupts does not wait for what is being decoded
        self._threads.shutdown(cancel_futures=True)

    def all(
        self,
        doing: str,
        work: Callable[[Sequence[_T]], Sequence[_Result]],
        every: Sequence[_T],
        at_once: int,
    ) -> Iterator[_Result]:
        """What `work` makes of so many at once, in order."""
        batches = [every[start : start + at_once] for start in range(0, len(every), at_once)]
        done = 0
        for future in [self._threads.submit(work, batch) for batch in batches]:
            results = future.result()
            done += len(results)
            self._on_progress(doing, done, len(every))
            yield from results


_BATCH = 16
_READ_SIDE = 64
"""Pixels of the short side that tell whether a picture can be read, and what it shows."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What was found in the folder."""

    known: list[Known]
    """Each content once."""
    identical: int
    ignored: int
    failures: list[PictureError]


def _read(items: Sequence[Item], lanes: _Lanes) -> _Read:
    """Every picture of a folder, decoded far enough to know that it can be."""

    def read(batch: Sequence[Item]) -> list[Known | PictureError]:
        asked = [encoded(item) for item in batch]
        readable = [each for each in asked if isinstance(each, Encoded)]
        decoded = iter(lanes.decoder.decode_batch(readable, _READ_SIDE))
        results = [next(decoded) if isinstance(each, Encoded) else each for each in asked]
        return [
            casting.known(item.place.path, each) if isinstance(each, Picture) else each
            for item, each in zip(batch, results, strict=True)
        ]

    results = lanes.all("reading", read, items, _BATCH)
    different: dict[bytes, Known] = {}
    identical = ignored = 0
    failures = []
    for item, each in zip(items, results, strict=True):
        if isinstance(each, Known):
            identical += each.sha256 in different
            different.setdefault(each.sha256, each)
        elif item.is_meant(each):
            failures.append(each)
        else:
            ignored += 1
    return _Read([*different.values()], identical, ignored, failures)


def _check_room(folder: Path, roles: Cast) -> None:
    needed = sum(each.byte_size for each in (*roles.originals, *roles.others))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CannotMakeCopies(
            f"the collection takes {written_bytes(needed)}, and its edited copies more, but only "
            f"{written_bytes(free)} are free: name a folder on a larger disk"
        )


def _made(maker: Maker, roles: Cast, lanes: _Lanes) -> list[Done]:
    """What each picture gave."""
    steps: tuple[tuple[str, Callable[[Known], Done], Sequence[Known], int], ...] = (
        ("copying", maker.copied, roles.others, _BATCH),
        ("editing", maker.found, roles.originals, 1),
        ("editing those kept out", maker.missed, roles.kept_out, 1),
    )
    return [
        done
        for doing, work, pictures, at_once in steps
        for done in lanes.all(doing, partial(_each, work), pictures, at_once)
    ]


def _each(work: Callable[[Known], Done], batch: Sequence[Known]) -> list[Done]:
    return [work(each) for each in batch]

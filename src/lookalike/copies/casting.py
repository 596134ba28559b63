"""Which pictures of a folder are to be found by their edited copies, and which are kept out.

What a picture is to be is drawn from the seed and its content alone, so neither the order of the
files nor their names play a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..edits import drawn
from ..errors import BadQuantity, CannotMakeCopies
from ..types import Picture, Pixels

LEAST = 3
"""Pictures: one to be found, and two to be kept out, as one of them may lie over the other."""
SMALL = 16
_SAME = 0.12
"""Root mean square difference of 16 x 16 greys, in their standard deviations, at most. JPEG, WebP
and other sizes change a photograph by less in 99 of 100; two shots of one scene differ by more."""
_SAME_LEVELS = 1.0
"""The same in grey levels, for pictures of one colour."""
_FOR_EACH_KEPT_OUT = 5
"""At least so many pictures for each that is kept out, unless a share is given."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A picture that can be read."""

    place: str
    sha256: bytes
    format: str
    original_size: tuple[int, int]
    """Width and height in pixels."""
    byte_size: int
    small: Pixels
    """uint8 [16, 16], grey."""

    @property
    def key(self) -> str:
        """What its files are named by: 16 digits of its content's hash."""
        return self.sha256.hex()[:16]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays what."""

    originals: Sequence[Known]
    """In the collection, and to be found by their edited copies."""
    others: Sequence[Known]
    """In the collection, and not to be found."""
    kept_out: Sequence[Known]
    """Not in the collection: what is asked with them has no copy; other pictures lie over them."""
    twins: int
    """Left out, as they show the same as an original or as one that is kept out."""


def known(place: str, picture: Picture) -> Known:
    """What is to be known of a picture, which may have been shrunk."""
    grey = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    return Known(
        place,
        picture.sha256,
        picture.format,
        picture.original_size,
        picture.byte_size,
        np.asarray(small, np.uint8),
    )


def check(originals: int, share: float | None) -> None:
    """`BadQuantity` for numbers that make no sense, whatever the pictures."""
    if originals < 1:
        raise BadQuantity("--originals", str(originals), "1 or more")
    if share is not None and not 0 < share < 1:
        raise BadQuantity("--without-copy", f"{share:g}", "above 0 and below 1, such as 0.1")


def cast(every: Sequence[Known], seed: int, originals: int, share: float | None) -> Cast:
    """Choose `originals` of them, or as many as there are, and `share` of them to be kept out.

    Without a share as many are kept out as are to be found, at most a fifth. `every`: each content
    once. Raises `CannotMakeCopies` where there are too few.
    """
    if len(every) < LEAST:
        raise CannotMakeCopies(_too_few(len(every), "that can be read"))
    usual = min(originals, len(every) // _FOR_EACH_KEPT_OUT)
    kept_out = max(LEAST - 1, usual if share is None else round(share * len(every)))
    if kept_out >= len(every):
        raise CannotMakeCopies(
            f"keeping out {kept_out} of {len(every)} pictures leaves none to be found: "
            "give a lower --without-copy, or more pictures"
        )
    ranked = sorted(every, key=lambda each: drawn(seed, each.sha256, "role"))
    shown, alike = _without_twins(ranked, kept_out + originals)
    if len(shown) <= kept_out:
        raise CannotMakeCopies(_too_few(len(shown), "that show different things"))
    others = [each for number, each in enumerate(ranked) if number not in alike | {*shown}]
    stars = [ranked[number] for number in shown]
    return Cast(stars[kept_out:], others, stars[:kept_out], len(alike))


def _without_twins(ranked: Sequence[Known], count: int) -> tuple[list[int], set[int]]:
    """The first so many that show different things, and all that show the same as one of them.

    A picture that lies there twice, saved otherwise, would make the truth wrong: its query would
    have a copy that nobody told of.
    """
    small = np.stack([each.small for each in ranked]).reshape(len(ranked), -1).astype(np.float32)
    chosen: list[int] = []
    alike: set[int] = set()
    for number in range(len(ranked)):
        if len(chosen) == count:
            break
        if number not in alike:
            chosen.append(number)
            alike.update(each for each in _same(small, number) if each != number)
    return chosen, alike


def _same(small: npt.NDArray[np.float32], number: int) -> Iterator[int]:
    differ = np.sqrt(np.square(small - small[number]).mean(axis=1))
    most = max(_SAME * float(small[number].std()), _SAME_LEVELS)
    yield from np.flatnonzero(differ <= most).tolist()


def _too_few(count: int, which: str) -> str:
    return (
        f"there are {count} pictures {which}, and {LEAST} is the least: one to be found, two that "
        "are kept out. Give a folder with more, hundreds for numbers that mean something"
    )

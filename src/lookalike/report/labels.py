"""Names beside points, where none covers another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_LETTER = 7.0
"""How wide a letter is at most, on average, at the size that names have."""
_HEIGHT = 15.0
_LONGEST = 22
_POINT = 8.0
_STEPS = 16
"""Places on a line that leads to a name, which no other may cover."""


class Box(NamedTuple):
    """A part of a drawing, from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    def covers(self, other: Box) -> bool:
        """Whether they have anything in common."""
        beside = self.right <= other.left or other.right <= self.left
        return not (beside or self.bottom <= other.top or other.bottom <= self.top)

    def nearest(self, point: tuple[float, float]) -> tuple[float, float]:
        """Where it is nearest to a point."""
        x, y = point
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)

    def is_across(self, point: tuple[float, float], other: Box) -> bool:
        """Whether a line from a point to this box would cross another."""
        (x, y), (to_x, to_y) = point, self.nearest(point)
        steps = [step / _STEPS for step in range(_STEPS)]
        line = [(x + step * (to_x - x), y + step * (to_y - y)) for step in steps]
        return any(other.nearest(each) == each for each in line)

    def inside(self, other: Box) -> bool:
        """Whether all of it lies in the other."""
        across = other.left <= self.left and self.right <= other.right
        return across and other.top <= self.top and self.bottom <= other.bottom


def shortened(name: str, most: int = _LONGEST) -> str:
    """A name that is not too long to be drawn."""
    return name if len(name) <= most else f"{name[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def placed(
    names: Sequence[str], points: Sequence[tuple[float, float]], frame: Box
) -> list[Box | None]:
    """Where each name stands; None for one that has no room, which is left to the pointer.

    The first names choose first.
    """
    taken = [Box(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in points]
    found: list[Box | None] = []
    for name, point in zip(names, points, strict=True):
        width = _LETTER * len(shortened(name))
        free = [
            box
            for box in _around(point, width)
            if box.inside(frame) and not any(box.covers(other) for other in taken)
        ]
        names_so_far = [each for each in found if each is not None]
        clear = (box for box in free if not any(box.is_across(point, n) for n in names_so_far))
        box = next(clear, free[0] if free else None)
        found.append(box)
        if box is not None:
            taken.append(box)
    return found


def _around(point: tuple[float, float], width: float) -> Iterator[Box]:
    """Right, left, above and below, each straight and aslant, near before far."""
    x, y = point
    half = _HEIGHT / 2
    for away in (9.0, 16.0, 30.0, 46.0):
        right, left = x + away, x - away - width
        above, below = y - away - _HEIGHT + 4, y + away - 4
        tops = ((right, y - half), (left, y - half), (x - width / 2, above), (x - width / 2, below))
        slanted = ((right - 4, above), (left + 4, above), (right - 4, below), (left + 4, below))
        for at, top in (*tops, *slanted):
            yield Box(at, top, at + width, top + _HEIGHT)

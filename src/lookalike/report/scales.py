"""From values to places on a chart, and where its ticks are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_IN_A_DECADE = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
_MOST_TICKS = 6


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis: `low` to `high` of the values lie from `start` to `end` of the drawing."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value lies in the drawing."""
        low, high, value = (self._level(each) for each in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values, six or so."""
        return _decades(self.low, self.high) if self.log else _steps(self.low, self.high)

    def _level(self, value: float) -> float:
        return math.log10(value) if self.log else value


def around(values: Sequence[float], start: float, end: float, *, log: bool = False) -> Scale:
    """A scale with some room on both sides of these values, of which there is at least one."""
    low, high = min(values), max(values)
    if log:
        room = max((high / low) ** 0.12, 1.15)
        return Scale(low / room, high * room, start, end, log=True)
    room = max(0.1 * (high - low), 0.02 * abs(high), 1e-3)
    return Scale(low - room, high + room, start, end)


def written(value: float) -> str:
    """A tick as people read it: `0.25`, `20`, `3k`, `1.5M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _steps(low: float, high: float) -> list[float]:
    rough = (high - low) / _MOST_TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(each * unit for each in _STEPS if each * unit >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    best: list[float] = []
    for within in _IN_A_DECADE:
        ticks = [each * 10.0**power for power in powers for each in within]
        ticks = [each for each in ticks if low <= each <= high]
        if best and len(ticks) > _MOST_TICKS:
            break
        best = ticks
    return best if len(best) > 1 else _steps(low, high)

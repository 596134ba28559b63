"""Counts, sizes and times as people write them: `5e6`, `8GB`, `20ms`."""

from __future__ import annotations

import math
import re

from .errors import BadQuantity

_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
_SIZES = {
    "b": 1.0,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "tb": 1e12,
    "kib": 2.0**10,
    "mib": 2.0**20,
    "gib": 2.0**30,
    "tib": 2.0**40,
}
_TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_WRITTEN = re.compile(r"\s*([0-9][0-9_,]*\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+)\s*([a-zµ]*)\s*", re.I)
_MOST = 1e15


def count_of(option: str, text: str) -> int:
    """`5e6`, `5_000_000`, `5M`, `20k`: a whole number, 1 or more."""
    value = _value(option, text, _COUNTS, "a number such as 20000, 5e6 or 5M")
    if value < 1 or value != int(value):
        raise BadQuantity(option, text, "a whole number of 1 or more, such as 20000, 5e6 or 5M")
    return int(value)


def bytes_of(option: str, text: str) -> int:
    """`8GB`, `500MB` (powers of ten), `8GiB` (of two): bytes. A bare number is refused."""
    return int(_value(option, text, _SIZES, "a size such as 8GB, 500MB or 8GiB"))


def seconds_of(option: str, text: str) -> float:
    """`20ms`, `0.02s`, `500us`: seconds. A bare number would be unclear, and is refused."""
    return _value(option, text.replace("µ", "u"), _TIMES, "a time such as 20ms or 0.02s")


def written_bytes(number: int) -> str:
    """`1.6 GB`: in powers of ten."""
    size = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def written_time(seconds: float) -> str:
    """`2.5 ms`, `16.7 hours`: at least two of the unit."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("min", 60), ("s", 1)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{1000 * seconds:.3g} ms"


def _value(option: str, text: str, units: dict[str, float], wanted: str) -> float:
    found = _WRITTEN.fullmatch(text)
    if found is None or found[2].lower() not in units:
        raise BadQuantity(option, text, wanted)
    value = float(found[1].replace("_", "").replace(",", "")) * units[found[2].lower()]
    if not math.isfinite(value) or not 0 < value < _MOST:
        raise BadQuantity(option, text, wanted)
    return value

"""What is wrong with ground truth, or odd about it, collected so that it can be told at once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ...errors import BadTruth
from ...places import plain_text

_AT_MOST = 20


class Source(NamedTuple):
    """Where something is said."""

    file: Path
    line: int | None = None
    """From 1; None where the file has no lines, or is itself what is meant."""

    def __str__(self) -> str:
        return str(self.file) if self.line is None else f"{self.file}, line {self.line}"


class Problems:
    """The first twenty of what was found, and how many there are."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[tuple[Source, str]] = []

    def add(self, source: Source, text: str) -> None:
        """One more; `text` is a clause for a person."""
        self.count += 1
        if len(self._first) < _AT_MOST:
            self._first.append((source, text))

    def raise_if_any(self, path: Path) -> None:
        """`BadTruth` with all of them; `path` is the ground truth that they are about."""
        if self.count:
            raise BadTruth(path, self.texts(unless=Source(path)), self.count)

    def texts(self, *, unless: Source | None = None) -> tuple[str, ...]:
        """One line each, with its source `unless` it is that; the last says how many more."""
        told = [
            _printable(text if source == unless else f"{source}: {text}")
            for source, text in self._first
        ]
        more = self.count - len(told)
        return (*told, *([f"and {more:,} more"] if more else []))


def _printable(text: str) -> str:
    """On one line and harmless to a terminal, whatever the names in it."""
    return "".join(letter if letter.isprintable() else "?" for letter in plain_text(text))

"""One process at a time, of all that use a collection; one that dies gives way after a while."""

from __future__ import annotations

import secrets
import time
from typing import Any

from .cluster import Write
from .documents import Source
from .mapping import writing_alias
from .reading import Reading

HELD = 120.0
"""Seconds for which one counts that is not renewed."""


class Lock:
    """A document in the index of what is small; who has it is told apart by a token."""

    def __init__(self, index: Reading, name: str) -> None:
        self._index = index
        self._name = name
        self._token = ""
        self._until = 0.0
        self._also: tuple[str, ...] = ()

    def take(self) -> bool:
        """Have it, unless another has, or has died and left something to be undone."""
        return self._write("create", secrets.token_hex(8)) or self._inherited()

    def inherit(self, said: str) -> bool:
        """Have it in place of one that has died, and that had said this; and say it still."""
        return self._inherited(said)

    def renew(self, *, now: bool = False) -> bool:
        """Whether it is ours still; written anew where it soon would count no more, or `now`."""
        if not now and time.time() < self._until - HELD / 2:
            return True
        found = self._found()
        return self._is_ours(found) and self._write("index", self._token, found)

    def say(self, *said: str) -> bool:
        """Tell what another has to undo, should this process die; whether it is ours still."""
        self._also = said
        return self.renew(now=True)

    def release(self) -> None:
        """Have it no more. One that says something is left to who will undo that."""
        if not self._also and self._is_ours(self._found()):
            gone = Write("delete", self._index.index, self._name)
            self._index.cluster.write([gone], found=False)

    def left(self) -> float:
        """Seconds for which whoever has it has it still; 0 if nobody does."""
        return _left(self._found())

    def _inherited(self, *said: str) -> bool:
        found = self._found()
        if found is None or _left(found) > 0 or set(said) != set(_said(found)["also"]):
            return False
        self._also = said
        return self._write("index", secrets.token_hex(8), found)

    def _is_ours(self, found: Source | None) -> bool:
        return found is not None and _said(found)["by"] == self._token

    def _found(self) -> Source | None:
        return self._index.by_ids([self._name]).get(self._name)

    def _write(self, action: Any, token: str, over: Source | None = None) -> bool:
        until = time.time() + HELD
        body = {"kind": "lock", "said": {"until": until, "by": token, "also": self._also}}
        seen = None if over is None else (over["_seq_no"], over["_primary_term"])
        alias = writing_alias(self._index.index)
        write = Write(action, alias, self._name, body, seen)
        self._index.cluster.write([write], found=False)
        # Its answer may have been lost, and it made twice: what counts is what is there.
        found = self._found()
        if found is None or _said(found)["by"] != token:
            return False
        self._token, self._until = token, until
        return True


def _said(found: Source) -> dict[str, Any]:
    said: dict[str, Any] = found["_source"]["said"]
    return said


def _left(found: Source | None) -> float:
    return 0.0 if found is None else max(_said(found)["until"] - time.time(), 0.0)

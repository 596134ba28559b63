"""Where a page of hits ends: all in the cursor itself, nothing kept by the service.

A cursor names the last hit of its page. The next page begins behind that, wherever it is by then:
pictures that came before it meanwhile neither repeat a hit nor leave one out. A cursor is not
signed, as it can ask for nothing that `offset` could not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..types import Hit
from .problems import Refused

_MOST_GROWN = 10_000
"""How many more pictures the first hits are looked for among than there were."""
_FURTHEST = 1_000_000


class Cursor(NamedTuple):
    """Where a page of hits ended."""

    question: str
    """A digest of what was asked."""
    position: int
    """How many hits came up to there."""
    last: str
    """The id of the last of them."""
    pictures: int
    """How many there were in the collection."""
    depth: int
    """How many hits the first page was to have: so far several that are fused look, for all."""

    def __str__(self) -> str:
        text = json.dumps(self, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def reach(self, limit: int, pictures: int) -> int:
        """How many of the first hits are wanted, to find the last again and the page behind it."""
        grown = min(max(pictures - self.pictures, 0), _MOST_GROWN)
        return self.position + grown + limit

    def behind(self, hits: Sequence[Hit], limit: int) -> tuple[int, list[Hit]]:
        """The page behind the last and where it begins; if that is gone, where it was."""
        where_it_was = self.position - 1
        at = next((at + 1 for at, hit in enumerate(hits) if hit.id == self.last), where_it_was)
        return at, list(hits[at : at + limit])


def read(text: str, question: str) -> Cursor:
    """The cursor that an answer gave; 400 if it is none, or one of another question."""
    try:
        said = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        cursor = Cursor(*said)
        sound = (
            [type(each) for each in cursor] == [str, int, str, int, int]
            and 0 < cursor.position <= _FURTHEST
            and cursor.pictures >= 0
            and 0 < cursor.depth <= _FURTHEST
        )
    except (ValueError, TypeError, RecursionError, binascii.Error):
        sound = False
    if not sound:
        raise Refused(400, "bad-cursor", "the cursor is not one that a page of hits ended with")
    if cursor.question != question:
        detail = "the cursor is of another question: ask the same, with the same pictures"
        raise Refused(400, "bad-cursor", detail)
    return cursor


def digest(parts: Iterable[bytes]) -> str:
    """What tells a question from others, 16 hexadecimal digits."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.hexdigest()[:16]

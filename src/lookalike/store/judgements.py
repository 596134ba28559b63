"""What people have said of pairs. Each function is a step inside its caller's transaction.

By content and not by row: what was said holds when pictures are forgotten and come back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..types import Judgement
from .connection import Connection


def keep(connection: Connection, said: Sequence[Judgement]) -> None:
    """Write them down; what is said last of a pair counts."""
    connection.sqlite.executemany(
        "INSERT OR REPLACE INTO judgements (a, b, same, judged, judge) VALUES (?, ?, ?, ?, ?)",
        (
            (bytes.fromhex(each.a), bytes.fromhex(each.b), each.same, each.judged, each.judge)
            for each in said
        ),
    )


def take_back(connection: Connection, a: str, b: str) -> bool:
    """Forget what was said of a pair, in either order; whether anything was."""
    first, second = sorted((a, b))
    cursor = connection.execute(
        "DELETE FROM judgements WHERE a = ? AND b = ?",
        (bytes.fromhex(first), bytes.fromhex(second)),
    )
    return cursor.rowcount > 0


def every(connection: Connection) -> Iterator[Judgement]:
    """All of them, in the order in which they were made."""
    found = connection.execute(
        "SELECT a, b, same, judged, judge FROM judgements ORDER BY judged, a, b"
    ).fetchall()
    return (Judgement(a.hex(), b.hex(), bool(same), *rest) for a, b, same, *rest in found)

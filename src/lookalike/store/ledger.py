"""What became of every path ever seen, as the catalogue's tables say it."""

from __future__ import annotations

from . import LedgerEntry, Verdict

QUERY = """
    SELECT places.path, places.row, pictures.id,
           (SELECT path FROM places AS other WHERE other.row = places.row
            ORDER BY place LIMIT 1) AS first,
           places.reason, places.retry, places.recognised, places.size, places.modified_ns,
           places.checked
    FROM places LEFT JOIN pictures ON pictures.row = places.row
"""


def entry(
    path: str,
    row: int | None,
    id: bytes | None,
    first: str | None,
    reason: str | None,
    retry: int,
    recognised: int,
    size: int,
    modified_ns: int,
    checked: float,
) -> LedgerEntry:
    """Of one row that `QUERY` gives."""
    verdict: Verdict = "stored"
    if reason is not None:
        verdict = "retry" if retry else "skipped"
    elif first != path:
        verdict = "copy"
    return LedgerEntry(
        path=path,
        verdict=verdict,
        id=id.hex() if id else None,
        copy_of=first if row is not None and first != path else None,
        reason=reason,
        recognised=bool(recognised),
        size=size,
        modified_ns=modified_ns,
        checked=checked,
    )

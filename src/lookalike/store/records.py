"""Records of a catalogue, and the rows that filters pass, kept as long as nobody commits."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ..filters import Filter
from ..types import Record, Rows
from .catalogue import Catalogue

_RECORDS_KEPT = 100_000
_FILTERS_KEPT = 32
_AT_ONCE = 500


class Seen:
    """What was read of one state of the catalogue; dropped whole when that changes."""

    def __init__(self, number: int) -> None:
        self.number = number
        """How many changes have been noticed before it."""
        self.state = object()
        self.records: dict[int, Record] = {}
        self.allowed: dict[Filter, Rows] = {}
        self.calibration: tuple[str | None] | None = None
        self.count: int | None = None


class Records:
    """Of one catalogue. Safe to use from several threads."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._noting = threading.Lock()
        self._seen = Seen(0)

    def current(self) -> Seen:
        """What is known of the state that the catalogue has now, whoever committed last."""
        if self._catalogue.changed():
            with self._noting:
                self._seen = Seen(self._seen.number + 1)
        return self._seen

    def at(self, seen: Seen, every: Sequence[Sequence[int]]) -> dict[int, Record]:
        """Records by row, those of all these rows among them that are still there."""
        records = seen.records
        missing = {row for rows in every for row in rows if row not in records and row >= 0}
        if not missing:
            return records
        if len(records) + len(missing) > _RECORDS_KEPT:
            records = {row: records[row] for rows in every for row in rows if row in records}
        ordered = list(missing)
        with self._catalogue.reading() as connection:
            for start in range(0, len(ordered), _AT_ONCE):
                some = ordered[start : start + _AT_ONCE]
                records.update(self._catalogue.records(connection, some))
        seen.records = records
        return records

    def passing(self, seen: Seen, where: Filter) -> Rows:
        """The rows that pass a filter, ascending."""
        allowed = seen.allowed.get(where)
        if allowed is None:
            with self._catalogue.reading() as connection:
                allowed = self._catalogue.rows_where(connection, where)
            if len(seen.allowed) >= _FILTERS_KEPT:
                seen.allowed = {}
            seen.allowed[where] = allowed
        return allowed

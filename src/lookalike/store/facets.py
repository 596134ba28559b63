"""What the pictures of a catalogue have in common, counted: labels, formats, sizes."""

from __future__ import annotations

from ..filters import Filter
from . import SIDES, Facets
from .connection import Connection
from .sql_filters import Condition, condition


def counted(connection: Connection, where: Filter | None, most_labels: int) -> Facets:
    """Count the pictures that pass a filter; all without one."""
    passing = ("TRUE", []) if where is None else condition(where)
    return Facets(
        _groups(connection, "places.label", passing, most_labels),
        _groups(connection, "pictures.format", passing, -1),
        _sizes(connection, passing),
    )


def _groups(
    connection: Connection, column: str, passing: Condition, most: int
) -> list[tuple[str, int]]:
    text, parameters = passing
    return connection.execute(
        f"SELECT {column}, count(DISTINCT pictures.row) FROM places "
        "JOIN pictures ON pictures.row = places.row "
        f"WHERE {column} IS NOT NULL AND {text} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?",
        [*parameters, most],
    ).fetchall()


def _sizes(connection: Connection, passing: Condition) -> list[int]:
    text, parameters = passing
    steps = " + ".join(f"(max(width, height) >= {side})" for side in SIDES)
    found = connection.execute(
        f"SELECT {steps}, count(DISTINCT pictures.row) FROM places "
        f"JOIN pictures ON pictures.row = places.row WHERE width > 0 AND {text} GROUP BY 1",
        parameters,
    )
    counts = dict(found.fetchall())
    return [counts.get(step, 0) for step in range(len(SIDES) + 1)]

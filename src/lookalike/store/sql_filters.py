"""A filter as a SQL condition over the tables `pictures` and `places`."""

from __future__ import annotations

import json
import re

from ..filters import All, Any, Comparison, Exists, Field, Filter, OneOf, Value

SQLValue = str | float | int
Condition = tuple[str, list[SQLValue]]

_FORMATS = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF"}
"""What people call formats, by the name that they have here."""

_COLUMNS = {
    "label": "places.label",
    "path": "places.path",
    "format": "pictures.format",
    "width": "pictures.width",
    "height": "pictures.height",
    "size": "pictures.size",
    "modified": "places.modified_ns / 1e9",
    "added": "pictures.added",
}


def condition(filter: Filter) -> Condition:
    """The SQL text and its parameters; no value of a user's ever becomes part of the text."""
    match filter:
        case All(parts):
            return _joined(" AND ", [condition(part) for part in parts])
        case Any(parts):
            return _joined(" OR ", [condition(part) for part in parts])
        case Exists(field):
            column, parameters = _column(field)
            return f"{column} IS NOT NULL", parameters
        case OneOf(field, values):
            column, parameters = _column(field)
            every = [each for value in values for each in _equals(field, value)]
            return f"{column} IN (SELECT value FROM json_each(?))", [*parameters, json.dumps(every)]
        case Comparison(field, "=", value):
            return _equal(field, value)
        case Comparison(field, "!=", value):
            text, parameters = _equal(field, value)
            return f"NOT {text}", parameters
        case Comparison(field, operator, value):
            return _ordered(field, operator, value)


def _joined(word: str, conditions: list[Condition]) -> Condition:
    texts = [text for text, _ in conditions]
    return f"({word.join(texts)})", [value for _, values in conditions for value in values]


def _column(field: Field) -> Condition:
    if field.kind != "metadata":
        return _COLUMNS[field.name], []
    if re.fullmatch(r"\w+", field.name):
        return "json_extract(places.metadata, ?)", [f'$."{field.name}"']
    # A path has no way to write every key; this is slower.
    return "(SELECT value FROM json_each(places.metadata) WHERE key = ?)", [field.name]


def _equal(field: Field, value: Value) -> Condition:
    column, parameters = _column(field)
    return _joined(
        " OR ", [(f"{column} IS ?", [*parameters, each]) for each in _equals(field, value)]
    )


def _equals(field: Field, value: Value) -> list[SQLValue]:
    """What the column may hold to be equal to this value."""
    if field.kind in ("number", "time"):
        assert value.number is not None
        return [value.number]
    if field.name == "format" and field.kind == "text":
        return [_FORMATS.get(value.text.upper(), value.text.upper())]
    alternatives: list[SQLValue] = [value.text]
    if field.kind == "metadata":
        # JSON's true and false come out of SQLite as 1 and 0.
        alternatives += [int(value.truth)] if value.truth is not None else []
        alternatives += [value.number] if value.number is not None else []
    return alternatives


def _ordered(field: Field, operator: str, value: Value) -> Condition:
    column, parameters = _column(field)
    if field.kind == "text" or value.number is None:
        return f"(typeof({column}) = 'text' AND {column} {operator} ?)", [
            *parameters,
            *parameters,
            value.text,
        ]
    return f"(typeof({column}) IN ('integer', 'real') AND {column} {operator} ?)", [
        *parameters,
        *parameters,
        value.number,
    ]

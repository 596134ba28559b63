"""A filter as a query over the places of a picture.

A picture's only place is part of its document (`place`). Several are nested documents (`places`),
as one of them is to pass the whole filter, and not all of them together.

What a user says of a place has any keys and any kinds of values, which as fields of their own would
be more than an index can have. So each value is a term of the one field `said`: its key, its kind,
and then the value, written so that terms are ordered as values are.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...filters import All, Comparison, Exists, Field, Filter, OneOf, Value
from ...filters import Any as AnyOf
from ...places import plain_text
from .mapping import OF_PICTURE

Query = dict[str, Any]

_COLUMNS = {"size": "bytes"}
"""Fields of ours that a place has under another name."""
_OUTSIDE = {"path": "paths", "label": "labels", **{name: name for name in OF_PICTURE}}
"""Where a document has what is asked of its only place, if not in `place`."""
_FORMATS = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF"}
_LONGEST = 2000
"""Characters of a text that are compared; longer ones are told apart by a digest."""
_TERMS = 60_000
"""In one query, which takes 65,536."""
_OPERATORS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


def passing(where: Filter) -> Query:
    """The pictures of which one place passes the whole filter."""
    only = {"bool": {"filter": [{"term": {"lies": 1}}, _query(where, "place")]}}
    return _either([only, {"nested": {"path": "places", "query": of_several(where)}}])


def of_several(where: Filter) -> Query:
    """Of the places of pictures that lie at several, those that pass it: nested documents."""
    return _query(where, "places")


def terms_of(metadata: Mapping[str, Any]) -> list[str]:
    """Every value of a place's metadata as a term; JSON's null is none."""
    terms = []
    for key, value in metadata.items():
        if isinstance(value, str):
            terms.append(_text_term(key, value))
        elif isinstance(value, list | dict):
            text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
            terms.append(_text_term(key, text))
        elif value is not None:
            terms.append(_number_term(key, value))
    return terms


def _query(where: Filter, inside: str) -> Query:
    match where:
        case All(parts):
            return {"bool": {"filter": [_query(part, inside) for part in parts]}}
        case AnyOf(parts):
            return _either([_query(part, inside) for part in parts])
        case Exists(field):
            if field.kind == "metadata":
                return _range(inside, gte=_key(field.name) + "\0", lt=_key(field.name) + "\1")
            return {"exists": {"field": _column(field, inside)}}
        case OneOf(field, values):
            return _equal(field, inside, values)
        case Comparison(field, "=", value):
            return _equal(field, inside, [value])
        case Comparison(field, "!=", value):
            return {"bool": {"must_not": [_equal(field, inside, [value])]}}
        case Comparison(field, operator, value):
            return _ordered(field, inside, operator, value)


def _either(queries: Sequence[Query]) -> Query:
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


def _column(field: Field, inside: str) -> str:
    name = _COLUMNS.get(field.name, field.name)
    return _OUTSIDE.get(name, f"place.{name}") if inside == "place" else f"places.{name}"


def _equal(field: Field, inside: str, values: Sequence[Value]) -> Query:
    name = f"{inside}.said" if field.kind == "metadata" else _column(field, inside)
    every = [each for value in values for each in _equals(field, value)]
    parts = [every[start : start + _TERMS] for start in range(0, len(every), _TERMS)]
    return _either([{"terms": {name: part}} for part in parts])


def _equals(field: Field, value: Value) -> Iterator[str | float]:
    """What a place may have to be equal to this value."""
    if field.kind in ("number", "time"):
        assert value.number is not None
        yield value.number
    elif field.kind == "text":
        text = plain_text(value.text)
        yield _FORMATS.get(text.upper(), text.upper()) if field.name == "format" else text
    else:
        yield _text_term(field.name, value.text)
        if value.truth is not None:
            yield _number_term(field.name, value.truth)
        if value.number is not None:
            yield _number_term(field.name, value.number)


def _ordered(field: Field, inside: str, operator: str, value: Value) -> Query:
    bound = _OPERATORS[operator]
    if field.kind != "metadata":
        own = plain_text(value.text) if field.kind == "text" else value.number
        return {"range": {_column(field, inside): {bound: own}}}
    is_text = value.number is None
    kind = f"{_key(field.name)}\0{'t' if is_text else 'n'}"
    term = _text_term(field.name, value.text) if is_text else _number_term(field.name, value.number)
    if operator.startswith("<"):
        return _range(inside, gte=kind, **{bound: term})
    return _range(inside, **{bound: term}, lt=kind[:-1] + chr(ord(kind[-1]) + 1))


def _range(inside: str, **bounds: str) -> Query:
    return {"range": {f"{inside}.said": bounds}}


def _text_term(key: str, text: str) -> str:
    return f"{_key(key)}\0t{_short(plain_text(text))}"


def _number_term(key: str, number: float | bool | None) -> str:
    assert number is not None
    return f"{_key(key)}\0n{_sortable(number)}"


def _key(key: str) -> str:
    return _short(plain_text(key).replace("\\", "\\\\").replace("\0", "\\0"))


def _short(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return text[:_LONGEST] + hashlib.sha256(text.encode()).hexdigest()


def _sortable(number: float | bool) -> str:
    """Hexadecimal, in the order of numbers: the nearest float's bits, and what it misses by.

    Whole numbers of up to 64 bits that share a float stay apart.
    """
    try:
        near = float(number) + 0.0  # of minus zero, zero
    except OverflowError:
        near = math.inf if number > 0 else -math.inf
    (bits,) = struct.unpack(">Q", struct.pack(">d", near))
    bits ^= 0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else 1 << 63
    apart = int(number) - int(near) if isinstance(number, int) and abs(near) < 2.0**64 else 0
    return f"{bits:016x}{apart + 0x8000:04x}"

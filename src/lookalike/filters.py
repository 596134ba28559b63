"""The filter grammar of `--where`, the same on every store.

    filter = all  { "or" all }
    all    = term { "and" term }
    term   = "(" filter ")" | name "exists" | name operator value | name "in" "(" value, … ")"

Operators are `= != < <= > >=`. Names are `label path format width height size modified added`;
any other is a key of the user's metadata (`metadata.label` for one that is called like ours).
A value is a bare word, a number, or quoted text. Times are ISO dates (`added >= 2026-01-31`).

A picture passes if one of the places where it lies passes the whole filter. `!=` is the exact
opposite of `=`: it holds as well where there is no value at all. Text is ordered by code points;
a number is only ordered against numbers. JSON's true and false equal 1 and 0, and its lists and
objects count as their text.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NoReturn, TypeVar

from .errors import BadFilter

FieldKind = Literal["text", "number", "time", "metadata"]
_Part = TypeVar("_Part")
Operator = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Field:
    """What is compared: a column of ours, or a key of the metadata."""

    name: str
    kind: FieldKind


@dataclass(frozen=True, slots=True)
class Value:
    """What it is compared with. A bare `7` is the number and the text; a quoted one only text."""

    text: str
    number: float | None = None
    """An int where it is one, which may have more digits than a float holds."""
    truth: bool | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field operator value`."""

    field: Field
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """`field in (values)`."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """`field exists`."""

    field: Field


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """At least one part holds."""

    parts: tuple[Filter, ...]


Filter = Comparison | OneOf | Exists | All | Any

_LEVELS = 10
_CONDITIONS = 500

FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("label", "text"),
        Field("path", "text"),
        Field("format", "text"),
        Field("width", "number"),
        Field("height", "number"),
        Field("size", "number"),
        Field("modified", "time"),
        Field("added", "time"),
    )
}


def parse(text: str) -> Filter:
    """Read a filter; `BadFilter` shows where it goes wrong."""
    return _Parser(text).filter_to_the_end()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: Literal["word", "quoted", "operator", "mark", "end"]
    text: str
    position: int


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<operator><=|>=|!=|=|<|>)
      | (?P<mark>[(),])
      | (?P<word>[^\s()<>=!,"']+)
    )""",
    re.VERBOSE,
)


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise BadFilter(text, position, "neither a name, an operator nor a value")
        kind = match.lastgroup
        tokens.append(_Token(kind, match[kind], match.start(kind)))  # type: ignore[arg-type,index]
        position = match.end()
    return [*tokens, _Token("end", "", end)]


class _Parser:
    """Recursive descent over the tokens; each method reads one line of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = deque(_tokens(text))
        self.depth = 0
        self.conditions = 0

    def filter_to_the_end(self) -> Filter:
        parsed = self.filter()
        if self.tokens[0].kind != "end":
            self.fail("expected `and`, `or` or the end")
        return parsed

    def filter(self) -> Filter:
        parts = self.separated("or", self.all)
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def all(self) -> Filter:
        parts = self.separated("and", self.term)
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def term(self) -> Filter:
        if self.took("("):
            self.depth += 1
            if self.depth > _LEVELS:
                self.fail(f"nested too deeply (over {_LEVELS} levels)")
            inner = self.filter()
            self.expect(")")
            self.depth -= 1
            return inner
        self.conditions += 1
        if self.conditions > _CONDITIONS:
            self.fail(f"more than {_CONDITIONS} conditions; `name in (value, …)` takes any number")
        field = self.field()
        if self.took("exists"):
            return Exists(field)
        if self.took("in"):
            return OneOf(field, self.values(field))
        if self.tokens[0].kind != "operator":
            self.fail("expected one of = != < <= > >= in exists")
        operator: Operator = self.take().text  # type: ignore[assignment]
        return Comparison(field, operator, self.value(field))

    def field(self) -> Field:
        if self.tokens[0].kind not in ("word", "quoted"):
            self.fail("expected a name such as label, width or a metadata key")
        token = self.take()
        name = _unquoted(token)
        if token.kind == "word" and name in FIELDS:
            return FIELDS[name]
        return Field(name.removeprefix("metadata."), "metadata")

    def values(self, field: Field) -> tuple[Value, ...]:
        self.expect("(")
        values = self.separated(",", lambda: self.value(field))
        self.expect(")")
        return tuple(values)

    def value(self, field: Field) -> Value:
        token = self.tokens[0]
        if token.kind not in ("word", "quoted"):
            self.fail("expected a value")
        text = _unquoted(token)
        value = Value(text) if token.kind == "quoted" else _bare_value(text)
        if field.kind == "number" and _number(text) is None:
            self.fail(f"{field.name} is a number, {text!r} is none")
        if field.kind == "number":
            value = Value(text, _number(text))
        if field.kind == "time":
            seconds = _seconds(text)
            if seconds is None:
                self.fail(f"{field.name} is a time: an ISO date such as 2026-01-31")
            value = Value(text, seconds)
        self.take()
        return value

    def separated(self, separator: str, part: Callable[[], _Part]) -> list[_Part]:
        parts = [part()]
        while self.took(separator):
            parts.append(part())
        return parts

    def take(self) -> _Token:
        return self.tokens.popleft()

    def took(self, text: str) -> bool:
        token = self.tokens[0]
        found = token.kind in ("word", "mark") and token.text.lower() == text
        if found:
            self.take()
        return found

    def expect(self, text: str) -> None:
        if not self.took(text):
            self.fail(f"expected `{text}`")

    def fail(self, problem: str) -> NoReturn:
        raise BadFilter(self.text, self.tokens[0].position, problem)


def _unquoted(token: _Token) -> str:
    if token.kind != "quoted":
        return token.text
    return re.sub(r"\\(.)", r"\1", token.text[1:-1])


def _bare_value(text: str) -> Value:
    return Value(text, _number(text), {"true": True, "false": False}.get(text.lower()))


def _number(text: str) -> float | None:
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return float(text) if math.isfinite(float(text)) else None
    return None


def _seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

"""TOML tables -> typed options: every key and value is checked, and what is wrong is named."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import RecipeError

_Options = TypeVar("_Options")


def typed(options: type[_Options], table: Mapping[str, Any], where: str) -> _Options:
    """An instance of the dataclass `options`, each value checked against its annotation.

    `where`: what a message calls the table. A `ValueError` of the dataclass itself becomes a
    `RecipeError`, as all that is wrong with a table does.
    """
    hints = get_type_hints(options)
    check_keys(table, hints, where)
    values = {key: _value(value, hints[key], f"{where}: {key}") for key, value in table.items()}
    missing = [
        field.name
        for field in fields(options)  # type: ignore[arg-type]
        if field.name not in table and field.default is field.default_factory
    ]
    if missing:
        raise RecipeError(f"{where}: {', '.join(missing)} is missing")
    try:
        return options(**values)
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error


def subtable(table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """The table of that name, empty when there is none."""
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise RecipeError(f"{where}: {key} must be a table, not {value!r}")
    return value


def check_keys(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """`RecipeError` with the nearest name if the table has a key that is not known."""
    known = sorted(known)
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"
            raise RecipeError(f"{where}: there is no key {key!r}; {hint}")


def _value(value: Any, wanted: Any, what: str) -> Any:
    """The value as the annotation `wanted` has it."""
    if get_origin(wanted) in (UnionType, Union):
        return _one_of(value, [kind for kind in get_args(wanted) if kind is not NoneType], what)
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            choice = ", ".join(map(repr, get_args(wanted)))
            raise RecipeError(f"{what} must be one of {choice}, not {value!r}")
        return value
    if get_origin(wanted) is tuple:
        return _values(value, get_args(wanted), what)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise RecipeError(f"{what} must be {wanted.__name__}, not {value!r}")
    return value


def _one_of(value: Any, kinds: Sequence[Any], what: str) -> Any:
    """The value as the first of several annotations that it fits; TOML has no null."""
    wrong = []
    for kind in kinds:
        try:
            return _value(value, kind, what)
        except RecipeError as error:
            wrong.append(error)
    raise RecipeError("; or ".join(map(str, wrong)))


def _values(value: Any, wanted: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    """A TOML array as a tuple: of one kind and any length, or of one kind for each place."""
    if not isinstance(value, list):
        raise RecipeError(f"{what} must be an array, not {value!r}")
    if wanted[-1] is ...:
        wanted = (wanted[0],) * len(value)
    if len(value) != len(wanted):
        raise RecipeError(f"{what} must hold {len(wanted)} values, not {value!r}")
    pairs = zip(value, wanted, strict=True)
    return tuple(_value(each, kind, f"{what}[{i}]") for i, (each, kind) in enumerate(pairs))

"""Lists of sources: tables (CSV) and JSON lines, a row each, with a label and metadata."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from . import objects
from .errors import BadQuery, BadSource
from .places import is_object
from .store.writes import metadata_text
from .types import Place

ENDINGS = (".csv", ".jsonl", ".ndjson")
"""Of the names of lists."""


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Each row as it stands, `path` among it, a text; `BadSource` names the line that is wrong."""
    read = _csv_rows if path.name.lower().endswith(".csv") else _json_rows
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in read(path, file):
                given = row.get("path")
                if not isinstance(given, str) or not given:
                    raise BadSource(f"{path}, line {number}: it has no path")
                _check_url(path, number, given)
                metadata_text(Place(given, metadata={**row, "path": None}))
                yield dict(row)
    except BadQuery as error:
        raise BadSource(f"{path}, line {number}: {error}") from error
    except UnicodeDecodeError as error:
        raise BadSource(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise BadSource(f"{path} cannot be read: {why}") from error


def _csv_rows(path: Path, file: IO[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(file)
    if "path" not in (reader.fieldnames or ()):
        raise BadSource(f"{path}, line 1: the first line must name the columns, one of them `path`")
    for row in reader:
        if None in row:
            raise BadSource(f"{path}, line {reader.line_num}: more values than columns")
        yield (
            reader.line_num,
            {
                key: _csv_value(value) if key not in ("path", "label") else value
                for key, value in row.items()
                if value not in (None, "")
            },
        )


def _csv_value(text: str) -> str | int | float:
    """Numbers as numbers, so that a filter can compare them; what reads otherwise stays text."""
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number) or not text.isascii() or "_" in text:
        return text
    digits = text.lstrip("+-")
    if digits.isdecimal():
        # What a number would lose: a postcode's zeros, a telephone's plus, digits beyond 64 bits.
        return text if digits != str(int(digits[:18])) or text[0] == "+" else int(text)
    return number


def _json_rows(path: Path, file: IO[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise BadSource(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise BadSource(f'{path}, line {number}: expected an object such as {{"path": "…"}}')
        yield number, row


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _check_url(path: Path, number: int, given: str) -> None:
    if is_object(given):
        try:
            objects.root(given)
        except BadSource as error:
            raise BadSource(f"{path}, line {number}: {error}") from error

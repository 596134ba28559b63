"""Judgements from a file, as another collection has printed them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..collection import Collection
from ..errors import BadSource
from ..types import Judgement


def take_in(collection: Collection, path: Path) -> int:
    """Keep the judgements of a file of JSON lines, whether their pictures are stored or not.

    How many there are. `BadSource` names the line that is wrong; then nothing is kept.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise BadSource(f"{path} cannot be read: {why}") from error
    said = [_read(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    collection.store.judge(said)
    return len(said)


def _read(path: Path, number: int, line: str) -> Judgement:
    try:
        row: dict[str, Any] = json.loads(line)
        first, second = sorted((_id(row["a"]), _id(row["b"])))
        judged, judge, same = float(row["judged"]), str(row["judge"]), row["same"]
        judge.encode()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadSource(
            f"{path}, line {number}: expected an object with a and b (whole ids), same, judged and "
            "judge, as `lookalike judgements --json` prints it"
        ) from error
    if first == second or not isinstance(same, bool) or not math.isfinite(judged):
        raise BadSource(f"{path}, line {number}: it does not say of two pictures whether or not")
    return Judgement(first, second, same, judged, judge)


def _id(text: str) -> str:
    if len(text) != 64 or text != text.lower():
        raise ValueError(text)
    bytes.fromhex(text)
    return text

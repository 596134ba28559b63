"""What the command line of the service of SIFT, k-means and lshash means for `serve`."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..places import absolute, plain_text
from ..recipe import Recipe, load, parse

if TYPE_CHECKING:
    from ..serve.settings import Settings

_RECIPE = "sift-bovw-lsh"


def recipe_of(settings: Settings) -> Recipe:
    """The ready recipe, with the numbers that are given; `k` must be."""
    given = {
        "k": settings.k,
        "hash_size": settings.hash_size,
        "num_hashtables": settings.num_hashtables,
        "store_file": settings.store_file and plain_text(str(absolute(str(settings.store_file)))),
        "overwrite": settings.overwrite,
    }
    text = load(_RECIPE).text
    for key, value in given.items():
        if value is not None:
            text = _with(text, key, json.dumps(value, ensure_ascii=False))
    return parse(text, _RECIPE)


def folder_of(data: str, k: int, beside: Path) -> Path:
    """Where the collection of a folder is kept: words of another number are another collection."""
    path = absolute(data)
    digest = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return beside / f"{path.name}-{digest}-{k}-words"


def _with(text: str, key: str, value: str) -> str:
    """A recipe's text with another value for a key, or with one more at the end, in the index."""
    line = f"{key} = {value}"
    changed, count = re.subn(rf"(?m)^{key} = .*$", lambda _: line, text)
    return changed if count else f"{text}{line}\n"

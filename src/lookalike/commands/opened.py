"""The collection that a command is about."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..places import absolute, plain_text
from ..types import Limits
from .options import USUAL

if TYPE_CHECKING:
    from ..recipe import Recipe


@contextlib.contextmanager
def opened(
    path: Path | None,
    *,
    recipe: str | Recipe | None = None,
    device: str = "auto",
    given: Sequence[str] | None = None,
    limits: Limits = USUAL,
    for_records: bool = False,
) -> Iterator[Any]:
    """The collection; where there is none, one is made for the sources that are `given`."""
    from ..ingest import found
    from ..opening import open_collection
    from ..store import home_of

    folder = collection_path(path)
    if given is not None and not home_of(folder).exists():
        found(given)  # one that is mistyped must not leave an empty collection behind
    with open_collection(
        folder,
        recipe=recipe,
        device=device,
        create=given is not None,
        limits=limits,
        for_records=for_records,
    ) as collection:
        yield collection


def collection_path(path: Path | None) -> Path:
    """The one that was named, else one in the user's data folder, by each system's custom."""
    if path is not None:
        return path
    if sys.platform == "darwin":
        data = Path("~/Library/Application Support").expanduser()
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    return data / "lookalike" / "default"


def served_name(collection: Path) -> str:
    """The name of its folder: `photos.lookalike` is `photos`."""
    name = plain_text(absolute(str(collection)).name)
    return name.removesuffix(".lookalike") or name

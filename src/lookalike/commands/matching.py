"""Two pictures, and what they have in common."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import terminal
from ..tables.pairs import show_pair
from .opened import collection_path, opened
from .options import AsJson, CollectionPath, Device

if TYPE_CHECKING:
    from ..collection import Collection
    from ..types import Record

app = typer.Typer()

ALIKE, NOTHING_ALIKE = 0, 1


@app.command()
def match(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A picture, or the id of a stored one.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="The one that A is looked for in.")],
    collection: CollectionPath = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(help="A comparator; may be repeated.", show_default="verified"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Draw what they have in common to this .png."),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Compare two pictures: say whether they show the same, and where.

    Exit code 1: something in common was looked for (`verified`), and nothing was found. Else 0.
    """
    from ..pairs import USUAL

    with _any_collection(collection, device) as c:
        pair = c.match(_meant(first, c), _meant(second, c), compare=compare or USUAL)
        if output is not None:
            from ..drawing import write

            write(pair, (first, second), output)
    show_pair(pair, as_json=as_json)
    if output is not None:
        terminal.note(f"wrote {output}")
    raise typer.Exit(NOTHING_ALIKE if pair.nothing_found else ALIKE)


@contextlib.contextmanager
def _any_collection(path: Path | None, device: str) -> Iterator[Any]:
    """The one that is named or there, which knows ids; else one that is empty, and goes again."""
    from ..opening import open_collection
    from ..store import home_of

    if path is not None or home_of(collection_path(None)).exists():
        with opened(path, device=device) as collection:
            yield collection
    else:
        with (
            tempfile.TemporaryDirectory() as folder,
            open_collection(Path(folder) / "c", device=device) as collection,
        ):
            yield collection


def _meant(text: str, collection: Collection) -> str | Record:
    """A file, or a stored picture by its id."""
    if not Path(text).expanduser().exists() and text in collection:
        return collection[text]
    return text

"""A collection to one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..tables.exports import show_backup, show_restored
from .opened import collection_path
from .options import SOME_FAILED, AsJson, CollectionPath

app = typer.Typer()

_Collection = Annotated[
    Path | None,
    typer.Argument(
        metavar="[COLLECTION]",
        help="The same as --collection.",
        show_default=False,
        readable=False,  # opening it tells better why it cannot be read
    ),
]


@app.command()
def backup(
    file: Annotated[Path, typer.Option("-o", "--output", help="The file to write, such as c.tar.")],
    argument: _Collection = None,
    collection: CollectionPath = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Even if FILE is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a collection to one file, while it is served and added to; and read it again."""
    from ..backup import back_up

    made = back_up(_named(argument, collection), file, overwrite=overwrite)
    show_backup(made, as_json=as_json)
    raise typer.Exit(SOME_FAILED if made.lacking else 0)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` wrote.")],
    argument: _Collection = None,
    collection: CollectionPath = None,
    as_json: AsJson = False,
) -> None:
    """Make a collection of a backup, and prove that it answers as it did."""
    from ..backup import restore as restored_from

    made = restored_from(file, _named(argument, collection))
    show_restored(made, as_json=as_json)
    raise typer.Exit(SOME_FAILED if made.lacking else 0)


def _named(argument: Path | None, option: Path | None) -> Path:
    """An argument counts before the option, which may come from the environment."""
    return collection_path(argument or option)

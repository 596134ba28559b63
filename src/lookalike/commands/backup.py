"""A collection to one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..tables.exports import show_backup, show_restored
from .opened import collection_path
from .options import SOME_FAILED, AsJson

app = typer.Typer()

_Collection = Annotated[
    Path | None,
    typer.Argument(
        metavar="[COLLECTION]",
        envvar="LOOKALIKE_COLLECTION",
        help="The collection, a folder. Default: one in your own data folder.",
        show_default=False,
        readable=False,  # opening it tells better why it cannot be read
    ),
]


@app.command()
def backup(
    file: Annotated[Path, typer.Option("-o", "--output", help="The file to write, such as c.tar.")],
    collection: _Collection = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Even if FILE is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a collection to one file, while it is served and added to; and read it again."""
    from ..backup import back_up

    made = back_up(collection_path(collection), file, overwrite=overwrite)
    show_backup(made, as_json=as_json)
    raise typer.Exit(SOME_FAILED if made.lacking else 0)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` wrote.")],
    collection: _Collection = None,
    as_json: AsJson = False,
) -> None:
    """Make a collection of a backup, and prove that it answers as it did."""
    from ..backup import restore as restored_from

    made = restored_from(file, collection_path(collection))
    show_restored(made, as_json=as_json)
    raise typer.Exit(SOME_FAILED if made.lacking else 0)

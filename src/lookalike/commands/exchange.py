"""Features to a file, and from one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import terminal
from ..tables.exports import show_exported
from ..tables.ingest import show_report
from .opened import collection_path, opened
from .options import AsJson, CollectionPath, exit_code

app = typer.Typer()


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .npy, .npz, .hdf5 or .h5.")],
    collection: CollectionPath = None,
    embedding: Annotated[
        str | None, typer.Option(help="This one of several kinds of vectors alone.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Even if FILE is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the vectors of a collection to a file, with what they belong to."""
    from ..exchange import export_features

    with opened(collection) as c, terminal.rows_progress("exporting") as on_progress:
        report = export_features(
            c, file, embedding=embedding, overwrite=overwrite, on_progress=on_progress
        )
    show_exported(report, as_json=as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .npy, .npz, .hdf5 or .h5.")],
    collection: CollectionPath = None,
    recipe: Annotated[
        str | None, typer.Option(help="For a new collection, instead of the file's own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take in vectors that were made elsewhere, by the collection's own model."""
    from ..exchange import import_features

    path = collection_path(collection)
    with terminal.rows_progress("importing") as on_progress:
        report = import_features(path, file, recipe=recipe, on_progress=on_progress)
    with opened(path) as c:
        show_report(report, c, as_json=as_json)
    raise typer.Exit(exit_code(report.kept, report.failed))

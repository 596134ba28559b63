"""What goes into a collection and out of it, and what became of it."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from .. import terminal
from ..errors import BadQuery, BadSource, UnknownPicture
from ..tables.ingest import show_report
from ..tables.ledger import show_failures, show_ledger
from .opened import opened
from .options import (
    MEGAPIXELS,
    SOME_FAILED,
    UPLOAD_MB,
    AsJson,
    CollectionPath,
    Device,
    MaxMegapixels,
    MaxUploadMb,
    exit_code,
    limits_of,
)

app = typer.Typer()


@app.command()
def index(
    given: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE…", help="Folders, pictures, lists, archives, s3://…"),
    ],
    collection: CollectionPath = None,
    recipe: Annotated[
        str | None, typer.Option(help="A ready recipe or a .toml; for a new collection.")
    ] = None,
    device: Device = "auto",
    prune: Annotated[bool, typer.Option(help="Forget pictures that are no longer there.")] = False,
    retry: Annotated[bool, typer.Option(help="Try again what was refused before.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Describe on a Ray cluster: auto, or HOST:PORT."),
    ] = None,
    ray_gpus: Annotated[
        float, typer.Option(min=0, help="The share of a GPU that each worker there takes.")
    ] = 0,
    max_megapixels: MaxMegapixels = MEGAPIXELS,
    max_upload_mb: MaxUploadMb = UPLOAD_MB,
    as_json: AsJson = False,
) -> None:
    """Take pictures into a collection; what did not change is passed over."""
    from ..ray_workers import Workers, connected

    if ray is None and ray_gpus:
        raise BadQuery("--ray-gpus goes with --ray: name the cluster")
    workers = None if ray is None else Workers(ray, ray_gpus)
    limits = limits_of(max_megapixels, max_upload_mb)
    with contextlib.ExitStack() as cluster:
        if workers is not None:  # one that is not there must not leave an empty collection behind
            cluster.enter_context(terminal.briefly("Ray"))
            cluster.enter_context(connected(workers))
        with opened(collection, recipe=recipe, device=device, given=given, limits=limits) as c:
            with terminal.ingest_progress(given) as (on_progress, on_learning):
                report = c.add(
                    *given,
                    prune=prune,
                    retry=retry,
                    workers=workers,
                    on_progress=on_progress,
                    on_learning=on_learning,
                )
            cluster.close()
            nothing = not (report.kept or report.failed or report.removed)
            if as_json or not nothing:
                show_report(report, c, as_json=as_json)
    if nothing:
        raise BadSource(f"there is no picture in {' '.join(given)}")
    raise typer.Exit(exit_code(report.kept + report.removed, report.failed))


@app.command()
def remove(
    ids: Annotated[list[str], typer.Argument(metavar="ID…")], collection: CollectionPath = None
) -> None:
    """Forget pictures by id. Your files stay where they are."""
    with opened(collection, for_records=True) as c:
        missing = [id for id in ids if not c.remove(id)]
    for id in missing:
        terminal.fail(UnknownPicture(id))
    raise typer.Exit(exit_code(len(ids) - len(missing), len(missing)))


@app.command()
def failures(
    collection: CollectionPath = None,
    all: Annotated[bool, typer.Option("--all", help="Also files that are no pictures.")] = False,
    as_json: AsJson = False,
) -> None:
    """List every picture that could not be stored, with the reason."""
    with opened(collection, for_records=True) as c:
        show_failures(c.failures(all=all), as_json=as_json)


@app.command()
def ledger(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…")],
    collection: CollectionPath = None,
    as_json: AsJson = False,
) -> None:
    """Say what became of paths: stored, a copy, skipped with its reason, or to be tried again."""
    with opened(collection, for_records=True) as c:
        unknown = show_ledger([(path, c.ledger(path)) for path in paths], as_json=as_json)
    raise typer.Exit(SOME_FAILED if unknown else 0)

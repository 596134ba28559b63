"""Answering over HTTP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import terminal
from ..tables.ingest import show_report
from .opened import opened, served_name
from .options import (
    MEGAPIXELS,
    UPLOAD_MB,
    CollectionPath,
    Device,
    MaxMegapixels,
    MaxUploadMb,
    Roots,
    limits_of,
)

app = typer.Typer()


@app.command()
def serve(
    collection: CollectionPath = None,
    data: Annotated[
        str | None, typer.Option("-d", "--data", help="A folder to index first, and a root.")
    ] = None,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("-p", "--port")] = 8000,
    root: Roots = None,
    device: Device = "auto",
    max_megapixels: MaxMegapixels = MEGAPIXELS,
    max_upload_mb: MaxUploadMb = UPLOAD_MB,
) -> None:
    """Answer over HTTP, with a web page to search from."""
    from ..serve import logs
    from ..serve.server import listen, run

    logs.configure()
    roots = list(root or ())
    limits = limits_of(max_megapixels, max_upload_mb)
    given = None if data is None else [data]
    with (
        listen(host, port) as listening,  # a port that is taken is said before the work
        opened(collection, device=device, given=given, limits=limits) as c,
    ):
        if data is not None:
            with terminal.ingest_progress([data]) as (on_progress, on_learning):
                report = c.add(data, on_progress=on_progress, on_learning=on_learning)
            show_report(report, c, as_json=False, to_stderr=True)
            roots.append(Path(data).expanduser())
        collections = {served_name(c.path): c}
        run(collections, listening, roots, _say_where)


def _say_where(url: str) -> None:
    from ..serve import logs

    if sys.stderr.isatty():
        terminal.note(f"{url}  (Ctrl-C ends it)")
    else:
        logs.say("listening", url=url)

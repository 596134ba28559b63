"""Answering over HTTP."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import terminal
from ..tables.ingest import show_report
from .opened import collection_path, opened, served_name

app = typer.Typer()


@app.command()
def serve(
    context: typer.Context,
    collection: Annotated[
        Path | None,
        typer.Option(
            "-c",
            "--collection",
            help="The collection, a folder. Default: one in your own data folder.",
            show_default=False,
            readable=False,  # opening it tells better why it cannot be read
        ),
    ] = None,
    collections: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="A folder of collections: all are served, and clients make others in it.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("-d", "--data", help="A folder to index first, and a root.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="The address to listen at.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[int | None, typer.Option("-p", "--port", show_default="8000")] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(exists=True, file_okay=False, help="A folder that clients may have indexed."),
    ] = None,
    compat: Annotated[
        bool | None,
        typer.Option("--compat", help="Also answer the calls of the services that this replaces."),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("-k", "--k", help="Index --data with so many visual words and LSH tables."),
    ] = None,
    hash_size: Annotated[
        int | None,
        typer.Option(
            "--hash-size", "--hash_size", help="Bits of a key; with -k.", show_default="10"
        ),
    ] = None,
    num_hashtables: Annotated[
        int | None,
        typer.Option(
            "--num-hashtables", "--num_hashtables", help="Tables; with -k.", show_default="8"
        ),
    ] = None,
    store_file: Annotated[
        Path | None,
        typer.Option("-s", "--store-file", "--store_file", help="A .npz of the planes; with -k."),
    ] = None,
    overwrite: Annotated[
        str | None,
        typer.Option("-o", "--overwrite", help="true: draw the planes anew; with -k."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N.", show_default="auto")
    ] = None,
    max_megapixels: Annotated[
        int | None, typer.Option(help="The largest picture to decode.", show_default="50")
    ] = None,
    max_upload_mb: Annotated[
        int | None, typer.Option(help="The largest picture that is sent.", show_default="20")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A further name that it answers to.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="A site whose pages may use it (CORS).")
    ] = None,
    trust_proxy: Annotated[
        list[str] | None, typer.Option(help="A reverse proxy whose X-Forwarded-For is believed.")
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(help="A key that may do everything. Others see it: better LOOKALIKE_API_KEY."),
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="The file of keys that `lookalike keys` writes.")
    ] = None,
    no_auth: Annotated[
        bool | None, typer.Option("--no-auth", help="Answer other machines without a key.")
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            help="Searches and uploads a second of one client; 0: any number.",
            show_default="50, on loopback any number",
        ),
    ] = None,
    at_once: Annotated[
        int | None, typer.Option(help="Searches and uploads at once.", show_default="32")
    ] = None,
    upload_seconds: Annotated[
        int | None, typer.Option(help="How long a body may take to arrive.", show_default="60")
    ] = None,
    fetch_urls: Annotated[
        bool | None, typer.Option("--fetch-urls", help="Fetch pictures that clients name by URL.")
    ] = None,
    shutdown_seconds: Annotated[
        float | None, typer.Option(help="For what runs when it is told to end.", show_default="8")
    ] = None,
    log: Annotated[
        str | None, typer.Option(help="auto, json or text.", show_default="auto")
    ] = None,
) -> None:
    """Answer over HTTP, with a web page to search from.

    Every option can also be set as LOOKALIKE_… in the environment, or in the file .env here.
    """
    from ..serve import logs
    from ..serve.server import listen, run
    from ..serve.settings import Settings

    settings = Settings.read(**context.params)
    logs.configure(settings.log)
    with (
        listen(settings) as listening,  # a port that is taken is said before the work
        _given(settings) as given,
    ):
        run(
            given,
            listening,
            settings,
            _say_where,
        )


def _say_where(url: str) -> None:
    from ..serve import logs

    if sys.stderr.isatty():
        terminal.note(f"{url}  (Ctrl-C ends it)")
    else:
        logs.say("listening", url=url)


@contextlib.contextmanager
def _given(settings: Any) -> Iterator[dict[str, Any]]:
    """The collection that is named, or the usual one; none where a folder of them is served."""
    if settings.collections and not settings.collection and settings.data is None:
        yield {}
        return
    from . import lshash

    given = None if settings.data is None else [settings.data]
    folder, recipe = settings.collection, None
    if settings.k is not None and settings.data is not None:
        recipe = lshash.recipe_of(settings)
        folder = folder or lshash.folder_of(settings.data, settings.k, collection_path(None).parent)
    with opened(
        folder, recipe=recipe, device=settings.device, given=given, limits=settings.limits
    ) as c:
        if settings.data is not None:
            _index(c, settings.data)
        yield {served_name(c.path): c}


def _index(collection: Any, data: str) -> None:
    with terminal.ingest_progress([data]) as (on_progress, on_learning):
        report = collection.add(data, on_progress=on_progress, on_learning=on_learning)
    show_report(report, collection, as_json=False, to_stderr=True)

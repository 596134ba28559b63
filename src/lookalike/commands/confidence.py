"""What scores mean, and whether a picture is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import terminal
from ..tables.calibration import show_calibration
from ..tables.checked import show_checked
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
    limits_of,
)

app = typer.Typer()


@app.command()
def calibrate(
    collection: CollectionPath = None,
    false_positives: Annotated[
        float, typer.Option(help="Share of queries without a copy that may get a hit.")
    ] = 0.01,
    sample: Annotated[
        int, typer.Option(help="How many stored pictures to ask with, edited.")
    ] = 300,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="A comparator to calibrate; may be repeated. Default: those of the recipe, else "
            "verified.",
            show_default=False,
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Pairs that you have judged: a,b,same|different."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another number asks with other pictures.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Find out from which score on a hit is a copy, and have searches go by it."""
    from ..calibrate import calibrate as measure

    with opened(collection, device=device) as c, terminal.queries_progress() as on_query:
        found = measure(
            c,
            false_positives=false_positives,
            sample=sample,
            compare=compare or None,
            pairs=pairs if pairs is not None else (),
            seed=seed,
            on_query=on_query,
        )
    show_calibration(found, as_json=as_json)
    raise typer.Exit(0 if found.scorers else SOME_FAILED)


@app.command()
def check(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="PICTURE…", help="Pictures; or folders, lists, archives of them."),
    ],
    collection: CollectionPath = None,
    kinds: Annotated[
        str, typer.Option(help="What counts beside the same bytes: copy, or copy,near, or exact.")
    ] = "copy",
    device: Device = "auto",
    max_megapixels: MaxMegapixels = MEGAPIXELS,
    max_upload_mb: MaxUploadMb = UPLOAD_MB,
    as_json: AsJson = False,
) -> None:
    """Say whether you have these pictures already. Exit code 0: all of them; 1: not all."""
    from .. import checking
    from ..errors import BadQuery

    wanted = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    limits = limits_of(max_megapixels, max_upload_mb)
    done = lacking = 0
    with opened(collection, device=device, limits=limits) as c:
        for checked in checking.check(c, pictures, wanted):
            show_checked(checked, as_json=as_json)
            done += 1
            lacking += checked.stored is None
    if not done:
        raise BadQuery("there is no picture in what you gave to check")
    raise typer.Exit(SOME_FAILED if lacking else 0)

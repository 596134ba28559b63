"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .types import Limits

CollectionPath = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--collection",
        envvar="LOOKALIKE_COLLECTION",
        help="The collection, a folder. Default: one in your own data folder.",
        show_default=False,
        readable=False,  # opening it tells better why it cannot be read
    ),
]
Roots = Annotated[
    list[Path] | None,
    typer.Option(exists=True, file_okay=False, help="A folder that clients may have indexed."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
MaxMegapixels = Annotated[
    int,
    typer.Option(
        envvar="LOOKALIKE_MAX_MEGAPIXELS", min=1, max=1000, help="The largest picture to decode."
    ),
]
MaxUploadMb = Annotated[
    int,
    typer.Option(
        envvar="LOOKALIKE_MAX_UPLOAD_MB", min=1, max=500, help="The largest picture that is sent."
    ),
]
_MEGA = 1_000_000
USUAL = Limits()
MEGAPIXELS = USUAL.pixels // _MEGA
UPLOAD_MB = USUAL.upload_bytes // _MEGA


def limits_of(megapixels: int, upload_mb: int) -> Limits:
    """The limits that were asked for."""
    return Limits(pixels=megapixels * _MEGA, upload_bytes=upload_mb * _MEGA)

"""Options that several commands have, what their values must be, and exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadQuantity, BadQuery
from ..types import Box, Limits

CollectionPath = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--collection",
        envvar="LOOKALIKE_COLLECTION",
        help="The collection: a folder, or es+https://HOST:9200/NAME. Default: one of your own.",
        show_default=False,
        readable=False,  # opening it tells better why it cannot be read
    ),
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
SOME_FAILED = 1
NOTHING_DONE = 2
_MEGA = 1_000_000
USUAL = Limits()
MEGAPIXELS = USUAL.pixels // _MEGA
UPLOAD_MB = USUAL.upload_bytes // _MEGA


def limits_of(megapixels: int, upload_mb: int) -> Limits:
    """The limits that were asked for."""
    return Limits(pixels=megapixels * _MEGA, upload_bytes=upload_mb * _MEGA)


def whole(option: str, text: str) -> int:
    """A whole number, where an option also takes `all`."""
    try:
        return int(text)
    except ValueError:
        raise BadQuery(f"{option} must be a whole number, or all, not {text!r}") from None


def box(option: str, text: str) -> Box:
    """A part of a picture, as `x,y,width,height` in pixels."""
    try:
        x, y, width, height = (float(each) for each in text.split(","))
    except ValueError:
        raise BadQuery(
            f"{option} must be x,y,width,height in pixels, such as 10,20,300,200, not {text!r}"
        ) from None
    return Box(x, y, width, height)


def share(option: str, value: float) -> float:
    """A share, above 0 and up to 1."""
    if not 0 < value <= 1:
        raise BadQuantity(option, f"{value:g}", "above 0 and at most 1, such as 0.95")
    return value


def exit_code(done: int, failed: int) -> int:
    """Of a command that does something to each of many."""
    if not failed:
        return 0
    return SOME_FAILED if done else NOTHING_DONE

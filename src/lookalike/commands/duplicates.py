"""Pictures that show the same, and what people say of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import terminal
from ..errors import BadQuery
from ..tables.duplicates import show_cleared, show_duplicates
from ..tables.judgements import print_csv, show_judgements
from .opened import opened
from .options import (
    MEGAPIXELS,
    SOME_FAILED,
    UPLOAD_MB,
    AsJson,
    CollectionPath,
    Device,
    MaxMegapixels,
    limits_of,
)

app = typer.Typer()


@app.command()
def duplicates(
    collection: CollectionPath = None,
    kinds: Annotated[
        str | None, typer.Option(help="Some of exact,copy,near. Default: all.", show_default=False)
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page to look through.")] = None,
    apply: Annotated[
        str | None,
        typer.Option(
            metavar="move=DIR|link",
            help="Move all but one of each group, or make hard links of them. Needs --kinds.",
        ),
    ] = None,
    undo: Annotated[
        Path | None, typer.Option(metavar="LOG", help="Take back what --apply has done.")
    ] = None,
    device: Device = "auto",
    max_megapixels: MaxMegapixels = MEGAPIXELS,
    as_json: AsJson = False,
) -> None:
    """Find pictures that show the same, and say which of them to keep. Touches no file unasked."""
    from ..duplicates import KINDS, clearing, find
    from ..report import duplicates as page

    if undo is not None and (apply is not None or kinds is not None or html is not None):
        raise BadQuery("--undo takes back what was done, and goes alone")
    wanted = KINDS if kinds is None else _kinds(kinds)
    move_to = _move_to(apply, kinds)
    if html is not None:
        page.check(html)
    with opened(collection, device=device, limits=limits_of(max_megapixels, UPLOAD_MB)) as c:
        if undo is not None:
            cleared = clearing.undo(c, undo)
            show_cleared(cleared, as_json=as_json)
            raise typer.Exit(SOME_FAILED if cleared.left else 0)
        with terminal.steps_progress("looking for candidates") as on_step:
            found = find(c, wanted, on_step=on_step)
        if html is not None:  # before files are moved, from which thumbnails are made
            page.write(found, c, html)
        done = clearing.apply(c, found.groups, move_to) if apply is not None else None
        show_duplicates(found, done, as_json=as_json)
    if html is not None:
        terminal.note(f"wrote {html}")
    raise typer.Exit(SOME_FAILED if done is not None and done.left else 0)


@app.command()
def judge(
    a: Annotated[str, typer.Argument(metavar="A", help="A stored picture, by id or path.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    same: Annotated[
        bool | None, typer.Option("--same/--different", help="Whether they are the same picture.")
    ] = None,
    undecided: Annotated[
        bool, typer.Option("--undecided", help="Take back what was said of them.")
    ] = False,
    collection: CollectionPath = None,
) -> None:
    """Say that two pictures are the same one, or are not. `duplicates` keeps to it."""
    if (same is None) != undecided:
        raise BadQuery("say one of --same, --different and --undecided")
    with opened(collection, for_records=True) as c:
        c.judge(a, b, same)


@app.command()
def judgements(
    collection: CollectionPath = None,
    take: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take in what another `judgements --json` printed."),
    ] = None,
    csv: Annotated[
        bool, typer.Option("--csv", help="Print the pairs that are the same, for `evaluate`.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what was said of pairs of pictures."""
    from ..duplicates import sharing

    with opened(collection, for_records=True) as c:
        if take is not None:
            count = sharing.take_in(c, take)
            terminal.note(f"took in {count:,} judgements")
        elif csv:
            print_csv(c)
        else:
            show_judgements(c, as_json=as_json)


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(kind.strip() for kind in text.split(",") if kind.strip())


def _move_to(apply: str | None, kinds: str | None) -> Path | None:
    """The folder that others are moved to; None for links."""
    if apply is None:
        return None
    if kinds is None:
        raise BadQuery(
            "--apply changes files: say of which kinds by --kinds, such as --kinds exact; "
            "pictures that are `near` show another moment"
        )
    if apply == "link":
        return None
    what, _, folder = apply.partition("=")
    if what != "move" or not folder:
        raise BadQuery(f"--apply must be move=DIR or link, not {apply!r}")
    return Path(folder).expanduser().absolute()

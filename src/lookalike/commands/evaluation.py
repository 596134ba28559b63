"""The commands that say how good a collection is, or make what says it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from .. import terminal
from ..tables.comparison import show_comparison
from ..tables.copies import show_copies
from ..tables.evaluation import show_evaluation
from .opened import opened
from .options import (
    MEGAPIXELS,
    SOME_FAILED,
    UPLOAD_MB,
    AsJson,
    CollectionPath,
    Device,
    MaxMegapixels,
    exit_code,
    limits_of,
    share,
)

app = typer.Typer()

_INTERRUPTED = 130


@app.command()
def evaluate(
    truth: Annotated[
        str,
        typer.Option(help="What is right: class folders, a table, or what a data set comes with."),
    ],
    collection: CollectionPath = None,
    queries: Annotated[
        str | None, typer.Option(help="The folder of the pictures to ask with, if not in TRUTH.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Of TRUTH, such as csv, where it is not seen from it.")
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Hits of each query to look at. Default: all, or 1,000 of over 10,000 pictures.",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure how good answers are, against what is known to be right, and what they cost."""
    from ..evaluate import truth as truths
    from ..evaluate.harness import evaluate as measure

    said = truths.read(truth, queries=queries, layout=layout)
    with opened(collection, device=device) as c:
        resolved = truths.against(said, c)
        with _stoppable("nothing was changed"), terminal.queries_progress() as on_query:
            found = measure(c, resolved, depth=depth, on_query=on_query)
    show_evaluation(found, as_json=as_json)
    failed = sum(each.error is not None for each in found.asked)
    raise typer.Exit(exit_code(len(found.asked) - failed, failed))


@app.command("compare-recipes")
def compare_recipes(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", help="Pictures in class folders, or a set of make-copies."),
    ],
    recipes: Annotated[
        str | None,
        typer.Option(
            help="Names, .toml files or onnx:FILE.onnx, with commas between. Default: "
            "all ready ones whose weights are here.",
            show_default=False,
        ),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="What is right, if not the class folders of DIR."),
    ] = None,
    queries: Annotated[
        str | None, typer.Option(help="The folder of the pictures to ask with, if not in TRUTH.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--out", help="The report, .html.")] = Path(
        "report.html"
    ),
    keep: Annotated[
        Path | None,
        typer.Option(help="A folder where the collections stay, and are used again."),
    ] = None,
    false_positives: Annotated[
        float,
        typer.Option(help="Share of queries with a wrong hit that a threshold may let through."),
    ] = 0.01,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Try recipes on one folder: how good, how fast, how big, and which to take; with a report."""
    from .. import report
    from ..comparison import compare

    share("--false-positives", false_positives)
    report.check(output)
    names = (
        None if recipes is None else [each for each in map(str.strip, recipes.split(",")) if each]
    )
    left = f"what is in {keep} is kept" if keep else "nothing was kept"
    with _stoppable(left), terminal.comparison_progress() as on_step:
        compared = compare(
            folder,
            names,
            truth=truth,
            queries=queries,
            keep=keep,
            false_positives=false_positives,
            device=device,
            on_step=on_step,
        )
    show_comparison(compared, as_json=as_json)
    if compared.results:
        report.write(compared, output)
        terminal.note(f"the report is in {output}")
    failed = sum(each.asked_for for each in compared.not_run)
    raise typer.Exit(exit_code(len(compared.results), failed or not compared.results))


@app.command("make-copies")
def make_copies(
    pictures: Annotated[
        str, typer.Argument(metavar="PICTURES", help="A folder; nothing in it is changed.")
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="A new or empty folder for the set.")],
    seed: Annotated[int, typer.Option(help="Another number gives another set.")] = 0,
    originals: Annotated[
        int, typer.Option(help="How many pictures are edited and are to be found.")
    ] = 100,
    edits: Annotated[
        str | None, typer.Option(help="Only these, with commas between. Default: all of them.")
    ] = None,
    without_copy: Annotated[
        float | None,
        typer.Option(
            help="Share of the pictures to keep out of the collection. Default: as many as "
            "originals, at most a fifth.",
            show_default=False,
        ),
    ] = None,
    max_megapixels: MaxMegapixels = MEGAPIXELS,
    as_json: AsJson = False,
) -> None:
    """Make a set of edited copies of your pictures that says how well copies are found."""
    from .. import copies as making

    names = making.Wish().edits if edits is None else tuple(map(str.strip, edits.split(",")))
    wish = making.Wish(seed, originals, names, without_copy)
    limits = limits_of(max_megapixels, UPLOAD_MB)
    with _stoppable("nothing was kept"), terminal.copies_progress() as on_progress:
        made = making.make_copies(pictures, out, wish, limits=limits, on_progress=on_progress)
    show_copies(made, as_json=as_json)
    raise typer.Exit(SOME_FAILED if made.failures else 0)


@contextlib.contextmanager
def _stoppable(left: str) -> Iterator[None]:
    """Ctrl-C is one line, with what is left of the work, and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.note(f"stopped; {left}")
        raise typer.Exit(_INTERRUPTED) from None

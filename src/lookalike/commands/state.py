"""How a collection is, how it is going to be, how it could be faster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import terminal
from ..tables.plan import show_plan
from ..tables.stats import show_findings, show_stats
from ..tables.tune import show_tuned
from .opened import collection_path, opened
from .options import SOME_FAILED, AsJson, CollectionPath, Device, share

app = typer.Typer()


@app.command()
def stats(collection: CollectionPath = None, as_json: AsJson = False) -> None:
    """Say what a collection holds."""
    with opened(collection, for_records=True) as c:
        show_stats(c.stats(), as_json=as_json)


@app.command()
def doctor(
    collection: CollectionPath = None, device: Device = "auto", as_json: AsJson = False
) -> None:
    """Check this machine, the model and, if there is one, the collection."""
    from ..doctor import examine

    path = collection_path(collection)
    findings = examine(path if collection is not None or path.exists() else None, device)
    show_findings(findings, as_json=as_json)
    raise typer.Exit(SOME_FAILED if any(not each.sound for each in findings) else 0)


@app.command()
def plan(
    pictures: Annotated[str, typer.Option(help="How many there are to be, such as 5e6 or 5M.")],
    memory: Annotated[
        str | None, typer.Option(help="All that it may take, such as 8GB. Default: half of it.")
    ] = None,
    latency: Annotated[
        str | None, typer.Option(help="What a search may take at most, such as 20ms.")
    ] = None,
    recall: Annotated[float, typer.Option(help="The least recall@10, above 0 and up to 1.")] = 0.95,
    recipe: Annotated[str, typer.Option(help="A ready recipe or a .toml.")] = "default",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Say before anything is started which index to choose, and what a collection will take."""
    from .. import plan as planning
    from ..quantities import bytes_of, count_of, seconds_of
    from ..recipe import load

    wish = planning.Wish(
        count_of("--pictures", pictures),
        None if memory is None else bytes_of("--memory", memory),
        None if latency is None else seconds_of("--latency", latency),
        share("--recall", recall),
    )
    made = planning.make(load(recipe), wish, device)
    show_plan(made, as_json=as_json)
    raise typer.Exit(0 if made.scheme else SOME_FAILED)


@app.command()
def tune(
    collection: CollectionPath = None,
    recall: Annotated[float, typer.Option(help="The share of the true nearest to find.")] = 0.99,
    k: Annotated[int, typer.Option("-k", help="How many nearest count.")] = 10,
    sample: Annotated[int, typer.Option(help="How many stored pictures to try.")] = 500,
    embedding: Annotated[
        str | None, typer.Option(help="This one of several kinds of vectors alone.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw recall against speed to this .png.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have searches make the least effort that finds what exact search does, or nearly so."""
    from .. import curve
    from ..tune import tune as choose_efforts

    if plot is not None:
        curve.check(plot)
    with opened(collection) as c, terminal.tune_progress() as on_trial:
        every = choose_efforts(
            c, recall=recall, k=k, sample=sample, embedding=embedding, on_trial=on_trial
        )
    show_tuned(every, as_json=as_json)
    if plot is not None:
        curve.draw(every, plot)
        terminal.note(f"wrote {plot}")
    raise typer.Exit(0 if all(each.tuning.reached for each in every) else SOME_FAILED)

"""How a collection is, how it is going to be, how it could be faster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import terminal
from ..errors import BadQuery
from ..tables.plan import show_cluster_plan, show_plan
from ..tables.reconciled import show_reconciled
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
def reconcile(
    collection: Annotated[
        Path | None,
        typer.Argument(
            metavar="[COLLECTION]",
            envvar="LOOKALIKE_COLLECTION",
            help="A folder, or es+https://HOST:9200/NAME. Default: one in your own data folder.",
            show_default=False,
            readable=False,  # opening it tells better why it cannot be read
        ),
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend it; else only look.")] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Compare files, records, vectors and uploads, and say, or mend, what does not fit."""
    from ..reconcile import reconcile as reconciled

    with opened(collection, device=device) as c:
        found = reconciled(c, repair=repair)
    show_reconciled(found, as_json=as_json)
    raise typer.Exit(SOME_FAILED if found.left else 0)


@app.command()
def plan(
    pictures: Annotated[str, typer.Option(help="How many there are to be, such as 5e6 or 5M.")],
    memory: Annotated[
        str | None,
        typer.Option(
            help="What it may take, such as 8GB (half of all); with --dims, a node's (64GB)."
        ),
    ] = None,
    latency: Annotated[
        str | None, typer.Option(help="What a search may take at most, such as 20ms.")
    ] = None,
    recall: Annotated[float, typer.Option(help="The least recall@10, above 0 and up to 1.")] = 0.95,
    recipe: Annotated[str, typer.Option(help="A ready recipe or a .toml.")] = "default",
    dims: Annotated[
        int | None, typer.Option(help="Values of a vector: plans a cluster of Elasticsearch.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="With --dims: flat, hnsw, int8_hnsw or bbq_hnsw.")
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(help="With --dims: further copies of each shard (1).")
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Say before anything is started which index to choose, and what a collection will take."""
    from .. import plan as planning
    from ..quantities import bytes_of, count_of, seconds_of
    from ..recipe import load

    if dims is not None:
        _plan_cluster(pictures, dims, kind, replicas, memory, as_json=as_json)
        return
    if kind is not None or replicas is not None:
        raise BadQuery("--kind and --replicas go with --dims, which plans a cluster")

    wish = planning.Wish(
        count_of("--pictures", pictures),
        None if memory is None else bytes_of("--memory", memory),
        None if latency is None else seconds_of("--latency", latency),
        share("--recall", recall),
    )
    made = planning.make(load(recipe), wish, device)
    show_plan(made, as_json=as_json)
    raise typer.Exit(0 if made.scheme else SOME_FAILED)


def _plan_cluster(
    pictures: str,
    dims: int,
    kind: str | None,
    replicas: int | None,
    memory: str | None,
    *,
    as_json: bool,
) -> None:
    from .. import cluster_plan
    from ..quantities import bytes_of, count_of

    given = {
        "kind": kind,
        "replicas": replicas,
        "node_memory": None if memory is None else bytes_of("--memory", memory),
    }
    chosen: dict[str, Any] = {name: each for name, each in given.items() if each is not None}
    wish = cluster_plan.ClusterWish(count_of("--pictures", pictures), dims, **chosen)
    show_cluster_plan(cluster_plan.make(wish), as_json=as_json)


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

"""How a plan looks in a terminal, and as plain lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..quantities import written_bytes, written_time
from ..terminal import note, print_json, print_line, print_pairs

if TYPE_CHECKING:
    from ..cluster_plan import ClusterPlan
    from ..forecast import Way
    from ..plan import Plan, Scheme


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """What a collection would take, and the index to choose; why none, where nothing fits."""
    if as_json:
        print_json(plan.to_json())
    elif sys.stdout.isatty():
        _show_frame(plan)
    else:
        print_pairs(rows(plan))
        if plan.scheme:
            print_line(f"\n{plan.scheme.fragment.rstrip()}")
    if plan.scheme is None:
        note("nothing fits: let one of these wishes give way, or choose a recipe with `pca`")


def show_cluster_plan(plan: ClusterPlan, *, as_json: bool) -> None:
    """What a cluster would take, with the formula and where it is from."""
    if as_json:
        print_json(plan.to_json())
        return
    wish = plan.wish
    copies = f"{wish.replicas} replicas" if wish.replicas != 1 else "1 replica"
    print_pairs(
        [
            ("pictures", f"{wish.pictures:,} x {wish.dims}, {wish.kind}, {copies}"),
            ("memory", f"{written_bytes(round(plan.memory))} outside the heaps"),
            ("formula", plan.formula),
            ("on disk", f"{written_bytes(round(plan.disk))}, all copies, disks 85% full"),
            ("shards", f"{plan.shards:,}, each with {copies}"),
            (
                "nodes",
                f"{plan.nodes:,} of {written_bytes(wish.node_memory)}, for {plan.bound_by}; and "
                "three small ones that are masters",
            ),
            *(("source", each) for each in plan.to_json()["sources"]),
        ]
    )


def rows(plan: Plan) -> list[tuple[str, str]]:
    """Names, and what is to be said of each."""
    takes = [(name, f"{each} a picture, {total}") for name, each, total in _takes(plan)]
    return [("plan", _title(plan)), *_expected(plan), *takes]


def _show_frame(plan: Plan) -> None:
    """Print it in a frame, for a terminal."""
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.syntax import Syntax
    from rich.table import Table
    from rich.text import Text

    found = Table(box=None, pad_edge=False, show_header=False)
    found.add_column(style="bold", no_wrap=True)
    found.add_column(overflow="fold")
    for name, text in _expected(plan):
        shown = Text(text)
        found.add_row(Text(name, style="bold red" if name.startswith("!") else ""), shown)
    table = Table(box=None, pad_edge=False)
    table.add_column("on disk", style="bold", no_wrap=True)
    table.add_column("a picture", justify="right")
    table.add_column("all", justify="right", style="cyan")
    for name, each, total in _takes(plan):
        table.add_row(name, each, total, style="bold" if name == "together" else "")
    parts: list[Any] = [found, Text(), table]
    if plan.scheme:
        hint = Text("for the recipe:", style="dim")
        parts += [
            Text(),
            hint,
            Syntax(plan.scheme.fragment.rstrip(), "toml", background_color="default"),
        ]
    Console().print(Panel(Group(*parts), title=Text(_title(plan), style="bold"), expand=False))


def _title(plan: Plan) -> str:
    recipe = plan.recipe if plan.recipe.isprintable() else ascii(plan.recipe)
    return f"{plan.wish.pictures:,} pictures, recipe {recipe}"


def _takes(plan: Plan) -> list[tuple[str, str, str]]:
    """What is on disk: its name, of one picture, of all."""
    each = plan.picture
    return [
        (name, f"{taken:,.0f} bytes", written_bytes(round(taken * plan.wish.pictures)))
        for name, taken in (
            ("record", each.record),
            ("vectors", each.vectors),
            ("index", each.index),
            ("local features", each.local_features),
            ("together", each.stored),
            ("thumbnail, once looked at", each.thumbnail),
        )
    ]


_INSTEAD = {
    "memory": "more memory",
    "latency": "more time",
    "recall": "less recall",
    "memory and latency": "more of both",
}
"""How the wish that has to give way is called in a table."""


def _expected(plan: Plan) -> list[tuple[str, str]]:
    """What is chosen or would do instead, how it finds, and how long it takes to fill."""
    rows = []
    if plan.scheme is not None:
        scheme = plan.scheme
        rows += [
            ("index" if len(scheme.choices) == 1 else each.embedding, _way(each.way))
            for each in scheme.choices
        ]
        rows.append(("recall@10", f"{scheme.recall:.3f} of exact search, predicted"))
        search = f"{written_time(scheme.seconds)}, predicted, on one core"
        if not isinstance(plan.trial, str):
            search += (
                f"; {written_time(plan.trial.one_seconds)} more to describe a picture asked with"
            )
        rows.append(("a search", search))
        rows.append(("memory", _memory(scheme)))
    else:
        limits = [f"{written_bytes(plan.wish.memory)} of memory"] if plan.wish.memory else []
        limits += [f"{written_time(plan.wish.latency)} a search"] if plan.wish.latency else []
        wished = ", ".join([*limits, f"recall {plan.wish.recall:g}"])
        rows.append(("! nothing fits", wished))
        for name, scheme in plan.instead.items():
            ways = " + ".join(_way(each.way) for each in scheme.choices)
            found = f"recall {scheme.recall:.3f}, {written_time(scheme.seconds)} a search"
            rows.append((_INSTEAD[name], f"{ways}: {found}, {_memory(scheme)}"))
    if isinstance(plan.trial, str):
        rows.append(("ingest", f"not tried: {plan.trial}"))
    elif plan.ingest_seconds is not None:
        rate = f"{plan.trial.pictures_per_second:.0f} pictures/s described here just now"
        size = f"{plan.trial.megapixels:.2g} megapixels each; larger ones take longer"
        rows.append(("ingest", f"{written_time(plan.ingest_seconds)}: {rate}, of {size}"))
    return rows


def _way(way: Way) -> str:
    knobs = ", ".join(f"{name} {value}" for name, value in way.knobs.items())
    return f"{way.index} ({knobs})" if knobs else way.index


def _memory(scheme: Scheme) -> str:
    filling = f"up to {written_bytes(scheme.memory_filling)} while pictures come in"
    return f"{written_bytes(scheme.memory)} to search, {filling}"

"""How an evaluation looks in a terminal, and as plain lines."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from ..quantities import written_bytes
from ..terminal import note, print_json, print_pairs, visible

if TYPE_CHECKING:
    from ..evaluate.harness import Evaluation, Judgement, Measure

NAMES = {
    "map": "mAP",
    "p@1": "P@1",
    "p@10": "P@10",
    "ndcg@10": "nDCG@10",
    "mrr": "MRR",
    "micro_ap": "micro-AP",
    "recall_at_p90": "R@P90",
    "n_s": "N-S, of 4",
    "mp@1": "mP@1",
    "mp@5": "mP@5",
    "mp@10": "mP@10",
}
"""What papers call a measure, where that is not its own name."""
_WHEN = "95% of the time"
_NONE = "\N{EN DASH}"
_GROUPS = 5
"""How many of the worst are shown."""


def show_evaluation(evaluation: Evaluation, *, as_json: bool) -> None:
    """How good answers are; what was odd is told of on standard error."""
    for text in evaluation.notes:
        note(f"lookalike: {text}")
    if as_json:
        print_json(evaluation.to_json())
    elif sys.stdout.isatty():
        _show_frame(evaluation)
    else:
        print_pairs([(visible(name), visible(text)) for name, text in rows(evaluation)])


def rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Names, and what is to be said of each."""
    measured = [
        (_named(judgement, name), f"{value(name, measure)} ({_WHEN}: {between(name, measure)})")
        for judgement in evaluation.judgements
        for name, measure in judgement.measures.items()
    ]
    return [*_asked(evaluation), *measured, *_worst(evaluation), *_cost(evaluation)]


def _show_frame(evaluation: Evaluation) -> None:
    """Print it in a frame, for a terminal."""
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("measure", style="cyan", no_wrap=True)
    table.add_column("value", justify="right", style="bold")
    table.add_column(_WHEN, justify="right", style="dim")
    table.add_column("queries", justify="right", style="dim")
    for judgement in evaluation.judgements:
        for name, measure in judgement.measures.items():
            counted = f"{measure.queries:,}"
            figures = (value(name, measure), between(name, measure), counted)
            table.add_row(_named(judgement, name), *figures)
    about = Table(box=None, pad_edge=False, show_header=False)
    about.add_column(style="bold", no_wrap=True)
    about.add_column(overflow="fold")
    for name, text in (*_worst(evaluation), *_cost(evaluation)):
        about.add_row(name, Text(visible(text)))
    asked = "\n".join(text for _, text in _asked(evaluation)[1:])
    title = Text(visible(f"{evaluation.recipe} on {evaluation.truth.truth.path}"), style="bold")
    parts = (Text(visible(asked), style="dim"), Text(), table, Text(), about)
    Console().print(Panel(Group(*parts), title=title, expand=False))


def _asked(evaluation: Evaluation) -> list[tuple[str, str]]:
    truth = evaluation.truth.truth
    depth = "the whole ranking of each"
    if evaluation.depth < evaluation.pictures:
        depth = f"the first {evaluation.depth:,} hits of each"
    return [
        ("recipe", evaluation.recipe),
        (
            "asked",
            f"{counted(len(evaluation.asked), 'query', 'queries')} of {truth.layout}, "
            f"{counted(evaluation.pictures, 'picture', 'pictures')}, {depth}",
        ),
    ]


def _named(judgement: Judgement, name: str) -> str:
    named = NAMES.get(name, name)
    return named if judgement.setup == "all" else f"{judgement.setup} {named}"


def value(name: str, measure: Measure) -> str:
    """Of the measure of this name."""
    return number(measure.value, _digits(name))


def between(name: str, measure: Measure) -> str:
    """Its interval, which a single query has not."""
    low, high = measure.interval
    if math.isnan(low):
        return _NONE
    return f"{number(low, _digits(name))} to {number(high, _digits(name))}"


def number(value: float, digits: int) -> str:
    """With thousands, or a dash where there is none."""
    return _NONE if math.isnan(value) else f"{value:,.{digits}f}"


def counted(count: int, one: str, several: str) -> str:
    """`1 query`, `2 queries`."""
    return f"{count:,} {one if count == 1 else several}"


def _digits(name: str) -> int:
    return 2 if name == "n_s" else 3


def _worst(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Of several groups, those that are answered worst."""
    groups = evaluation.judgements[-1].groups.items()
    known = [(mean.value, name) for name, mean in groups if not math.isnan(mean.value)]
    if len(known) < 2:
        return []
    worst = sorted(known)[:_GROUPS]
    named = ", ".join(f"{name or 'no group'} {number(value, 3)}" for value, name in worst)
    return [("worst", f"{named}, of {len(known):,}")]


def _cost(evaluation: Evaluation) -> list[tuple[str, str]]:
    cost = evaluation.cost
    middle, most, nearly_all = (number(1e3 * each, 1) for each in (cost.p50, cost.p95, cost.p99))
    return [
        (
            "a search",
            f"p50 {middle} ms, p95 {most} ms, p99 {nearly_all} ms",
        ),
        ("many", f"{cost.rate:,.0f} queries a second"),
        ("on disk", f"{cost.bytes_a_picture:,.0f} bytes a picture"),
        ("in memory", f"{written_bytes(cost.peak_memory)} at most"),
    ]

"""How a comparison of recipes looks in a terminal, and as plain lines."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from ..quantities import written_bytes
from ..terminal import note, print_json, print_line, print_row, visible
from .evaluation import NAMES

if TYPE_CHECKING:
    from ..comparison import RecipeComparison, RecipeResult
    from ..evaluate.harness import Measure


def show_comparison(comparison: RecipeComparison, *, as_json: bool) -> None:
    """Recipes side by side, and which to take; what was odd is told of on standard error."""
    for text in comparison.notes:
        note(f"lookalike: {text}")
    if as_json:
        print_json(comparison.to_json())
    elif sys.stdout.isatty():
        _show_frame(comparison)
    else:
        print_row(*headings(comparison))
        for result in comparison.results:
            print_row(*cells(comparison, result))
        for text in footnotes(comparison):
            print_line(visible(text))


def headings(comparison: RecipeComparison) -> list[str]:
    """Of the columns."""
    return [
        "recipe",
        measure_name(comparison),
        "95% of the time",
        NAMES.get(comparison.second_measure, comparison.second_measure),
        "pictures/s",
        "queries/s",
        "p50 ms",
        "p99 ms",
        "a picture",
        "beside the best",
    ]


def cells(comparison: RecipeComparison, result: RecipeResult) -> list[str]:
    """A row."""
    cost, quality = result.cost, result.quality
    digits = digits_of(comparison.measure)
    return [
        result.name,
        number(quality.value, digits),
        between(quality, digits),
        number(result.measures[comparison.second_measure].value, 3),
        number(result.pictures_per_second, 1),
        number(cost.rate, 1),
        number(1e3 * cost.p50, 1),
        number(1e3 * cost.p99, 1),
        size(cost.bytes_a_picture),
        beside_the_best(comparison, result.name),
    ]


def footnotes(comparison: RecipeComparison) -> list[str]:
    """The verdict, what the marks mean, and what could not be run."""
    missing = [f"not run: {each.name}: {each.reason}" for each in comparison.not_run]
    return [
        comparison.verdict.sentence,
        *comparison.verdict.reasons,
        how_tested(comparison),
        *missing,
    ]


def _show_frame(comparison: RecipeComparison) -> None:
    """Print it in a frame, for a terminal."""
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for place, heading in enumerate(headings(comparison)):
        right = 0 < place < len(headings(comparison)) - 1
        style = {0: "cyan", 1: "bold", 2: "dim"}.get(place, "")
        table.add_column(
            heading, style=style, justify="right" if right else "left", no_wrap=place != 0
        )
    for result in comparison.results:
        style = "bold green" if result.name == comparison.verdict.take else ""
        row = [Text(visible(cell)) for cell in cells(comparison, result)]
        row[0].stylize(style)
        table.add_row(*row)
    first, *others = footnotes(comparison)
    parts = [Text(), Text(visible(first), style="bold"), *(Text(visible(each)) for each in others)]
    title = Text(visible(f"{comparison.folder}, {asked(comparison)}"), style="bold")
    Console().print(Panel(Group(table, *parts), title=title, expand=False))


def asked(comparison: RecipeComparison) -> str:
    """How much was looked at."""
    queries = len(comparison.results[0].queries) if comparison.results else 0
    return f"{comparison.pictures:,} pictures, {queries:,} queries of {comparison.layout}"


def how_tested(comparison: RecipeComparison) -> str:
    """What `as good` and `worse` mean."""
    test = "a paired randomisation test over queries"
    if comparison.pooled:
        test = "a paired bootstrap over queries"
    return (
        f"as good: not significantly worse than the best, by {test} at 0.05, "
        "with Holm's correction for the number of pairs"
    )


def measure_name(comparison: RecipeComparison) -> str:
    """Of the measure that decides, with its setup."""
    named = NAMES.get(comparison.measure, comparison.measure)
    return named if comparison.setup == "all" else f"{comparison.setup} {named}"


def beside_the_best(comparison: RecipeComparison, name: str) -> str:
    """`best`, `as good` or `worse`, and by how much."""
    if name == comparison.verdict.best:
        return "best"
    against = comparison.against.get(name)
    if against is None or math.isnan(against.p_value):
        return "cannot be told"
    word = "worse" if against.is_worse else "as good"
    return f"{word}, {against.difference:+.3f}".replace("-", "\N{MINUS SIGN}")


def between(measure: Measure, digits: int) -> str:
    """Its interval."""
    low, high = measure.interval
    return f"{number(low, digits)} to {number(high, digits)}"


def number(value: float, digits: int) -> str:
    """With thousands, or a dash where there is none."""
    return "\N{EN DASH}" if math.isnan(value) else f"{value:,.{digits}f}"


def size(value: float) -> str:
    """Bytes, in the largest unit of which there is one."""
    return written_bytes(round(value))


def digits_of(measure: str) -> int:
    """Behind the point."""
    return 2 if measure == "n_s" else 3

"""How a comparison of recipes looks in a terminal, and as plain lines."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..quantities import written_bytes
from ..terminal import note, print_json, print_line, print_row, visible
from .evaluation import NAMES, between, counted, number, value

if TYPE_CHECKING:
    from rich.table import Table

    from ..comparison import RecipeComparison, RecipeResult


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
    cost, measure = result.cost, comparison.measure
    return [
        result.name,
        value(measure, result.quality),
        between(measure, result.quality),
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
        *([how_tested(comparison)] if len(comparison.results) > 1 else []),
        *missing,
    ]


def _show_frame(comparison: RecipeComparison) -> None:
    """Print it in a frame, for a terminal."""
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.text import Text

    console = Console()
    columns, room = _columns(comparison), console.width - _FRAME
    taken = [result.name == comparison.verdict.take for result in comparison.results]
    parts = [range(len(columns))] if _width(map(_widest, columns)) <= room else _IN_TWO
    tables = [_table([columns[place] for place in part], taken, room) for part in parts if taken]
    first, *others = footnotes(comparison)
    title = Text(visible(f"{comparison.folder}, {asked(comparison)}"), style="bold")
    figures = [each for table in tables for each in (table, Text())]
    said = [Text(visible(first), style="bold"), *(Text(visible(each)) for each in others)]
    console.print(Panel(Group(*figures, *said), title=title, expand=False))


_GAP, _FRAME = 2, 4
_IN_TWO = ((0, 1, 2, 3, 9), (0, 4, 5, 6, 7, 8))
"""Where a terminal is narrow: the columns of quality above those of what it costs."""
_STYLES = {"recipe": "cyan", "95% of the time": "dim"}
_LEFT = ("recipe", "beside the best")
_SHORTEST = 8
"""Letters of a recipe's name in a line, at least."""


def _columns(comparison: RecipeComparison) -> list[list[str]]:
    """Each with its heading."""
    rows = (cells(comparison, result) for result in comparison.results)
    table = (headings(comparison), *([visible(cell) for cell in row] for row in rows))
    return [list(column) for column in zip(*table, strict=True)]


def _table(columns: Sequence[Sequence[str]], taken: Sequence[bool], room: int) -> Table:
    """Figures are never cut short: headings are broken into lines, then names. `room`: letters."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    widths = [*map(_widest, columns)]
    if _width(widths) > room:
        widths = [max(map(len, (*below, *heading.split()))) for heading, *below in columns]
        widths[0] = max(min(widths[0], room - _width((0, *widths[1:]))), _SHORTEST)
    for (heading, *_), width in zip(columns, widths, strict=True):
        table.add_column(
            heading,
            style=_STYLES.get(heading, ""),
            justify="left" if heading in _LEFT else "right",
            overflow="fold",
            width=width,
        )
    for is_taken, *row in zip(taken, *(each[1:] for each in columns), strict=True):
        first, second, *others = map(Text, row)
        second.stylize("bold")
        first.stylize("bold green" if is_taken else "")
        table.add_row(first, second, *others)
    return table


def _widest(column: Sequence[str]) -> int:
    return max(map(len, column))


def _width(columns: Iterable[int]) -> int:
    """Of columns side by side."""
    return sum(each + _GAP for each in columns) - _GAP


def asked(comparison: RecipeComparison) -> str:
    """How much was looked at."""
    queries = len(comparison.results[0].queries) if comparison.results else 0
    return (
        f"{counted(comparison.pictures, 'picture', 'pictures')}, "
        f"{counted(queries, 'query', 'queries')} of {comparison.layout}"
    )


def how_tested(comparison: RecipeComparison) -> str:
    """What `tied` and `worse` mean."""
    test = "a paired randomisation test over queries"
    if comparison.pooled:
        test = "a paired bootstrap over queries"
    return (
        f"tied: not significantly worse than the best, by {test} at 0.05, "
        "with Holm's correction for the number of pairs"
    )


def measure_name(comparison: RecipeComparison) -> str:
    """Of the measure that decides, with its setup."""
    named = NAMES.get(comparison.measure, comparison.measure)
    return named if comparison.setup == "all" else f"{comparison.setup} {named}"


def beside_the_best(comparison: RecipeComparison, name: str) -> str:
    """`best`, `tied` or `worse`, and by how much."""
    if name == comparison.verdict.best:
        return "best"
    against = comparison.against.get(name)
    if against is None or math.isnan(against.p_value):
        return "cannot be told"
    word = "worse" if against.is_worse else "tied"
    return f"{word}, {against.difference:+.3f}".replace("-", "\N{MINUS SIGN}")


def size(value: float) -> str:
    """Bytes, in the largest unit of which there is one."""
    return written_bytes(round(value))

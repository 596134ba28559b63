"""Which classes, landmarks or kinds of edit each recipe finds, and which it does not."""

from __future__ import annotations

import math

import numpy as np

from ..comparison import RecipeComparison, RecipeResult
from ..tables import comparison as told
from . import charts
from .markup import Markup, element
from .parts import figure, legend, row, section, table, text_cell

_ALL = 20
_ELSE = 10
_BARS = 4
_A_CHART = 10
_NAMED = 4


def groups(comparison: RecipeComparison, colours: dict[str, str]) -> Markup:
    """Bars for each group, and a table of the best and the worst groups of each recipe."""
    shown = chosen(comparison)
    if not shown:
        return Markup()
    drawn = [each for each in comparison.results if colours[each.name] in _first_colours()]
    count = len(comparison.results[0].groups)
    rows = [_row(name, drawn, colours) for name in shown]
    most = 4.0 if comparison.measure == "n_s" else 1.0
    parts = [rows[start : start + _A_CHART] for start in range(0, len(rows), _A_CHART)]
    figures = [
        figure(f"{part[0].name} to {part[-1].name}", charts.bars("Quality of each", part, most))
        for part in parts
    ]
    which = (
        "All of them" if len(shown) == count else f"The {len(shown)} of {count} that differ most"
    )
    return section(
        "What is found, and what is not",
        f"{_measure(comparison)} over the queries of each class, landmark or kind of edit. "
        f"{which}, the hardest first.",
        legend([each.name for each in drawn], colours, charts.block),
        element("div", *figures, class_="charts" if len(figures) > 1 else "charts one"),
        _table(comparison, colours),
    )


def chosen(comparison: RecipeComparison) -> list[str]:
    """All groups, or those in which recipes differ most; those found worst first."""
    results = [each for each in comparison.results if each.groups]
    if not results:
        return []
    names = list(results[0].groups)
    values = np.array([[each.groups[name].value for name in names] for each in results])
    known = [n for n in range(len(names)) if not np.isnan(values[:, n]).any()]
    if len(known) > _ALL:
        spread = values.max(axis=0) - values.min(axis=0)
        known = sorted(known, key=lambda n: -spread[n])[:_ELSE]
    return [names[n] for n in sorted(known, key=lambda n: values[0, n])]


def said_of(name: str) -> str:
    """A group by its name, which may be empty."""
    return name or "no group"


def _row(name: str, results: list[RecipeResult], colours: dict[str, str]) -> charts.Row:
    bars = [(each.name, colours[each.name], each.groups[name].value) for each in results]
    return charts.Row(said_of(name), bars)


def _first_colours() -> set[str]:
    return {f"s{number}" for number in range(1, _BARS + 1)}


def _table(comparison: RecipeComparison, colours: dict[str, str]) -> Markup:
    rows = []
    for each in comparison.results:
        known = [item for item in each.groups.items() if not math.isnan(item[1].value)]
        order = [
            f"{said_of(name)} {mean.value:.2f}"
            for name, mean in sorted(known, key=lambda item: item[1].value)
        ]
        few = min(_NAMED, len(order) // 2)
        sides = (order[:few], order[::-1][:few])
        cells = [text_cell(", ".join(side)) for side in sides]
        rows.append(row(each.name, colours[each.name], cells))
    return table(
        "The worst and the best of each recipe", ["recipe", "worst", "best"], rows, textual=True
    )


def _measure(comparison: RecipeComparison) -> str:
    """The means of groups are of the queries' own measure, also where all are pooled."""
    return "Mean average precision" if comparison.pooled else told.measure_name(comparison)

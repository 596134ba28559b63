"""Which score to ask for, where wrong hits must be rare."""

from __future__ import annotations

import math

from ..comparison import RecipeComparison, RecipeResult
from ..tables.evaluation import number
from . import charts
from .markup import Markup, element
from .parts import figure, row, section, table


def thresholds(comparison: RecipeComparison, colours: dict[str, str]) -> Markup:
    """The suggested threshold of each recipe, and what others would give."""
    if not comparison.results:
        return Markup()
    wanted = f"{100 * comparison.false_positives:g}%"
    drawn = [
        figure(each.name, _chart(each))
        for each in comparison.results
        if colours[each.name] != "s0" and len(each.curve.threshold)
    ]
    key = element(
        "ul",
        element("li", charts.swatch("s2"), "queries with a wrong hit (false positives)"),
        element("li", charts.swatch("s1"), "right pictures found (recall)"),
        class_="legend",
    )
    rows = [row(each.name, colours[each.name], _cells(each)) for each in comparison.results]
    headings = ["recipe", "threshold", "false positives", "95% of the time", "recall"]
    caption = f"The lowest threshold with a wrong hit for at most {wanted} of the queries"
    return section(
        "Which threshold to set",
        "`lookalike search --threshold T` keeps the hits whose score is at least T. For each "
        f"recipe, the lowest T at which at most {wanted} of the queries have a wrong hit "
        "(`--false-positives` asks for another share). The interval is Clopper and Pearson's: "
        "where that share lies for other queries of the same kind.",
        table(caption, headings, rows),
        element("div", *drawn, class_="charts small") if drawn else "",
        key if drawn else "",
    )


def _cells(result: RecipeResult) -> list[str]:
    point = result.threshold
    low, high = point.interval
    return [
        written(point.threshold),
        _share(point.false_positive_rate),
        f"{_share(low)} to {_share(high)}",
        number(point.recall, 3),
    ]


def written(threshold: float) -> str:
    """Nine digits, which is what it takes to say a float32 exactly."""
    return "none needed" if math.isinf(threshold) else f"{threshold:.9g}"


def _share(value: float) -> str:
    return f"{100 * value:.2f}%"


def _chart(result: RecipeResult) -> Markup:
    curve, at = result.curve, result.threshold.threshold
    lines = [
        _line("recall", "s1", curve.threshold.tolist(), curve.recall.tolist()),
        _line(
            "false positives", "s2", curve.threshold.tolist(), curve.false_positive_rate.tolist()
        ),
    ]
    ends = [*curve.threshold.tolist(), *([at] if math.isfinite(at) else [])]
    return charts.line_chart(
        f"{result.name}: recall and false positives at each threshold",
        lines,
        ("threshold on the score", "share"),
        x_range=(min(ends), max(ends)),
        mark=(at, f"{at:.3f}") if math.isfinite(at) else None,
    )


def _line(name: str, colour: str, scores: list[float], shares: list[float]) -> charts.Line:
    """In steps: from a score down to just above the next, what passes is the same."""
    x = [score for score in scores for _ in range(2)][1:]
    y = [share for share in shares for _ in range(2)][:-1]
    return charts.Line(name, colour, x, y)

"""What quality costs, and how it is made up of precision and recall."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..comparison import RecipeComparison, RecipeResult
from ..tables import comparison as told
from . import charts
from .markup import Markup, element
from .parts import figure, legend, section


def tradeoffs(comparison: RecipeComparison, colours: dict[str, str]) -> Markup:
    """Quality against time and against bytes; none where there is nothing to be seen."""
    measure = told.measure_name(comparison)

    def chart(heading: str, axis: str, cost: Callable[[RecipeResult], float]) -> Markup:
        points = [
            charts.Point(each.name, colours[each.name], cost(each), each.quality.value)
            for each in comparison.results
            if not math.isnan(each.quality.value) and cost(each) > 0
        ]
        if len(points) < 2:
            return Markup()
        return figure(heading, charts.scatter(f"{heading}: {measure}", points, (axis, measure)))

    drawn = [
        chart("Quality against time", "ms a search (p50)", lambda each: 1e3 * each.cost.p50),
        chart("Quality against size", "bytes a picture", lambda each: each.cost.bytes_a_picture),
    ]
    if not any(drawn):
        return Markup()
    return section(
        "What quality costs",
        "Up is better, left is cheaper. Those on the dotted line, the Pareto front, are named in "
        "bold: no other recipe is both better and cheaper.",
        element("div", *drawn, class_="charts"),
    )


def precision_and_recall(comparison: RecipeComparison, colours: dict[str, str]) -> Markup:
    """A curve for each recipe."""
    lines = [
        charts.Line(
            each.name,
            colours[each.name],
            np.linspace(0, 1, len(each.precision)).tolist(),
            each.precision.tolist(),
        )
        for each in sorted(comparison.results, key=lambda each: colours[each.name] == "s0")
        if not np.isnan(each.precision).any()
    ]
    if not lines:
        return Markup()
    chart = charts.line_chart("Precision against recall", lines, ("recall", "precision"))
    of_what = "The mean over all queries"
    if comparison.pooled:
        of_what = "Of the answers to all queries as one ranking by score"
    names = legend([line.name for line in lines], colours)
    return section(
        "Precision and recall",
        "To find this share of all that is right (recall), so large a share of the hits is right "
        f"(precision, the best at that recall or beyond). {of_what}. A curve that stays up to the "
        "right finds everything before anything wrong.",
        element("div", figure("Precision against recall", chart, names), class_="charts one"),
    )

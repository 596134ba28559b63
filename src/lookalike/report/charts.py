"""The three charts of a report, as SVG that takes its colours from the page.

A series is drawn in the colour of its class, `s1` to `s6`, or `s0` for one among many.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .labels import Box, placed, shortened
from .markup import Markup, element, joined
from .scales import Scale, around, written

_WIDTH, _HEIGHT = 430.0, 310.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 418.0, 30.0, 266.0
_BAR, _BETWEEN = 11.0, 10.0
_NAMES = 128.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a line chart."""

    name: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a scatter chart."""

    name: str
    colour: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Row:
    """One group of bars: a name, and a value and a colour for each bar."""

    name: str
    bars: Sequence[tuple[str, str, float]]
    """Of each the name, the colour and the length, 0 to the end of the scale; NaN for none."""


def line_chart(
    title: str,
    lines: Sequence[Line],
    axes: tuple[str, str],
    *,
    x_range: tuple[float, float] = (0.0, 1.0),
    mark: tuple[float, str] | None = None,
) -> Markup:
    """Lines over a range, 0 to 1 high. `mark`: a place on the axis with what it is."""
    low, high = x_range
    x = Scale(low, high if high > low else low + 1e-3, _LEFT, _RIGHT)
    y = Scale(0.0, 1.0, _BOTTOM, _TOP)
    drawn = [_grid(x, y, axes)]
    for line in reversed(lines):  # the first on top
        known = [(x(a), y(b)) for a, b in zip(line.x, line.y, strict=True) if not math.isnan(a + b)]
        if len(known) == 1:
            drawn.append(
                element("circle", cx=known[0][0], cy=known[0][1], r=4, class_=f"dot {line.colour}")
            )
        elif known:
            path = element("title", line.name)
            drawn.append(
                element("polyline", path, points=_points(known), class_=f"line {line.colour}")
            )
    if mark is not None and low <= mark[0] <= high:
        drawn.append(_mark(x(mark[0]), mark[1]))
    return _svg(title, _HEIGHT, drawn)


def scatter(title: str, points: Sequence[Point], axes: tuple[str, str]) -> Markup:
    """Points by a cost, on a logarithmic scale, and a quality, those on the Pareto front joined."""
    x = around([each.x for each in points], _LEFT, _RIGHT, log=True)
    y = around([each.y for each in points], _BOTTOM, _TOP)
    front = pareto_front(points)
    steps = [(x(each.x), y(each.y)) for each in front]
    corners = [
        corner for one, next in itertools.pairwise(steps) for corner in ((next[0], one[1]), next)
    ]
    drawn = [
        _grid(x, y, axes),
        element("polyline", points=_points([*steps[:1], *corners]), class_="front"),
    ]
    spots = [(x(each.x), y(each.y)) for each in points]
    boxes = placed([each.name for each in points], spots, Box(_LEFT, _TOP, _RIGHT, _BOTTOM))
    marked = zip(points, spots, boxes, strict=True)
    for point, spot, box in sorted(marked, key=lambda each: each[0] not in front):
        drawn += _point(point, spot, box, inside=point in front)
    return _svg(title, _HEIGHT, drawn)


def bars(title: str, rows: Sequence[Row], most: float = 1.0) -> Markup:
    """Groups of horizontal bars from 0 to `most`, each with its value."""
    x = Scale(0.0, most, _NAMES + 8, _WIDTH - 40)
    drawn, top = [], 4.0
    for row in rows:
        height = _BAR * len(row.bars)
        label = element(
            "text",
            element("title", row.name),
            shortened(row.name, 18),
            x=_NAMES,
            y=top + height / 2 + 4.5,
            class_="end",
        )
        drawn.append(label)
        for number, (name, colour, value) in enumerate(row.bars):
            at = top + number * _BAR
            if math.isnan(value):
                continue
            about = element("title", f"{row.name}, {name}: {value:.3f}")
            width = max(x(value) - x.start, 1.0)
            drawn.append(
                element(
                    "rect",
                    about,
                    x=x.start,
                    y=at + 0.5,
                    width=width,
                    height=_BAR - 1.5,
                    class_=f"bar {colour}",
                )
            )
            drawn.append(
                element(
                    "text", f"{value:.2f}", x=x.start + width + 5, y=at + _BAR - 1.5, class_="value"
                )
            )
        top += height + _BETWEEN
    drawn.append(
        element("line", x1=x.start, x2=x.start, y1=0, y2=top - _BETWEEN + 4, class_="axis")
    )
    return _svg(title, top, drawn)


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in cost and in quality, by rising cost."""
    front: list[Point] = []
    for each in sorted(points, key=lambda point: (point.x, -point.y)):
        if not front or each.y > front[-1].y:
            front.append(each)
    return front


def block(colour: str) -> Markup:
    """A piece of a bar, to stand beside a name."""
    bar = element("rect", x=1, y=0, width=24, height=10, class_=f"bar {colour}")
    return element("svg", bar, viewBox="0 0 26 10", class_="swatch", aria_hidden="true")


def swatch(colour: str) -> Markup:
    """A short line as a chart draws it, to stand beside a name."""
    line = element("line", x1=1, x2=25, y1=5, y2=5, class_=f"line {colour}")
    return element("svg", line, viewBox="0 0 26 10", class_="swatch", aria_hidden="true")


def _svg(title: str, height: float, drawn: Sequence[Markup]) -> Markup:
    return element(
        "svg",
        element("title", title),
        *drawn,
        viewBox=f"0 0 {_WIDTH:g} {height:g}",
        role="img",
        aria_label=title,
    )


def _grid(x: Scale, y: Scale, axes: tuple[str, str]) -> Markup:
    parts = []
    for tick in y.ticks():
        at = y(tick)
        parts.append(element("line", x1=_LEFT, x2=_RIGHT, y1=at, y2=at, class_="grid"))
        parts.append(element("text", written(tick), x=_LEFT - 7, y=at + 4.5, class_="end"))
    for tick in x.ticks():
        at = x(tick)
        parts.append(element("line", x1=at, x2=at, y1=_TOP, y2=_BOTTOM, class_="grid"))
        parts.append(element("text", written(tick), x=at, y=_BOTTOM + 17, class_="middle"))
    parts.append(element("line", x1=_LEFT, x2=_RIGHT, y1=_BOTTOM, y2=_BOTTOM, class_="axis"))
    parts.append(
        element("text", axes[0], x=(_LEFT + _RIGHT) / 2, y=_HEIGHT - 8, class_="middle what")
    )
    parts.append(element("text", axes[1], x=4, y=16, class_="what"))
    return joined(*parts)


def _point(
    point: Point, spot: tuple[float, float], box: Box | None, *, inside: bool
) -> list[Markup]:
    """A point and its name. On the front it is so large that another in its place is seen on it."""
    about = element("title", f"{point.name}: {point.y:.3f} at {written(point.x)}")
    radius = 7.5 if inside else 4
    drawn = [
        element("circle", about, cx=spot[0], cy=spot[1], r=radius, class_=f"dot {point.colour}")
    ]
    if box is not None:
        name, kind = shortened(point.name), "name on" if inside else "name"
        drawn.append(element("text", name, x=box.left, y=box.bottom - 3, class_=kind))
    return drawn


def _mark(at: float, text: str) -> Markup:
    """A line across, and what it is on the side that has room."""
    left = at > (_LEFT + _RIGHT) / 2
    return joined(
        element("line", x1=at, x2=at, y1=_TOP - 6, y2=_BOTTOM, class_="mark"),
        element(
            "text",
            text,
            x=at - 6 if left else at + 6,
            y=_TOP - 9,
            class_="marked end" if left else "marked",
        ),
    )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)

"""What the sections of the page are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ..comparison import RecipeComparison
from .charts import swatch
from .markup import Markup, element, escaped

_COLOURS = 6


def colours_of(comparison: RecipeComparison) -> dict[str, str]:
    """A colour for each recipe: those to choose from first, then by quality; beyond six, grey."""
    verdict = comparison.verdict
    chosen = [verdict.best, verdict.fast, verdict.small, *(r.name for r in comparison.results)]
    order = list(dict.fromkeys(name for name in chosen if name is not None))
    return {name: f"s{n}" if n <= _COLOURS else "s0" for n, name in enumerate(order, 1)}


def section(heading: str, lead: str, *parts: str) -> Markup:
    """A part of the page, with a sentence on how to read it."""
    return element(
        "section", element("h2", heading), element("p", *_with_code(lead), class_="faint"), *parts
    )


def figure(heading: str, chart: Markup, *below: str) -> Markup:
    """A chart with its heading."""
    return element("figure", element("h3", heading), chart, *below, class_="chart")


def legend(
    names: Iterable[str], colours: dict[str, str], sign: Callable[[str], Markup] = swatch
) -> Markup:
    """Which line is whose; those in grey together."""
    every = list(names)
    named = [name for name in every if colours[name] != "s0"]
    items = [element("li", sign(colours[name]), name) for name in named]
    if len(named) < len(every):
        items.append(element("li", sign("s0"), f"{len(every) - len(named)} others"))
    return element("ul", *items, class_="legend")


def table(
    caption: str, headings: Sequence[str], rows: Iterable[Markup], *, textual: bool = False
) -> Markup:
    """A table that scrolls where the screen is narrow; `textual`: not of numbers."""
    head = element("tr", *(_heading(each, textual) for each in headings))
    inside = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", head),
        element("tbody", *rows),
    )
    return element("div", inside, class_="scroll", role="region", tabindex="0", aria_label=caption)


def text_cell(text: str) -> Markup:
    """A cell of a textual table."""
    return element("td", *_with_code(text), class_="text")


def row(
    name: str, colour: str | None, cells: Iterable[str | Markup], *, taken: bool = False
) -> Markup:
    """A row of a table, the recipe's name first. Cells that are markup are whole cells."""
    mark = [] if colour is None else [swatch(colour)]
    written = (each if isinstance(each, Markup) else element("td", each) for each in cells)
    kind = {"class_": "taken"} if taken else {}
    return element("tr", element("th", *mark, name, scope="row"), *written, **kind)


def _heading(text: str, textual: bool) -> Markup:
    kind = {"class_": "text"} if textual else {}
    return element("th", text, scope="col", **kind)


def _with_code(text: str) -> Iterator[Markup]:
    """A text whose `words between backticks` are to be typed."""
    for number, part in enumerate(text.split("`")):
        yield element("code", part) if number % 2 else escaped(part)

"""A comparison of recipes -> the text of a page."""

from __future__ import annotations

from pathlib import Path

from ..comparison import RecipeComparison
from ..tables import comparison as told
from ..tables.evaluation import counted
from .explained import explained
from .groups import groups
from .markup import Markup, element
from .parts import colours_of, row, section, table, text_cell
from .queries import worst_queries
from .styles import STYLES
from .thresholds import thresholds
from .tradeoffs import precision_and_recall, tradeoffs

SIGNED = '<meta name="generator" content="lookalike compare-recipes">'
"""By which a page is known to be one of these."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(comparison: RecipeComparison) -> str:
    """All of it, as HTML that needs no other file and asks no network."""
    colours = colours_of(comparison)
    parts = [
        _heading(comparison),
        _cards(comparison),
        _table(comparison, colours),
        tradeoffs(comparison, colours),
        precision_and_recall(comparison, colours),
        groups(comparison, colours),
        thresholds(comparison, colours),
        worst_queries(comparison),
        _not_run(comparison),
        explained(comparison),
    ]
    policy = element("meta", http_equiv="Content-Security-Policy", content=_POLICY)
    title = element("title", f"Which recipe for {_folder(comparison)}?")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{SIGNED}\n{policy}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{title}\n<style>{STYLES}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _folder(comparison: RecipeComparison) -> str:
    return Path(comparison.folder).name or str(comparison.folder)


def _heading(comparison: RecipeComparison) -> Markup:
    missing = len(comparison.not_run)
    about = (
        f"Which recipe for {_folder(comparison)}? {told.asked(comparison)}, "
        f"{counted(len(comparison.results), 'recipe', 'recipes')} compared"
        + (f", {missing} could not be run" if missing else "")
    )
    return element(
        "header",
        element("p", about, class_="over"),
        element("h1", comparison.verdict.sentence),
    )


def _cards(comparison: RecipeComparison) -> Markup:
    """The three reasons, the recipe that they speak of above each."""
    verdict = comparison.verdict
    said = zip((verdict.best, verdict.fast, verdict.small), verdict.reasons, strict=False)
    cards = []
    for name, reason in said:
        what, _, rest = reason.partition(": ")
        inside = (element("span", what, class_="over"), element("b", name or ""))
        kind = "card taken" if name == verdict.take else "card"
        cards.append(element("div", *inside, element("p", _without(rest, name)), class_=kind))
    return element("div", *cards, class_="cards") if cards else Markup()


def _without(text: str, name: str | None) -> str:
    """What is said of a recipe, whose name stands above it."""
    for start in (f"{name}, ", "itself, "):
        text = text.removeprefix(start)
    return text


def _table(comparison: RecipeComparison, colours: dict[str, str]) -> Markup:
    if not comparison.results:
        return Markup()
    rows = []
    for result in comparison.results:
        _, *cells = told.cells(comparison, result)
        taken = result.name == comparison.verdict.take
        rows.append(row(result.name, colours[result.name], cells, taken=taken))
    caption = "Every recipe, the best first, the one to take in green"
    return section(
        "The figures",
        "Of quality, more is better; the interval is what other queries of the same kind would "
        f"give 95% of the time. {_capital(told.how_tested(comparison))}.",
        table(caption, told.headings(comparison), rows),
    )


def _not_run(comparison: RecipeComparison) -> Markup:
    if not comparison.not_run:
        return Markup()
    rows = [row(each.name, None, [text_cell(each.reason)]) for each in comparison.not_run]
    lead = "These recipes were to be compared as well. They are not worse, they are unknown."
    return section(
        "What could not be run", lead, table("Not run", ["recipe", "why"], rows, textual=True)
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

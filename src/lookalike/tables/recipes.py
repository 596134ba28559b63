"""How ready recipes and their models look, and what giving a collection another one did."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..terminal import fail, note, print_json, print_line, print_row, visible

if TYPE_CHECKING:
    from ..model_list import ListedModel
    from ..recipe import Recipe
    from ..reindex import Reindexed


def show_recipes(recipes: Sequence[Recipe], used: str | None, *, as_json: bool) -> None:
    """The ready recipes; `used` is the name of the collection's own."""
    if as_json:
        print_json(
            [
                {
                    "name": recipe.name,
                    "summary": recipe.summary,
                    "embeddings": {
                        each.name: {
                            "extractor": each.extractor.name,
                            "index": each.index.name,
                            "distance": each.distance,
                        }
                        for each in recipe.embeddings
                    },
                }
                for recipe in recipes
            ]
        )
        return
    width = max(len(recipe.name) for recipe in recipes)
    for recipe in recipes:
        star = "*" if recipe.name == used else " "
        print_line(f"{star} {recipe.name:<{width}}  {recipe.summary}")


def show_models(models: Sequence[ListedModel], *, as_json: bool) -> None:
    """Models, a line each: recipe, name, dimensions, size, licence, and where it is."""
    if as_json:
        print_json([model.to_json() for model in models])
        return
    rows = [
        (
            model.recipe,
            model.name,
            str(model.dim),
            f"{model.megabytes:.1f} MB",
            model.licence,
            f"{model.state}: {model.path or model.source}",
        )
        for model in models
    ]
    if not sys.stdout.isatty():
        for row in rows:
            print_row(*row)
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(map(visible, row), widths, strict=True)
        print_line("  ".join(f"{cell:<{width}}" for cell, width in cells).rstrip())


def show_reindexed(report: Reindexed, *, as_json: bool) -> None:
    """What a reindex did; pictures that cannot be read are listed on standard error."""
    for error in report.unreadable:
        fail(error)
    if as_json:
        print_json(report.to_json())
        return
    rate = f" ({report.pictures_per_second:.0f} pictures/s)" if report.done else ""
    print_line(f"{report.done:,} described anew{rate}")
    unreadable = len(report.unreadable)
    if report.swapped:
        gone = f", {unreadable:,} unreadable ones forgotten" if unreadable else ""
        print_line(f"the collection has the recipe {report.recipe} now{gone}")
    else:
        note(
            f"{unreadable:,} pictures cannot be read any more, so the old recipe stays: bring them "
            "back, or run the same with --forget-unreadable"
        )

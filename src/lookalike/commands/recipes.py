"""Recipes and their models: which there are, and another one for a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import terminal
from ..tables.exports import show_exported_network
from ..tables.recipes import show_models, show_recipes, show_reindexed
from .opened import collection_path, opened
from .options import (
    MEGAPIXELS,
    SOME_FAILED,
    UPLOAD_MB,
    AsJson,
    CollectionPath,
    Device,
    MaxMegapixels,
    MaxUploadMb,
    limits_of,
)

app = typer.Typer()
models = typer.Typer(help="The models of the ready recipes: what they are, which are here.")
app.add_typer(models, name="models")


@app.command()
def recipes(collection: CollectionPath = None, as_json: AsJson = False) -> None:
    """List the ready recipes, a star at that of the collection if there is one."""
    from ..recipe import ready
    from ..store import home_of

    used = None
    if home_of(collection_path(collection)).exists():
        with opened(collection, for_records=True) as c:
            used = c.recipe.name
    show_recipes(ready(), used, as_json=as_json)


@models.callback(invoke_without_command=True)
def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """List the models of the ready recipes: size, licence, and whether they are here."""
    if context.invoked_subcommand is None:
        from ..model_list import listed

        show_models(listed(), as_json=as_json)


@models.command("fetch")
def fetch_model(
    name: Annotated[str, typer.Argument(help="A model, or the recipe that uses it.")],
    as_json: AsJson = False,
) -> None:
    """Fetch a model's weights beforehand, for a machine or a time without internet."""
    from ..model_list import fetch

    show_models([fetch(name)], as_json=as_json)


@app.command()
def reindex(
    recipe: Annotated[str, typer.Option(help="A ready recipe, a .toml, or onnx:FILE.onnx.")],
    collection: CollectionPath = None,
    device: Device = "auto",
    forget_unreadable: Annotated[
        bool, typer.Option(help="Forget pictures whose files cannot be read any more.")
    ] = False,
    max_megapixels: MaxMegapixels = MEGAPIXELS,
    max_upload_mb: MaxUploadMb = UPLOAD_MB,
    as_json: AsJson = False,
) -> None:
    """Give a collection another recipe; the old one answers until the new one takes over."""
    from ..reindex import reindex as give_recipe

    limits = limits_of(max_megapixels, max_upload_mb)
    with (
        opened(collection, limits=limits, for_records=True) as c,
        terminal.reindex_progress() as (on_progress, on_learning),
    ):
        report = give_recipe(
            c,
            recipe,
            device=device,
            forget_unreadable=forget_unreadable,
            on_progress=on_progress,
            on_learning=on_learning,
        )
    show_reindexed(report, as_json=as_json)
    raise typer.Exit(0 if report.swapped else SOME_FAILED)


@app.command("export-onnx")
def export_onnx(
    recipe: Annotated[str, typer.Option(help="A recipe with a network of timm or open_clip.")],
    weights: Annotated[
        Path | None, typer.Option(help="A file in place of the recipe's weights.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", help="The file, .onnx. Default: named after the recipe.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Smaller, and faster on CPUs.")] = False,
    calibrate: Annotated[
        Path | None, typer.Option(help="For --int8: a folder of pictures like yours.")
    ] = None,
    opset: Annotated[int, typer.Option(help="The version of ONNX's operators.")] = 18,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a recipe's torch network as ONNX, which needs no torch; checked against it."""
    from .. import export_onnx as exporting
    from ..recipe import load

    chosen = load(recipe)
    target = output or Path(f"{chosen.name}-int8.onnx" if int8 else f"{chosen.name}.onnx")
    wish = exporting.Wish(int8, calibrate, opset, overwrite)
    exported = exporting.export(chosen, target, wish, weights=weights, on_step=terminal.note)
    show_exported_network(exported, as_json=as_json)

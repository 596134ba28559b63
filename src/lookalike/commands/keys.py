"""The keys that `serve --api-key-file` asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from .. import terminal
from .options import AsJson

app = typer.Typer()
keys = typer.Typer(
    help="Keys for `serve --api-key-file`: made, listed and removed.", no_args_is_help=True
)
app.add_typer(keys, name="keys")

_File = Annotated[
    Path,
    typer.Option(
        "--file", envvar="LOOKALIKE_API_KEY_FILE", help="The file of keys; only hashes are in it."
    ),
]


@keys.command()
def add(
    name: Annotated[str, typer.Argument(help="Who or what it is for.")],
    file: _File,
    scope: Annotated[str, typer.Option(help="read or write.")] = "read",
) -> None:
    """Make a key and print it, once: it is kept nowhere."""
    from ..errors import BadQuantity
    from ..serve import keys as ring

    if scope not in get_args(ring.Scope):
        raise BadQuantity("--scope", scope, "read or write")
    terminal.print_line(ring.add(file, name, cast(ring.Scope, scope)))
    terminal.note(f"this key is shown once; its hash is in {file}")


@keys.command("list")
def list_keys(file: _File, as_json: AsJson = False) -> None:
    """Names and scopes."""
    from ..serve import keys as ring

    found = ring.read(file)
    if as_json:
        terminal.print_json([{"name": each.name, "scope": each.scope} for each in found])
        return
    for each in found:
        terminal.print_row(each.name, each.scope)


@keys.command()
def remove(name: str, file: _File) -> None:
    """Have a key open nothing any more; a service that runs notices at once."""
    from ..serve import keys as ring

    ring.remove(file, name)

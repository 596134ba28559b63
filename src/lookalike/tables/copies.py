"""How a set of edited copies looks in a terminal, and as plain lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..quantities import written_bytes
from ..terminal import command, fail, note, print_json, print_pairs, visible

if TYPE_CHECKING:
    from ..copies import Made

_FAILURES = 10
"""How many are told of one by one; no command has a list of them."""


def show_copies(made: Made, *, as_json: bool) -> None:
    """The set that was made; the first pictures that failed are told of on standard error."""
    for error in made.failures[:_FAILURES]:
        fail(error)
    if len(made.failures) > _FAILURES:
        note(f"lookalike: and {len(made.failures) - _FAILURES:,} more; --json has them all")
    if as_json:
        print_json(made.to_json())
        return
    if sys.stdout.isatty():
        _show_frame(made, visible(str(made.path)))
    else:
        print_pairs([(name, visible(text)) for name, text in rows(made)])
    pictures = made.path / "collection"
    note(f"index it with `{command('index', pictures, '-c', f'{made.path}.lookalike')}`")


def rows(made: Made) -> list[tuple[str, str]]:
    """Names, and what is to be said of each."""
    edits = ", ".join(edit.name for edit in made.edits)
    return [("set", str(made.path)), *_counted(made), ("edits", edits)]


def _show_frame(made: Made, path: str) -> None:
    """Print it in a frame, for a terminal. `path`: of the set, fit to be printed."""
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    counted = Table(box=None, pad_edge=False, show_header=False)
    counted.add_column(style="bold", no_wrap=True)
    counted.add_column(overflow="fold")
    for name, text in _counted(made):
        style = "bold red" if name.startswith("!") else "bold"
        counted.add_row(Text(name, style=style), Text(text))
    table = Table(box=None, pad_edge=False)
    table.add_column("edit", style="cyan", no_wrap=True)
    table.add_column("what it does")
    for edit in made.edits:
        table.add_row(edit.name, edit.what)
    title = Text(path, style="bold")
    Console().print(Panel(Group(counted, Text(), table), title=title, expand=False))


def _counted(made: Made) -> list[tuple[str, str]]:
    pictures = [f"{made.pictures:,} different"]
    if made.identical:
        pictures.append(f"{made.identical:,} more with the content of another")
    if made.twins:
        pictures.append(f"{made.twins:,} of them left out, as a chosen one shows the same")
    if made.ignored:
        pictures.append(f"{made.ignored:,} not pictures")
    others = made.collection - made.originals
    size = f"{written_bytes(made.bytes)} in {made.seconds:.1f} s, seed {made.wish.seed}"
    kept_out = f"{made.kept_out:,} pictures kept out of the collection"
    rows = [
        ("pictures", "; ".join(pictures)),
        ("collection", f"{made.originals:,} originals among {others:,} others"),
        ("with a copy", f"{made.with_copy:,} queries: the originals, edited"),
        ("without one", f"{made.without_copy:,} queries: {kept_out}, edited likewise"),
        ("written", size),
    ]
    if made.failures:
        rows.insert(1, ("! failed", f"{len(made.failures):,} that cannot be read"))
    return rows

"""How duplicates look in a terminal, and as plain lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..quantities import written_bytes
from ..terminal import command, note, print_json, print_row, visible

if TYPE_CHECKING:
    from ..duplicates import Duplicates, Group
    from ..duplicates.clearing import Cleared

_SHOWN = 50
"""Groups that a terminal is shown; a pipe, JSON and the page get all."""


def show_duplicates(found: Duplicates, done: Cleared | None, *, as_json: bool) -> None:
    """Every group: the one to keep, why, and the others; then what became of them."""
    if as_json:
        cleared = None if done is None else done.to_json()
        print_json({**found.to_json(), "cleared": cleared})
        return
    if sys.stdout.isatty():
        for number, group in enumerate(found.groups[:_SHOWN], 1):
            _table(number, group)
    else:
        for number, group in enumerate(found.groups, 1):
            print_row(str(number), "keep", group.keep.place.path)
            for each in group.others:
                print_row(str(number), each.relation.kind, each.place.path)
    for line in told(found):
        note(line)
    if done is not None:
        _tell(done)


def told(found: Duplicates) -> list[str]:
    """What was found, and what it took, in sentences."""
    groups = f"{len(found.groups):,} group{'' if len(found.groups) == 1 else 's'}"
    lines = [
        f"{groups} of {' or '.join(found.kinds)}: {_files(found.others)} could go, "
        f"{written_bytes(found.size)}"
        if found.groups
        else f"no duplicates ({' or '.join(found.kinds)}) among {found.pictures:,} pictures",
        f"{found.compared:,} pairs of {found.pictures:,} pictures compared, {found.seconds:.1f} s",
    ]
    if found.described:
        lines[1] += f"; local features of {found.described:,} were made, and are kept"
    if len(found.groups) > _SHOWN and sys.stdout.isatty():
        lines.append(f"these are the first {_SHOWN}; --html has a page of them, --json all")
    if found.gone:
        lines.append(
            f"no longer where they were: {_files(len(found.gone))}; "
            "`lookalike index DIR --prune` forgets them"
        )
    return lines


def show_cleared(cleared: Cleared, *, as_json: bool) -> None:
    """What was taken back."""
    if as_json:
        print_json(cleared.to_json())
        return
    for place in cleared.done:
        print_row("restored", place)
    _tell_left(cleared)
    if cleared.unchanged:
        note(f"nothing to be taken back: {_files(len(cleared.unchanged))} as before")


def _tell(done: Cleared) -> None:
    _tell_left(done)
    note(f"{_files(len(done.done))} done, {written_bytes(done.freed)}")
    if done.log is not None:
        undo = command("duplicates", "-c", done.log.parent.parent, "--undo", done.log)
        note(f"`{undo}` takes it back")


def _tell_left(cleared: Cleared) -> None:
    for place, why in cleared.left.items():
        note(f"left as it is: {place}: {why}")


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def _table(number: int, group: Group) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for word, style, each in (
        ("keep", "bold green", group.keep),
        *((each.relation.kind, "yellow", each) for each in group.others),
    ):
        size = f"{each.record.width} x {each.record.height}"
        table.add_row(
            Text(word, style=style), size, written_bytes(each.size), Text(visible(each.place.path))
        )
    console = Console()
    console.print(Text(f"{number}. {group.why}", style="bold"))
    console.print(table)
    console.print()

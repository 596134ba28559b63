"""How a tuning looks in a terminal, and as plain lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..terminal import note, print_json, print_row, visible

if TYPE_CHECKING:
    from ..tune import Tuned


def show_tuned(every: Sequence[Tuned], *, as_json: bool) -> None:
    """What was tried for each embedding; a star at what searches use from now on."""
    if as_json:
        print_json({each.embedding: each.to_json() for each in every})
        return
    for each in every:
        rows = [
            (
                "*" if trial is each.tuning.chosen else "",
                str(trial.effort),
                f"{trial.recall:.4f}",
                f"{trial.median_ms:.3f}",
                f"{trial.p99_ms:.3f}",
                f"{trial.queries_per_second:,.0f}",
            )
            for trial in each.trials
        ]
        if sys.stdout.isatty():
            _table_of_trials(each, rows)
        else:
            for row in rows:
                print_row(each.embedding, *row)
        if each.advice is not None:
            note(f"lookalike: {each.advice}")


def _table_of_trials(tuned: Tuned, rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    tuning = tuned.tuning
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", style="bold green")
    table.add_column("effort", style="cyan", no_wrap=True)
    for name in (f"recall@{tuning.k}", "ms median", "ms p99", "queries/s"):
        table.add_column(name, justify="right")
    for row, trial in zip(rows, tuned.trials, strict=True):
        reaches = trial.recall >= tuning.wanted
        style = "bold" if trial is tuning.chosen else "" if reaches else "dim"
        table.add_row(*row, style=style)
    console = Console()
    console.print(Text(visible(tuned.embedding), style="bold underline"))
    console.print(table)
    said = f"{tuning.structure}, {tuning.vectors:,} vectors, {tuning.sample:,} of them as queries"
    if tuning.chosen.effort.to_json():
        said += f"; searches use {tuning.chosen.effort} from now on"
    else:
        said += ": exact search, there is nothing to tune"
    console.print(Text(said, style="dim"))
    console.print()

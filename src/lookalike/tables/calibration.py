"""How a calibration looks in a terminal, and as plain lines."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..calibration import ENOUGH
from ..terminal import note, print_json, print_row, visible

if TYPE_CHECKING:
    from ..calibration import Calibration, Scorer


def show_calibration(calibration: Calibration, *, as_json: bool) -> None:
    """What each score means; what to be careful with is said on standard error."""
    if as_json:
        print_json(calibration.to_json())
    elif sys.stdout.isatty():
        _tables(calibration)
    else:
        for row in rows(calibration):
            print_row(*row)
    for name, why in calibration.unjudged.items():
        note(f"lookalike: {visible(name)} is not calibrated: {why}")
    if not calibration.enough:
        note(f"lookalike: {too_small(calibration)}")


def rows(calibration: Calibration) -> list[tuple[str, ...]]:
    """Name, threshold, false positives, their upper bound, copies found, AUC of each score."""
    return [
        (
            name,
            threshold(each),
            f"{each.false_positives:.2%}",
            f"{each.bounds[1]:.2%}",
            f"{each.recall:.1%}",
            f"{each.auc:.4f}",
        )
        for name, each in calibration.scorers.items()
    ]


def threshold(scorer: Scorer) -> str:
    """From where on a hit passes, in the score's own scale."""
    sign = ">=" if scorer.higher_is_better else "<="
    return f"{sign} {scorer.threshold:.4g}"


def too_small(calibration: Calibration) -> str:
    """How little was measured, and what would be enough."""
    wanted = calibration.wanted
    worst = max((each.bounds[1] for each in calibration.scorers.values()), default=1.0)
    needed = math.ceil(ENOUGH / wanted)
    return (
        f"{calibration.sample:,} pictures are too few to tell {wanted:.2%} false positives from "
        f"more: it may be up to {worst:.1%}, and what passes is a guess between the few scores "
        "that were seen. Searches go by it all the same until you calibrate again. "
        f"Take {needed:,} or more (`--sample {needed}`) of a "
        "collection that has them, or a higher --false-positives"
    )


def _tables(calibration: Calibration) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("score", style="cyan", no_wrap=True)
    for name in ("passes", "false positives", "at most", "copies found", "AUC"):
        table.add_column(name, justify="right")
    for row in rows(calibration):
        table.add_row(*map(visible, row))
    console.print(table)
    console.print()
    console.print(_by_edit(calibration))
    console.print(Text(_said(calibration), style="dim"))


def _by_edit(calibration: Calibration) -> object:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("copies found", style="cyan", no_wrap=True)
    for name in calibration.scorers:
        table.add_column(visible(name), justify="right")
    for edit in dict.fromkeys(e for each in calibration.scorers.values() for e in each.edits):
        counted = [each.edits.get(edit) for each in calibration.scorers.values()]
        table.add_row(edit, *(f"{c.found} of {c.asked}" if c else "-" for c in counted))
    return table


def _said(calibration: Calibration) -> str:
    parts: Sequence[tuple[int, str]] = (
        (calibration.sample, "pictures, edited, as queries"),
        (calibration.judged, "judged pairs"),
        (calibration.twins, "pairs left out that are the same picture"),
        (calibration.unreadable, "pictures that could not be read"),
    )
    return "; ".join(f"{count:,} {what}" for count, what in parts if count)

"""How the answer of a search looks in a terminal, and as plain lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..terminal import fail, print_json, print_row, visible

if TYPE_CHECKING:
    from ..collection import Answer


def show_answer(answer: Answer, *, as_json: bool) -> None:
    """One answer. Why there is none is said on standard error, and in JSON as well."""
    if answer.error is not None:
        fail(answer.error)
    if as_json:
        hits = [hit.to_json() for hit in answer.hits]
        error = {"error": answer.error.reason} if answer.error is not None else {}
        print_json({"query": answer.query, "hits": hits, **error})
    elif answer.error is None and sys.stdout.isatty():
        _table_of_hits(answer)
    else:
        for hit in answer.hits:
            scores = [f"{name}={_number(score)}" for name, score in hit.scores.items()]
            label = hit.record.label or ""
            print_row(_query_name(answer), f"{hit.score:.4f}", label, hit.path, *scores)


def _table_of_hits(answer: Answer) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text  # no name of a file is taken for markup

    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right", style="dim")
    table.add_column("score", justify="right", style="bold")
    names = list(dict.fromkeys(name for hit in answer.hits for name in hit.scores))
    for name in names:
        table.add_column(name, justify="right")
    measured = any(hit.probability is not None for hit in answer.hits)
    if measured:
        table.add_column("copy?", justify="right")
    told = any(hit.kinship for hit in answer.hits)
    if told:
        table.add_column("", style="green", no_wrap=True)
    table.add_column("label", style="cyan", no_wrap=True)
    table.add_column("path", overflow="fold")
    for number, hit in enumerate(answer.hits, 1):
        label, path = visible(hit.record.label or ""), visible(hit.path)
        if hit.alike:
            path += f"  (and {len(hit.alike)} nearly identical)"
        scores = [_number(hit.scores.get(name)) for name in names]
        cells = [*scores, *([_percent(hit.probability)] if measured else [])]
        cells += [hit.kinship or ""] if told else []
        table.add_row(str(number), f"{hit.score:.3f}", *cells, Text(label), Text(path))
    console = Console()
    query = Text(visible(_query_name(answer)), style="bold underline")
    console.print(query, overflow="fold")
    console.print(table if answer.hits else Text("no hits", style="dim"))
    for number, hit in enumerate(answer.hits, 1):
        for name, why in hit.unavailable.items():
            console.print(Text(f"{number}: no {name}: {visible(why)}", style="dim"))
    console.print()


def _number(score: float | None) -> str:
    """As short as it can be; a dash for what could not be compared."""
    if score is None:
        return "-"
    return f"{score:.3f}".rstrip("0").rstrip(".")


def _percent(probability: float | None) -> str:
    """Never more certain than it is."""
    if probability is None:
        return "-"
    return "<1%" if probability < 0.01 else ">99%" if probability > 0.99 else f"{probability:.0%}"


def _query_name(answer: Answer) -> str:
    return answer.query if isinstance(answer.query, str) else " + ".join(answer.query)

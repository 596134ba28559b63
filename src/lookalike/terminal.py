"""How commands speak: results on standard output, messages and progress on standard error.

To a terminal: tables, which are in `tables`, and a progress bar. To a pipe: plain lines, whole
paths, no progress.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import LookalikeError

if TYPE_CHECKING:
    from .comparison import OnStep
    from .copies import OnProgress as OnMaking
    from .engine import OnLearning
    from .exchange import OnRows
    from .ingest import OnProgress, Report
    from .reindex import OnReindexed, Reindexed
    from .tune import OnTrial
    from .types import Trial


_COLOUR = re.compile("\x1b\\[[0-9;]*m")
"""What makes a terminal write in colours."""


def note(text: str) -> None:
    """A message, on standard error."""
    sys.stderr.write("\n".join(map(visible, text.split("\n"))) + "\n")


def fail(error: LookalikeError) -> None:
    """An error of the user's, on standard error."""
    note(f"lookalike: {error}")


def command(*arguments: str | Path) -> str:
    """What to type for another command, by the name that this program was called by."""
    program, usual = sys.argv[0], shutil.which("lookalike")
    is_script = Path(program).is_file() and Path(program).name != "__main__.py"
    if not is_script or (usual and Path(usual).samefile(program)):
        program = "lookalike"
    return shlex.join([program, *map(str, arguments)])


def print_line(text: str) -> None:
    """On standard output; what it cannot write must not end a listing."""
    encoding = sys.stdout.encoding
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")


def print_row(*cells: str) -> None:
    """Cells between tabs, so none may hold one."""
    print_line("\t".join(map(visible, cells)))


def print_pairs(rows: Sequence[tuple[str, str]]) -> None:
    """Names and what is to be said of each, in two columns."""
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print_line(f"{name:<{width}}  {text}")


def print_json(value: Any) -> None:
    """On a line, at once."""
    writes_utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    print_line(json.dumps(value, ensure_ascii=not writes_utf8))
    sys.stdout.flush()


def visible(text: str) -> str:
    """The same with what a terminal would obey, or what would break the line, as escapes."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


@contextlib.contextmanager
def briefly(who: str) -> Iterator[None]:
    """What another prints on standard output becomes messages: of each the first sentence.

    Ray tells so of workers that die, in pages, where our result is to stand alone.
    """
    with contextlib.redirect_stdout(_FirstSentences(who)):
        yield


class _FirstSentences(io.TextIOBase):
    """A stream that passes on the first sentence of what is written to it at once, each once."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._said: set[str] = set()

    def write(self, text: str) -> int:
        said = _COLOUR.sub("", text).strip().partition("\n")[0].partition(". ")[0]
        if said and said not in self._said:
            self._said.add(said)
            note(f"{self._who}: {said}")
        return len(text)


@contextlib.contextmanager
def ingest_progress(given: Sequence[str]) -> Iterator[tuple[OnProgress, OnLearning]]:
    """A bar with rate and time left, on a terminal's standard error; nothing elsewhere."""
    with _progress("indexing") as bar:

        def count() -> None:
            with contextlib.suppress(LookalikeError):
                bar.update(total=sources.count(given))

        def on_progress(report: Report) -> None:
            bar.update("indexing", report.seen, rate=report.pictures_per_second)

        if bar.shown:
            from . import sources

            threading.Thread(target=count, daemon=True).start()
        yield on_progress, bar.on_learning


@contextlib.contextmanager
def reindex_progress() -> Iterator[tuple[OnReindexed, OnLearning]]:
    """The same for a reindex."""
    with _progress("describing anew") as bar:

        def on_progress(report: Reindexed) -> None:
            done = report.done + len(report.unreadable)
            bar.update("describing anew", done, report.total, report.pictures_per_second)

        yield on_progress, bar.on_learning


@contextlib.contextmanager
def rows_progress(doing: str) -> Iterator[OnRows]:
    """The same for rows of a file of features."""
    with _progress(doing) as bar:
        yield lambda done, total: bar.update(doing, done, total)


@contextlib.contextmanager
def tune_progress() -> Iterator[OnTrial]:
    """The same for a tuning, which counts what it has tried."""
    with _progress("measuring") as bar:
        done = 0

        def on_trial(embedding: str, trial: Trial) -> None:
            nonlocal done
            done += 1
            bar.update(f"measuring {embedding}: {trial.effort}", done)

        yield on_trial


@contextlib.contextmanager
def copies_progress() -> Iterator[OnMaking]:
    """The same for making a set of edited copies."""
    with _progress("reading") as bar:
        yield bar.update


@contextlib.contextmanager
def queries_progress() -> Iterator[Callable[[int, int], None]]:
    """The same for asking every query of a ground truth."""
    with _progress("asking") as bar:
        yield lambda done, total: bar.update("asking", done, total)


@contextlib.contextmanager
def steps_progress(doing: str) -> Iterator[Callable[[str, int | None, int | None], None]]:
    """The same for work in several steps, each with a count of its own or none."""
    with _progress(doing) as bar:
        yield bar.update


@contextlib.contextmanager
def comparison_progress() -> Iterator[OnStep]:
    """The same for each recipe of a comparison."""
    with _progress("reading the ground truth") as bar:
        yield bar.update


class _Bar:
    """A progress bar of rich's, or nothing where there is no terminal."""

    def __init__(self, progress: Any) -> None:
        self.shown = progress is not None
        self._progress = progress
        self._task = progress.add_task("", total=None, rate="") if progress else None
        self._total: int | None = None

    def update(
        self,
        doing: str | None = None,
        done: int | None = None,
        total: int | None = None,
        rate: float = 0.0,
    ) -> None:
        self._total = total or self._total
        if self.shown:
            self._progress.update(
                self._task,
                description=doing,
                completed=done,
                total=self._total,
                rate=f"{rate:.0f}/s" if rate else "",
            )

    def on_learning(self, what: str, share: float) -> None:
        if self.shown:
            self._progress.update(
                self._task, description=f"learning {what}", completed=int(100 * share), total=100
            )


@contextlib.contextmanager
def _progress(doing: str) -> Iterator[_Bar]:
    if not sys.stderr.isatty():
        yield _Bar(None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeLeft(),
    )
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # who does that is `briefly`
    ) as progress:
        bar = _Bar(progress)
        bar.update(doing)
        yield bar

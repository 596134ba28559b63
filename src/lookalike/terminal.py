"""How results look in a terminal, and how they are printed when there is none.

To a terminal: tables and a progress bar. To a pipe: plain lines, whole paths, no progress.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import sources
from .collection import Answer, Collection
from .engine import OnLearning
from .errors import LookalikeError
from .exchange import Exported, OnRows
from .ingest import OnProgress, Report
from .model_list import ListedModel
from .quantities import written_bytes
from .recipe import Recipe
from .reindex import OnReindexed, Reindexed
from .store import LedgerEntry
from .tune import OnTrial, Tuned
from .types import Effort, Finding, Trial

if TYPE_CHECKING:
    from .comparison import OnStep, RecipeComparison
    from .copies import Made
    from .copies import OnProgress as OnMaking
    from .evaluate.harness import Evaluation
    from .export_onnx import Exported as ExportedNetwork
    from .plan import Plan


_FAILURES = 10
"""How many are told of one by one, where a command has no list of them to ask for."""


def note(text: str) -> None:
    """A message, on standard error."""
    sys.stderr.write("\n".join(map(_visible, text.split("\n"))) + "\n")


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
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = _Bar(progress)
        bar.update(doing)
        yield bar


def show_reindexed(report: Reindexed, *, as_json: bool) -> None:
    """What a reindex did; pictures that cannot be read are listed on standard error."""
    for error in report.unreadable:
        fail(error)
    if as_json:
        _print_json(report.to_json())
        return
    rate = f" ({report.pictures_per_second:.0f} pictures/s)" if report.done else ""
    _print(f"{report.done:,} described anew{rate}")
    unreadable = len(report.unreadable)
    if report.swapped:
        gone = f", {unreadable:,} unreadable ones forgotten" if unreadable else ""
        _print(f"the collection has the recipe {report.recipe} now{gone}")
    else:
        note(
            f"{unreadable:,} pictures cannot be read any more, so the old recipe stays: bring them "
            "back, or run the same with --forget-unreadable"
        )


def show_exported(report: Exported, *, as_json: bool) -> None:
    """What an export wrote."""
    if as_json:
        _print_json(report.to_json())
    else:
        names = ", ".join(report.embeddings)
        size = written_bytes(report.bytes)
        _print(f"{report.pictures:,} pictures ({names}) to {_visible(str(report.file))}, {size}")


def show_report(
    report: Report, collection: Collection, *, as_json: bool, to_stderr: bool = False
) -> None:
    """What an ingest did."""
    if as_json:
        _print_json(report.to_json())
        return
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (report.stored, "stored"),
            (report.copies, "copies"),
            (report.unchanged, "unchanged"),
            (report.replaced, "replaced"),
            (report.removed, "removed"),
            (report.failed, "failed"),
            (report.ignored, "not pictures"),
        )
        if number
    ]
    rate = f" ({report.pictures_per_second:.0f} pictures/s)" if report.pictures_per_second else ""
    line = f"{', '.join(parts) or 'no pictures found'} in {report.seconds:.1f} s{rate}"
    total = f"{len(collection):,} pictures in {collection.path}"
    (note if to_stderr else _print)(f"{line}\n{total}")
    if report.failed:
        note(f"`{command('failures', '-c', collection.path)}` tells why the failed ones failed")


def show_answer(answer: Answer, *, as_json: bool) -> None:
    """One answer. Why there is none is said on standard error, and in JSON as well."""
    if answer.error is not None:
        fail(answer.error)
    if as_json:
        hits = [hit.to_json() for hit in answer.hits]
        error = {"error": answer.error.reason} if answer.error is not None else {}
        _print_json({"query": answer.query, "hits": hits, **error})
    elif answer.error is None and sys.stdout.isatty():
        _table_of_hits(answer)
    else:
        for hit in answer.hits:
            _print_row(_query_name(answer), f"{hit.score:.4f}", hit.record.label or "", hit.path)


def show_recipes(recipes: Sequence[Recipe], used: str | None, *, as_json: bool) -> None:
    """The ready recipes; `used` is the name of the collection's own."""
    if as_json:
        _print_json(
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
        _print(f"{star} {recipe.name:<{width}}  {recipe.summary}")


def show_models(models: Sequence[ListedModel], *, as_json: bool) -> None:
    """Models, a line each: recipe, name, dimensions, size, licence, and where it is."""
    if as_json:
        _print_json([model.to_json() for model in models])
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
            _print_row(*row)
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(map(_visible, row), widths, strict=True)
        _print("  ".join(f"{cell:<{width}}" for cell, width in cells).rstrip())


def show_stats(stats: dict[str, Any], *, as_json: bool) -> None:
    """What a collection holds."""
    if as_json:
        _print_json(stats)
        return
    formats = ", ".join(f"{name} {count:,}" for name, count in stats["formats"].items())
    rows = [
        ("collection", stats["path"]),
        ("recipe", stats["recipe"]),
        ("pictures", f"{stats['pictures']:,} in {stats['places']:,} places"),
        ("labels", f"{stats['labels']:,}"),
        ("formats", formats or "none"),
        ("failed", f"{stats['failed']:,} paths"),
        ("not pictures", f"{stats['ignored']:,} paths"),
        ("originals", written_bytes(stats["original_bytes"])),
        ("catalogue", written_bytes(stats["catalogue_bytes"])),
    ]
    for name, each in stats["embeddings"].items():
        size = f", {written_bytes(each['cache_bytes'])}" if each["cache_bytes"] else ""
        vectors = f"{each['vectors']:,} x {each['dim']}"
        rows.append((name, f"{vectors}, {each['distance']}, {each['structure']}{size}"))
        memory = f"{written_bytes(each['memory_bytes'])} when searched"
        on_disk = f", {each['bytes_per_vector']:,.0f} bytes a vector on disk" if size else ""
        rows.append((f"{name} memory", memory + on_disk))
        rows.append((f"{name} recall", _measured(each["tuning"])))
    _print_pairs(rows)


def _measured(tuning: dict[str, Any] | None) -> str:
    """Recall as last measured, and how."""
    if tuning is None:
        return "not measured: `lookalike tune` does"
    effort = Effort(**tuning["effort"])
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(tuning["measured"]))
    return (
        f"{tuning['recall']:.4f} at {tuning['k']} ({effort}), "
        f"measured {when} of {tuning['vectors']:,} vectors"
    )


def show_failures(entries: Iterable[LedgerEntry], *, as_json: bool) -> None:
    """Paths that gave no picture, each with its reason."""
    for entry in entries:
        if as_json:
            _print_json(entry.to_json())
        else:
            again = "to be tried again: " if entry.verdict == "retry" else ""
            _print_row(entry.path, f"{again}{entry.reason}")


def show_ledger(entries: Sequence[tuple[str, LedgerEntry | None]], *, as_json: bool) -> int:
    """What became of paths; how many of them were never seen."""
    for path, entry in entries:
        if as_json:
            _print_json(entry.to_json() if entry else {"path": path, "verdict": None})
        elif entry is None:
            _print_row(path, "never seen")
        elif entry.reason is not None:
            word = "to be tried again" if entry.verdict == "retry" else "skipped"
            _print_row(path, f"{word}: {entry.reason}")
        elif entry.copy_of is not None:
            _print_row(path, f"another place of {entry.copy_of}")
        else:
            _print_row(path, f"stored as {entry.id}")
    return sum(entry is None for _, entry in entries)


def show_exported_network(exported: ExportedNetwork, *, as_json: bool) -> None:
    """The files that an export wrote, and how near they are to the original."""
    sizes = {str(path): path.stat().st_size for path in exported.files}
    if as_json:
        closeness = {name: asdict(each) for name, each in exported.closeness.items()}
        _print_json({"files": sizes, "dim": exported.dim, "cosine": closeness})
        return
    for path, size in sizes.items():
        _print_row(path, written_bytes(size))
    for name, each in exported.closeness.items():
        _print_row(
            f"{each.inputs} {name}", f"cosine {each.least:.6f} or more, mean {each.mean:.6f}"
        )
    note(f"use it with `lookalike index DIR --recipe onnx:{exported.path}`")


def show_tuned(every: Sequence[Tuned], *, as_json: bool) -> None:
    """What was tried for each embedding; a star at what searches use from now on."""
    if as_json:
        _print_json({each.embedding: each.to_json() for each in every})
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
                _print_row(each.embedding, *row)
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
    console.print(Text(_visible(tuned.embedding), style="bold underline"))
    console.print(table)
    said = f"{tuning.structure}, {tuning.vectors:,} vectors, {tuning.sample:,} of them as queries"
    if tuning.chosen.effort.to_json():
        said += f"; searches use {tuning.chosen.effort} from now on"
    else:
        said += ": exact search, there is nothing to tune"
    console.print(Text(said, style="dim"))
    console.print()


def show_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    """What the doctor found."""
    if as_json:
        _print_json({each.name: {"sound": each.sound, "finding": each.text} for each in findings})
        return
    _print_pairs([(("" if each.sound else "! ") + each.name, each.text) for each in findings])


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """What a collection would take, and the index to choose; why none, where nothing fits."""
    from .tables import plan as table

    if as_json:
        _print_json(plan.to_json())
    elif sys.stdout.isatty():
        table.show(plan)
    else:
        _print_pairs(table.rows(plan))
        if plan.scheme:
            _print(f"\n{plan.scheme.fragment.rstrip()}")
    if plan.scheme is None:
        note("nothing fits: let one of these wishes give way, or choose a recipe with `pca`")


def show_evaluation(evaluation: Evaluation, *, as_json: bool) -> None:
    """How good answers are; what was odd is told of on standard error."""
    from .tables import evaluation as table

    for text in evaluation.notes:
        note(f"lookalike: {text}")
    if as_json:
        _print_json(evaluation.to_json())
    elif sys.stdout.isatty():
        table.show(evaluation, _visible)
    else:
        _print_pairs([(_visible(name), _visible(text)) for name, text in table.rows(evaluation)])


def show_comparison(comparison: RecipeComparison, *, as_json: bool) -> None:
    """Recipes side by side, and which to take; what was odd is told of on standard error."""
    from .tables import comparison as table

    for text in comparison.notes:
        note(f"lookalike: {text}")
    if as_json:
        _print_json(comparison.to_json())
    elif sys.stdout.isatty():
        table.show(comparison, _visible)
    else:
        _print_row(*table.headings(comparison))
        for result in comparison.results:
            _print_row(*table.cells(comparison, result))
        for text in table.footnotes(comparison):
            _print(_visible(text))


def show_copies(made: Made, *, as_json: bool) -> None:
    """The set that was made; the first pictures that failed are told of on standard error."""
    from .tables import copies as table

    for error in made.failures[:_FAILURES]:
        fail(error)
    if len(made.failures) > _FAILURES:
        note(f"lookalike: and {len(made.failures) - _FAILURES:,} more; --json has them all")
    if as_json:
        _print_json(made.to_json())
        return
    if sys.stdout.isatty():
        table.show(made, _visible(str(made.path)))
    else:
        _print_pairs([(name, _visible(text)) for name, text in table.rows(made)])
    pictures = made.path / "collection"
    note(f"index it with `{command('index', pictures, '-c', f'{made.path}.lookalike')}`")


def _table_of_hits(answer: Answer) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text  # no name of a file is taken for markup

    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right", style="dim")
    table.add_column("score", justify="right", style="bold")
    table.add_column("label", style="cyan", no_wrap=True)
    table.add_column("path", overflow="fold")
    for number, hit in enumerate(answer.hits, 1):
        label, path = _visible(hit.record.label or ""), _visible(hit.path)
        table.add_row(str(number), f"{hit.score:.3f}", Text(label), Text(path))
    console = Console()
    query = Text(_visible(_query_name(answer)), style="bold underline")
    console.print(query, overflow="fold")
    console.print(table if answer.hits else Text("no hits", style="dim"))
    console.print()


def _query_name(answer: Answer) -> str:
    return answer.query if isinstance(answer.query, str) else " + ".join(answer.query)


def _print_pairs(rows: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        _print(f"{name:<{width}}  {text}")


def _print_row(*cells: str) -> None:
    """Cells between tabs, so none may hold one."""
    _print("\t".join(map(_visible, cells)))


def _visible(text: str) -> str:
    """The same with what a terminal would obey, or what would break the line, as escapes."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _print(text: str) -> None:
    _write(text + "\n")


def _print_json(value: Any) -> None:
    _write(json.dumps(value, ensure_ascii=not _writes_utf8()) + "\n")
    sys.stdout.flush()


def _write(text: str) -> None:
    # What standard output cannot write must not end a listing.
    encoding = sys.stdout.encoding
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def _writes_utf8() -> bool:
    return sys.stdout.encoding.lower().replace("-", "") == "utf8"

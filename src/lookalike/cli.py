"""The command line: results on standard output, progress and messages on standard error.

Exit code 0: done. 1: some pictures failed. 2: the command was wrong or nothing could be done.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command

from . import __version__, cli_evaluation, terminal
from .cli_options import (
    MEGAPIXELS,
    UPLOAD_MB,
    USUAL,
    AsJson,
    CollectionPath,
    Device,
    MaxMegapixels,
    MaxUploadMb,
    Roots,
    limits_of,
)
from .errors import BadQuantity, BadQuery, BadSource, LookalikeError, UnknownPicture
from .places import absolute, plain_text
from .types import Limits

if TYPE_CHECKING:
    from .collection import Answer

# Newer versions of Typer bring a click of their own: this is the class of whichever is used.
_UsageError: Any = typer.BadParameter.__bases__[0]

app = typer.Typer(
    help="Give it pictures, ask with a picture, get what looks alike.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(cli_evaluation.app)

SOME_FAILED = 1
NOTHING_DONE = 2
_INTERRUPTED = 130


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"lookalike {__version__}\n")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """What stands before every command."""


@app.command()
def index(
    given: Annotated[
        list[str], typer.Argument(metavar="SOURCE…", help="Folders, pictures, lists, archives.")
    ],
    collection: CollectionPath = None,
    recipe: Annotated[
        str | None, typer.Option(help="A ready recipe or a .toml; for a new collection.")
    ] = None,
    device: Device = "auto",
    prune: Annotated[bool, typer.Option(help="Forget pictures that are no longer there.")] = False,
    retry: Annotated[bool, typer.Option(help="Try again what was refused before.")] = False,
    max_megapixels: MaxMegapixels = MEGAPIXELS,
    max_upload_mb: MaxUploadMb = UPLOAD_MB,
    as_json: AsJson = False,
) -> None:
    """Take pictures into a collection; what did not change is passed over."""
    limits = limits_of(max_megapixels, max_upload_mb)
    with _opened(collection, recipe=recipe, device=device, given=given, limits=limits) as c:
        with terminal.ingest_progress(given) as (on_progress, on_learning):
            report = c.add(
                *given, prune=prune, retry=retry, on_progress=on_progress, on_learning=on_learning
            )
        nothing = not (report.kept or report.failed or report.removed)
        if as_json or not nothing:
            terminal.show_report(report, c, as_json=as_json)
    if nothing:
        raise BadSource(f"there is no picture in {' '.join(given)}")
    raise typer.Exit(_exit_code(report.kept + report.removed, report.failed))


@app.command()
def search(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="PICTURE…", help="Pictures; or folders, lists, archives of them."),
    ] = None,
    collection: CollectionPath = None,
    k: Annotated[str, typer.Option("-k", help="How many hits, or all.")] = "10",
    offset: Annotated[int, typer.Option(help="How many of the best to leave out.")] = 0,
    where: Annotated[str | None, typer.Option(help="A filter, such as 'label=cat'.")] = None,
    threshold: Annotated[float | None, typer.Option(help="The least score of a hit.")] = None,
    radius: Annotated[float | None, typer.Option(help="The greatest distance of a hit.")] = None,
    probes: Annotated[
        str | None, typer.Option(help="Lists, or buckets, that the index looks into; or all.")
    ] = None,
    ef_search: Annotated[
        int | None, typer.Option("--ef-search", help="Candidates that the graph's walk keeps.")
    ] = None,
    refine: Annotated[
        int | None, typer.Option(help="Candidates a hit that compressed kinds rank again.")
    ] = None,
    id: Annotated[str | None, typer.Option("--id", help="More like this stored picture.")] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="Words that the hits are to fit.")
    ] = None,
    text_weight: Annotated[
        float, typer.Option(help="Of the words beside a picture, from 0 to 1.")
    ] = 0.5,
    unlike: Annotated[
        list[str] | None,
        typer.Option("--not", help="A picture, or words, that the hits are not to be like."),
    ] = None,
    embedding: Annotated[
        str | None, typer.Option(help="Search by this one of several kinds of vectors.")
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="All pictures as one query: their mean.")
    ] = False,
    device: Device = "auto",
    max_megapixels: MaxMegapixels = MEGAPIXELS,
    max_upload_mb: MaxUploadMb = UPLOAD_MB,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page of thumbnails to this file.")
    ] = None,
) -> None:
    """Find the pictures that look like these, or fit these words, best first."""
    if (id is None) == (not (pictures or text)):
        raise BadQuery(
            "give one picture or more to search with, words with --text, or --id of a stored one"
        )
    if id is not None and unlike:
        raise BadQuery("--not goes with pictures or --text, not with --id")
    from .collection import Answer
    from .gallery import Gallery

    wanted: dict[str, Any] = {
        "k": None if k == "all" else _whole("-k", k),
        "offset": offset,
        "where": where,
        "threshold": threshold,
        "radius": radius,
        "embedding": embedding,
        "probes": probes if probes in (None, "all") else _whole("--probes", probes),
        "ef_search": ef_search,
        "refine": refine,
    }
    asking = {**wanted, "text": text or (), "text_weight": text_weight, **_unlike(unlike or ())}
    answered = failed = 0
    limits = limits_of(max_megapixels, max_upload_mb)
    with _opened(collection, device=device, limits=limits) as c, contextlib.ExitStack() as page:
        if not c.newest(limit=1):
            fill = terminal.command("index", "DIR", "-c", c.path)
            terminal.note(f"lookalike: {c.path} is empty: fill it with `{fill}`")
        answers: Iterable[Answer]
        if id is not None:
            answers = [Answer(id, c.more_like(id, **wanted))]
        elif not pictures:
            answers = [Answer(" + ".join(text or ()), c.search(**asking))]
        elif together:
            answers = [c.search_together(pictures, **asking)]
        else:
            answers = c.search_many(pictures, **asking)
        gallery = page.enter_context(Gallery(html, c)) if html is not None else None
        for answer in answers:
            terminal.show_answer(answer, as_json=as_json)
            if gallery is not None:
                gallery.add(answer)
            answered += answer.error is None
            failed += answer.error is not None
    if html is not None:
        terminal.note(f"wrote {html}")
    if not answered and not failed:
        raise BadQuery("there is no picture in what you gave to search with")
    raise typer.Exit(_exit_code(answered, failed))


@app.command()
def serve(
    collection: CollectionPath = None,
    data: Annotated[
        str | None, typer.Option("-d", "--data", help="A folder to index first, and a root.")
    ] = None,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("-p", "--port")] = 8000,
    root: Roots = None,
    device: Device = "auto",
    max_megapixels: MaxMegapixels = MEGAPIXELS,
    max_upload_mb: MaxUploadMb = UPLOAD_MB,
) -> None:
    """Answer over HTTP, with a web page to search from."""
    from .serve.server import listen, run

    roots = list(root or ())
    limits = limits_of(max_megapixels, max_upload_mb)
    given = None if data is None else [data]
    with (
        listen(host, port) as listening,  # a port that is taken is said before the work
        _opened(collection, device=device, given=given, limits=limits) as c,
    ):
        if data is not None:
            with terminal.ingest_progress([data]) as (on_progress, on_learning):
                report = c.add(data, on_progress=on_progress, on_learning=on_learning)
            terminal.show_report(report, c, as_json=False, to_stderr=True)
            roots.append(Path(data).expanduser())
        collections = {_served_name(c.path): c}
        run(collections, listening, roots, lambda url: terminal.note(f"{url}  (Ctrl-C ends it)"))


@app.command()
def recipes(collection: CollectionPath = None, as_json: AsJson = False) -> None:
    """List the ready recipes, a star at that of the collection if there is one."""
    from .recipe import ready
    from .sources import is_collection

    used = None
    if is_collection(_collection_path(collection)):
        with _opened(collection, for_records=True) as c:
            used = c.recipe.name
    terminal.show_recipes(ready(), used, as_json=as_json)


models = typer.Typer(help="The models of the ready recipes: what they are, which are here.")
app.add_typer(models, name="models")


@models.callback(invoke_without_command=True)
def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """List the models of the ready recipes: size, licence, and whether they are here."""
    if context.invoked_subcommand is None:
        from .model_list import listed

        terminal.show_models(listed(), as_json=as_json)


@models.command("fetch")
def fetch_model(
    name: Annotated[str, typer.Argument(help="A model, or the recipe that uses it.")],
    as_json: AsJson = False,
) -> None:
    """Fetch a model's weights beforehand, for a machine or a time without internet."""
    from .model_list import fetch

    terminal.show_models([fetch(name)], as_json=as_json)


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
    from .reindex import reindex as give_recipe

    limits = limits_of(max_megapixels, max_upload_mb)
    with (
        _opened(collection, limits=limits, for_records=True) as c,
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
    terminal.show_reindexed(report, as_json=as_json)
    raise typer.Exit(0 if report.swapped else SOME_FAILED)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .npy, .npz, .hdf5 or .h5.")],
    collection: CollectionPath = None,
    embedding: Annotated[
        str | None, typer.Option(help="This one of several kinds of vectors alone.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Even if FILE is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the vectors of a collection to a file, with what they belong to."""
    from .exchange import export_features

    with _opened(collection) as c, terminal.rows_progress("exporting") as on_progress:
        report = export_features(
            c, file, embedding=embedding, overwrite=overwrite, on_progress=on_progress
        )
    terminal.show_exported(report, as_json=as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .npy, .npz, .hdf5 or .h5.")],
    collection: CollectionPath = None,
    recipe: Annotated[
        str | None, typer.Option(help="For a new collection, instead of the file's own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take in vectors that were made elsewhere, by the collection's own model."""
    from .exchange import import_features

    path = _collection_path(collection)
    with terminal.rows_progress("importing") as on_progress:
        report = import_features(path, file, recipe=recipe, on_progress=on_progress)
    with _opened(path) as c:
        terminal.show_report(report, c, as_json=as_json)
    raise typer.Exit(_exit_code(report.kept, report.failed))


@app.command()
def stats(collection: CollectionPath = None, as_json: AsJson = False) -> None:
    """Say what a collection holds."""
    with _opened(collection, for_records=True) as c:
        terminal.show_stats(c.stats(), as_json=as_json)


@app.command()
def failures(
    collection: CollectionPath = None,
    all: Annotated[bool, typer.Option("--all", help="Also files that are no pictures.")] = False,
    as_json: AsJson = False,
) -> None:
    """List every picture that could not be stored, with the reason."""
    with _opened(collection, for_records=True) as c:
        terminal.show_failures(c.failures(all=all), as_json=as_json)


@app.command()
def ledger(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…")],
    collection: CollectionPath = None,
    as_json: AsJson = False,
) -> None:
    """Say what became of paths: stored, a copy, skipped with its reason, or to be tried again."""
    with _opened(collection, for_records=True) as c:
        unknown = terminal.show_ledger([(path, c.ledger(path)) for path in paths], as_json=as_json)
    raise typer.Exit(SOME_FAILED if unknown else 0)


@app.command()
def remove(
    ids: Annotated[list[str], typer.Argument(metavar="ID…")], collection: CollectionPath = None
) -> None:
    """Forget pictures by id. Your files stay where they are."""
    with _opened(collection, for_records=True) as c:
        missing = [id for id in ids if not c.remove(id)]
    for id in missing:
        terminal.fail(UnknownPicture(id))
    raise typer.Exit(_exit_code(len(ids) - len(missing), len(missing)))


@app.command()
def doctor(
    collection: CollectionPath = None, device: Device = "auto", as_json: AsJson = False
) -> None:
    """Check this machine, the model and, if there is one, the collection."""
    from .doctor import examine

    path = _collection_path(collection)
    findings = examine(path if collection is not None or path.exists() else None, device)
    terminal.show_findings(findings, as_json=as_json)
    raise typer.Exit(SOME_FAILED if any(not each.sound for each in findings) else 0)


@app.command()
def plan(
    pictures: Annotated[str, typer.Option(help="How many there are to be, such as 5e6 or 5M.")],
    memory: Annotated[
        str | None, typer.Option(help="All that it may take, such as 8GB. Default: half of it.")
    ] = None,
    latency: Annotated[
        str | None, typer.Option(help="What a search may take at most, such as 20ms.")
    ] = None,
    recall: Annotated[float, typer.Option(help="The least recall@10, above 0 and up to 1.")] = 0.95,
    recipe: Annotated[str, typer.Option(help="A ready recipe or a .toml.")] = "default",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Say before anything is started which index to choose, and what a collection will take."""
    from . import plan as planning
    from .quantities import bytes_of, count_of, seconds_of
    from .recipe import load

    wish = planning.Wish(
        count_of("--pictures", pictures),
        None if memory is None else bytes_of("--memory", memory),
        None if latency is None else seconds_of("--latency", latency),
        _share("--recall", recall),
    )
    made = planning.make(load(recipe), wish, device)
    terminal.show_plan(made, as_json=as_json)
    raise typer.Exit(0 if made.scheme else SOME_FAILED)


@app.command()
def tune(
    collection: CollectionPath = None,
    recall: Annotated[float, typer.Option(help="The share of the true nearest to find.")] = 0.99,
    k: Annotated[int, typer.Option("-k", help="How many nearest count.")] = 10,
    sample: Annotated[int, typer.Option(help="How many stored pictures to try.")] = 500,
    embedding: Annotated[
        str | None, typer.Option(help="This one of several kinds of vectors alone.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw recall against speed to this .png.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have searches make the least effort that finds what exact search does, or nearly so."""
    from . import curve
    from .tune import tune as choose_efforts

    if plot is not None:
        curve.check(plot)
    with _opened(collection) as c, terminal.tune_progress() as on_trial:
        every = choose_efforts(
            c, recall=recall, k=k, sample=sample, embedding=embedding, on_trial=on_trial
        )
    terminal.show_tuned(every, as_json=as_json)
    if plot is not None:
        curve.draw(every, plot)
        terminal.note(f"wrote {plot}")
    raise typer.Exit(0 if all(each.tuning.reached for each in every) else SOME_FAILED)


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
    from . import export_onnx as exporting
    from .recipe import load

    chosen = load(recipe)
    target = output or Path(f"{chosen.name}-int8.onnx" if int8 else f"{chosen.name}.onnx")
    wish = exporting.Wish(int8, calibrate, opset, overwrite)
    exported = exporting.export(chosen, target, wish, weights=weights, on_step=terminal.note)
    terminal.show_exported_network(exported, as_json=as_json)


def main() -> None:
    """Run the command line: a user's mistake is one line on standard error, never a traceback."""
    logging.basicConfig(format="lookalike: %(message)s", level=logging.WARNING, stream=sys.stderr)
    # It warns of what clients send wrong, and they are told.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except _UsageError as error:
        error.show()
        code = NOTHING_DONE
    except LookalikeError as error:
        terminal.fail(error)
        code = NOTHING_DONE
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        code = 0
        _say_no_more()
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        terminal.note(f"lookalike: {where}{error.strerror or error}")
        code = NOTHING_DONE
        _say_no_more()
    except KeyboardInterrupt:
        terminal.note("stopped; what was stored is kept, running the same again goes on")
        code = _INTERRUPTED
    sys.exit(code)


def _run(arguments: Sequence[str]) -> int:
    """The exit code. Without Typer's own frame, which has other messages for what is raised."""
    try:
        with get_command(app).make_context("lookalike", list(arguments)) as context:
            context.command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


def _exit_code(done: int, failed: int) -> int:
    if not failed:
        return 0
    return SOME_FAILED if done else NOTHING_DONE


def _say_no_more() -> None:
    """What is still buffered for standard output goes nowhere, also at the interpreter's end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _whole(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadQuery(f"{option} must be a whole number, or all, not {text!r}") from None


def _share(option: str, value: float) -> float:
    if not 0 < value <= 1:
        raise BadQuantity(option, f"{value:g}", "above 0 and at most 1, such as 0.95")
    return value


def _unlike(given: Sequence[str]) -> dict[str, list[str]]:
    """Which of these are pictures, by being files, and which are words."""
    files = [each for each in given if Path(each).expanduser().is_file()]
    return {"unlike": files, "unlike_text": [each for each in given if each not in files]}


@contextlib.contextmanager
def _opened(
    path: Path | None,
    *,
    recipe: str | None = None,
    device: str = "auto",
    given: Sequence[str] | None = None,
    limits: Limits = USUAL,
    for_records: bool = False,
) -> Iterator[Any]:
    """The collection; where there is none, one is made for the sources that are `given`."""
    from .ingest import found
    from .opening import open_collection
    from .sources import is_collection

    folder = _collection_path(path)
    if given is not None and not is_collection(folder):
        found(given)  # one that is mistyped must not leave an empty collection behind
    with open_collection(
        folder,
        recipe=recipe,
        device=device,
        create=given is not None,
        limits=limits,
        for_records=for_records,
    ) as collection:
        yield collection


def _served_name(collection: Path) -> str:
    """The name of its folder: `photos.lookalike` is `photos`."""
    name = plain_text(absolute(str(collection)).name)
    return name.removesuffix(".lookalike") or name


def _collection_path(path: Path | None) -> Path:
    """The one that was named, else one in the user's data folder, by each system's custom."""
    if path is not None:
        return path
    if sys.platform == "darwin":
        data = Path("~/Library/Application Support").expanduser()
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    return data / "lookalike" / "default"

"""Asking."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import terminal
from ..errors import BadQuery
from ..tables.hits import show_answer
from .opened import opened
from .options import (
    MEGAPIXELS,
    UPLOAD_MB,
    AsJson,
    CollectionPath,
    Device,
    MaxMegapixels,
    MaxUploadMb,
    box,
    exit_code,
    limits_of,
    whole,
)

if TYPE_CHECKING:
    from ..collection import Answer


app = typer.Typer()


class Order(StrEnum):
    """What becomes of the scores of comparators."""

    LAST = "last"
    FUSED = "fused"


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
    crop: Annotated[
        str | None,
        typer.Option(metavar="X,Y,W,H", help="Ask with this part of the picture, in its pixels."),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(help="A comparator that looks again at the best hits; may be repeated."),
    ] = None,
    order: Annotated[
        Order | None, typer.Option(help="By the last comparator, or by all of them fused.")
    ] = None,
    collapse: Annotated[
        bool, typer.Option("--collapse", help="Put hits that are nearly identical under one.")
    ] = False,
    expand: Annotated[
        int | None, typer.Option(help="Search again with the mean of the query and so many hits.")
    ] = None,
    rerank: Annotated[
        int | None,
        typer.Option(help="Rank so many again by the neighbours they share with the query."),
    ] = None,
    confident: Annotated[
        bool, typer.Option("--confident", help="Only hits that pass for copies, once calibrated.")
    ] = False,
    words: Annotated[
        str | None, typer.Option(help="Words in labels and metadata (in Elasticsearch only).")
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
    if (id is None) == (not (pictures or text or words)):
        raise BadQuery(
            "give one picture or more to search with, words with --text, or --id of a stored one"
        )
    if id is not None and (unlike or crop is not None):
        raise BadQuery("--not and --crop go with pictures, not with --id")
    from ..collection import Answer
    from ..gallery import Gallery

    wanted: dict[str, Any] = {
        "k": None if k == "all" else whole("-k", k),
        "offset": offset,
        "where": where,
        "threshold": threshold,
        "radius": radius,
        "embedding": embedding,
        "probes": probes if probes in (None, "all") else whole("--probes", probes),
        "ef_search": ef_search,
        "refine": refine,
        "compare": compare or None,
        "order": order.value if order else None,
        "collapse": collapse,
        "expand": expand,
        "rerank": rerank,
        "confident": confident,
        "words": words,
    }
    asking = {
        **wanted,
        "text": text or (),
        "text_weight": text_weight,
        "crop": box("--crop", crop) if crop is not None else None,
        **_unlike(unlike or ()),
    }
    answered = failed = 0
    limits = limits_of(max_megapixels, max_upload_mb)
    with opened(collection, device=device, limits=limits) as c, contextlib.ExitStack() as page:
        if not c.newest(limit=1):
            fill = terminal.command("index", "DIR", "-c", c.address)
            terminal.note(f"lookalike: {c.address} is empty: fill it with `{fill}`")
        answers: Iterable[Answer]
        if id is not None:
            answers = [Answer(id, c.more_like(id, **wanted))]
        elif not pictures:
            answers = [
                Answer(" + ".join([*(text or ()), *([words] if words else [])]), c.search(**asking))
            ]
        elif together:
            answers = [c.search_together(pictures, **asking)]
        else:
            answers = c.search_many(pictures, **asking)
        gallery = page.enter_context(Gallery(html, c)) if html is not None else None
        for answer in answers:
            show_answer(answer, as_json=as_json)
            if gallery is not None:
                gallery.add(answer)
            answered += answer.error is None
            failed += answer.error is not None
    if html is not None:
        terminal.note(f"wrote {html}")
    if not answered and not failed:
        raise BadQuery("there is no picture in what you gave to search with")
    raise typer.Exit(exit_code(answered, failed))


def _unlike(given: Sequence[str]) -> dict[str, list[str]]:
    """Which of these are pictures, by being files, and which are words."""
    files = [each for each in given if Path(each).expanduser().is_file()]
    return {"unlike": files, "unlike_text": [each for each in given if each not in files]}

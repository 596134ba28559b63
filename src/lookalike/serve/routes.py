"""The API, under /v1. What blocks (decoding, the network, SQLite) runs in plain functions.

Starlette runs those in threads, so clients are served side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from .. import ingest, registry
from ..collection import Collection
from ..drawing import drawn
from ..errors import PictureError, UnknownPicture
from ..pairs import Pair
from ..types import Hit, Record
from . import answers, questions
from .problems import Refused, shutting_down, unknown_collection

Problems = dict[int | str, dict[str, Any]]

PROBLEMS: Problems = {
    "4XX": {
        "model": answers.Problem,
        "description": "The request cannot be answered; `detail` says why.",
    }
}
_FOR_A_YEAR = "private, max-age=31536000, immutable"
_SIDES = (64, 128, 256, 384, 512, 768, 1024)
"""The sizes that are made. Each is kept, so not every size that somebody asks for can be one."""


def _form_of(pictures: Sequence[str], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a form that is read from the request itself."""
    images = {"type": "array", "items": {"type": "string", "format": "binary"}}
    properties = {**dict.fromkeys(pictures, images), **fields}
    return {"multipart/form-data": {"schema": {"type": "object", "properties": properties}}}


_SEARCH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **_form_of(("image", "unlike"), questions.Asked.model_json_schema()["properties"]),
            "application/json": {"schema": questions.Asked.model_json_schema()},
        },
    }
}
_MATCH_BODY = {
    "requestBody": {
        "required": True,
        "content": _form_of(("image",), questions.Match.model_json_schema()["properties"]),
    }
}
_ADD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **_form_of(
                ("images",),
                {
                    "label": {"type": "string"},
                    "metadata": {"type": "string", "description": "A JSON object."},
                },
            ),
            "application/json": {"schema": questions.Folder.model_json_schema()},
        },
    }
}


router = APIRouter(prefix="/v1/collections", responses=PROBLEMS)
"""Its application keeps the `Served` in `state.served`."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the routes work on."""

    collections: Mapping[str, Collection]
    roots: Sequence[Path]
    """Real paths of the folders in which clients may have folders indexed."""
    is_ending: Callable[[], bool]
    """Whether work that can be resumed is to stop."""


def _served(request: Request) -> Served:
    served: Served = request.app.state.served
    return served


_Served = Annotated[Served, Depends(_served)]


def named(name: str, served: _Served) -> Collection:
    """The collection of this name, for routes that depend on it."""
    if name not in served.collections:
        raise unknown_collection(name)
    return served.collections[name]


_Named = Annotated[Collection, Depends(named)]


async def _question(request: Request, collection: _Named) -> questions.Question:
    return await questions.question(request, collection)


async def _arrivals(request: Request, collection: _Named) -> questions.Arrivals | questions.Folder:
    return await questions.arrivals(request, collection)


async def _two(request: Request, collection: _Named) -> questions.TwoPictures:
    return await questions.two_pictures(request, collection)


@router.get("")
def list_collections(served: _Served) -> answers.Collections:
    """The collections that are served."""
    return answers.Collections(
        collections=[
            answers.CollectionSummary(
                name=name,
                pictures=len(each),
                recipe=each.recipe.name,
                upload_bytes=each.limits.upload_bytes,
                reads_text=each.reads_text,
                comparators=list(registry.names("comparator")),
                looks_again=[part.name for part in each.recipe.comparators],
            )
            for name, each in served.collections.items()
        ]
    )


@router.get("/{name}/stats")
def stats(collection: _Named) -> answers.Stats:
    """Counts, sizes and the state of the index."""
    return answers.Stats(**collection.stats())


@router.post("/{name}/search", openapi_extra=_SEARCH_BODY)
def search(
    name: str, collection: _Named, asked: Annotated[questions.Question, Depends(_question)]
) -> answers.Found:
    """Find the pictures that look like the uploaded one, or fit `text`, or both.

    Several pictures are one query, their mean; `unlike` are pictures that the hits are not like.
    """
    like = [upload.data for upload in asked.pictures]
    unlike = [upload.data for upload in asked.unlike]
    return _found(name, lambda: collection.search(*like, unlike=unlike, **asked.asked.keywords()))


@router.post("/{name}/match", openapi_extra=_MATCH_BODY)
def match(
    collection: _Named, asked: Annotated[questions.TwoPictures, Depends(_two)]
) -> answers.Matched:
    """Compare an uploaded picture, or a stored one, with a stored one; and say where it lies."""
    return answers.Matched.of(_pair(collection, asked))


@router.post(
    "/{name}/match.png",
    openapi_extra=_MATCH_BODY,
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def match_drawn(
    collection: _Named, asked: Annotated[questions.TwoPictures, Depends(_two)]
) -> Response:
    """The same as a picture: both side by side, what agrees joined by lines."""
    pair = _pair(collection, asked)
    return Response(drawn(pair, []), media_type="image/png")


def _pair(collection: Collection, asked: questions.TwoPictures) -> Pair:
    first = asked.upload.data if asked.upload else _record(collection, asked.said.id_a or "")
    second = _record(collection, asked.said.id_b)
    return collection.match(first, second, compare=asked.said.names)


@router.get("/{name}/pictures")
def newest(
    name: str,
    collection: _Named,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    spread: Annotated[bool, Query(description="Some of each time, to begin from.")] = False,
) -> answers.Pictures:
    """Stored pictures, the last added first; or spread evenly over all of them."""
    if spread:
        records = _spread(collection, limit)
    else:
        records = collection.newest(offset=offset, limit=limit)
    return answers.Pictures(
        pictures=[answers.StoredPicture.of(record, name) for record in records],
        total=len(collection),
    )


@router.post("/{name}/pictures", openapi_extra=_ADD_BODY)
def add(
    served: _Served, collection: _Named, given: Annotated[Any, Depends(_arrivals)]
) -> answers.KeptAll | answers.Ingested:
    """Keep uploaded pictures, or index a folder of the server. Both are safe to repeat."""
    if isinstance(given, questions.Folder):
        folder = questions.folder_within(given.folder, served.roots)
        return _ingested(collection, folder, served.is_ending, prune=given.prune)
    kept = [_kept(collection, upload, given) for upload in given.pictures]
    return answers.KeptAll(results=kept)


@router.get("/{name}/pictures/{id}")
def picture(name: str, collection: _Named, id: str) -> answers.StoredPicture:
    """One stored picture."""
    return answers.StoredPicture.of(_record(collection, id), name)


@router.delete("/{name}/pictures/{id}", status_code=204)
def remove(collection: _Named, id: str) -> None:
    """Forget a picture. Files that were indexed in a folder stay where they are."""
    collection.remove(_record(collection, id).id)


@router.get("/{name}/pictures/{id}/similar")
def similar(
    name: str, collection: _Named, id: str, wanted: Annotated[questions.Wanted, Query()]
) -> answers.Found:
    """Find the pictures that look like a stored one, itself excepted."""
    record = _record(collection, id)
    return _found(name, lambda: collection.more_like(record.id, **wanted.keywords()))


@router.get(
    "/{name}/pictures/{id}/thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, 304: {"description": "Not changed."}},
)
def thumbnail(
    request: Request,
    collection: _Named,
    id: str,
    side: Annotated[
        int, Query(ge=_SIDES[0], le=_SIDES[-1], description=f"Pixels, or the next of {_SIDES}.")
    ] = 256,
) -> Response:
    """A JPEG of a stored picture, `side` pixels long or the next size; never enlarged."""
    side = next(each for each in _SIDES if each >= side)
    tag = f'"{_record(collection, id).id}-{side}"'
    headers = {"ETag": tag, "Cache-Control": _FOR_A_YEAR}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(_thumbnail(collection, id, side), 200, headers, "image/jpeg")


def _record(collection: Collection, id: str) -> Record:
    """The record of exactly this id: an address must not change its meaning, as a prefix would."""
    record = collection[id]
    if record.id != id:
        raise UnknownPicture(id)
    return record


def _spread(collection: Collection, limit: int) -> list[Record]:
    total = len(collection)
    count = min(limit, total)
    offsets = [number * total // count for number in range(count)]
    return [record for offset in offsets for record in collection.newest(offset=offset, limit=1)]


def _found(name: str, search: Callable[[], list[Hit]]) -> answers.Found:
    began = time.perf_counter()
    hits = search()
    took = round((time.perf_counter() - began) * 1000, 1)
    return answers.Found(hits=[answers.FoundPicture.of(hit, name) for hit in hits], took_ms=took)


def _kept(
    collection: Collection, upload: questions.Upload, said: questions.Arrivals
) -> answers.Kept:
    """What became of one upload; a picture that is refused does not keep others out."""
    try:
        record, outcome = collection.add_bytes(
            upload.data, upload.name, label=said.label, metadata=said.metadata
        )
    except PictureError as error:
        return answers.Kept(name=upload.name, problem=error.reason)
    return answers.Kept(name=upload.name, id=record.id, outcome=outcome)


def _ingested(
    collection: Collection, folder: Path, is_ending: Callable[[], bool], *, prune: bool
) -> answers.Ingested:
    def stop_when_ending(_: ingest.Report) -> None:
        if is_ending():
            raise shutting_down()

    report = collection.add(folder, prune=prune, on_progress=stop_when_ending)
    return answers.Ingested(**report.to_json())


def _thumbnail(collection: Collection, id: str, side: int) -> bytes:
    try:
        return collection.thumbnail(id, side)
    except PictureError as error:
        raise Refused(404, "no-thumbnail", str(error)) from error

"""Stored pictures: listed, added, told of, described anew, forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter, Depends, Query, Request

from ... import ingest
from ...collection import Collection
from ...errors import PictureError, RemoteRefused
from ...types import Metadata, Place, Record
from .. import answers, asking, questions, reading
from ..describing import PREFIX, body, refusals
from ..problems import Refused, shutting_down
from ..reach import path_within
from ..served import Named, OfService, Served, record_of

router = APIRouter(prefix=PREFIX, tags=["pictures"])


async def _arrivals(request: Request, collection: Named) -> reading.Arrivals | questions.Adding:
    return await reading.arrivals(request, collection)


@router.get("/{name}/pictures")
def list_pictures(
    name: str,
    collection: Named,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    spread: Annotated[bool, Query(description="Some of each time, to begin from.")] = False,
    cursor: Annotated[
        str | None, Query(max_length=500, description="`next` of the page before.")
    ] = None,
) -> answers.Pictures:
    """Stored pictures, the last added first; or spread evenly over all of them.

    Pages by `cursor` neither repeat nor leave out a picture, whatever is added or removed
    meanwhile; pages by `offset` may.
    """
    if cursor is not None and (offset or spread):
        raise Refused(400, "bad-cursor", "a cursor goes without offset and spread")
    following = None
    if spread:
        records = _spread(collection, limit)
    elif offset:
        records = collection.newest(offset=offset, limit=limit)
    else:
        records, following = collection.page(cursor, limit)
    return answers.Pictures(
        pictures=[answers.StoredPicture.of(record, name) for record in records],
        total=len(collection),
        next=following,
    )


@router.post(
    "/{name}/pictures",
    openapi_extra=body(
        questions.Adding,
        pictures={"images": "The pictures to be kept."},
        fields=questions.Description,
        required=["images"],
    ),
    responses=refusals(507),
)
def add_pictures(
    served: OfService, collection: Named, given: Annotated[Any, Depends(_arrivals)]
) -> answers.KeptAll | answers.Ingested:
    """Keep pictures that are uploaded, or named by their address, or index a folder of the server.

    All of it is safe to repeat. A picture that is refused keeps no other out. Large folders are
    better taken in by a job, which can be watched and resumed.
    """
    if isinstance(given, reading.Arrivals):
        said = given.label, given.metadata
        return answers.KeptAll(
            results=[_kept(collection, each.name, each.data, *said) for each in given.pictures]
        )
    if given.path is not None:
        path = path_within(given.path, served.roots)
        return _ingested(collection, path, served, prune=given.prune)
    return answers.KeptAll(results=[_fetched(collection, url, given, served) for url in given.urls])


@router.get("/{name}/pictures/{id}")
def picture(name: str, collection: Named, id: str) -> answers.StoredPicture:
    """One stored picture."""
    return answers.StoredPicture.of(record_of(collection, id), name)


@router.patch(
    "/{name}/pictures/{id}",
    openapi_extra=body(questions.Change, media_types=(reading.JSON, reading.MERGE_PATCH)),
    responses=refusals(507),
)
def change_picture(
    name: str,
    collection: Named,
    id: str,
    change: Annotated[questions.Change, Depends(reading.json_of(questions.Change))],
) -> answers.StoredPicture:
    """Give a stored picture another label, or other metadata, at all of its places or one."""
    record = record_of(collection, id)
    changed = collection.describe(record.id, lambda each: _changed(each, change), at=change.place)
    return answers.StoredPicture.of(changed, name)


@router.delete("/{name}/pictures/{id}", status_code=204, responses=refusals(507))
def remove_picture(collection: Named, id: str) -> None:
    """Forget a picture. Files that were indexed in a folder stay where they are."""
    collection.remove(record_of(collection, id).id)


def _spread(collection: Collection, limit: int) -> list[Record]:
    total = len(collection)
    count = min(limit, total)
    offsets = [number * total // count for number in range(count)]
    return [record for offset in offsets for record in collection.newest(offset=offset, limit=1)]


def _fetched(
    collection: Collection, url: str, said: questions.Adding, served: Served
) -> answers.Kept:
    """What became of the picture at an address."""
    try:
        data = asking.fetched(url, served)
    except RemoteRefused as error:
        return answers.Kept(name=url, problem=str(error))
    name = PurePosixPath(unquote(urlsplit(url).path)).name or "picture"
    kept = _kept(collection, name, data, said.label or None, said.metadata)
    return kept.model_copy(update={"name": url})


def _kept(
    collection: Collection, name: str, data: bytes, label: str | None, metadata: Metadata | None
) -> answers.Kept:
    """What became of one picture; one that is refused does not keep others out."""
    try:
        record, outcome = collection.add_bytes(data, name, label=label, metadata=metadata)
    except PictureError as error:
        return answers.Kept(name=name, problem=error.reason)
    return answers.Kept(name=name, id=record.id, outcome=outcome)


def _ingested(
    collection: Collection, path: Path, served: Served, *, prune: bool
) -> answers.Ingested:
    def stop_when_ending(_: ingest.Report) -> None:
        if served.is_ending():
            raise shutting_down()

    report = collection.add(path, prune=prune, within=served.roots, on_progress=stop_when_ending)
    return answers.Ingested(**report.to_json())


def _changed(place: Place, change: questions.Change) -> Place:
    said = change.model_fields_set
    if "label" in said:
        place = replace(place, label=change.label or None)
    if "metadata" in said:
        given = change.metadata
        place = replace(place, metadata={} if given is None else _merged(place.metadata, given))
    return place


def _merged(before: Any, patch: Any) -> Any:
    """A merge patch applied, as RFC 7396 has it."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(before) if isinstance(before, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged

"""Stored pictures: listed, added, told of, forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from ... import ingest
from ...collection import Collection
from ...errors import PictureError
from ...types import Record
from .. import answers, questions
from ..describing import PREFIX, PROBLEMS, form_of
from ..problems import shutting_down
from ..served import Named, OfService, record_of

_ADD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **form_of(
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

router = APIRouter(prefix=PREFIX, responses=PROBLEMS)


async def _arrivals(request: Request, collection: Named) -> questions.Arrivals | questions.Folder:
    return await questions.arrivals(request, collection)


@router.get("/{name}/pictures")
def newest(
    name: str,
    collection: Named,
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
    served: OfService, collection: Named, given: Annotated[Any, Depends(_arrivals)]
) -> answers.KeptAll | answers.Ingested:
    """Keep uploaded pictures, or index a folder of the server. Both are safe to repeat."""
    if isinstance(given, questions.Folder):
        folder = questions.folder_within(given.folder, served.roots)
        return _ingested(collection, folder, served.is_ending, prune=given.prune)
    kept = [_kept(collection, upload, given) for upload in given.pictures]
    return answers.KeptAll(results=kept)


@router.get("/{name}/pictures/{id}")
def picture(name: str, collection: Named, id: str) -> answers.StoredPicture:
    """One stored picture."""
    return answers.StoredPicture.of(record_of(collection, id), name)


@router.delete("/{name}/pictures/{id}", status_code=204)
def remove(collection: Named, id: str) -> None:
    """Forget a picture. Files that were indexed in a folder stay where they are."""
    collection.remove(record_of(collection, id).id)


def _spread(collection: Collection, limit: int) -> list[Record]:
    total = len(collection)
    count = min(limit, total)
    offsets = [number * total // count for number in range(count)]
    return [record for offset in offsets for record in collection.newest(offset=offset, limit=1)]


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

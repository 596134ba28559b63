"""Searching: by pictures, words and vectors, one query or many in a request."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ...errors import LookalikeError
from ...types import Hit
from .. import answers, asking, problems, questions, reading
from ..describing import PREFIX, body
from ..served import Borrowed, Served, record_of, served
from ..shelf import Shelved

router = APIRouter(prefix=PREFIX, tags=["search"])


@router.post(
    "/{name}/search",
    openapi_extra=body(
        questions.Asked,
        pictures={
            "image": "What the hits are to be like; several are one query, their mean.",
            "unlike": "What the hits are not to be like.",
        },
        fields=questions.Asked,
    ),
    response_model=answers.Found,
)
async def search(name: str, request: Request) -> Response:
    """Find the pictures that look like others, or fit `text`, or both.

    Others are uploaded in a form, or named by `like`: stored ones, addresses, vectors. Several are
    one query, their mean, by their weights. `next` leads to the next page, which begins behind the
    last hit of this one, whatever is added meanwhile.
    """
    service = served(request)
    # Not by dependencies: FastAPI takes longer to solve those than a search takes.
    with service.shelf.lent(name) as shelved:
        asked = await reading.question(request, shelved.collection)
        return await run_in_threadpool(
            lambda: answers.written(asking.answered(asked, shelved, service))
        )


@router.post(
    "/{name}/search/batch",
    openapi_extra=body(
        questions.Batch,
        pictures={"image": "Each is a query of its own."},
        required=["image"],
        fields=questions.Asked,
    ),
)
async def search_batch(name: str, request: Request) -> answers.FoundAll:
    """Answer several queries, each on its own: its hits, or its problem."""
    service = served(request)
    with service.shelf.lent(name) as shelved:
        asked = await reading.batch(request, shelved.collection)
        found = await run_in_threadpool(lambda: [_answer(each, shelved, service) for each in asked])
    return answers.FoundAll(results=found)


@router.get("/{name}/pictures/{id}/similar", response_model=answers.Found)
def similar(shelved: Borrowed, id: str, wanted: Annotated[questions.Wanted, Query()]) -> Response:
    """Find the pictures that look like a stored one, itself excepted."""
    collection = shelved.collection
    record = record_of(collection, id)

    def search(**keywords: Any) -> list[Hit]:
        return collection.more_like(record.id, **keywords)

    return answers.written(asking.page_of(search, wanted, shelved, [record.id.encode()]))


def _answer(asked: reading.Question, shelved: Shelved, service: Served) -> answers.FoundOne:
    try:
        found = asking.answered(asked, shelved, service)
    except (LookalikeError, HTTPException) as error:
        return answers.FoundOne(problem=answers.Problem(**problems.of_error(error)))
    return answers.FoundOne(hits=found.hits, next=found.next)

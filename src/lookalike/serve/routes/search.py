"""Searching: by pictures, words and vectors, one query or many in a request."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.exceptions import HTTPException

from ...errors import LookalikeError
from ...types import Hit
from .. import answers, asking, problems, questions, reading
from ..describing import PREFIX, body
from ..served import Borrowed, Named, OfService, record_of

router = APIRouter(prefix=PREFIX, tags=["search"])


async def _question(request: Request, collection: Named) -> reading.Question:
    return await reading.question(request, collection)


async def _batch(request: Request, collection: Named) -> list[reading.Question]:
    return await reading.batch(request, collection)


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
def search(
    shelved: Borrowed,
    served: OfService,
    asked: Annotated[reading.Question, Depends(_question)],
) -> Response:
    """Find the pictures that look like others, or fit `text`, or both.

    Others are uploaded in a form, or named by `like`: stored ones, addresses, vectors. Several are
    one query, their mean, by their weights. `next` leads to the next page, which begins behind the
    last hit of this one, whatever is added meanwhile.
    """
    return answers.written(asking.answered(asked, shelved, served))


@router.post(
    "/{name}/search/batch",
    openapi_extra=body(
        questions.Batch,
        pictures={"image": "Each is a query of its own."},
        required=["image"],
        fields=questions.Asked,
    ),
)
def search_batch(
    shelved: Borrowed,
    served: OfService,
    asked: Annotated[list[reading.Question], Depends(_batch)],
) -> answers.FoundAll:
    """Answer several queries, each on its own: its hits, or its problem."""
    return answers.FoundAll(results=[_answer(each, shelved, served) for each in asked])


@router.get("/{name}/pictures/{id}/similar", response_model=answers.Found)
def similar(shelved: Borrowed, id: str, wanted: Annotated[questions.Wanted, Query()]) -> Response:
    """Find the pictures that look like a stored one, itself excepted."""
    collection = shelved.collection
    record = record_of(collection, id)

    def search(**keywords: Any) -> list[Hit]:
        return collection.more_like(record.id, **keywords)

    return answers.written(asking.page_of(search, wanted, shelved, [record.id.encode()]))


def _answer(asked: reading.Question, shelved: Borrowed, served: OfService) -> answers.FoundOne:
    try:
        found = asking.answered(asked, shelved, served)
    except (LookalikeError, HTTPException) as error:
        return answers.FoundOne(problem=answers.Problem(**problems.of_error(error)))
    return answers.FoundOne(hits=found.hits, next=found.next)

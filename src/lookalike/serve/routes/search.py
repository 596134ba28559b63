"""Searching."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from ...types import Hit
from .. import answers, questions
from ..describing import PREFIX, PROBLEMS, form_of
from ..served import Named, record_of

_SEARCH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **form_of(("image", "unlike"), questions.Asked.model_json_schema()["properties"]),
            "application/json": {"schema": questions.Asked.model_json_schema()},
        },
    }
}
router = APIRouter(prefix=PREFIX, responses=PROBLEMS)


async def _question(request: Request, collection: Named) -> questions.Question:
    return await questions.question(request, collection)


@router.post("/{name}/search", openapi_extra=_SEARCH_BODY)
def search(
    name: str, collection: Named, asked: Annotated[questions.Question, Depends(_question)]
) -> answers.Found:
    """Find the pictures that look like the uploaded one, or fit `text`, or both.

    Several pictures are one query, their mean; `unlike` are pictures that the hits are not like.
    """
    like = [upload.data for upload in asked.pictures]
    unlike = [upload.data for upload in asked.unlike]
    return _found(name, lambda: collection.search(*like, unlike=unlike, **asked.asked.keywords()))


@router.get("/{name}/pictures/{id}/similar")
def similar(
    name: str, collection: Named, id: str, wanted: Annotated[questions.Wanted, Query()]
) -> answers.Found:
    """Find the pictures that look like a stored one, itself excepted."""
    record = record_of(collection, id)
    return _found(name, lambda: collection.more_like(record.id, **wanted.keywords()))


def _found(name: str, search: Callable[[], list[Hit]]) -> answers.Found:
    began = time.perf_counter()
    hits = search()
    took = round((time.perf_counter() - began) * 1000, 1)
    return answers.Found(hits=[answers.FoundPicture.of(hit, name) for hit in hits], took_ms=took)

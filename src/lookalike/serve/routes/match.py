"""Two pictures compared with each other."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from ...collection import Collection
from ...drawing import drawn
from ...pairs import Pair
from .. import answers, questions, reading
from ..describing import PREFIX, body
from ..served import Named, record_of

_BODY = body(questions.Match, pictures={"image": "The picture, one."}, fields=questions.Match)
router = APIRouter(prefix=PREFIX, tags=["search"])


async def _two(request: Request, collection: Named) -> reading.TwoPictures:
    return await reading.two_pictures(request, collection)


@router.post("/{name}/match", openapi_extra=_BODY)
def match(
    collection: Named, asked: Annotated[reading.TwoPictures, Depends(_two)]
) -> answers.Matched:
    """Compare an uploaded picture, or a stored one, with a stored one; and say where it lies."""
    return answers.Matched.of(_pair(collection, asked))


@router.post(
    "/{name}/match.png",
    openapi_extra=_BODY,
    response_class=Response,
    responses={
        200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
    },
)
def match_drawn(
    collection: Named, asked: Annotated[reading.TwoPictures, Depends(_two)]
) -> Response:
    """The same as a picture: both side by side, what agrees joined by lines."""
    pair = _pair(collection, asked)
    return Response(drawn(pair, []), media_type="image/png")


def _pair(collection: Collection, asked: reading.TwoPictures) -> Pair:
    first = asked.upload.data if asked.upload else record_of(collection, asked.said.id_a or "")
    second = record_of(collection, asked.said.id_b)
    return collection.match(first, second, compare=asked.said.names)

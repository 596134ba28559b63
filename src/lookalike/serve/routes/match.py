"""Two pictures compared with each other."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from ...collection import Collection
from ...drawing import drawn
from ...pairs import Pair
from .. import answers, questions
from ..describing import PREFIX, PROBLEMS, form_of
from ..served import Named, record_of

_MATCH_BODY = {
    "requestBody": {
        "required": True,
        "content": form_of(("image",), questions.Match.model_json_schema()["properties"]),
    }
}
router = APIRouter(prefix=PREFIX, responses=PROBLEMS)


async def _two(request: Request, collection: Named) -> questions.TwoPictures:
    return await questions.two_pictures(request, collection)


@router.post("/{name}/match", openapi_extra=_MATCH_BODY)
def match(
    collection: Named, asked: Annotated[questions.TwoPictures, Depends(_two)]
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
    collection: Named, asked: Annotated[questions.TwoPictures, Depends(_two)]
) -> Response:
    """The same as a picture: both side by side, what agrees joined by lines."""
    pair = _pair(collection, asked)
    return Response(drawn(pair, []), media_type="image/png")


def _pair(collection: Collection, asked: questions.TwoPictures) -> Pair:
    first = asked.upload.data if asked.upload else record_of(collection, asked.said.id_a or "")
    second = record_of(collection, asked.said.id_b)
    return collection.match(first, second, compare=asked.said.names)

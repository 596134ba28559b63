"""The bytes of stored pictures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from ...collection import Collection
from ...errors import PictureError
from ..describing import PREFIX, PROBLEMS
from ..problems import Refused
from ..served import Named, record_of

router = APIRouter(prefix=PREFIX, responses=PROBLEMS)


_FOR_A_YEAR = "private, max-age=31536000, immutable"
_SIDES = (64, 128, 256, 384, 512, 768, 1024)
"""The sizes that are made. Each is kept, so not every size that somebody asks for can be one."""


@router.get(
    "/{name}/pictures/{id}/thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, 304: {"description": "Not changed."}},
)
def thumbnail(
    request: Request,
    collection: Named,
    id: str,
    side: Annotated[
        int, Query(ge=_SIDES[0], le=_SIDES[-1], description=f"Pixels, or the next of {_SIDES}.")
    ] = 256,
) -> Response:
    """A JPEG of a stored picture, `side` pixels long or the next size; never enlarged."""
    side = next(each for each in _SIDES if each >= side)
    tag = f'"{record_of(collection, id).id}-{side}"'
    headers = {"ETag": tag, "Cache-Control": _FOR_A_YEAR}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(_thumbnail(collection, id, side), 200, headers, "image/jpeg")


def _thumbnail(collection: Collection, id: str, side: int) -> bytes:
    try:
        return collection.thumbnail(id, side)
    except PictureError as error:
        raise Refused(404, "no-thumbnail", str(error)) from error

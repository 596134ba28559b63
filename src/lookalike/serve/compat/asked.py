"""What the replaced calls have in common: the collection, paths inside the roots, forms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, NoReturn

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import FormData, UploadFile

from ...collection import Collection
from ...errors import BadSource
from .. import reach
from ..problems import Refused, forbidden_path, too_large
from ..served import OfService

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_MOST_FIELDS = 16


async def _first(served: OfService) -> AsyncIterator[Collection]:
    for name in served.shelf.names():
        with served.shelf.lent(name) as shelved:
            yield shelved.collection
            return
    raise Refused(404, "unknown-collection", "no collection is served here")


First = Annotated[Collection, Depends(_first)]
"""The collection that clients mean who know of one only."""


def path_within(text: str, roots: Sequence[Path]) -> Path:
    """`reach.path_within`; a path that is not absolute begins where the service runs, as it did."""
    if Path(text).is_absolute():
        return reach.path_within(text, roots)
    try:
        return reach.path_within(str(Path.cwd() / text), roots)
    except Refused:
        raise forbidden_path(text) from None  # which is not to say where that is


def file_within(text: str, roots: Sequence[Path]) -> Path:
    """The same of a picture alone."""
    path = path_within(text, roots)
    if path.is_dir():
        raise BadSource(f"{text} is a folder, not a picture")
    return path


def form_of(request: Request) -> AbstractAsyncContextManager[FormData]:
    """What `curl -F` or `curl -d` has sent."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in FORMS:
        detail = f"this takes a form ({' or '.join(FORMS)}), not {kind or 'nothing'}"
        raise Refused(415, "not-a-form", detail)
    return request.form(max_files=1, max_fields=_MOST_FIELDS)


async def picture_in(form: FormData, limit: int) -> bytes | None:
    """The picture that was uploaded as `image`, at most `limit` bytes; None if none was."""
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != "image":
                invalid(name, "a picture is sent as image")
            data = await value.read()
            if len(data) > limit:
                raise too_large(limit)
            return data
    return None


def invalid(field: str, problem: str) -> NoReturn:
    """422: a field that is missing or wrong."""
    raise RequestValidationError([{"loc": (field,), "msg": problem, "type": "value_error"}])

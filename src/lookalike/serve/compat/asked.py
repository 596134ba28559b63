"""What the replaced calls have in common: the collection, paths inside the roots, forms."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, NoReturn

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import FormData, UploadFile

from ...collection import Collection
from ...errors import BadSource
from .. import routes
from ..problems import Refused, too_large

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_MOST_FIELDS = 16


def _served(request: Request) -> routes.Served:
    served: routes.Served = request.app.state.served
    return served


Served = Annotated[routes.Served, Depends(_served)]
"""What the application serves."""


def _first(served: Served) -> Collection:
    for collection in served.collections.values():
        return collection
    raise Refused(404, "unknown-collection", "no collection is served here")


First = Annotated[Collection, Depends(_first)]
"""The collection that clients mean who know of one only."""


def path_within(text: str, roots: Sequence[Path]) -> Path:
    """The real path of a file or folder inside a root; a relative one begins where we run.

    403 for any that is outside, in the same words whether it is there or not; `BadSource` for one
    inside that is not there.
    """
    try:
        real = Path(text).resolve()
        inside = any(real.is_relative_to(root) for root in roots)
        is_there = inside and real.exists()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL, a name too long
        inside = False
    if not text or not inside:
        raise Refused(
            403,
            "forbidden-path",
            f"{text!r} is not inside a folder that clients may name; "
            "give it with `lookalike serve --root FOLDER`",
        )
    if not is_there:
        raise BadSource(f"{text} does not exist")
    return real


def file_within(text: str, roots: Sequence[Path]) -> Path:
    """The same of a file alone."""
    path = path_within(text, roots)
    if not path.is_file():
        raise BadSource(f"{text} is not a file")
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

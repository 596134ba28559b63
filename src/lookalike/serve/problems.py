"""Every error as an RFC 9457 problem: what happened, in words for a person, and nothing inside.

Errors of ours have a `type` of their own, a tag to compare with, and their own text as `detail`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import pairwise
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ..errors import (
    BadFilter,
    BadQuery,
    BadSource,
    CannotWrite,
    CollectionBusy,
    CollectionClosed,
    DeviceUnavailable,
    LookalikeError,
    MissingPackage,
    ModelMismatch,
    NoText,
    NotTrained,
    OtherRecipe,
    PictureError,
    PictureTooSlow,
    RecipeChanged,
    RemoteRefused,
    StorageError,
    TooLittleToLearnFrom,
    UnknownName,
    UnknownPicture,
    WeightsMissing,
    WeightsUnusable,
)
from .observed import REQUEST_ID, request_id

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_MOST_TOLD = 20
"""Of the values that are wrong in one request."""
UNEXPECTED = "something went wrong in the service; its own log has the details"

_STATUS: dict[type[LookalikeError], int] = {
    BadFilter: 400,
    BadQuery: 400,
    BadSource: 400,
    UnknownName: 400,
    UnknownPicture: 404,
    PictureError: 422,
    RemoteRefused: 422,
    NoText: 400,
    NotTrained: 409,
    OtherRecipe: 409,
    ModelMismatch: 409,
    TooLittleToLearnFrom: 409,
    RecipeChanged: 409,
    MissingPackage: 409,
    WeightsMissing: 409,
    WeightsUnusable: 409,
    CannotWrite: 507,
    StorageError: 503,  # all others of them
    CollectionBusy: 503,
    CollectionClosed: 503,
    DeviceUnavailable: 503,
}


class Refused(HTTPException):
    """What the service itself refuses: `kind` names the problem for a program."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(status, detail, _later(status))
        self.kind = kind


def unknown_collection(name: str) -> Refused:
    """404: nothing is served under this name."""
    return Refused(
        404,
        "unknown-collection",
        f"no collection named {name!r} is served here; /v1/collections lists those that are",
    )


def forbidden_path(path: str) -> Refused:
    """403: a path that is outside the roots, told in the same words whether it exists or not."""
    return Refused(
        403,
        "forbidden-path",
        f"{path!r} is not inside a folder that this service may index; "
        "give it with `lookalike serve --root FOLDER`",
    )


def too_large(limit: int, what: str = "") -> Refused:
    """413: a body, or one picture in it, over the limit; `what`: which one."""
    which = f"{what}: " if what else ""
    return Refused(413, "too-large", f"{which}an upload may have at most {limit / 1e6:g} MB")


def too_slow(seconds: float) -> Refused:
    """408: a body that has not arrived in time."""
    return Refused(408, "too-slow", f"the request's body did not arrive within {seconds:g} s")


def shutting_down() -> Refused:
    """503: the service ends while it works on this request."""
    return Refused(
        503, "shutting-down", "the service is shutting down; what was stored is kept, ask again"
    )


def problem(
    status: int,
    detail: str,
    *,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """The answer that tells a problem."""
    content = {**_content(status, detail, kind), **more}
    return JSONResponse(content, status, headers, media_type=MEDIA_TYPE)


def _content(status: int, detail: str, kind: str | None) -> dict[str, Any]:
    return {
        "type": f"tag:lookalike,2026:{kind}" if kind else "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }


def of_error(error: Exception) -> dict[str, Any]:
    """An error as it is told inside an answer: of one query among many, of a job that failed."""
    if isinstance(error, LookalikeError):
        return _content(status_of(error), _detail(error), _dashed(type(error).__name__))
    if isinstance(error, HTTPException):
        return _content(error.status_code, error.detail, getattr(error, "kind", None))
    return _content(500, UNEXPECTED, None)


def install(app: FastAPI, headers: Mapping[str, str]) -> None:
    """Have every error of `app` told as a problem; `headers` go with those nobody expected."""

    def unexpected(_: Request, __: Exception) -> JSONResponse:
        # The server closes the connection after it has logged the error: clients should know.
        more = {"Connection": "close", REQUEST_ID: request_id.get() or ""}
        return problem(500, UNEXPECTED, headers={**headers, **more})

    app.add_exception_handler(LookalikeError, _of_ours)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(Exception, unexpected)


def status_of(error: LookalikeError) -> int:
    """The status that an error of ours is answered with."""
    if isinstance(error, PictureTooSlow):  # whoever sent it would send it again
        return 422
    if isinstance(error, PictureError) and error.retry:
        return 503
    if isinstance(error, PictureError) and not error.recognised:
        return 415
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


def _of_ours(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LookalikeError)
    status = status_of(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("%s", error)
    kind = _dashed(type(error).__name__)
    return problem(status, _detail(error), kind=kind, headers=_later(status))


def _later(status: int) -> dict[str, str] | None:
    """When to ask again, in seconds, where that may help."""
    return {"Retry-After": "2"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None


def _detail(error: LookalikeError) -> str:
    """What happened, without where that is kept and without advice for a command line."""
    if isinstance(error, PictureError):
        return error.reason
    if isinstance(error, UnknownPicture):
        return f"no stored picture has the id {error.id!r}"
    if isinstance(error, StorageError):  # the place is the operator's business alone
        return f"the service cannot read or write what it keeps: {error.why}; its log says where"
    return str(error)


def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error, Refused):
        return problem(error.status_code, error.detail, kind=error.kind, headers=error.headers)
    # A route knows its own methods alone, and what no route answers is looked for among the files.
    methods = _methods(request) if error.status_code in (404, 405) else []
    if methods:
        allow = {"Allow": ", ".join(methods)}
        return problem(405, f"this address takes {allow['Allow']}", headers=allow)
    detail = error.detail
    if error.status_code == 404:
        detail = "there is nothing at this address; /openapi.json describes all calls"
    return problem(error.status_code, detail, headers=error.headers)


def _methods(request: Request) -> list[str]:
    """What may be asked at this address, by the description of the API."""
    path = request.url.path
    described: Mapping[str, Mapping[str, Any]] = request.app.openapi()["paths"]
    fitting = [
        methods
        for template, methods in described.items()
        if re.fullmatch(re.sub(r"\\\{[^}]*\}", "[^/]+", re.escape(template)), path)
    ]
    return sorted({method.upper() for methods in fitting for method in methods})


def _of_validation(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {
            "where": ".".join(str(part) for part in each["loc"]),
            "problem": each["msg"].removeprefix("Value error, "),
        }
        for each in error.errors()[:_MOST_TOLD]
    ]
    fields = [_field(each["loc"]) for each in error.errors()]
    told = zip(fields, errors, strict=False)
    detail = "; ".join(": ".join(filter(None, (name, each["problem"]))) for name, each in told)
    return problem(422, detail, kind="invalid", errors=errors)


def _field(location: Sequence[str | int]) -> str:
    """What a client calls the value, such as `k`, or `queries[2].like[0].id` of a batch.

    Before it stands its part of the request; after it, or after a number in it, may stand a type.
    """
    inside = [part for part in location if part not in ("query", "body", "path")]
    if not inside:
        return ".".join(map(str, location))
    told = str(inside[0])
    for before, part in pairwise(inside):
        if isinstance(part, int):
            told += f"[{part}]"
        elif isinstance(before, int):
            told += f".{part}"
        else:
            break
    return told


def _dashed(name: str) -> str:
    """BadFilter -> bad-filter."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()

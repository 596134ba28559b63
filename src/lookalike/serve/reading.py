"""Requests -> what they ask: forms and JSON, read strictly and within bounds."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from ..collection import Collection
from ..types import Metadata
from .problems import Refused, too_large
from .questions import (
    MOST_AT_ONCE,
    MOST_PICTURES,
    Adding,
    Asked,
    Batch,
    Description,
    Match,
    check_together,
)

FORM = "multipart/form-data"
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Upload:
    """One uploaded picture, still encoded."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Question:
    """Uploaded pictures that are one query, and what else is asked."""

    asked: Asked
    pictures: list[Upload] = field(default_factory=list)
    unlike: list[Upload] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TwoPictures:
    """An uploaded picture, if there is one, and what is said of both."""

    upload: Upload | None
    said: Match


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Uploaded pictures that are to be kept, and what is said of each; None for nothing."""

    pictures: list[Upload]
    label: str | None
    metadata: Metadata | None


def json_of(model: type[_Model]) -> Callable[[Request], Coroutine[Any, Any, _Model]]:
    """What reads a body of JSON alone, for routes that depend on it."""

    async def read(request: Request) -> _Model:
        if _content_type(request) not in (JSON, MERGE_PATCH):
            raise _unsupported(request, f"takes JSON ({JSON})")
        return _checked_json(model, await request.body())

    return read


async def question(request: Request, collection: Collection) -> Question:
    """Read a search: a form with pictures, or JSON; in a form also from the address."""
    if _content_type(request) == JSON:
        read = Question(_checked_json(Asked, await request.body()))
    else:
        async with _form(request) as form:
            pictures = await _uploads(form, "image", collection, MOST_PICTURES)
            unlike = await _uploads(form, "unlike", collection, MOST_PICTURES)
            fields = {**request.query_params, **_texts(form, "image", "unlike")}
        read = Question(_checked(Asked, fields), pictures, unlike)
    if not read.pictures and not read.asked.has_examples:
        _invalid("image", "expected at least one picture, or like, or text")
    if read.asked.weights is not None and len(read.asked.weights) != len(read.pictures):
        _invalid("weights", "expected one for each uploaded picture")
    return read


async def batch(request: Request, collection: Collection) -> list[Question]:
    """Read several searches: JSON, or a form whose every picture is a query of its own."""
    if _content_type(request) == JSON:
        return [Question(each) for each in _checked_json(Batch, await request.body()).queries]
    async with _form(request) as form:
        pictures = await _uploads(form, "image", collection, MOST_AT_ONCE)
        fields = _texts(form, "image")
    if not pictures:
        _invalid("image", "expected at least one picture")
    asked = _checked(Asked, fields)
    if asked.weights is not None:
        _invalid("weights", "every picture is a query of its own")
    try:
        check_together([asked.count] * len(pictures))
    except ValueError as error:
        _invalid("k", str(error))
    return [Question(asked, [each]) for each in pictures]


async def two_pictures(request: Request, collection: Collection) -> TwoPictures:
    """Read a form with one picture to compare, or the id of a stored one; or JSON with two ids."""
    if _content_type(request) == JSON:
        uploads, said = [], _checked_json(Match, await request.body())
    else:
        async with _form(request) as form:
            uploads = await _uploads(form, "image", collection, 1)
            said = _checked(Match, _texts(form, "image"))
    if len(uploads) + (said.id_a is not None) != 1:
        _invalid("image", "expected one picture, or id_a")
    return TwoPictures(uploads[0] if uploads else None, said)


async def arrivals(request: Request, collection: Collection) -> Arrivals | Adding:
    """Read what is to be added: a form with `images`, or JSON that names a path or addresses."""
    if _content_type(request) == JSON:
        return _checked_json(Adding, await request.body())
    async with _form(request) as form:
        pictures = await _uploads(form, "images", collection, None)
        fields = _texts(form, "images")
    if not pictures:
        _invalid("images", "expected at least one picture")
    said = _checked(Description, fields)
    return Arrivals(pictures, said.label or None, said.metadata)


def _form(request: Request) -> Any:
    if _content_type(request) != FORM:
        raise _unsupported(request, f"takes a form ({FORM})")
    return request.form()


def _unsupported(request: Request, takes: str) -> Refused:
    given = _content_type(request) or "nothing"
    return Refused(415, "not-a-form" if FORM in takes else "not-json", f"this {takes}, not {given}")


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _uploads(
    form: FormData, name: str, collection: Collection, most: int | None
) -> list[Upload]:
    limit = collection.limits.upload_bytes
    given = form.getlist(name)
    if most is not None and len(given) > most:
        _invalid(name, f"expected at most {most}, not {len(given)}")
    uploads = []
    for number, each in enumerate(given):
        which = f"{name}[{number}]" if len(given) > 1 else name
        if not isinstance(each, UploadFile):
            _invalid(which, "expected a file")
        data = await each.read()
        if len(data) > limit:
            raise too_large(limit, which)
        uploads.append(Upload(each.filename or "picture", data))
    return uploads


def _texts(form: FormData, *pictures: str) -> dict[str, str]:
    """The form's other fields; a file among them is an error."""
    texts: dict[str, str] = {}
    for name, value in form.items():
        if name in pictures:
            continue
        if isinstance(value, UploadFile):
            _invalid(name, "expected text, not a file")
        texts[name] = value
    return texts


def _checked(model: type[_Model], fields: Mapping[str, Any]) -> _Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None


def _checked_json(model: type[_Model], body: bytes) -> _Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None


def _invalid(name: str, problem: str) -> NoReturn:
    raise RequestValidationError([{"loc": (name,), "msg": problem, "type": "value_error"}])

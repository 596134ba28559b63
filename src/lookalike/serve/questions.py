"""What clients ask, read strictly: bodies, forms and the folders that may be indexed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    JsonValue,
    ValidationError,
)
from starlette.datastructures import FormData, UploadFile

from .. import expansion, reranking
from ..collection import Collection
from ..errors import BadSource
from ..types import Box, Metadata
from .problems import Refused, forbidden_folder, too_large

_FORM = "multipart/form-data"
_JSON = "application/json"
_Model = TypeVar("_Model", bound=BaseModel)


class _Strict(BaseModel):
    """An unknown or misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Wanted(_Strict):
    """Which hits of a search."""

    k: Annotated[int, Field(ge=1, le=1000)] | Literal["all"] = Field(
        24,
        description="How many hits; `all` that the index reaches, refused if over 100,000.",
    )
    offset: int = Field(0, ge=0, le=1_000_000, description="How many of the best to leave out.")
    where: str | None = Field(
        None, max_length=2000, description="A filter, such as `label=cat and width >= 800`."
    )
    threshold: float | None = Field(None, description="The least score of a hit.")
    radius: float | None = Field(None, description="The greatest distance of a hit.")
    probes: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["all"] | None = Field(
        None, description="Lists (`ivf` and its kin) or buckets (`lsh`) that are looked into."
    )
    ef_search: int | None = Field(
        None, ge=1, le=10_000, description="Candidates that the walk of a graph keeps."
    )
    refine: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="Candidates a hit that compressed kinds rank again.",
    )
    embedding: str | None = Field(
        None, max_length=200, description="One of several kinds of vectors to search by alone."
    )
    compare: str | None = Field(
        None,
        max_length=1000,
        description="Comparators that look again at the best, in order, with commas between them; "
        "empty for none. As the recipe has it unless given.",
    )
    order: Literal["last", "fused"] | None = Field(
        None, description="By the last comparator, or by all of them and the first look, fused."
    )
    collapse: bool = Field(False, description="Put hits that are nearly identical under one.")
    expand: int | None = Field(
        None,
        ge=1,
        le=expansion.MOST,
        description="Search again with the mean of the query and so many of its hits.",
    )
    rerank: int | None = Field(
        None,
        ge=1,
        le=reranking.MOST,
        description="Rank so many again by the neighbours that they share with the query.",
    )
    confident: bool = Field(
        False, description="Only hits that pass for copies, by what `lookalike calibrate` found."
    )

    def keywords(self) -> dict[str, Any]:
        """As `Collection.search` takes them."""
        given = self.model_dump(exclude_none=True)
        if self.compare is not None:
            given["compare"] = _names(self.compare)
        return {**given, "k": None if self.k == "all" else self.k}


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]


def _numbers(given: Any) -> Any:
    """A form says several numbers with commas between them."""
    return given.split(",") if isinstance(given, str) else given


class Asked(Wanted):
    """What a search says beside its pictures."""

    text: str | None = Field(
        None,
        max_length=10_000,
        description="Words that the hits are to fit; alone or with `image`.",
    )
    text_weight: float = Field(
        0.5, ge=0, le=1, description="Of the words beside a picture, from 0 to 1."
    )
    unlike_text: str | None = Field(
        None, max_length=10_000, description="Words that the hits are not to fit."
    )
    crop: Annotated[tuple[float, float, float, float], BeforeValidator(_numbers)] | None = Field(
        None, description="x, y, width, height: the part of the picture to ask with, in pixels."
    )

    def keywords(self) -> dict[str, Any]:
        """As `Collection.search` takes them."""
        given = super().keywords()
        return {**given, "crop": Box(*self.crop)} if self.crop is not None else given


class Match(_Strict):
    """Which pictures are compared, and how."""

    id_a: str | None = Field(None, max_length=64, description="A stored picture, if none is sent.")
    id_b: str = Field(max_length=64, description="The stored picture that it is compared with.")
    compare: str = Field(
        "verified", max_length=1000, description="Comparators, with commas between them."
    )

    @property
    def names(self) -> list[str]:
        """The comparators."""
        return _names(self.compare)


class Folder(_Strict):
    """A folder on the server that is to be indexed."""

    folder: str = Field(min_length=1, description="An absolute path, inside one of the roots.")
    prune: bool = Field(False, description="Also forget pictures that are no longer there.")


def _finite(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """NaN and infinity are read as numbers, but JSON has none: they could not be told again."""
    json.dumps(metadata, allow_nan=False)
    return metadata


class _Description(_Strict):
    label: str | None = Field(None, max_length=1000)
    metadata: Annotated[Json[dict[str, JsonValue]], AfterValidator(_finite)] | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """One uploaded picture, still encoded."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Question:
    """Uploaded pictures that are one query, and what else is asked."""

    pictures: list[Upload]
    unlike: list[Upload]
    asked: Asked


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


async def question(request: Request, collection: Collection) -> Question:
    """Read a search: a form with pictures or `text`, or JSON with `text`; or from the address."""
    if _content_type(request) == _JSON:
        asked = _checked_json(Asked, await request.body())
        pictures, unlike = [], []
    else:
        async with _form(request) as form:
            pictures = await _uploads(form, "image", collection)
            unlike = await _uploads(form, "unlike", collection)
            fields = {**request.query_params, **_texts(form, "image", "unlike")}
        asked = _checked(Asked, fields)
    if not pictures and asked.text is None:
        _invalid("image", "expected at least one picture, or text")
    return Question(pictures, unlike, asked)


async def two_pictures(request: Request, collection: Collection) -> TwoPictures:
    """Read a form with one picture to compare, or the id of a stored one."""
    async with _form(request) as form:
        uploads = await _uploads(form, "image", collection)
        said = _checked(Match, _texts(form, "image"))
    if len(uploads) + (said.id_a is not None) != 1:
        _invalid("image", "expected one picture, or id_a")
    return TwoPictures(uploads[0] if uploads else None, said)


async def arrivals(request: Request, collection: Collection) -> Arrivals | Folder:
    """Read what is to be added: a form with `images`, or JSON that names a folder."""
    if _content_type(request) == _JSON:
        return _checked_json(Folder, await request.body())
    async with _form(request) as form:
        pictures = await _uploads(form, "images", collection)
        fields = _texts(form, "images")
    if not pictures:
        _invalid("images", "expected at least one picture")
    said = _checked(_Description, fields)
    return Arrivals(pictures, said.label or None, said.metadata)


def folder_within(folder: str, roots: Sequence[Path]) -> Path:
    """The real path of a folder inside a root. Otherwise 403, or `BadSource` if there is none."""
    try:
        path = Path(folder)
        real = path.resolve()
        is_folder = real.is_dir()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL, a name too long
        raise forbidden_folder(folder) from None
    if not path.is_absolute() or not any(real.is_relative_to(root) for root in roots):
        raise forbidden_folder(folder)
    if not is_folder:
        raise BadSource(f"{folder} is not a folder")
    return real


def _form(request: Request) -> Any:
    if _content_type(request) != _FORM:
        detail = f"this takes a form ({_FORM}), not {_content_type(request) or 'nothing'}"
        raise Refused(415, "not-a-form", detail)
    return request.form()


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _uploads(form: FormData, field: str, collection: Collection) -> list[Upload]:
    limit = collection.limits.upload_bytes
    uploads = []
    for given in form.getlist(field):
        if not isinstance(given, UploadFile):
            _invalid(field, "expected a file")
        data = await given.read()
        if len(data) > limit:
            raise too_large(limit)
        uploads.append(Upload(given.filename or "picture", data))
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


def _invalid(field: str, problem: str) -> NoReturn:
    raise RequestValidationError([{"loc": (field,), "msg": problem, "type": "value_error"}])

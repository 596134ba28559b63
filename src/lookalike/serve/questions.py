"""What clients ask, as the models that read it strictly."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)
from pydantic_core import from_json

from .. import expansion, reranking
from ..types import Box
from .shelf import NAME

MOST_PICTURES = 16
"""That are one query."""
MOST_URLS = 4
"""Of them, as each is held in memory until all have come."""
MOST_AT_ONCE = 64
"""Queries in one request, or addresses."""
MOST_HITS_AT_ONCE = 10_000
"""Of all queries in one request."""
_LARGEST_FLOAT = 3.4e38
_ID = "5c5c7b2f1d6f0c6d1a9b2a7b6c6f7a53c3ff6f2f83c2f8a53a7f9b0e2d6b1c44"

Id = Annotated[str, Field(max_length=64)]
Url = Annotated[str, Field(max_length=2000, description="http or https, if `--fetch-urls` is on.")]


class _Strict(BaseModel):
    """An unknown or misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Wanted(_Strict):
    """Which hits of a search."""

    k: Annotated[int, Field(ge=1, le=1000)] | Literal["all"] = Field(
        24,
        description="How many hits; `all` that the index reaches, refused if over 100,000.",
    )
    limit: int | None = Field(None, ge=1, le=1000, description="The same as `k`.")
    n: int | None = Field(None, ge=1, le=1000, description="The same as `k`.")
    offset: int = Field(0, ge=0, le=1_000_000, description="How many of the best to leave out.")
    cursor: str | None = Field(
        None, max_length=500, description="`next` of the page before, all else being the same."
    )
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

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if len(self.model_fields_set & {"k", "limit", "n"}) > 1:
            raise ValueError("k, limit and n are the same: give one of them")
        if self.cursor is not None and (self.offset or self.k == "all"):
            raise ValueError("a cursor goes without an offset, and with a number of hits")
        return self

    @property
    def count(self) -> int | None:
        """How many hits, None for all."""
        return None if self.k == "all" else self.limit or self.n or self.k

    def keywords(self) -> dict[str, Any]:
        """As `Collection.search` takes them."""
        given = self.model_dump(exclude_none=True, exclude={"k", "limit", "n", "cursor"})
        if self.compare is not None:
            given["compare"] = _names(self.compare)
        return {**given, "k": self.count}

    def told_apart(self) -> str:
        """What is asked, but for which page of it."""
        return self.model_dump_json(exclude={"k", "limit", "n", "cursor", "offset"})


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]


def _numbers(given: Any) -> Any:
    """A form says several numbers with commas between them."""
    return given.split(",") if isinstance(given, str) else given


def _json(given: Any) -> Any:
    """A form says what is no text as JSON."""
    return from_json(given, allow_inf_nan=False) if isinstance(given, str) else given


_Number = Annotated[float, Field(ge=-_LARGEST_FLOAT, le=_LARGEST_FLOAT)]
_Weight = Annotated[float, Field(gt=0, le=1000)]


class Example(_Strict):
    """One thing to search by: of `id`, `url` and `vector` one."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [name]} for name in ("id", "url", "vector")]}
    )

    id: Id | None = Field(None, description="A stored picture, which is not among the hits.")
    url: Url | None = None
    vector: Annotated[list[_Number], Field(min_length=1, max_length=65_536)] | None = Field(
        None, description="Of the embedding that is searched, as long as its vectors are."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(each is not None for each in (self.id, self.url, self.vector)) != 1:
            raise ValueError("give one of id, url and vector")
        return self


class Weighted(Example):
    """The same beside others."""

    weight: _Weight = Field(1.0, description="What it counts among several, which are one query.")


class Asked(Wanted):
    """All that a search says, beside the pictures that are uploaded with it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "a red car", "k": 10, "where": "width >= 800"},
                {"like": [{"id": _ID, "weight": 2}, {"url": "https://example.org/a.jpg"}]},
            ]
        }
    )
    like: Annotated[list[Weighted], Field(max_length=MOST_PICTURES), BeforeValidator(_json)] = (
        Field([], description="What the hits are to be like; several are one query, their mean.")
    )
    unlike: Annotated[list[Example], Field(max_length=MOST_PICTURES), BeforeValidator(_json)] = (
        Field([], description="What the hits are not to be like.")
    )
    weights: (
        Annotated[list[_Weight], Field(max_length=MOST_PICTURES), BeforeValidator(_numbers)] | None
    ) = Field(None, description="What each uploaded picture counts.")
    text: str | None = Field(
        None,
        max_length=10_000,
        description="Words that the hits are to fit; alone or with pictures.",
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

    @model_validator(mode="after")
    def _few_addresses(self) -> Self:
        if sum(each.url is not None for each in (*self.like, *self.unlike)) > MOST_URLS:
            raise ValueError(f"one query fetches from at most {MOST_URLS} addresses")
        return self

    @property
    def has_examples(self) -> bool:
        """Whether it asks with something, beside what is uploaded."""
        return bool(self.like) or self.text is not None

    def keywords(self) -> dict[str, Any]:
        """As `Collection.search` takes them."""
        given = super().keywords()
        for name in ("like", "unlike", "weights"):
            given.pop(name, None)
        return {**given, "crop": Box(*self.crop)} if self.crop is not None else given


class Batch(_Strict):
    """Several searches, each answered on its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"queries": [{"like": [{"id": _ID}], "k": 5}, {"text": "a red car"}]}]
        }
    )
    queries: list[Asked] = Field(min_length=1, max_length=MOST_AT_ONCE)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        for number, each in enumerate(self.queries):
            if not each.has_examples:
                raise ValueError(f"queries[{number}]: a query needs like, or text")
            if each.count is None:
                raise ValueError(f"queries[{number}]: k: one of several has a number of hits")
        check_together([each.count for each in self.queries])
        return self


def check_together(counts: list[int | None]) -> None:
    """`ValueError` where the queries of one request want more hits than it may have."""
    total = sum(each or 0 for each in counts)
    if None in counts or total > MOST_HITS_AT_ONCE:
        asked = "all" if None in counts else f"{total:,}"
        raise ValueError(
            f"the queries have at most {MOST_HITS_AT_ONCE:,} hits together, not {asked}"
        )


class Match(_Strict):
    """Which pictures are compared, and how."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id_a": _ID, "id_b": _ID, "compare": "verified"}]}
    )
    id_a: Id | None = Field(None, description="A stored picture, if none is sent.")
    id_b: Id = Field(description="The stored picture that it is compared with.")
    compare: str = Field(
        "verified", max_length=1000, description="Comparators, with commas between them."
    )

    @property
    def names(self) -> list[str]:
        """The comparators."""
        return _names(self.compare)


def _finite(metadata: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
    """NaN and infinity are read as numbers, but JSON has none: they could not be told again."""
    json.dumps(metadata, allow_nan=False)
    return metadata


_Metadata = Annotated[
    dict[str, JsonValue] | None, AfterValidator(_finite), Field(examples=[{"year": 1969}])
]
_Label = Annotated[str | None, Field(max_length=1000, examples=["cat"])]
_Path = Annotated[
    str,
    Field(
        min_length=1,
        max_length=10_000,
        description="Absolute, inside one of the roots: a folder, or one picture.",
    ),
]


class Description(_Strict):
    """What is said of pictures that are uploaded."""

    label: _Label = None
    metadata: Annotated[_Metadata, BeforeValidator(_json)] = None


class Adding(_Strict):
    """What is to be added that is not uploaded: of `path` and `urls` one."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["path"]}, {"required": ["urls"]}],
            "examples": [
                {"path": "/srv/photos/2024"},
                {"urls": ["https://example.org/a.jpg"], "label": "cat"},
            ],
        }
    )
    path: _Path | None = None
    prune: bool = Field(False, description="Also forget pictures that are no longer in the folder.")
    urls: Annotated[list[Url], Field(min_length=1, max_length=MOST_AT_ONCE)] | None = None
    label: _Label = None
    metadata: _Metadata = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.path is None) == (self.urls is None):
            raise ValueError("give one of path and urls")
        if self.path is not None and (self.label is not None or self.metadata is not None):
            raise ValueError("label and metadata go with urls: a folder's name is the label")
        if self.urls is not None and self.prune:
            raise ValueError("prune goes with path")
        return self


class Change(_Strict):
    """What is to be said of a stored picture from now on, as a merge patch (RFC 7396)."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["label"]}, {"required": ["metadata"]}],
            "examples": [{"label": "cat", "metadata": {"year": 1969, "by": None}}],
        }
    )
    label: _Label = Field(None, description="null for none.")
    metadata: _Metadata = Field(
        None, description="Put into what there is; a null takes its key away, and null all."
    )
    place: str | None = Field(
        None, max_length=10_000, description="One of its places; all of them unless given."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set & {"label", "metadata"}:
            raise ValueError("give label or metadata")
        return self


class NewCollection(_Strict):
    """A collection that is to be made."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "holidays", "recipe": "default"}]}
    )
    name: str = Field(
        pattern=NAME, description="Small letters, digits, - and _; it becomes a folder."
    )
    recipe: str = Field(
        "default", max_length=100, description="A ready one, as `GET /v1/recipes` lists them."
    )


class Ingest(_Strict):
    """A folder of the server that is to be taken in."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"path": "/srv/photos"}]})
    path: _Path
    prune: bool = Field(False, description="Also forget pictures that are no longer there.")
    retry: bool = Field(False, description="Try again what was refused before.")

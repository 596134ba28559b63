"""What the service answers, as the models that its OpenAPI description shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from ..pairs import Pair
from ..types import Hit, Record


def written(answer: BaseModel) -> Response:
    """As JSON, here and now: FastAPI would begin another thread for that."""
    return Response(answer.model_dump_json(), media_type="application/json")


class Health(BaseModel):
    """The service is up."""

    status: Literal["ok"] = "ok"


class CollectionSummary(BaseModel):
    """One collection that is served."""

    name: str
    pictures: int
    recipe: str
    upload_bytes: int = Field(description="The largest picture that may be uploaded.")
    reads_text: bool = Field(description="Whether it can be searched with words.")
    comparators: list[str] = Field(description="What can look again at the best hits.")
    looks_again: list[str] = Field(description="Those that do unless others are named.")


class BrokenCollection(BaseModel):
    """One in the folder of collections that cannot be opened; the service goes on trying."""

    name: str
    problem: Problem = Field(description="Why it cannot be opened.")


class Collections(BaseModel):
    """The collections that are served."""

    collections: list[CollectionSummary]
    broken: list[BrokenCollection] = Field(description="Those that cannot be opened.")


class Stats(BaseModel):
    """Counts, sizes and the state of the index, as `lookalike stats --json` prints them."""

    model_config = ConfigDict(extra="allow")

    path: str
    recipe: str
    pictures: int


class StoredPicture(BaseModel):
    """One stored picture."""

    id: str = Field(description="Hexadecimal SHA-256 of the picture's bytes.")
    path: str = Field(description="The first place where it lies.")
    places: list[str]
    label: str | None
    metadata: dict[str, Any]
    width: int
    height: int
    format: str
    size: int = Field(description="Bytes.")
    added: datetime
    thumbnail: str = Field(description="Where its thumbnail is.")

    @classmethod
    def of(cls, record: Record, collection: str) -> StoredPicture:
        """A record as it is shown."""
        return cls(
            id=record.id,
            path=record.path,
            places=[place.path for place in record.places],
            label=record.label,
            metadata=dict(record.metadata),
            width=record.width,
            height=record.height,
            format=record.format,
            size=record.size,
            added=datetime.fromtimestamp(record.added, UTC),
            thumbnail=_thumbnail(collection, record.id),
        )


class Pictures(BaseModel):
    """Some stored pictures, and how many there are in all."""

    pictures: list[StoredPicture]
    total: int
    next: str | None = Field(
        None, description="The `cursor` of the next page; null after the last."
    )


class Evidence(BaseModel):
    """Where a query was found in a picture."""

    inliers: int = Field(description="Keypoints that agree on where it lies.")
    matches: int = Field(description="Matches before geometry had its say.")
    mirrored: bool
    region: list[tuple[float, float]] | None = Field(
        description="The query's corners in the picture, clockwise from the upper left, in pixels."
    )


class PlacedEvidence(Evidence):
    """The same with every place."""

    points: list[tuple[float, float, float, float]] = Field(
        description="Of each keypoint that agrees: x and y in the first picture, then the second."
    )


class Matched(BaseModel):
    """Two pictures compared with each other."""

    scores: dict[str, float | None] = Field(description="By comparator, in its own scale.")
    unavailable: dict[str, str] = Field(description="Why a comparator could not compare.")
    kinship: Literal["copy", "near", "similar"] | None
    evidence: PlacedEvidence | None
    size_a: tuple[int, int] = Field(description="Width and height in pixels.")
    size_b: tuple[int, int]

    @classmethod
    def of(cls, pair: Pair) -> Matched:
        """A pair as it is shown."""
        said = pair.to_json()
        if pair.evidence is not None:
            both = np.hstack([pair.evidence.query_xy, pair.evidence.candidate_xy]).astype(float)
            said["evidence"]["points"] = np.round(both, 1).tolist()
        return cls(**said)


class Alike(BaseModel):
    """A picture that is nearly identical to a better hit."""

    id: str
    path: str
    score: float


class FoundPicture(BaseModel):
    """A stored picture that answers a query, as `lookalike search --json` prints it, and more."""

    id: str
    path: str
    places: list[str]
    score: float = Field(description="Higher is more alike; for the default recipe -1 to 1.")
    distance: float
    scores: dict[str, float | None] = Field(
        description="By comparator, in its own scale, null where it could not compare."
    )
    unavailable: dict[str, str] = Field(description="Why a comparator could not compare.")
    kinship: Literal["copy", "near", "similar"] | None = Field(
        description="What it is to the query, where the recipe tells."
    )
    probability: float | None = Field(
        description="That it is a copy, 0 to 1; null where `lookalike calibrate` knows nothing."
    )
    evidence: Evidence | None
    label: str | None
    metadata: dict[str, Any]
    alike: list[Alike] = Field(description="With `collapse`, what it stands for as well.")
    width: int
    height: int
    thumbnail: str = Field(description="Where its thumbnail is.")

    @classmethod
    def of(cls, hit: Hit, collection: str) -> FoundPicture:
        """A hit as it is shown."""
        return cls(
            **hit.to_json(),
            width=hit.record.width,
            height=hit.record.height,
            thumbnail=_thumbnail(collection, hit.id),
        )


class Found(BaseModel):
    """The pictures most alike, best first."""

    hits: list[FoundPicture]
    next: str | None = Field(
        None, description="The `cursor` of the next page; null after the last."
    )
    took_ms: float


class FoundOne(BaseModel):
    """The answer to one of several queries: its hits, or its problem."""

    hits: list[FoundPicture] | None = None
    next: str | None = None
    problem: Problem | None = None


class FoundAll(BaseModel):
    """The answers to several queries, in their order."""

    results: list[FoundOne]


class Kept(BaseModel):
    """What became of one uploaded picture: its id and outcome, or its problem."""

    name: str
    id: str | None = None
    outcome: Literal["stored", "copy", "replaced", "unchanged"] | None = None
    problem: str | None = None


class KeptAll(BaseModel):
    """What became of each uploaded picture."""

    results: list[Kept]


class Ingested(BaseModel):
    """What became of a folder, as `lookalike index --json` prints it."""

    model_config = ConfigDict(extra="allow")

    stored: int
    copies: int
    unchanged: int
    replaced: int
    removed: int
    failed: int
    ignored: int
    seconds: float


class Problem(BaseModel):
    """RFC 9457: what went wrong."""

    type: str = Field(description="A tag that names the problem for a program.")
    title: str
    status: int
    detail: str = Field(description="What happened, for a person.")


def _thumbnail(collection: str, id: str) -> str:
    return f"/v1/collections/{quote(collection, safe='')}/pictures/{id}/thumbnail"

"""The server of CLIP, FAISS and SQLite: `GET /add`, `/search` and `/stats`, all by path."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from ... import ingest
from ...types import Hit
from ..access import ChangesState
from ..problems import shutting_down
from ..served import OfService
from . import asked

router = APIRouter()

_PATH = Field(min_length=1, max_length=4096, description="A path inside one of the roots.")


class _Strict(BaseModel):
    """An unknown or misspelt parameter is an error."""

    model_config = ConfigDict(extra="forbid")


class ToAdd(_Strict):
    """What is to be added."""

    image: Annotated[str, _PATH]


class Asked(_Strict):
    """What is searched for."""

    image: Annotated[str, _PATH]
    limit: int = Field(10, ge=1, le=1000, description="How many results.")
    compare: list[str] = Field(
        [], max_length=10, description="Comparators that look at the best of them, too."
    )


class Added(BaseModel):
    """What became of a picture, or of a folder."""

    message: str = "Extracted features from images"
    added: int = Field(description="Pictures that are new, or have changed.")
    skipped: int = Field(description="Those that were there already.")
    failed: int = Field(description="Those that cannot be read.")


class Result(BaseModel):
    """A picture that is alike."""

    image: str = Field(description="Its path.")
    distance: float
    compare: dict[str, str | None] | None = Field(
        None, description="What each comparator says, as text; null where it could not compare."
    )


class Results(BaseModel):
    """The nearest first."""

    results: list[Result]


class Count(BaseModel):
    """How many pictures there are."""

    images: int


@router.get("/add", summary="Add a picture, or a folder of them", dependencies=[ChangesState])
def add_as_clip_server(
    served: OfService, collection: asked.First, wanted: Annotated[ToAdd, Query()]
) -> Added:
    """What is there already, and has not changed, is passed over."""
    path = asked.path_within(wanted.image, served.roots)

    def stop_when_ending(_: ingest.Report) -> None:
        if served.is_ending():
            raise shutting_down()

    report = collection.add(path, within=served.roots, on_progress=stop_when_ending)
    return Added(
        added=report.stored + report.replaced,
        skipped=report.unchanged + report.copies,
        failed=report.failed,
    )


@router.get(
    "/search",
    summary="Paths and distances, the nearest first",
    response_model_exclude_unset=True,
)
def search_as_clip_server(
    served: OfService, collection: asked.First, wanted: Annotated[Asked, Query()]
) -> Results:
    """Comparators are told of and change no order; `POST …/v1/…/search` lets them."""
    path = asked.file_within(wanted.image, served.roots)
    # As many as are compared, since what the best of those are is not by distance any more.
    most = max(wanted.limit, collection.recipe.second_look.candidates if wanted.compare else 0)
    hits = collection.search(path, k=most, compare=wanted.compare)
    nearest = sorted(hits, key=lambda hit: hit.distance)[: wanted.limit]
    return Results(results=[_result(hit, wanted.compare) for hit in nearest])


@router.get("/stats", summary="How many pictures there are")
def stats_as_clip_server(collection: asked.First) -> Count:
    """All of the collection."""
    return Count(images=len(collection))


def _result(hit: Hit, compared: list[str]) -> Result:
    said: dict[str, Any] = {"image": hit.path, "distance": round(hit.distance, 6)}
    if compared:
        scores = {name: hit.scores.get(name) for name in compared}
        said["compare"] = {
            name: None if score is None else f"{score:g}" for name, score in scores.items()
        }
    return Result(**said)

"""The routes that show a collection as a whole: what its pictures have in common, and a map."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ...picture_map import PictureMap
from ...store import SIDES, Facets
from ..describing import PREFIX
from ..served import Borrowed, Named

_MOST_LABELS = 200

router = APIRouter(prefix=PREFIX, tags=["overview"])


class Count(BaseModel):
    """How many pictures have one label, or one format."""

    value: str
    count: int


class Sizes(BaseModel):
    """How many pictures have a longer side from `least` pixels on, and below `below`."""

    least: int
    below: int | None
    count: int


class Facetted(BaseModel):
    """What pictures have in common, the most frequent first."""

    labels: list[Count] = Field(description=f"The {_MOST_LABELS} most frequent.")
    formats: list[Count]
    sizes: list[Sizes]

    @classmethod
    def of(cls, facets: Facets) -> Facetted:
        """Facets as they are shown."""
        ranges = zip((0, *SIDES), (*SIDES, None), facets.sizes, strict=True)
        return cls(
            labels=[Count(value=value, count=count) for value, count in facets.labels],
            formats=[Count(value=value, count=count) for value, count in facets.formats],
            sizes=[Sizes(least=low, below=high, count=count) for low, high, count in ranges],
        )


class Point(BaseModel):
    """A stored picture on the map."""

    id: str
    x: float = Field(description="From -1 to 1.")
    y: float = Field(description="From -1 to 1.")
    label: str | None


class Mapped(BaseModel):
    """Pictures on a plane, those alike near each other."""

    points: list[Point]
    total: int = Field(description="Pictures in the collection; the points may be a sample.")

    @classmethod
    def of(cls, map: PictureMap) -> Mapped:
        """A map as it is shown."""
        places = zip(map.records, map.places.round(4).tolist(), strict=True)
        return cls(
            points=[Point(id=each.id, x=x, y=y, label=each.label) for each, (x, y) in places],
            total=map.total,
        )


@router.get("/{name}/facets")
def facets(
    collection: Named,
    where: Annotated[
        str | None, Query(max_length=2000, description="Count what passes this filter.")
    ] = None,
) -> Facetted:
    """Labels, formats and sizes, each with the number of pictures."""
    return Facetted.of(collection.facets(where, most_labels=_MOST_LABELS))


@router.get("/{name}/map")
def map(
    shelved: Borrowed,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Pictures, evenly spread.")] = 5000,
) -> Mapped:
    """The pictures on a plane, those alike near each other; drawn once for each state."""
    return Mapped.of(shelved.map.map(limit))

"""What there is beside collections: recipes and models to make them by, and whether all is well."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ... import doctor as doctors
from ... import model_list, recipe
from ...types import Finding
from ..describing import PREFIX
from ..problems import Refused
from ..served import Named

router = APIRouter(prefix="/v1", tags=["machine"])
_examining = threading.Lock()


class ShownRecipe(BaseModel):
    """A ready recipe."""

    name: str
    summary: str
    embeddings: list[str]
    comparators: list[str]


class Recipes(BaseModel):
    """The ready recipes, the default first."""

    recipes: list[ShownRecipe]


class ShownModel(BaseModel):
    """A model that a ready recipe uses."""

    name: str
    recipe: str
    dim: int
    megabytes: float
    licence: str
    source: str
    state: str = Field(description="`bundled`, `cached` or `missing`.")


class Models(BaseModel):
    """The models of the ready recipes."""

    models: list[ShownModel]


class ShownFinding(BaseModel):
    """One thing that was looked at."""

    name: str
    sound: bool
    text: str


class Findings(BaseModel):
    """What was looked at, and whether all of it is well."""

    sound: bool
    findings: list[ShownFinding]

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> Findings:
        """Findings as they are shown."""
        shown = [
            ShownFinding(name=each.name, sound=each.sound, text=each.text) for each in findings
        ]
        return cls(sound=all(each.sound for each in findings), findings=shown)


@router.get("/recipes")
def recipes() -> Recipes:
    """The ready recipes, by which collections are made."""
    return Recipes(
        recipes=[
            ShownRecipe(
                name=each.name,
                summary=each.summary,
                embeddings=[embedding.name for embedding in each.embeddings],
                comparators=[part.name for part in each.comparators],
            )
            for each in recipe.ready()
        ]
    )


@router.get("/models")
def models() -> Models:
    """The models of the ready recipes, and whether they are here."""
    every = (each.to_json() for each in model_list.listed())
    return Models(models=[ShownModel(**each) for each in every])


@router.get("/doctor")
def doctor() -> Findings:
    """Whether all is well with the machine, the libraries and the usual model; takes seconds."""
    with _one_at_a_time():
        return Findings.of(doctors.examine(None, "auto"))


@router.get(f"{PREFIX.removeprefix('/v1')}/{{name}}/check")
def check(collection: Named) -> Findings:
    """Whether what a collection keeps is sound, and its index as good as exact search."""
    with _one_at_a_time():
        return Findings.of(collection.check())


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Refused with 503 while another looks: it takes all of the machine for seconds."""
    if not _examining.acquire(blocking=False):
        raise Refused(503, "busy", "another look is being taken: ask again in some seconds")
    try:
        yield
    finally:
        _examining.release()

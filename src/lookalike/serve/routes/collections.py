"""The collections that are served: listed, made, deleted."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from ... import registry
from ...collection import Collection
from .. import answers
from ..describing import PREFIX, body, refusals
from ..problems import Refused, of_error
from ..questions import NewCollection
from ..reading import json_of
from ..served import Named, OfService

router = APIRouter(prefix=PREFIX, tags=["collections"])


@router.get("")
def list_collections(served: OfService) -> answers.Collections:
    """The collections that are served, and those in the folder that cannot be opened."""
    summaries = []
    for name in served.shelf.names():
        try:
            with served.shelf.lent(name) as shelved:
                summaries.append(_summary(name, shelved.collection))
        except Refused:  # deleted meanwhile
            continue
    broken = [
        answers.BrokenCollection(name=name, problem=answers.Problem(**of_error(error)))
        for name, error in served.shelf.broken().items()
    ]
    return answers.Collections(collections=summaries, broken=broken)


@router.post(
    "",
    status_code=201,
    openapi_extra=body(NewCollection),
    responses=refusals(409, 507),
)
def create_collection(
    response: Response,
    served: OfService,
    wanted: Annotated[NewCollection, Depends(json_of(NewCollection))],
) -> answers.CollectionSummary:
    """Make an empty collection by a ready recipe, in the folder of `--collections`."""
    served.shelf.create(wanted.name, wanted.recipe)
    response.headers["Location"] = f"{PREFIX}/{wanted.name}"
    with served.shelf.lent(wanted.name) as shelved:
        return _summary(wanted.name, shelved.collection)


@router.get("/{name}")
def collection(name: str, collection: Named) -> answers.CollectionSummary:
    """One collection."""
    return _summary(name, collection)


@router.delete("/{name}", status_code=204)
def delete_collection(
    name: str,
    served: OfService,
    confirm: Annotated[str, Query(max_length=200, description="The name once more.")],
) -> None:
    """Delete a collection: its records, vectors and uploads. Files in folders stay.

    Its jobs are cancelled, requests that work with it are waited for. What was given to the service
    by `--collection` is not deleted, only what lies in the folder of `--collections`.
    """
    if confirm != name:
        raise Refused(400, "not-confirmed", "confirm must be the name of the collection once more")
    served.shelf.check_own(name)
    served.jobs.cancel_all(name)
    served.shelf.delete(name)
    served.jobs.forget(name)


@router.get("/{name}/stats")
def stats(collection: Named) -> answers.Stats:
    """Counts, sizes and the state of the index."""
    return answers.Stats(**collection.stats())


def _summary(name: str, collection: Collection) -> answers.CollectionSummary:
    return answers.CollectionSummary(
        name=name,
        pictures=len(collection),
        recipe=collection.recipe.name,
        upload_bytes=collection.limits.upload_bytes,
        reads_text=collection.reads_text,
        comparators=list(registry.names("comparator")),
        looks_again=[part.name for part in collection.recipe.comparators],
    )

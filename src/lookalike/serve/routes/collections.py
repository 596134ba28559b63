"""The collections that are served."""

from __future__ import annotations

from fastapi import APIRouter

from ... import registry
from .. import answers
from ..describing import PREFIX, PROBLEMS
from ..served import Named, OfService

router = APIRouter(prefix=PREFIX, responses=PROBLEMS)


@router.get("")
def list_collections(served: OfService) -> answers.Collections:
    """The collections that are served."""
    return answers.Collections(
        collections=[
            answers.CollectionSummary(
                name=name,
                pictures=len(each),
                recipe=each.recipe.name,
                upload_bytes=each.limits.upload_bytes,
                reads_text=each.reads_text,
                comparators=list(registry.names("comparator")),
                looks_again=[part.name for part in each.recipe.comparators],
            )
            for name, each in served.collections.items()
        ]
    )


@router.get("/{name}/stats")
def stats(collection: Named) -> answers.Stats:
    """Counts, sizes and the state of the index."""
    return answers.Stats(**collection.stats())

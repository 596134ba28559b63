"""The service of SIFT, k-means and lshash: `POST /search`, answered with paths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...collection import Collection
from ...distances import distance_named
from ...errors import BadQuery
from ..served import OfService
from . import asked

_OURS = {"l1norm": "l1"}
"""Distances that lshash calls otherwise than we do."""


class Fields(BaseModel):
    """The form, but for a picture that is uploaded as `image`."""

    model_config = ConfigDict(extra="forbid")

    image: str | None = Field(
        None, min_length=1, max_length=4096, description="A path inside one of the roots."
    )
    n: int | None = Field(
        None, ge=1, le=100_000, description="How many; unless given, all that the index reaches."
    )
    distance: str | None = Field(
        None,
        max_length=40,
        description="By which those are ordered, by its name in lshash; unless given, that of the "
        "collection: `euclidean` for the recipe sift-bovw-lsh.",
    )


def _form() -> dict[str, Any]:
    """The description of a form that is read from the request itself."""
    fields = Fields.model_json_schema()["properties"]
    upload = {**fields, "image": {"type": "string", "format": "binary"}}
    content = {
        kind: {
            "schema": {
                "type": "object",
                "properties": properties,
                "required": ["image"],
                "additionalProperties": False,
            }
        }
        for kind, properties in zip(asked.FORMS, (upload, fields), strict=True)
    }
    return {"requestBody": {"required": True, "content": content}}


router = APIRouter()


async def _question(request: Request, collection: asked.First) -> tuple[bytes | None, Fields]:
    async with asked.form_of(request) as form:
        data = await asked.picture_in(form, collection.limits.upload_bytes)
        texts = {name: value for name, value in form.items() if isinstance(value, str)}
    try:
        fields = Fields.model_validate(texts)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None
    if (data is None) == (fields.image is None):
        asked.invalid("image", "expected one picture, or the path of one")
    return data, fields


@router.post("/search", summary="Paths, the nearest first", openapi_extra=_form())
def search_as_lshash(
    served: OfService,
    collection: asked.First,
    question: Annotated[tuple[bytes | None, Fields], Depends(_question)],
) -> list[str]:
    """The paths of the pictures most alike; the picture is an upload, or a path of the server."""
    data, fields = question
    query = data if data is not None else asked.file_within(fields.image or "", served.roots)
    return nearest(collection, query, fields.n, fields.distance)


def nearest(
    collection: Collection, query: bytes | Path, n: int | None, distance: str | None
) -> list[str]:
    """The paths of `n` pictures, or of all that the index reaches, by a distance of lshash's names.

    `BadQuery` for `hamming`, unless that is how the collection compares: its bits are the index's.
    """
    embedding = collection.recipe.embeddings[0]
    named = embedding.distance if distance is None else distance.lower()
    wanted = distance_named(_OURS.get(named, named))
    if wanted.name == embedding.distance:
        hits = collection.search(query, k=n, embedding=embedding.name, compare=())
        return [hit.path for hit in hits]
    if wanted.name == "hamming":
        raise BadQuery(
            'hamming counts the bits of hash keys: give the recipe distance = "hamming" for it'
        )
    asked_with = collection.vector_of(query, embedding.name)
    hits = collection.search(asked_with[0], k=None, embedding=embedding.name, compare=())
    vectors = collection.store.vectors_of(embedding.name, [hit.id for hit in hits])
    there = [hit for hit in hits if hit.id in vectors]
    if not there:
        return []
    every = np.concatenate([vectors[hit.id] for hit in there])
    scores = wanted.scores(wanted.prepared(asked_with)[0], wanted.prepared(every))
    best = np.argsort(-scores, kind="stable")[:n]
    return [there[place].path for place in best.tolist()]

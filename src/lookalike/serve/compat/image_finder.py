"""The service of SIFT, ResNet-50 and BEiT: three calls, each answered with the three best ids.

`/sift-similar-images` goes by local features alone (recipe `sift-mutual`); so does
`/beit-similar-images` where they are BEiT's patches (`beit-mutual`). Else a call goes by the
embedding of that name or model. A recipe may have all three: docs/moving-over.md has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from ...collection import Collection
from ...recipe import Part, Recipe
from ...types import Hit
from ..problems import Refused
from . import asked

_COUNT = 3
_LOCAL = {"sift": "sift-mutual", "beit": "beit-mutual"}
"""Networks and detectors whose local features are matched, and the ready recipe that does."""

Find = Callable[[bytes], list[Hit]]
Ids = list[int | str]

router = APIRouter()

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


async def _upload(request: Request, collection: asked.First) -> bytes:
    async with asked.form_of(request) as form:
        data = await asked.picture_in(form, collection.limits.upload_bytes)
    if data is None:
        asked.invalid("image", "expected a file")
    return data


_Upload = Annotated[bytes, Depends(_upload)]


@router.post("/sift-similar-images", summary="By mutual matches of SIFT", openapi_extra=_FORM)
def sift(served: asked.Served, upload: _Upload) -> Ids:
    """The three pictures with most keypoints in common, the best first."""
    return _three(served.collections, "sift", upload)


@router.post("/resnet50-similar-images", summary="By ResNet-50", openapi_extra=_FORM)
def resnet50(served: asked.Served, upload: _Upload) -> Ids:
    """The three pictures nearest by the embedding `resnet50`, the best first."""
    return _three(served.collections, "resnet50", upload)


@router.post("/beit-similar-images", summary="By BEiT", openapi_extra=_FORM)
def beit(served: asked.Served, upload: _Upload) -> Ids:
    """The three pictures with most of BEiT's patches in common, or nearest by its embedding."""
    return _three(served.collections, "beit", upload)


def _three(collections: Mapping[str, Collection], model: str, upload: bytes) -> Ids:
    for collection in collections.values():
        if _matches_by(collection.recipe, model):
            return [_id(hit) for hit in collection.matching(upload, k=_COUNT)]
    for collection in collections.values():
        embedding = _embedding_of(collection.recipe, model)
        if embedding is not None:
            hits = collection.search(upload, k=_COUNT, embedding=embedding, compare=())
            return [_id(hit) for hit in hits]
    recipe = _LOCAL.get(model, model)
    raise Refused(
        404,
        "no-such-embedding",
        f"no collection that is served here describes its pictures by {model}: make one with the "
        f"recipe {recipe}, whose weights `lookalike models` lists, or give one an embedding of "
        "this name, and serve that",
    )


def _matches_by(recipe: Recipe, model: str) -> bool:
    """Whether a recipe finds candidates by local features of this model alone."""
    return recipe.local.use.matching != "none" and model in _names(recipe.local.extractor)


def _embedding_of(recipe: Recipe, model: str) -> str | None:
    """The embedding that has this name, or else this model."""
    if model in (each.name for each in recipe.embeddings):
        return model
    found = (each.name for each in recipe.embeddings if model in _names(each.extractor))
    return next(found, None)


def _names(extractor: Part) -> tuple[str, ...]:
    """`resnet50.tv_in1k` and `/nets/resnet50.onnx` are resnet50; BEiT comes in sizes."""
    options: Any = extractor.options
    stem = Path(getattr(options, "model", "")).name.partition(".")[0]
    return stem, stem.partition("_")[0], getattr(options, "detector", "")


def _id(hit: Hit) -> int | str:
    """The id that a list gave the picture with its column `id`, as theirs did; else ours."""
    given: Any = hit.metadata.get("id")
    return hit.id if type(given) not in (int, str) else given

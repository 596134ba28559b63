"""The service of SIFT, ResNet-50 and BEiT: three calls, each answered with the three best ids.

`/sift-similar-images` goes by local features alone (recipe `sift-mutual`); so does
`/beit-similar-images` where they are BEiT's patches (`beit-mutual`). Else a call goes by the
embedding of that name or model. A recipe may have all three: docs/moving-over.md has one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from ...collection import Collection
from ...recipe import Part
from ...types import Hit
from ..problems import Refused
from ..served import OfService
from ..shelf import Shelf
from . import asked

_COUNT = 3
_LOCAL = {"sift": "sift-mutual", "beit": "beit-mutual"}
"""Networks and detectors whose local features are matched, and the ready recipe that does."""

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
                    "additionalProperties": False,
                }
            }
        },
    }
}


async def _upload(request: Request, collection: asked.First) -> bytes:
    async with asked.form_of(request) as form:
        for name in form:
            if name != "image":
                asked.invalid(name, "there is no such field")
        data = await asked.picture_in(form, collection.limits.upload_bytes)
    if data is None:
        asked.invalid("image", "expected a file")
    return data


_Upload = Annotated[bytes, Depends(_upload)]


@router.post("/sift-similar-images", summary="By mutual matches of SIFT", openapi_extra=_FORM)
def similar_by_sift(served: OfService, upload: _Upload) -> Ids:
    """The three pictures with most keypoints in common, the best first."""
    return _three(served.shelf, "sift", upload)


@router.post("/resnet50-similar-images", summary="By ResNet-50", openapi_extra=_FORM)
def similar_by_resnet50(served: OfService, upload: _Upload) -> Ids:
    """The three pictures nearest by the embedding `resnet50`, the best first."""
    return _three(served.shelf, "resnet50", upload)


@router.post("/beit-similar-images", summary="By BEiT", openapi_extra=_FORM)
def similar_by_beit(served: OfService, upload: _Upload) -> Ids:
    """The three pictures with most of BEiT's patches in common, or nearest by its embedding."""
    return _three(served.shelf, "beit", upload)


def _three(shelf: Shelf, model: str, upload: bytes) -> Ids:
    for find in (_by_matches, _by_embedding):
        for name in shelf.names():
            with shelf.lent(name) as shelved:
                hits = find(shelved.collection, model, upload)
                if hits is not None:
                    return [_id(hit) for hit in hits]
    recipe = _LOCAL.get(model, model)
    raise Refused(
        404,
        "no-such-embedding",
        f"no collection that is served here describes its pictures by {model}: make one with the "
        f"recipe {recipe}, whose weights `lookalike models` lists, or give one an embedding of "
        "this name, and serve that",
    )


def _by_matches(collection: Collection, model: str, upload: bytes) -> list[Hit] | None:
    """The best by local features of this model alone; None if it goes by no such."""
    local = collection.recipe.local
    if local.use.matching == "none" or model not in _names(local.extractor):
        return None
    return collection.matching(upload, k=_COUNT)


def _by_embedding(collection: Collection, model: str, upload: bytes) -> list[Hit] | None:
    """The nearest by the embedding of this name, or else of this model; None if there is none."""
    embeddings = collection.recipe.embeddings
    named = [each.name for each in embeddings if each.name == model]
    named += [each.name for each in embeddings if model in _names(each.extractor)]
    if not named:
        return None
    return collection.search(upload, k=_COUNT, embedding=named[0], compare=())


def _names(extractor: Part) -> tuple[str, ...]:
    """`resnet50.tv_in1k` and `/nets/resnet50.onnx` are resnet50; BEiT comes in sizes."""
    options: Any = extractor.options
    stem = Path(getattr(options, "model", "")).name.partition(".")[0]
    return stem, stem.partition("_")[0], getattr(options, "detector", "")


def _id(hit: Hit) -> int | str:
    """The id that a list gave the picture with its column `id`, as theirs did; else ours."""
    given: Any = hit.metadata.get("id")
    return hit.id if type(given) not in (int, str) else given

"""What the routes say of themselves in the OpenAPI description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import answers

PREFIX = "/v1/collections"

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "model": answers.Problem,
        "description": "The request cannot be answered; `detail` says why.",
    }
}


def form_of(pictures: Sequence[str], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a form that is read from the request itself."""
    images = {"type": "array", "items": {"type": "string", "format": "binary"}}
    properties = {**dict.fromkeys(pictures, images), **fields}
    return {"multipart/form-data": {"schema": {"type": "object", "properties": properties}}}

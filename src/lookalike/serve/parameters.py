"""What stands after the `?`: a name that the call does not know is an error, never passed over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError

from .observed import route_of

_SEARCH = "/v1/collections/{name}/search"
"""As a form it takes its fields from the address as well, and refuses others itself."""


async def only_known(request: Request) -> None:
    """A dependency: 422 for parameters that the description of the API does not give the call."""
    path = route_of(request.scope)
    is_json = request.headers.get("content-type", "").startswith("application/json")
    if not request.query_params or (path == _SEARCH and not is_json):
        return
    described: Mapping[str, Any] = request.app.openapi()["paths"]
    operation = described[path][request.method.lower()]
    known = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        why = f"there is no such parameter; known: {', '.join(sorted(known)) or 'none'}"
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": why, "type": "extra_forbidden"} for name in unknown]
        )


OnlyKnown = Depends(only_known)
"""For `dependencies=[OnlyKnown]` of the routers of the API."""

"""The OpenAPI description of the whole API: what the routes say, and what all of them share."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from . import questions
from .answers import Problem
from .describing import refusal
from .examples import EXAMPLES

_MODELS = (
    Problem,
    questions.Asked,
    questions.Batch,
    questions.Match,
    questions.Adding,
    questions.Change,
    questions.NewCollection,
    questions.Ingest,
)
"""Those that routes do not show by themselves."""
_DESCRIPTION = """\
Give it pictures, ask with a picture, get what looks alike.

Every error is a problem of RFC 9457 (`application/problem+json`), whose `type` names it for a
program and whose `detail` tells a person what happened. Ids are the SHA-256 of a picture's bytes.
"""
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_EVERYWHERE = (400, 401, 403, 421, 422, 429, 500, 503)
_OF_COLLECTIONS = (404, 409)
_OF_BODIES = (408, 413, 415)


def install(app: FastAPI) -> None:
    """Have `app` describe itself so."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def operation_id(route: APIRoute) -> str:
    """What clients that are generated call an operation: the name of its function."""
    return route.name


def _described(app: FastAPI) -> dict[str, Any]:
    said = get_openapi(
        title=app.title,
        summary=app.summary,
        description=_DESCRIPTION,
        version=app.version,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    _, models = models_json_schema(
        [(model, "validation") for model in _MODELS],
        ref_template="#/components/schemas/{model}",
    )
    said["components"]["securitySchemes"] = _KEYS
    said["security"] = [
        {},
        *({name: []} for name in _KEYS),
    ]  # none, where the service asks for none
    schemas = said["components"]["schemas"]
    schemas.update(models["$defs"])
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for name, example in EXAMPLES.items():
        if name in schemas:
            schemas[name]["examples"] = [example]
    for path, operations in said["paths"].items():
        for operation in operations.values():
            _add_refusals(path, operation)
    return said


def _add_refusals(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    statuses = set(_EVERYWHERE)
    if "{name}" in path:
        statuses |= set(_OF_COLLECTIONS)
    if "requestBody" in operation:
        statuses |= set(_OF_BODIES)
    for status in sorted(statuses):
        responses.setdefault(str(status), refusal(status))

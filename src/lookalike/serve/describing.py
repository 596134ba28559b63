"""What the routes say of themselves in the OpenAPI description; `openapi` adds what all share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from .problems import MEDIA_TYPE

PREFIX = "/v1/collections"

_WHEN = {
    400: "What is asked makes no sense; `detail` says why.",
    401: "A key is needed, or is not known.",
    403: "This is not allowed to who asks, or not at all.",
    404: "There is no such collection, picture or job.",
    408: "The body took too long to arrive.",
    409: "The service, or the collection, is in no state for this; `detail` says in which.",
    413: "The body, or a picture in it, is too large.",
    415: "The body is of another type, or no picture.",
    421: "The service does not answer to this Host.",
    422: "A value is out of its range, or a picture is damaged; `errors` names each value.",
    429: "Too many requests; `Retry-After` says when to ask again.",
    500: "Something went wrong in the service; its log has the details.",
    503: "The service is too busy for this, or ends; ask again.",
    507: "There is no room to keep this.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of these statuses, as a route's `responses` has them."""
    return {status: refusal(status) for status in statuses}


def refusal(status: int) -> dict[str, Any]:
    """One error as a problem (RFC 9457)."""
    example = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _WHEN[status],
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {MEDIA_TYPE: {"schema": schema, "example": example}}
    return {"description": _WHEN[status], "content": content}


def body(
    json: type[BaseModel] | None = None,
    *,
    pictures: Mapping[str, str] | None = None,
    fields: type[BaseModel] | None = None,
    required: Sequence[str] = (),
    media_types: Sequence[str] = ("application/json",),
) -> dict[str, Any]:
    """The description of a body that is read from the request itself, as `openapi_extra` has it.

    `json`: what JSON is read as; `pictures`: the fields of a form that hold some, each with what
    they are for; `fields`: what its others are read as; `required`: those that must be there.
    """
    content: dict[str, Any] = {}
    if json is not None:
        schema = {"$ref": f"#/components/schemas/{json.__name__}"}
        for media_type in media_types:
            content[media_type] = {"schema": schema, "examples": _examples(json)}
    if pictures is not None:
        files = {"type": "array", "items": {"type": "string", "format": "binary"}}
        properties = {name: {**files, "description": why} for name, why in pictures.items()}
        if fields is not None:
            said = fields.model_json_schema()["properties"]
            others = {name: _as_text(each) for name, each in said.items()}
            properties = {**others, **properties}
        form = {
            "type": "object",
            "properties": properties,
            "required": list(required),
            "additionalProperties": False,
        }
        content["multipart/form-data"] = {"schema": form}
    return {"requestBody": {"required": True, "content": content}}


def _examples(model: type[BaseModel]) -> dict[str, Any]:
    extra: Any = model.model_config.get("json_schema_extra") or {}
    return {str(number): {"value": each} for number, each in enumerate(extra["examples"], 1)}


def _as_text(said: Mapping[str, Any]) -> dict[str, Any]:
    """A value as a form has it: numbers and words as they are, all else as text."""
    kinds = [said, *said.get("anyOf", ())]
    if any(each.get("type") in ("array", "object") or "$ref" in each for each in kinds):
        how = "Numbers with commas between them." if _is_numbers(kinds) else "As JSON."
        text = f"{said.get('description', '')} {how}".strip()
        return {"type": "string", "description": text}
    # A form has no null: what is not said is left out.
    others = [each for each in said.get("anyOf", ()) if each.get("type") != "null"]
    shown = {name: value for name, value in said.items() if name not in ("anyOf", "default")}
    if not others:
        return dict(said)
    return {**shown, **others[0]} if len(others) == 1 else {**shown, "anyOf": others}


def _is_numbers(kinds: list[Any]) -> bool:
    items: dict[str, Any] = next((each for each in kinds if each.get("type") == "array"), {})
    return "prefixItems" in items or items.get("items", {}).get("type") == "number"

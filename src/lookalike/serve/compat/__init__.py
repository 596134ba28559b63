"""The calls of the services that lookalike replaces, so that their clients move over unchanged.

One file a service. They are served beside the API with `lookalike serve --compat`, of the first
collection, and marked with their tag in the OpenAPI description. docs/moving-over.md has each one.
"""

from __future__ import annotations

from fastapi import APIRouter

from ..describing import refusals
from . import clip_server, image_finder, lshash_service

TAG = "compat"
DESCRIPTION = {
    "name": TAG,
    "description": "The calls of the services that lookalike replaces, for clients that know them.",
}

router = APIRouter(tags=[TAG], responses=refusals(404, 409, 415, 507))
for each in (lshash_service, clip_server, image_finder):
    router.include_router(each.router)

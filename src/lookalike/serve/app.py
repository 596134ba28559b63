"""The service as one ASGI application: the API, the page, and what guards them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from .. import __version__, remote
from ..collection import Collection
from . import answers, openapi, problems, routes
from .jobs import Jobs
from .security import HEADERS, BodyLimit, OwnHeaders, SameOrigin
from .served import Served
from .settings import Settings
from .shelf import Shelf

_PAGE = Path(__file__).parent / "page"


def create_app(
    collections: Mapping[str, Collection],
    settings: Settings,
    *,
    ending: threading.Event | None = None,
) -> FastAPI:
    """Serve these collections, by name.

    `ending`: once set, long work stops where it can be resumed.
    """
    limits = [collection.limits.upload_bytes for collection in collections.values()]
    upload_bytes = max(limits, default=settings.limits.upload_bytes)
    roots = [*settings.root, *([Path(settings.data)] if settings.data else [])]
    app = FastAPI(
        title="lookalike",
        summary="Give it pictures, ask with a picture, get what looks alike.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
        middleware=[
            Middleware(OwnHeaders),
            Middleware(SameOrigin, hosts=settings.allow_host),
            Middleware(BodyLimit, upload_bytes=upload_bytes),
        ],
    )
    problems.install(app, HEADERS)
    app.add_api_route("/healthz", _health, summary="Whether the service is up")
    app.add_api_route("/healthz", _health, methods=["HEAD"], include_in_schema=False)
    is_ending = (ending or threading.Event()).is_set
    shelf = Shelf(collections, settings.collections, device=settings.device, limits=settings.limits)
    app.state.served = Served(
        shelf,
        Jobs(shelf, routes.WORKS, is_ending),
        [root.expanduser().resolve() for root in roots],
        partial(remote.fetch, max_bytes=upload_bytes) if settings.fetch_urls else None,
        is_ending,
    )
    openapi.install(app)
    for router in routes.ROUTERS:
        app.include_router(router)
    app.mount("/", StaticFiles(directory=_PAGE, html=True))
    return app


async def _health() -> answers.Health:
    return answers.Health()

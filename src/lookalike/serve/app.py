"""The service as one ASGI application: the API, the page, and what guards them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from .. import __version__
from ..collection import Collection
from ..picture_map import Cartographer
from ..types import Limits
from . import answers, problems, routes
from .security import HEADERS, BodyLimit, OwnHeaders, SameOrigin
from .served import Served

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PAGE = Path(__file__).parent / "page"
MOST_HITS = 100_000
"""Of an answer to a search for all of them: some 50 MB of JSON."""


def create_app(
    collections: Mapping[str, Collection],
    *,
    roots: Sequence[Path] = (),
    hosts: Sequence[str] = LOOPBACK,
    ending: threading.Event | None = None,
) -> FastAPI:
    """Serve these collections, by name.

    `roots`: the folders in which clients may have folders indexed. `hosts`: the only names that
    it answers to, without ports. `ending`: once set, long work stops where it can be resumed.
    """
    for collection in collections.values():
        collection.most_hits = MOST_HITS
    limits = [collection.limits.upload_bytes for collection in collections.values()]
    app = FastAPI(
        title="lookalike",
        summary="Give it pictures, ask with a picture, get what looks alike.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(OwnHeaders),
            Middleware(SameOrigin, hosts=hosts),
            Middleware(BodyLimit, upload_bytes=max(limits, default=Limits().upload_bytes)),
        ],
    )
    problems.install(app, HEADERS)
    app.add_api_route("/healthz", _health, summary="Whether the service is up")
    app.add_api_route("/healthz", _health, methods=["HEAD"], include_in_schema=False)
    app.state.served = Served(
        collections, [root.resolve() for root in roots], (ending or threading.Event()).is_set
    )
    app.state.maps = {name: Cartographer(each) for name, each in collections.items()}
    for router in routes.ROUTERS:
        app.include_router(router)
    app.mount("/", StaticFiles(directory=_PAGE, html=True))
    return app


async def _health() -> answers.Health:
    return answers.Health()

"""The service as one ASGI application: the API, the page, and what guards them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from .. import __version__
from ..collection import Collection
from ..picture_map import Cartographer
from ..types import Limits
from . import health, logs, metrics, overview, problems, routes
from .ending import Drained, Ending
from .observed import Observed
from .security import HEADERS, BodyLimit, OwnHeaders, SameOrigin
from .tracing import Traced

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PAGE = Path(__file__).parent / "page"
MOST_HITS = 100_000
"""Of an answer to a search for all of them: some 50 MB of JSON."""


def create_app(
    collections: Mapping[str, Collection],
    *,
    roots: Sequence[Path] = (),
    hosts: Sequence[str] = LOOPBACK,
    ending: Ending | None = None,
    tracing: TracerProvider | None = None,
) -> FastAPI:
    """Serve these collections, by name.

    `roots`: the folders in which clients may have folders indexed. `hosts`: the only names that
    it answers to, without ports. `ending`: once set, nothing new is begun, and long work stops
    where it can be resumed. `tracing`: where spans of requests go, if anywhere.
    """
    ending = ending or Ending()
    counted = metrics.Metrics(collections)
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
            Middleware(Observed, listeners=[logs.access, counted.answered]),
            *([Middleware(Traced, provider=tracing)] if tracing else []),
            Middleware(OwnHeaders),
            Middleware(Drained, ending=ending),
            Middleware(SameOrigin, hosts=hosts),
            Middleware(BodyLimit, upload_bytes=max(limits, default=Limits().upload_bytes)),
        ],
    )
    problems.install(app, HEADERS)
    app.state.served = routes.Served(collections, [root.resolve() for root in roots], ending.is_set)
    app.state.metrics = counted
    app.state.readiness = health.Readiness(collections, ending)
    app.state.maps = {name: Cartographer(each) for name, each in collections.items()}
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(routes.router)
    app.include_router(overview.router)
    app.mount("/", StaticFiles(directory=_PAGE, html=True))
    return app

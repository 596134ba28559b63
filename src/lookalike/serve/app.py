"""The service as one ASGI application: the API, the page, and what guards them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

from .. import __version__, remote
from ..collection import Collection
from . import access, compat, health, logs, metrics, openapi, problems, routes
from .access import Authentication, Sessions
from .ending import Drained, Ending
from .gate import Gate
from .jobs import Jobs
from .keys import Keyring, keyring_of
from .observed import Observed
from .parameters import OnlyKnown
from .rate import Buckets, RateLimit
from .rate import refusal as too_often
from .security import HEADERS, BodyLimit, OwnHeaders, SameOrigin
from .served import Served
from .settings import Settings
from .shelf import Shelf
from .tracing import Traced

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_PAGE = Path(__file__).parent / "page"
_USUAL_RATE = 50


def create_app(
    collections: Mapping[str, Collection],
    settings: Settings,
    *,
    ending: Ending | None = None,
    tracing: TracerProvider | None = None,
) -> FastAPI:
    """Serve these collections, by name.

    `ending`: once set, nothing new is begun, and long work stops where it can be resumed.
    `tracing`: where spans of requests go, if anywhere.
    """
    ending = ending or Ending()
    shelf = Shelf(collections, settings.collections, device=settings.device, limits=settings.limits)
    counted = metrics.Metrics(shelf.open_now)
    limits = [collection.limits.upload_bytes for collection in collections.values()]
    upload_bytes = max(limits, default=settings.limits.upload_bytes)
    keyring = keyring_of(settings)
    sessions = Sessions(keyring) if keyring else None
    given = [*settings.root, *([Path(settings.data)] if settings.data else [])]
    roots = [root.expanduser().resolve() for root in given]
    app = FastAPI(
        title="lookalike",
        summary="Give it pictures, ask with a picture, get what looks alike.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
        middleware=[
            Middleware(Observed, listeners=[logs.access, counted.answered]),
            *([Middleware(Traced, provider=tracing)] if tracing else []),
            Middleware(OwnHeaders),
            Middleware(Drained, ending=ending),
            *_guards(settings, keyring, sessions, upload_bytes),
        ],
    )
    problems.install(app, HEADERS)
    running = "Requests and jobs that are being worked on."
    counted.gauge("lookalike_requests_running", running, lambda: ending.running)
    app.state.metrics = counted
    app.state.readiness = health.Readiness(shelf, ending)
    app.state.served = Served(
        shelf,
        Jobs(shelf, routes.works(roots), ending),
        roots,
        partial(remote.fetch, max_bytes=upload_bytes) if settings.fetch_urls else None,
        ending.is_set,
    )
    openapi.install(app)
    for router in (*routes.ROUTERS, access.router):
        app.include_router(router, dependencies=[OnlyKnown])
    for router in (health.router, metrics.router):
        app.include_router(router)
    if settings.compat or settings.k is not None:
        app.openapi_tags = [compat.DESCRIPTION]
        app.include_router(compat.router, dependencies=[OnlyKnown])
    app.state.sessions = sessions
    app.mount("/", StaticFiles(directory=_PAGE, html=True))
    return app


def _guards(
    settings: Settings, keyring: Keyring | None, sessions: Sessions | None, upload_bytes: int
) -> list[Middleware]:
    """What stands before the routes, the outermost first."""
    guards = [
        Middleware(SameOrigin, hosts=settings.allow_host, origins=settings.allow_origin),
    ]
    if settings.allow_origin:
        guards.append(
            Middleware(
                CORSMiddleware,
                allow_origins=[origin.rstrip("/") for origin in settings.allow_origin],
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "X-API-Key"],
                expose_headers=["Retry-After"],
            )
        )
    rate = settings.rate if settings.rate is not None else 0 if settings.is_local else _USUAL_RATE
    buckets = Buckets(rate) if rate else None
    if keyring and sessions:
        guards.append(
            Middleware(
                Authentication,
                keyring=keyring,
                sessions=sessions,
                page=_page_paths(),
                failed=lambda scope: too_often(scope, buckets) if buckets else None,
            )
        )
    if buckets:
        guards.append(Middleware(RateLimit, buckets=buckets))
    guards.append(Middleware(Gate, most=settings.at_once))
    guards.append(Middleware(BodyLimit, upload_bytes=upload_bytes, seconds=settings.upload_seconds))
    return guards


def _page_paths() -> frozenset[str]:
    files = (path for path in _PAGE.rglob("*") if path.is_file())
    return frozenset(["/", *(f"/{path.relative_to(_PAGE).as_posix()}" for path in files)])

"""Every request seen from outside: its id, and what became of it, for the log and the metrics."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "X-Request-Id"
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being worked on, also in the threads that do so."""

NO_ROUTE = "none"
"""For what was refused before it came to a route."""
FILES = "files"
"""For the page, its parts, and whatever else is asked for that there is not."""
_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that has been answered, or whose client has gone."""

    id: str
    method: str
    """One of HTTP's, or `other`: clients must not make names up for a label."""
    route: str
    """As it was declared, `/v1/collections/{name}/search`; or `NO_ROUTE` or `FILES`."""
    status: int
    """500 also where the work on it has failed before any was sent."""
    seconds: float
    bytes: int
    """Of the answer's body."""
    client: str | None
    """Its address."""
    key: str | None
    """The name of the key that it came with."""


class Observed:
    """Middleware: gives every request an id, and tells `listeners` when it has been answered.

    A client's own X-Request-Id is kept if it is sane, so that a proxy's log and ours can be
    joined.
    """

    def __init__(self, app: ASGIApp, listeners: Sequence[Callable[[Answered], None]]) -> None:
        self._app = app
        self._listeners = listeners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        id = _id_of(scope)
        request_id.set(id)
        status, sent = 500, 0

        async def send_with_id(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = id
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - began
            answered = Answered(
                id=id,
                method=scope["method"] if scope["method"] in _METHODS else "other",
                route=route_of(scope),
                status=status,
                seconds=seconds,
                bytes=sent,
                client=scope["client"][0] if scope.get("client") else None,
                key=getattr(scope.get("state", {}).get("key"), "name", None),
            )
            for listener in self._listeners:
                listener(answered)


def _id_of(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _SANE.fullmatch(given) else uuid.uuid4().hex


def route_of(scope: Scope) -> str:
    """The declared route of a request that has been through the application.

    Routers tell of it in the scope; one that another includes knows its own part alone.
    """
    whole = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    path = getattr(whole, "path", None)
    if path:
        return str(path)
    return FILES if "endpoint" in scope else NO_ROUTE

"""How the service ends: it takes no new work, and what runs is finished, or stops resumably."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from starlette.types import ASGIApp, Receive, Scope, Send

from .problems import problem, shutting_down

STILL_ANSWERED = frozenset(["/healthz", "/readyz", "/metrics"])
"""What operators ask to the last; none of it holds up the end."""
RETRY_AFTER = {"Retry-After": "5", "Connection": "close"}


class Ending(threading.Event):
    """Set once the service is to end. Counts the work that then still runs."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._running = 0

    @property
    def running(self) -> int:
        """Requests and jobs that have begun and not ended."""
        return self._running

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """A block that the end of the service waits for, if it can."""
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1


class Drained:
    """Middleware: once the service is to end, answers new requests with 503."""

    def __init__(self, app: ASGIApp, ending: Ending) -> None:
        self._app = app
        self._ending = ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http" or scope["path"] in STILL_ANSWERED:
            await self._app(scope, receive, send)
        elif self._ending.is_set():
            error = shutting_down()
            refusal = problem(error.status_code, error.detail, kind=error.kind, headers=RETRY_AFTER)
            await refusal(scope, receive, send)
        else:
            with self._ending.working():
                await self._app(scope, receive, send)

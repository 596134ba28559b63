"""How much is done at once: a search or an upload too many is refused, rather than kept waiting.

A place is taken before the body is read, so that waiting clients cost no memory. How many pictures
are decoded at once is the decoding pool's to say; those with a place wait for it in turn.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import problem

_WORKING_GETS = re.compile(
    r"/search|/add|/v1/doctor|/v1/collections/[^/]+/(pictures/[^/]+/similar|map|check|duplicates)"
)
_EASY = re.compile(r"/v1/session")
_RETRY_SECONDS = 1


class Gate:
    """Middleware: answers 503, with Retry-After, while `most` requests that compute are at it."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http" or not computes(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
        elif self._inside >= self._most:
            after = {"Retry-After": str(_RETRY_SECONDS)}
            detail = "the service is busy: ask again in a moment"
            await problem(503, detail, kind="busy", headers=after)(scope, receive, send)
        else:
            await self._let_in(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._inside += 1
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self._inside -= 1

        async def send_and_leave(message: Message) -> None:
            # Who has an answer may ask again at once: the place is free before it is whole.
            if message["type"] == "http.response.body" and not message.get("more_body"):
                leave()
            await send(message)

        try:
            await self._app(scope, receive, send_and_leave)
        finally:
            leave()


def computes(method: str, path: str) -> bool:
    """Whether a request has pictures decoded, vectors made or compared: the others are quick."""
    if method in ("GET", "HEAD"):
        return _WORKING_GETS.fullmatch(path) is not None
    return method in ("POST", "PUT", "PATCH") and not _EASY.fullmatch(path)

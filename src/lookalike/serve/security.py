"""What any web page could otherwise do to a loopback port, refused before it is looked at.

A page on any site can send requests to 127.0.0.1, and a name that its owner points there can even
read the answers (DNS rebinding). So the Host must be one of ours, and a request that a browser
sends for another site's page is refused, but for following a link to our page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import problem, too_large, too_slow

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PAGE = "/"
_ENVELOPE_BYTES = 65_536
"""What the form around an upload may take on top of it."""


class OwnHeaders:
    """Middleware: every answer carries `HEADERS`, and is asked for anew unless it says else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class SameOrigin:
    """Middleware: refuses foreign hosts, and requests that pages of other sites make."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], origins: Iterable[str]) -> None:
        """`hosts`: what it answers to beside this machine's; `origins`: sites that are let in."""
        self._app = app
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        self._hosts = frozenset(host.lower() for host in (*_LOOPBACK, *hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        respond = self._app if scope["type"] != "http" else self._refusal(scope) or self._app
        await respond(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        given = headers.getlist("host")
        if len(given) != 1:
            return problem(400, "a request names its Host, once", kind="bad-host")
        if not self._is_ours(_without_port(given[0]), scope):
            detail = (
                f"this service does not answer to the host {given[0]!r}; "
                "`lookalike serve --allow-host NAME` lets it"
            )
            return problem(421, detail, kind="foreign-host")
        if is_foreign(headers) and not (self._lets_in(headers) or _follows_a_link(scope, headers)):
            detail = "this request comes from another site's page, which may not use this service"
            return problem(403, detail, kind="foreign-origin")
        return None

    def _lets_in(self, headers: Headers) -> bool:
        given = headers.getlist("origin")
        return len(given) == 1 and given[0].lower() in self._origins

    def _is_ours(self, host: str, scope: Scope) -> bool:
        """One of our names, or the address at which the request came in: that is no name at all."""
        if host in self._hosts:
            return True
        came_in = (scope.get("server") or ("",))[0] or ""
        return host == (f"[{came_in}]" if ":" in came_in else came_in)


class BodyLimit:
    """Middleware: refuses a body over the limit, by its announced length or as it arrives.

    Also one that takes longer to arrive than `seconds`: who sends a byte now and then would
    otherwise keep others out.
    """

    def __init__(self, app: ASGIApp, upload_bytes: int, seconds: float) -> None:
        self._app = app
        self._upload_bytes = upload_bytes
        self._limit = upload_bytes + _ENVELOPE_BYTES
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            error = too_large(self._upload_bytes)
            refusal = problem(error.status_code, error.detail, kind=error.kind)
            await refusal(scope, receive, send)
            return
        arrived, complete = 0, False
        deadline = asyncio.get_running_loop().time() + self._seconds

        async def receive_counted() -> Message:
            nonlocal arrived, complete
            if complete:  # what comes now is that the client has gone
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise too_slow(self._seconds) from None
            arrived += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if arrived > self._limit:
                # The application, which is waiting for this body, answers with it.
                raise too_large(self._upload_bytes)
            return message

        await self._app(scope, receive_counted, send)


def _without_port(host: str) -> str:
    """`127.0.0.1:8000` -> `127.0.0.1`; `[::1]:8000` -> `[::1]`."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def is_foreign(headers: Headers) -> bool:
    """Whether a browser says that another site's page makes this request."""
    host = headers.get("host", "")
    if any(site not in ("none", "same-origin") for site in headers.getlist("sec-fetch-site")):
        return True
    ours = {f"http://{host.lower()}", f"https://{host.lower()}"}
    return any(origin.lower() not in ours for origin in headers.getlist("origin"))


def _follows_a_link(scope: Scope, headers: Headers) -> bool:
    """Whether this opens our page in a tab, from wherever: it shows nothing to who linked it."""
    return (
        scope["method"] == "GET"
        and scope["path"] == _PAGE
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest", "document") == "document"
        and "origin" not in headers
    )

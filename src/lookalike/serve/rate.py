"""How often one client may ask: a token bucket for each key, or address without one."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .gate import computes
from .problems import problem

_BURST_SECONDS = 4
"""A page that is opened asks for a screenful of thumbnails at once."""
_MOST_CLIENTS = 10_000
_HEALTH = ("/healthz", "/readyz")
_QUICK = 0.1
"""What a request takes that computes nothing: a page asks for hundreds of thumbnails."""


class Buckets:
    """Each holds up to `burst` tokens, and gets `rate` of them a second; a request takes one.

    Kept for the 10,000 clients that asked last: whoever is forgotten begins with a full one.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`rate`: above 0."""
        self._rate = rate
        self._burst = max(20.0, rate * _BURST_SECONDS)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, cost: float = 1.0) -> float:
        """0.0 where there were `cost` tokens, which are taken; else the seconds until there are."""
        now = self._clock()
        tokens, then = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        allowed = tokens >= cost
        self._buckets[client] = (tokens - cost if allowed else tokens, now)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (cost - tokens) / self._rate


class RateLimit:
    """Middleware: answers 429, with Retry-After, to a client that asks too often."""

    def __init__(self, app: ASGIApp, buckets: Buckets) -> None:
        self._app = app
        self._buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        respond = self._app
        if scope["type"] == "http" and scope["path"] not in _HEALTH:
            cost = 1.0 if computes(scope["method"], scope["path"]) else _QUICK
            respond = refusal(scope, self._buckets, cost) or self._app
        await respond(scope, receive, send)


def refusal(scope: Scope, buckets: Buckets, cost: float = 1.0) -> Response | None:
    """The 429 for a client that has too few tokens left; else they are taken."""
    key = scope.get("state", {}).get("key")
    wait = buckets.wait(f"key {key.name}" if key is not None else _address(scope), cost)
    if not wait:
        return None
    after = {"Retry-After": str(math.ceil(wait))}
    return problem(429, "too many requests: wait a little", kind="too-many", headers=after)


def _address(scope: Scope) -> str:
    """Of IPv6 the network of 64 bits, any address of which its owner can take."""
    host: str = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))

"""One client's connection: given up if its request's head does not come, or its body does not end.

One too many is closed at once.

A body that was refused is still read for a while, and forgotten, since who is cut off while sending
does not get to see the answer.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

_SECONDS = 20.0
_MOST = 512
"""Connections at once: a process may usually have 1,024 files open, and needs some for itself."""
_MOST_FORGOTTEN = 64_000_000


class Connection(H11Protocol):
    """As uvicorn has it, and looked at every 20 s."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As asyncio has it."""
        super().connection_made(transport)
        if len(self.connections) > _MOST:
            transport.abort()
        self._forgotten = 0
        self._waited: RequestResponseCycle | bool = False
        self._next_look = self.loop.call_later(_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio has it."""
        self._next_look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As asyncio has it."""
        if self._is_refused:
            self._forgotten += len(data)
            if self._forgotten > _MOST_FORGOTTEN:
                self.transport.close()
                return
        super().data_received(data)

    @property
    def _is_refused(self) -> bool:
        """Whether what comes is a body whose request has been answered."""
        return (
            self.conn.their_state is h11.SEND_BODY
            and self.cycle is not None
            and self.cycle.response_complete
        )

    def _look(self) -> None:
        """Closes what still waits, after the same request, for what it waited for last time."""
        waits = self.conn.their_state is h11.IDLE or self._is_refused
        now = (self.cycle or True) if waits else False
        if now and now is self._waited:
            self.transport.close()
            return
        self._waited = now
        self._next_look = self.loop.call_later(_SECONDS, self._look)

"""How a node is asked: one whose machine is off is soon left out for another."""

from __future__ import annotations

from typing import Any

import elastic_transport
import urllib3

_CONNECTS_WITHIN = 5.0
"""Seconds. A machine that is off says nothing at all; one that is only busy connects at once."""


class Node(elastic_transport.Urllib3HttpNode):
    """Waits for an answer as long as it is told, but not so long for somebody to be there."""

    def perform_request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: elastic_transport.HttpHeaders | None = None,
        request_timeout: Any = 10.0,
    ) -> Any:
        """See there; `ConnectionError`, after which the client asks another one, for nobody."""
        connect = min(_CONNECTS_WITHIN, request_timeout)
        timeout: Any = urllib3.Timeout(connect=connect, read=request_timeout)
        try:
            return super().perform_request(method, target, body, headers, timeout)
        except elastic_transport.ConnectionTimeout as error:
            if not isinstance(error.__cause__, urllib3.exceptions.ConnectTimeoutError):
                raise
            nobody = f"nobody answers there within {connect:g} s"
            raise elastic_transport.ConnectionError(nobody, errors=error.errors) from error

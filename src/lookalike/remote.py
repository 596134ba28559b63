"""Pictures that others name by their address, fetched over http(s), from public hosts only."""

from __future__ import annotations

from .errors import RemoteRefused


def fetch(url: str, *, max_bytes: int) -> bytes:
    """The bytes behind an address, still encoded: whoever calls decodes them as an upload.

    Raises `RemoteRefused` where the address is not of a public host, answers with more than
    `max_bytes`, too slowly, or not at all.
    """
    raise RemoteRefused(f"fetching {url} ({max_bytes} bytes) is not possible yet")

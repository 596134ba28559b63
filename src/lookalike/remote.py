"""Pictures that others name by their address, fetched over http(s), from public hosts only.

Who may name an address could otherwise have us ask what only we reach: the router, a database, the
metadata of a cloud. So each name is looked up once, every address it has is checked, and the
connection goes to the very address that was checked; at every redirect again. Proxies that the
environment names are not used: they would look the name up once more.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urljoin, urlsplit

from . import __version__
from .errors import RemoteRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SECONDS = 15.0
_MOST_REDIRECTS = 5
_MOST_LETTERS = 4000
_REDIRECTS = (301, 302, 303, 307, 308)
_PIECE = 1 << 16


def fetch(
    url: str,
    *,
    max_bytes: int,
    seconds: float = _SECONDS,
    may_reach: Callable[[Address], bool] | None = None,
) -> bytes:
    """The bytes behind an address, still encoded: whoever calls decodes them as an upload.

    `seconds` are for all of it: looking up names, redirects, the last byte. `may_reach` says which
    hosts may be asked, `is_public` unless given.

    Raises `RemoteRefused` where the address is not of a public host, answers with more than
    `max_bytes`, too slowly, or not with a file.
    """
    visit = _Visit(time.monotonic() + seconds, max_bytes, may_reach or is_public)
    asked = url
    try:
        for _ in range(_MOST_REDIRECTS + 1):
            found = visit.get(_parsed(asked))
            if isinstance(found, bytes):
                return found
            asked = urljoin(asked, found.location)
    except TimeoutError:
        raise RemoteRefused(f"{_shown(url)} did not answer whole within {seconds:g} s") from None
    except (ssl.SSLError, ssl.CertificateError) as error:
        why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or "failed"
        raise RemoteRefused(f"{_shown(url)} has no secure connection: {why}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or "it does not answer as a web server does"
        raise RemoteRefused(f"{_shown(url)} cannot be fetched: {why}") from None
    raise RemoteRefused(f"{_shown(url)} leads on more than {_MOST_REDIRECTS} times")


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet, by IANA's registries; what is inside counts.

    An IPv4 address that is mapped into IPv6, or reached through NAT64, is what it is in IPv4.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    inside = address.ipv4_mapped
    if address in _NAT64:
        inside = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if inside is not None:
        return is_public(inside)
    return address in _GLOBAL_UNICAST and not any(address in each for each in _NOT_PUBLIC_6)


_NOT_PUBLIC = [
    ipaddress.IPv4Network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # answers within Azure alone, with what a machine there is told
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC_6 = [
    ipaddress.IPv6Network(each)
    for each in (
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: IPv4 inside, by a relay that nobody knows
        "2620:4f:8000::/48",
        "3fff::/20",
    )
]


@dataclass(frozen=True, slots=True)
class _Where:
    """An address taken apart, each part of it safe to be written into a request."""

    secure: bool
    host: str
    port: int
    target: str
    """Path and query."""
    authority: str
    """As the Host header has it."""


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """An answer that says to ask somewhere else."""

    location: str


# What a browser would forgive, and understand otherwise than we do, is not forgiven here.
_FORM = re.compile(r"https?://[^/?#\s\\@]+(?:[/?#][^\s\\]*)?", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?")


def _parsed(url: str) -> _Where:
    if len(url) > _MOST_LETTERS:
        raise RemoteRefused(f"{_shown(url)} is longer than {_MOST_LETTERS} letters")
    if not _FORM.fullmatch(url) or not url.isprintable():
        raise RemoteRefused(
            f"{_shown(url)} is not an address such as https://example.com/picture.jpg"
        )
    try:
        parts = urlsplit(url)
        host, given = parts.hostname or "", parts.port
        name = _host(host)
    except (ValueError, UnicodeError):
        raise RemoteRefused(f"{_shown(url)} names no host that there can be") from None
    secure = parts.scheme == "https"
    usual = 443 if secure else 80
    port = usual if given is None else given
    if port not in (80, 443) and port < 1024:
        raise RemoteRefused(f"{_shown(url)} names port {port}, where no web server is")
    shown = f"[{name}]" if ":" in name else name
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]")
    return _Where(secure, name, port, target, shown if port == usual else f"{shown}:{port}")


def _host(host: str) -> str:
    """In ASCII, an IPv6 address without its brackets. Raises `ValueError`."""
    if ":" in host:
        if "%" in host:  # a zone: one of our own networks
            raise ValueError
        return str(ipaddress.IPv6Address(host))
    name = host.encode("idna").decode("ascii").lower()
    if not _NAME.fullmatch(name):
        raise ValueError
    return name


class _Visit:
    """One fetch, over however many hops."""

    def __init__(
        self, deadline: float, max_bytes: int, may_reach: Callable[[Address], bool]
    ) -> None:
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._may_reach = may_reach

    def get(self, where: _Where) -> bytes | _Elsewhere:
        """What one host answers. Raises `RemoteRefused`, and what sockets and http raise."""
        with self._connected(where) as connection:
            connection.settimeout(self._left())
            connection.sendall(_request(where))
            stream = _Stream(connection, self._left)
            response = http.client.HTTPResponse(cast(socket.socket, stream), method="GET")
            try:
                response.begin()
                return self._answer(response, where)
            finally:
                response.close()

    def _answer(self, response: http.client.HTTPResponse, where: _Where) -> bytes | _Elsewhere:
        if response.status in _REDIRECTS and (location := response.headers.get("Location")):
            # Written as Latin-1 on the wire, though it is UTF-8 where it is not ASCII.
            return _Elsewhere(location.encode("latin-1", "replace").decode("utf-8", "replace"))
        if response.status != 200:
            raise RemoteRefused(f"{where.host} answered {response.status}, not with a picture")
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):  # we have asked for none
            raise RemoteRefused(f"{where.host} answered compressed, which is not unpacked")
        content = bytearray()
        if response.length is not None and response.length > self._max_bytes:
            raise self._too_large(where)
        expected = response.length
        while piece := response.read(min(_PIECE, self._max_bytes + 1 - len(content))):
            content += piece
            if len(content) > self._max_bytes:
                raise self._too_large(where)
        if expected is not None and len(content) < expected:
            raise RemoteRefused(f"{where.host} broke off before the end")
        return bytes(content)

    def _too_large(self, where: _Where) -> RemoteRefused:
        most = f"{self._max_bytes / 1e6:g} MB"
        return RemoteRefused(f"{where.host} answered with more than {most}")

    def _connected(self, where: _Where) -> socket.socket:
        """To an address that was checked, and for https to who can prove to be that host."""
        connection = self._reached(where)
        if not where.secure:
            return connection
        try:
            connection.settimeout(self._left())
            return _tls().wrap_socket(connection, server_hostname=where.host)
        except BaseException:
            connection.close()
            raise

    def _reached(self, where: _Where) -> socket.socket:
        last: OSError = TimeoutError()
        for family, address in self._addresses(where):
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(self._left())
                connection.connect((str(address), where.port))
                if ipaddress.ip_address(connection.getsockname()[0]) == address and is_public(
                    address
                ):
                    raise _not_public(where)  # it is an address of our own
                return connection
            except OSError as error:
                connection.close()
                last = error
            except BaseException:
                connection.close()
                raise
        raise last

    def _addresses(self, where: _Where) -> list[tuple[int, Address]]:
        """All that the host has, each checked: one that is not public spoils the others."""
        found = _looked_up(where.host, where.port, self._left())
        addresses = [(family, ipaddress.ip_address(text)) for family, text in found]
        if not addresses or not all(self._may_reach(address) for _, address in addresses):
            raise _not_public(where)
        return addresses

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Stream(io.RawIOBase):
    """A connection as `http.client` reads it, each piece within what time is left of the whole."""

    def __init__(self, connection: socket.socket, left: Callable[[], float]) -> None:
        self._connection = connection
        self._left = left

    def makefile(self, _: str) -> io.BufferedReader:
        """As a socket has it."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is only read."""
        return True

    def readinto(self, into: Any) -> int:
        """As `io.RawIOBase` has it."""
        self._connection.settimeout(self._left())
        return self._connection.recv_into(into)


def _looked_up(host: str, port: int, seconds: float) -> list[tuple[int, str]]:
    """Families and addresses of a host. The system's resolver knows no deadline: we leave it be."""
    found: list[tuple[int, str]] = []
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append((family, str(address[0])))
        except (OSError, UnicodeError) as error:
            failed.append(error if isinstance(error, OSError) else OSError())

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if failed:
        raise RemoteRefused(f"there is no host named {host}, or it cannot be looked up now")
    return found


def _request(where: _Where) -> bytes:
    return (
        f"GET {where.target} HTTP/1.1\r\nHost: {where.authority}\r\n"
        f"User-Agent: lookalike/{__version__}\r\nAccept: image/*\r\n"
        "Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


def _tls() -> ssl.SSLContext:
    """It verifies the certificate, and that it is of the host that was named."""
    return ssl.create_default_context()


def _not_public(where: _Where) -> RemoteRefused:
    """Without the address: what names mean inside is not for those outside."""
    return RemoteRefused(f"{where.host} is not a host of the public internet")


def _shown(url: str) -> str:
    """For a message: not too long, nothing that a terminal would obey."""
    return repr(url if len(url) <= 200 else url[:200] + "…")

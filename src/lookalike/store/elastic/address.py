"""`es+https://HOST:9200/NAME`: a collection in Elasticsearch, and how to get at it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, unquote

from ...errors import BadAddress

Refresh = Literal["true", "wait_for", "false"]
_SHAPE = re.compile(r"es\+(?P<scheme>https?):/+(?:(?P<user>.*)@)?(?P<hosts>[^/?@]+)(?P<rest>/.*)")
_VARIABLES = {"ca": "LOOKALIKE_ES_CA", "fingerprint": "LOOKALIKE_ES_FINGERPRINT"}
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,150}")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Options:
    """What may follow the name, as `?refresh=wait_for&shards=3`."""

    refresh: Refresh = "true"
    """When what was acknowledged is found: at once, at the index's next refresh, or some time."""
    shards: int = 1
    """Of a new collection."""
    replicas: int = 1
    """Copies of each shard of a new collection."""
    timeout: float = 30.0
    """Seconds that one answer may take."""
    patience: float = 60.0
    """Seconds for which what a busy cluster refuses is tried again."""
    files: str = ""
    """A folder for uploads and thumbnails; shared by all machines that serve the collection."""
    ca: str = ""
    """A file with the certificate authority to trust, instead of the system's."""
    fingerprint: str = ""
    """SHA-256 of the certificate to trust, and no other."""

    def __post_init__(self) -> None:
        for name, least in (("shards", 1), ("replicas", 0), ("timeout", 0.1), ("patience", 0)):
            if not least <= getattr(self, name) <= 10_000:
                raise ValueError(f"{name} must be {least} or more")
        if self.refresh not in get_args(Refresh):
            raise ValueError(f"refresh is one of {', '.join(get_args(Refresh))}")


_USUAL = Options()


@dataclass(frozen=True, slots=True)
class Address:
    """Where a collection is; what is secret is in it and not in its text."""

    hosts: tuple[str, ...]
    """URLs of nodes, any of which will do."""
    name: str
    """Of the collection: an alias, and the beginning of its indices' names."""
    options: Options
    login: tuple[str, str] | None = None
    """User and password."""
    api_key: str | None = None

    def __str__(self) -> str:
        scheme = self.hosts[0].partition("://")[0]
        nodes = ",".join(host.partition("://")[2] for host in self.hosts)
        return f"es+{scheme}://{nodes}/{self.name}"

    @property
    def folder(self) -> Path:
        """For what is kept in files on this machine."""
        if self.options.files:
            return Path(self.options.files) / self.name
        data = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
        host = re.sub(r"[^\w.-]", "_", self.hosts[0].partition("://")[2])
        return data / "lookalike" / "elastic" / host / self.name


def read(text: str) -> Address:
    """What a user wrote, and what the environment says; `BadAddress` if it cannot be read.

    Secrets may be in the address (`es+https://USER:PASSWORD@HOST`) or, better, in the environment:
    LOOKALIKE_ES_USER and LOOKALIKE_ES_PASSWORD, or LOOKALIKE_ES_API_KEY.
    """
    shape = _SHAPE.fullmatch(text)
    shown = re.sub(r":/+([^/?]*@)?", "://", text, count=1)
    if shape is None:
        raise BadAddress(shown, "it lacks a host or a name")
    name, _, query = shape["rest"].lstrip("/").partition("?")
    name = name.rstrip("/")
    if not _NAME.fullmatch(name):
        raise BadAddress(
            shown, f"the name {name!r} may have only small letters, digits, '-', '_' and '.'"
        )
    hosts = []
    for host in shape["hosts"].split(","):
        if not _HOST.fullmatch(host):
            raise BadAddress(shown, f"{host!r} is no host")
        numbered = re.search(r":\d+$", host)
        hosts.append(f"{shape['scheme']}://{host}{'' if numbered else ':9200'}")
    return Address(
        tuple(hosts),
        name,
        _options(shown, query),
        _login(shape["user"]),
        os.environ.get("LOOKALIKE_ES_API_KEY") or None,
    )


def _login(given: str | None) -> tuple[str, str] | None:
    if given is not None:
        user, _, password = given.partition(":")
        return unquote(user), unquote(password)
    user, password = (os.environ.get(f"LOOKALIKE_ES_{each}", "") for each in ("USER", "PASSWORD"))
    return (user or "elastic", password) if password else None


def _options(shown: str, query: str) -> Options:
    kinds: dict[str, type[Any]] = {
        each.name: type(getattr(_USUAL, each.name)) for each in fields(Options)
    }
    values: dict[str, Any] = {
        name: os.environ[variable]
        for name, variable in _VARIABLES.items()
        if os.environ.get(variable)
    }
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in kinds:
            raise BadAddress(shown, f"there is no option {key!r}; known: {', '.join(kinds)}")
        try:
            values[key] = kinds[key](value)
        except ValueError:
            raise BadAddress(shown, f"{key} must be a number, not {value!r}") from None
    try:
        return Options(**values)
    except ValueError as error:
        raise BadAddress(shown, str(error)) from error

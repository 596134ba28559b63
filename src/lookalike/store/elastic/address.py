"""`es+https://HOST:9200/NAME`: a collection in Elasticsearch, and how to get at it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, unquote

from ...errors import BadAddress
from ...places import SCHEMES, is_object

Refresh = Literal["true", "wait_for", "false"]
_SHAPE = re.compile(r"es\+(?P<scheme>https?):/+(?:(?P<user>.*)@)?(?P<hosts>[^/?@]+)(?P<rest>/.*)")
_OPTIONS = re.compile(r"\?(?=[a-z]+=)|\?$")
"""Where they begin: a password may have a question mark, too."""
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
    """For uploads and thumbnails: the URL of a folder in an object store, or a folder; shared by
    all machines that serve the collection."""
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
        if "://" in self.files:
            _check_url(self.files)


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
        """For what is kept beside the records on this machine, or in a folder that all share."""
        if self.options.files and not is_object(self.options.files):
            return Path(self.options.files) / self.name
        data = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
        host = re.sub(r"[^\w.-]", "_", self.hosts[0].partition("://")[2])
        return data / "lookalike" / "elastic" / host / self.name

    @property
    def files(self) -> Path | str:
        """For uploads and thumbnails: that folder, or the URL of one in an object store."""
        if is_object(self.options.files):
            return f"{self.options.files.rstrip('/')}/{self.name}"
        return self.folder


def read(text: str) -> Address:
    """What a user wrote, and what the environment says; `BadAddress` if it cannot be read.

    Secrets may be in the address (`es+https://USER:PASSWORD@HOST`) or, better, in the environment:
    LOOKALIKE_ES_USER and LOOKALIKE_ES_PASSWORD, or LOOKALIKE_ES_API_KEY.
    """
    bare, *queries = _OPTIONS.split(text, maxsplit=1)
    shape = _SHAPE.fullmatch(bare)
    shown = repr(re.sub(r":/+(.*@)?", "://", bare, count=1, flags=re.DOTALL))[1:-1]
    if shape is None:
        raise BadAddress(shown, "it lacks a host or a name")
    name = shape["rest"].strip("/")
    if not _NAME.fullmatch(name):
        raise BadAddress(
            shown, f"the name {name!r} may have only small letters, digits, '-', '_' and '.'"
        )
    hosts = []
    for host in shape["hosts"].split(","):
        numbered = re.search(r":(\d+)$", host)
        if not _HOST.fullmatch(host) or (numbered and not 1 <= int(numbered[1]) <= 65_535):
            raise BadAddress(shown, f"{host!r} is no host")
        hosts.append(f"{shape['scheme']}://{host}{'' if numbered else ':9200'}")
    if len(set(hosts)) < len(hosts):
        raise BadAddress(shown, "it names a host twice")
    return Address(
        tuple(hosts),
        name,
        _options(shown, "".join(queries)),
        _login(shape["user"]),
        _api_key(shown),
    )


def _login(given: str | None) -> tuple[str, str] | None:
    if given is not None:
        user, _, password = given.partition(":")
        return unquote(user), unquote(password)
    user, password = (os.environ.get(f"LOOKALIKE_ES_{each}", "") for each in ("USER", "PASSWORD"))
    return (user or "elastic", password) if password else None


def _api_key(shown: str) -> str | None:
    key = os.environ.get("LOOKALIKE_ES_API_KEY", "").strip()
    if not re.fullmatch("[!-~]*", key):
        raise BadAddress(shown, "what LOOKALIKE_ES_API_KEY holds beside it is no key")
    return key or None


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
            values[key] = kinds[key](_with_slashes(value))
        except ValueError:
            raise BadAddress(shown, f"{key} must be a number, not {value!r}") from None
    try:
        return Options(**values)
    except ValueError as error:
        raise BadAddress(shown, str(error)) from error


def _with_slashes(value: str) -> str:
    """Of a URL in what has become a `Path`, the second slash is missing."""
    return re.sub(r"^([a-z][a-z0-9]+):/+", r"\1://", value)


def _check_url(files: str) -> None:
    """`ValueError`, without what may be secret."""
    scheme, _, rest = files.partition("://")
    if not is_object(files):
        known = ", ".join(f"{each}://" for each in SCHEMES)
        raise ValueError(f"files is a folder, or a URL that begins with one of {known}")
    if "@" in rest:
        raise ValueError(
            f"files={scheme}://…@… seems to hold a secret: give that to the store's own client, by "
            "the environment or its file"
        )
    if not rest.strip("/"):
        raise ValueError(f"files names no bucket: write files={scheme}://BUCKET/FOLDER")

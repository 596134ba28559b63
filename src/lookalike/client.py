"""The HTTP service from Python, with nothing but the standard library.

from lookalike.client import Client

with Client("http://127.0.0.1:8000") as client:
    photos = client.collection("photos")
    photos.add("holiday.jpg")
    for hit in photos.search("query.jpg", k=5):
        print(hit.score, hit.path)
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from .errors import ServiceRefused, ServiceUnreachable

Query = str | os.PathLike[str] | bytes
"""The path of a picture on this machine, or its bytes."""
_Value = TypeVar("_Value")
_JSON = "application/json"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Summary:
    """A collection that is served."""

    name: str
    pictures: int
    recipe: str
    reads_text: bool
    """Whether it can be searched with words."""
    comparators: Sequence[str]
    """What can look again at the best hits."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A stored picture."""

    id: str
    path: str
    """The first place where it lies, on the service's machine."""
    places: Sequence[str]
    label: str | None
    metadata: Mapping[str, Any]
    width: int
    height: int
    format: str
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored picture that answers a query."""

    id: str
    path: str
    places: Sequence[str]
    score: float
    """Higher is better."""
    distance: float
    scores: Mapping[str, float | None]
    """By comparator, in its own scale; None where it could not compare."""
    kinship: Literal["copy", "near", "similar"] | None
    probability: float | None
    """That it is a copy, 0 to 1; None where that is not known."""
    label: str | None
    metadata: Mapping[str, Any]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a picture that was sent."""

    name: str
    id: str | None
    outcome: Literal["stored", "copy", "replaced", "unchanged"] | None
    problem: str | None
    """Why it was not kept; None if it was."""


@dataclass(frozen=True, slots=True)
class Job:
    """Long work of the service, as far as it is."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
    progress: Mapping[str, Any]
    """Counts; once it is done, what became of everything."""
    problem: Mapping[str, Any] | None
    """Why it failed, as the service tells a problem."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self.state not in ("queued", "running")


class Client:
    """A service at an address. Safe to use from several threads; a context manager.

    Every call raises `ServiceUnreachable` if there is no answer, and `ServiceRefused` with what the
    service says, by its status, its tag and its words.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 60) -> None:
        """`key`: sent with every request; `timeout`: seconds without a sign of the service."""
        try:
            address = urlsplit(url)
            port, host = address.port, address.hostname
        except ValueError as error:
            raise ServiceUnreachable(url, str(error)) from error
        if address.scheme not in _PORTS or not host or address.query or address.fragment:
            raise ServiceUnreachable(url, "its address is like http://127.0.0.1:8000")
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ValueError("the key has characters that no key has")
        self.url = url
        self._prefix = address.path.rstrip("/")
        self._host, self._port = host, port or _PORTS[address.scheme]
        self._is_secure = address.scheme == "https"
        self._timeout = timeout
        self._headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        self._changing = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def collections(self) -> list[Summary]:
        """Those that are served."""
        return [_value(Summary, each) for each in self.get("/v1/collections")["collections"]]

    def collection(self, name: str) -> Collection:
        """One of them; nothing is asked yet."""
        return Collection(self, name)

    def get(self, path: str, **asked: object) -> Any:
        """The JSON that a path of the API answers, such as `/v1/collections`."""
        given = _texts(asked)
        return self._json("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """The JSON that a path answers to JSON."""
        return self._json("POST", path, json.dumps(body).encode(), _JSON)

    def send(self, path: str, pictures: Sequence[tuple[str, Query]], **asked: object) -> Any:
        """The JSON that a path answers to a form of pictures, each with its field, and texts."""
        boundary = secrets.token_hex(16)
        parts = [_part(name, text.encode()) for name, text in _texts(asked).items()]
        parts += [_part(field, *_read(picture)) for field, picture in pictures]
        body = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in parts)
        body += b"--%b--\r\n" % boundary.encode()
        return self._json("POST", path, body, f"multipart/form-data; boundary={boundary}")

    def delete(self, path: str) -> None:
        """Have a path deleted."""
        self.ask("DELETE", path)

    def ask(
        self, method: str, path: str, body: bytes | None = None, content_type: str | None = None
    ) -> bytes:
        """What a path answers, whatever it is."""
        headers = {**self._headers, **({"Content-Type": content_type} if content_type else {})}
        connection, is_new = self._connection()
        try:
            try:
                answer = _answer(connection, method, self._prefix + path, body, headers)
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                if is_new or isinstance(error, TimeoutError):
                    raise
                # It had been idle, and the service has ended it. Every call is safe to repeat.
                connection = self._new()
                answer = _answer(connection, method, self._prefix + path, body, headers)
            content = answer.read()
        except (http.client.HTTPException, OSError) as error:
            connection.close()
            raise ServiceUnreachable(self.url, str(error) or type(error).__name__) from error
        with self._changing:
            self._idle.append(connection)
        if not 200 <= answer.status < 300:
            raise _refusal(self.url, answer.status, answer.reason, content)
        return content

    def close(self) -> None:
        """End the connections."""
        with self._changing:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _json(
        self, method: str, path: str, body: bytes | None = None, content_type: str | None = None
    ) -> Any:
        content = self.ask(method, path, body, content_type)
        try:
            return json.loads(content)
        except ValueError as error:
            raise ServiceUnreachable(self.url, "what answers there is another service") from error

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        """One that is idle, or a new one, and whether it is new."""
        with self._changing:
            if self._idle:
                return self._idle.pop(), False
        return self._new(), True

    def _new(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout)


class Collection:
    """A collection of a service, by its name."""

    def __init__(self, client: Client, name: str) -> None:
        self.name = name
        self._client = client
        self._path = f"/v1/collections/{quote(name, safe='')}"

    def stats(self) -> dict[str, Any]:
        """Counts, sizes and the state of the index."""
        return dict(self._client.get(f"{self._path}/stats"))

    def add(
        self,
        *pictures: Query,
        label: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[Added]:
        """Send pictures to be kept, one by one; what became of each. Safe to repeat.

        `OSError` for one that cannot be read here.
        """
        said = {"label": label, "metadata": None if metadata is None else json.dumps(metadata)}
        answers = (
            self._client.send(f"{self._path}/pictures", [("images", picture)], **said)
            for picture in pictures
        )
        return [_value(Added, each) for answer in answers for each in answer["results"]]

    def search(
        self,
        *queries: Query,
        text: str | None = None,
        unlike: Sequence[Query] = (),
        **asked: object,
    ) -> list[Hit]:
        """The pictures most alike, the best first, for a picture, several as one, or words.

        `asked`: what the API knows besides: `k`, `offset`, `where`, `threshold`, `compare` (a list)
        and so on; docs/http-api.md has all.
        """
        path, said = f"{self._path}/search", {**asked, "text": text}
        if not (queries or unlike):
            return _hits(self._client.post(path, _jsonable(said)))
        pictures = [("image", each) for each in queries] + [("unlike", each) for each in unlike]
        return _hits(self._client.send(path, pictures, **said))

    def more_like(self, id: str, **asked: object) -> list[Hit]:
        """The pictures most like a stored one, itself excepted; `asked` as for `search`."""
        return _hits(self._client.get(f"{self._path_of(id)}/similar", **asked))

    def picture(self, id: str) -> Picture:
        """A stored picture."""
        return _value(Picture, self._client.get(self._path_of(id)))

    def pictures(self, *, offset: int = 0, limit: int = 50) -> list[Picture]:
        """Stored pictures, the last added first."""
        found = self._client.get(f"{self._path}/pictures", offset=offset, limit=limit)
        return [_value(Picture, each) for each in found["pictures"]]

    def thumbnail(self, id: str, side: int = 256) -> bytes:
        """A JPEG of a stored picture, its long side of `side` pixels or a little more."""
        return self._client.ask("GET", f"{self._path_of(id)}/thumbnail?side={side}")

    def remove(self, id: str) -> None:
        """Forget a stored picture."""
        self._client.delete(self._path_of(id))

    def ingest(self, path: str, *, prune: bool = False, retry: bool = False) -> Job:
        """Have a folder of the service's machine taken in; who asks twice gets the same job."""
        wanted = {"path": path, "prune": prune, "retry": retry}
        return _value(Job, self._client.post(f"{self._path}/jobs", wanted))

    def jobs(self) -> list[Job]:
        """All that are known, the last first."""
        return [_value(Job, each) for each in self._client.get(f"{self._path}/jobs")["jobs"]]

    def job(self, id: str) -> Job:
        """One of them, as it is now."""
        return _value(Job, self._client.get(self._job(id)))

    def cancel(self, id: str) -> Job:
        """Have a job stop where it can be resumed; what is stored stays."""
        return _value(Job, self._client.post(f"{self._job(id)}/cancel", {}))

    def _job(self, id: str) -> str:
        return f"{self._path}/jobs/{quote(id, safe='')}"

    def _path_of(self, id: str) -> str:
        return f"{self._path}/pictures/{quote(id, safe='')}"


def _answer(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
) -> http.client.HTTPResponse:
    # Who refuses a body answers before it has come whole, and then hears no more.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(method, path, body, headers)
    return connection.getresponse()


def _refusal(url: str, status: int, reason: str, content: bytes) -> ServiceRefused:
    try:
        problem = json.loads(content)
        return ServiceRefused(status, str(problem["type"]), str(problem["detail"]))
    except (ValueError, TypeError, LookupError):
        return ServiceRefused(status, "about:blank", f"{url} answers {status} {reason}")


def _value(kind: type[_Value], told: Mapping[str, Any]) -> _Value:
    """The fields that we know; a newer service may tell more."""
    return kind(**{field.name: told.get(field.name) for field in fields(kind)})  # type: ignore[arg-type]


def _hits(found: Mapping[str, Any]) -> list[Hit]:
    return [_value(Hit, each) for each in found["hits"]]


def _jsonable(asked: Mapping[str, object]) -> dict[str, object]:
    given = {name: value for name, value in asked.items() if value is not None}
    if isinstance(given.get("compare"), list | tuple):
        given["compare"] = _text(given["compare"])
    return given


def _texts(asked: Mapping[str, object]) -> dict[str, str]:
    """As a form or an address has them: what is None is left out."""
    return {name: _text(value) for name, value in asked.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _read(picture: Query) -> tuple[bytes, str]:
    """The bytes, and what they are called."""
    if isinstance(picture, bytes):
        return picture, "picture"
    path = Path(picture)
    return path.read_bytes(), path.name


def _part(field: str, content: bytes, filename: str | None = None) -> bytes:
    """One part of a form."""
    said = f'form-data; name="{_escaped(field)}"'
    kind = ""
    if filename is not None:
        said += f'; filename="{_escaped(filename)}"'
        kind = "Content-Type: application/octet-stream\r\n"
    return f"Content-Disposition: {said}\r\n{kind}\r\n".encode("utf-8", "replace") + content


def _escaped(text: str) -> str:
    """As HTML's forms have it: a name cannot end its quotes, nor its line."""
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")

"""Who may ask what: keys, sessions of browsers, and what each request needs.

It is settled before a body is read. A browser's pictures (`<img>`) cannot carry a key, so the page
exchanges its key for a session: a cookie that no script reads and no other site's page sends.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Collection
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Asked

from .keys import Key, Keyring, Scope
from .problems import Refused, problem
from .security import is_foreign

_PUBLIC = frozenset({"/healthz", "/readyz", "/openapi.json"})
_READING_POSTS = re.compile(
    r"/v1/session"
    r"|/v1/collections/[^/]+/(search|search/batch|match|match\.png)"
    r"|/search|/(sift|resnet50|beit)-similar-images"
)
"""Those that change nothing. Any other POST needs a key that may write."""
_WRITING_GETS = re.compile(r"/add")
_COOKIE = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")
_SESSION_SECONDS = 12 * 3600


def needed(method: str, path: str, page: Collection[str]) -> Scope | None:
    """What a key must allow for this request; None where no key is needed.

    `page`: the paths of the page's files, which anybody may read: it is what asks for the key.
    """
    if method in ("GET", "HEAD"):
        if path in _PUBLIC or path in page:
            return None
        return "write" if _WRITING_GETS.fullmatch(path) else "read"
    return "read" if _READING_POSTS.fullmatch(path) else "write"


class Sessions:
    """Cookies that stand for a key, for twelve hours, in this process alone."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._secret = secrets.token_bytes(32)
        # Cookies know no ports: two services on one machine must not take each other's.
        self.cookie = f"lookalike-{secrets.token_hex(4)}"

    def value(self, key: Key) -> str:
        """What the cookie of this key says."""
        expires = int(time.time()) + _SESSION_SECONDS
        return f"{expires}.{self._seal(expires, key)}"

    def holder(self, value: str) -> Key | None:
        """The key that a cookie stands for, if it is still one."""
        form = _COOKIE.fullmatch(value)
        if form is None or int(form[1]) <= time.time():
            return None
        for key in self._keyring.current():
            if hmac.compare_digest(self._seal(int(form[1]), key), form[2]):
                return key
        return None

    def _seal(self, expires: int, key: Key) -> str:
        said = f"{expires}.{key.digest}"
        return hmac.new(self._secret, said.encode(), hashlib.sha256).hexdigest()


class Authentication:
    """Middleware: answers 401 without a valid key, 403 where it may not; reads no body."""

    def __init__(
        self,
        app: ASGIApp,
        keyring: Keyring,
        sessions: Sessions,
        page: Collection[str],
        failed: Callable[[Asked], Response | None],
    ) -> None:
        """`failed` is told of each try without a valid key, and may answer it itself."""
        self._app = app
        self._keyring = keyring
        self._sessions = sessions
        self._page = page
        self._failed = failed

    async def __call__(self, scope: Asked, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        respond = self._app
        if scope["type"] == "http":
            respond = self._refusal(scope) or self._app
        await respond(scope, receive, send)

    def _refusal(self, scope: Asked) -> Response | None:
        need = needed(scope["method"], scope["path"], self._page)
        key = self._holder(Headers(scope=scope))
        if key is not None:
            scope.setdefault("state", {}).update(key=key, key_name=key.name)
        if need is None:
            return None
        if key is None:
            detail = "this service asks for a key: send it as `Authorization: Bearer KEY`"
            headers = {"WWW-Authenticate": 'Bearer realm="lookalike"'}
            refusal = problem(401, detail, kind="no-key", headers=headers)
            return self._failed(scope) or refusal
        if not key.may(need):
            detail = f"the key {key.name} may read, and this needs one that may write"
            return problem(403, detail, kind="key-may-not")
        return None

    def _holder(self, headers: Headers) -> Key | None:
        given = headers.get("x-api-key", "")
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if not given and kind.lower() == "bearer":
            given = bearer.strip()
        if given:
            return self._keyring.holder(given)
        if is_foreign(headers):  # a page of another site that is let in brings a key of its own
            return None
        value = cookie_parser(headers.get("cookie", "")).get(self._sessions.cookie)
        return self._sessions.holder(value) if value else None


def changes_state(request: Request) -> None:
    """A dependency of a GET that changes something: no link, image or form of a page may make it.

    Over plain HTTP from other machines a browser does not say where a request comes from; then
    it is refused as well. Programs are not browsers. 403 if the key may only read.
    """
    key: Key | None = getattr(request.state, "key", None)
    if key is not None and not key.may("write"):
        raise Refused(
            403, "key-may-not", f"the key {key.name} may read, and this changes something"
        )
    site = request.headers.get("sec-fetch-site")
    browser = request.headers.get("user-agent", "").startswith("Mozilla/")
    if site not in (None, "none", "same-origin") or (site is None and browser):
        detail = "this changes something, so a browser may not be led to it by a link or an image"
        raise Refused(403, "foreign-origin", detail)


ChangesState = Depends(changes_state)
"""For `dependencies=[access.ChangesState]` of a route."""


class Session(BaseModel):
    """Whose key it is that was sent."""

    name: str | None = Field(description="Of the key; null where none is asked for.")
    scope: Literal["read", "write"]


router = APIRouter(prefix="/v1/session")
"""Its application keeps the `Sessions` in `state.sessions`, or None where no key is asked for."""


def _sessions(request: Request) -> Sessions | None:
    sessions: Sessions | None = request.app.state.sessions
    return sessions


_Sessions = Annotated[Sessions | None, Depends(_sessions)]


@router.post("")
def begin_session(request: Request, response: Response, sessions: _Sessions) -> Session:
    """Exchange a key for a cookie, by which a browser's pictures are answered as well."""
    key: Key | None = getattr(request.state, "key", None)
    if sessions is None or key is None:
        return Session(name=None, scope="write")
    response.set_cookie(
        sessions.cookie,
        sessions.value(key),
        max_age=_SESSION_SECONDS,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return Session(name=key.name, scope=key.scope)


@router.delete("", status_code=204)
def end_session(response: Response, sessions: _Sessions) -> None:
    """Forget the cookie."""
    if sessions is not None:
        response.delete_cookie(sessions.cookie, httponly=True, samesite="strict")

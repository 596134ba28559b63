"""API keys: a file with a line for each, `name scope sha256:…`. The key itself is kept nowhere.

A key is 256 random bits, so nobody guesses one and a plain hash is enough (a slow one would let
strangers keep us busy).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from ..errors import BadKeys

if TYPE_CHECKING:  # the command line, which makes keys, needs none of it
    from .settings import Settings

Scope = Literal["read", "write"]
"""Reading is searching and looking; writing is that, and adding, changing and forgetting."""

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_GIVEN = "api_key"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """Who asks, and what they may do."""

    name: str
    scope: Scope
    digest: str
    """SHA-256 of the key, in hexadecimal."""

    def may(self, scope: Scope) -> bool:
        """Whether it opens this."""
        return self.scope in ("write", scope)


class Keyring:
    """The keys that are let in: one given in the settings, and those of a file, as it is now."""

    def __init__(self, given: str | None = None, file: Path | None = None) -> None:
        """Raises `BadKeys` if the file cannot be read, or has no key in it."""
        self._given = [] if given is None else [Key(_GIVEN, "write", _digest(given))]
        self._file = file
        self._seen: tuple[int, ...] | None = None
        self._read: list[Key] = []
        if file is not None:
            self._read = read(file)
            self._seen = _state(file)
            if not self._read:
                raise BadKeys(file, f"it has no key yet: `lookalike keys add NAME --file {file}`")

    def holder(self, key: str) -> Key | None:
        """Whose key this is. All are compared, so that time tells nothing of them."""
        digest = _digest(key)
        found = None
        for each in self.current():
            if hmac.compare_digest(each.digest, digest):
                found = each
        return found

    def current(self) -> Sequence[Key]:
        """All there are now; of a file that has become unreadable none, as if it were removed."""
        if self._file is not None and (state := _state(self._file)) != self._seen:
            self._seen = state
            try:
                self._read = read(self._file)
            except BadKeys as error:
                self._read = []
                _log.error("%s; until that is mended its keys open nothing", error)
        return (*self._given, *self._read)


def keyring_of(settings: Settings) -> Keyring | None:
    """None where nobody is asked for a key. Raises `BadKeys` if the file cannot be used."""
    if not settings.asks_for_keys:
        return None
    given = settings.api_key.get_secret_value() if settings.api_key else None
    return Keyring(given, settings.api_key_file)


def read(file: Path) -> list[Key]:
    """The keys of a file. Raises `BadKeys`."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadKeys(file, f"it cannot be read: {why}") from None
    keys: list[Key] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key = _key(line)
        if key is None:
            raise BadKeys(file, f"line {number} is not `name read|write sha256:…`")
        if any(each.name == key.name for each in keys):
            raise BadKeys(file, f"line {number}: a second key named {key.name}")
        keys.append(key)
    return keys


def add(file: Path, name: str, scope: Scope) -> str:
    """A new key of this name, which is in no file: only its hash is. Raises `BadKeys`."""
    if not _NAME.fullmatch(name):
        raise BadKeys(file, f"{name!r} is no name for a key: letters, digits and . _ @ - are")
    keys = read(file) if file.exists() else []
    if any(each.name == name for each in keys):
        raise BadKeys(file, f"there is a key named {name}: remove it first, or choose another")
    key = f"lk_{secrets.token_urlsafe(32)}"
    _write(file, [*keys, Key(name, scope, _digest(key))])
    return key


def remove(file: Path, name: str) -> None:
    """Have a key open nothing any more, also where it is served now. Raises `BadKeys`."""
    keys = read(file)
    left = [each for each in keys if each.name != name]
    if len(left) == len(keys):
        known = ", ".join(each.name for each in keys) or "none"
        raise BadKeys(file, f"no key is named {name!r}; there are: {known}")
    _write(file, left)


def _key(line: str) -> Key | None:
    words = line.split()
    if len(words) != 3 or not _NAME.fullmatch(words[0]) or words[1] not in get_args(Scope):
        return None
    said = _HASH.fullmatch(words[2])
    return Key(words[0], cast(Scope, words[1]), said[1]) if said else None


def _write(file: Path, keys: Iterable[Key]) -> None:
    """The whole file or none of it, for its owner alone."""
    text = "".join(f"{each.name} {each.scope} sha256:{each.digest}\n" for each in keys)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, made = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            Path(made).replace(file)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BadKeys(file, f"it cannot be written: {error.strerror}") from None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _state(file: Path) -> tuple[int, ...] | None:
    """What changes when the file does; None if it is gone."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns

"""Object stores through fsspec: listed, read and written, as URLs such as `s3://BUCKET/KEY`.

A place is such a URL, its key letter by letter as the store has it. Credentials and endpoints come
from where the store's own client looks for them, never from an address, so that none is written
down with a place. One that is given with a secret in it is refused, without repeating it.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from .errors import (
    BadSource,
    MissingPackage,
    ObjectStoreUnusable,
    PictureError,
    PictureUnreachable,
)
from .places import LITTER, in_64_bits
from .types import Place

_ENDS_A_KEY = "?versionId="
"""What s3fs takes for the end of a key, so that another object would be read."""
_VERSIONS = ("ETag", "etag", "content_md5", "md5Hash", "crc32c", "oid")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
_INSTALL = {
    "s3": "pip install 'lookalike[s3]'",
    "gs": "pip install gcsfs",
    "az": "pip install adlfs",
    "hf": "pip install huggingface_hub",
}
_RETRIES = frozenset(("AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"))
_CHECKSUMS = ("request_checksum_calculation", "response_checksum_validation")
_WRITTEN_WITHIN = 60.0
"""Seconds."""
_LETTERS = 300
_ASKED_AT_ONCE = 32
_ADDRESS = re.compile(r'[:\s]*"?\bhttps?://\S*')


@dataclass(frozen=True, slots=True)
class Found:
    """An object, or what could not be listed."""

    place: Place
    refusal: PictureError | None = None
    """Why it cannot be read."""
    is_folder: bool = False
    """Whether objects lie below it, and it is none."""


def find(url: str) -> tuple[Iterator[Found], bool]:
    """What lies below a URL, by name, and whether that is the very object that it names.

    A folder at a time is listed, without what is hidden. `BadSource` if nothing is there.
    """
    store, path = _opened(url)
    try:
        about = _about(store, path)
        if about["type"] == "file":
            return iter([Found(_place(_scheme(url), about))]), True
        return _below(store, _scheme(url), _entries(store, path)), False
    except FileNotFoundError as error:
        raise BadSource(
            f"{url} does not exist: give a bucket, a folder in it, or an object"
        ) from error
    except Exception as error:  # each store's client has errors of its own
        raise BadSource(f"{url} cannot be read: {_why(error)}") from error


def root(url: str) -> str:
    """The place that such a source speaks of."""
    _, path = _opened(url)
    return f"{_scheme(url)}://{path.lstrip('/')}"


def look(url: str) -> Found | None:
    """An object as it is now; None if it is not there. What it cannot tell is a `refusal`."""
    store, path = _opened(url)
    try:
        about = _about(store, path)
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - each store's client has errors of its own
        return Found(Place(url), _unreachable(url, error))
    if about["type"] != "file":
        refusal = PictureError(url, "a folder of objects: name it itself", recognised=False)
        return Found(Place(url), refusal, is_folder=True)
    return _found(_scheme(url), about)


def look_all(urls: Sequence[str]) -> list[Found | None]:
    """The same of many, in order."""
    with ThreadPoolExecutor(min(_ASKED_AT_ONCE, max(1, len(urls)))) as threads:
        return list(threads.map(look, urls))


def exists(url: str) -> bool:
    """Whether an object is there. What cannot be looked at counts as there."""
    found = look(url)
    return found is not None and (
        found.refusal is None or isinstance(found.refusal, PictureUnreachable)
    )


def read(url: str, most: int) -> bytes:
    """An object's bytes; `PictureError` if it cannot be read, or has more than `most`."""
    (content,) = read_all([url], most)
    if isinstance(content, PictureError):
        raise content
    return content


def read_all(urls: Sequence[str], most: int) -> list[bytes | PictureError]:
    """The bytes of objects, or why there are none, in order; as many at once as their store lets.

    Of none more than `most` and one byte is read.
    """
    contents: list[bytes | PictureError] = [b""] * len(urls)
    for scheme in {_scheme(url) for url in urls}:
        at = [i for i, url in enumerate(urls) if _scheme(url) == scheme]
        for i, content in zip(at, _read([urls[i] for i in at], most), strict=True):
            contents[i] = content
    return contents


def write(url: str, content: bytes) -> None:
    """Make an object, or replace it; it is there whole or not at all. `ObjectStoreUnusable`."""
    store, path = _opened(url)
    # While it waits to be told to send, a client of S3 has no end to its patience.
    patience = {"timeout": _WRITTEN_WITHIN} if store.async_impl else {}
    try:
        store.pipe_file(path, content, **patience)
    except Exception as error:  # each store's client has errors of its own
        raise ObjectStoreUnusable(url, _why(error)) from error


def delete(url: str) -> None:
    """Delete an object, if it is there; `ObjectStoreUnusable`."""
    store, path = _opened(url)
    try:
        store.rm_file(path)
    except FileNotFoundError:
        pass
    except Exception as error:  # each store's client has errors of its own
        raise ObjectStoreUnusable(url, _why(error)) from error


def below(url: str) -> Iterator[Place]:
    """Every object below a URL, by name; none if nothing is there. `ObjectStoreUnusable`."""
    store, path = _opened(url)
    try:
        entries = _entries(store, path)
    except FileNotFoundError:
        return
    except Exception as error:  # each store's client has errors of its own
        raise ObjectStoreUnusable(url, _why(error)) from error
    for found in _below(store, _scheme(url), entries):
        if isinstance(found.refusal, PictureUnreachable):
            raise ObjectStoreUnusable(url, found.refusal.reason)
        yield found.place


def _read(urls: Sequence[str], most: int) -> list[bytes | PictureError]:
    """The same of one store."""
    opened = [_opened(url) for url in urls]
    paths = [path for _, path in opened]
    try:
        every = opened[0][0].cat_ranges(paths, 0, most + 1, on_error="return")
    except Exception as error:  # noqa: BLE001 - each store's client has errors of its own
        every = [error] * len(urls)
    return [_content(url, each, most) for url, each in zip(urls, every, strict=True)]


def _content(url: str, read: bytes | BaseException, most: int) -> bytes | PictureError:
    if isinstance(read, FileNotFoundError):
        return PictureError(url, "it is no longer there", retry=True)
    if isinstance(read, BaseException):
        return _unreachable(url, read)
    if len(read) > most:
        return PictureError(url, f"it has over {most / 1e6:g} MB, the limit")
    return read


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    scheme = _scheme(url)
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise BadSource(
            f"an address {scheme}://…@… seems to hold a secret: give that to the store's own "
            "client, by the environment or its file, and leave it out here"
        )
    path = url.removeprefix(f"{scheme}://").rstrip("/")
    if not path.strip("/"):
        raise BadSource(f"{url} names no bucket: write {scheme}://BUCKET/FOLDER")
    return _file_system(scheme), f"/{path}" if scheme == "memory" else path


@functools.cache
def _file_system(scheme: str) -> Any:
    """One for all threads, where fsspec itself would make one for each."""
    install = _INSTALL.get(scheme, "pip install fsspec")
    try:
        import fsspec

        if scheme != "s3":
            return fsspec.filesystem(scheme)
        # By themselves newer clients add checksums that many a store other than Amazon's refuses.
        # What counts has one of ours: a picture's id is its SHA-256.
        config: dict[str, Any] = {
            each: "when_required" for each in _CHECKSUMS if f"AWS_{each.upper()}" not in os.environ
        }
        if _RETRIES & os.environ.keys():
            return fsspec.filesystem(scheme, config_kwargs=config)
        # As often as newer clients of S3 do. By what is usual here, up to 25 times, a request would
        # wait for minutes to be told that a store is down.
        config["retries"] = {"total_max_attempts": 3}
        store = fsspec.filesystem(scheme, config_kwargs=config)
        store.retries = 2
        return store
    except ImportError as error:
        raise MissingPackage(f"using {scheme}://", install) from error


def _about(store: Any, path: str) -> Mapping[str, Any]:
    """What the store says of a path now."""
    store.invalidate_cache()
    about: Mapping[str, Any] = store.info(path)
    return about


def _entries(store: Any, folder: str) -> list[Mapping[str, Any]]:
    """What lies in a folder, by name, without what is hidden."""
    store.invalidate_cache()
    found = []
    for each in store.ls(folder, detail=True):
        name = PurePosixPath(each["name"]).name
        is_marker = each["name"].rstrip("/") == folder and each["type"] == "file"
        if not (name.startswith(".") or name in LITTER or is_marker):
            found.append(each)
    store.invalidate_cache()
    return sorted(found, key=lambda each: str(each["name"]))


def _below(store: Any, scheme: str, entries: Sequence[Mapping[str, Any]]) -> Iterator[Found]:
    """All below a folder, whose own entries are at hand."""
    waiting = list(reversed(entries))
    while waiting:
        each = waiting.pop()
        name = each["name"].rstrip("/")
        if each["type"] != "directory":
            yield _found(scheme, each)
        elif name != each["name"]:  # s3fs would list the folder around it, for ever
            yield _refused(scheme, f"{name}/", "a folder without a name, which cannot be listed")
        else:
            try:
                inside = _entries(store, name)
            except Exception as error:  # noqa: BLE001 - each store's client has errors of its own
                place = Place(f"{scheme}://{name.lstrip('/')}")
                yield Found(place, _unreachable(place.path, error, "listed"))
                continue
            waiting += reversed(inside)


def _found(scheme: str, about: Mapping[str, Any]) -> Found:
    if _ENDS_A_KEY in about["name"]:
        return _refused(scheme, about["name"], f"its key has {_ENDS_A_KEY}, so it cannot be asked")
    return Found(_place(scheme, about))


def _refused(scheme: str, name: str, reason: str) -> Found:
    place = Place(f"{scheme}://{name.lstrip('/')}")
    return Found(place, PictureError(place.path, reason))


def _unreachable(url: str, error: BaseException, what: str = "read") -> PictureUnreachable:
    return PictureUnreachable(url, f"it cannot be {what}: {_why(error)}", retry=True)


def _place(scheme: str, about: Mapping[str, Any]) -> Place:
    """Labelled by the folder that it lies in; its time tells versions apart that others would not.

    Whole seconds are when it was written; the rest is a digest of the store's own tag of the
    content, since a second may see two versions of one size.
    """
    name = str(about["name"]).lstrip("/")
    tag = next((str(about[each]) for each in _VERSIONS if about.get(each)), "")
    digest = int.from_bytes(hashlib.sha256(tag.encode()).digest()[:8]) % 1_000_000_000
    written = _seconds(next((about[each] for each in _TIMES if about.get(each)), 0))
    modified_ns = int(written) * 1_000_000_000 + digest if tag else int(written * 1e9)
    label = PurePosixPath(name).parent.name or None
    return Place(f"{scheme}://{name}", label, {}, about["size"] or 0, in_64_bits(modified_ns))


def _seconds(time: Any) -> float:
    """Since 1970, of a time as one of the stores writes it."""
    if isinstance(time, str):
        try:
            time = datetime.datetime.fromisoformat(time)
        except ValueError:
            return 0.0
    if isinstance(time, datetime.datetime):
        return time.timestamp()
    return float(time) if isinstance(time, int | float) else 0.0


def _scheme(url: str) -> str:
    return url.partition("://")[0]


def _why(error: BaseException) -> str:
    """In one line, without the addresses that clients add, which may be signed."""
    text = _ADDRESS.sub("", str(error).partition("\n")[0]).partition("?")[0].strip()
    return f"{type(error).__name__}: {text}"[:_LETTERS].rstrip(": ")

"""Pictures in object stores: listed and read through fsspec, as URLs such as `s3://BUCKET/KEY`.

A place is such a URL, its key letter by letter as the store has it. Credentials and endpoints come
from where the store's own client looks for them, never from an address, so that none is written
down with a place. One that is given with a secret in it is refused, without repeating it.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from .errors import BadSource, MissingPackage, PictureError
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
_LETTERS = 300


@dataclass(frozen=True, slots=True)
class Found:
    """An object, or what could not be listed."""

    place: Place
    refusal: PictureError | None = None
    """Why it cannot be read."""


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


def exists(url: str) -> bool:
    """Whether an object is there. What cannot be looked at counts as there."""
    store, path = _opened(url)
    try:
        return bool(_about(store, path)["type"] == "file")
    except FileNotFoundError:
        return False
    except Exception:  # noqa: BLE001 - each store's client has errors of its own
        return True


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
        return PictureError(url, f"it cannot be read: {_why(read)}", retry=True)
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

        return fsspec.filesystem(scheme)
    except ImportError as error:
        raise MissingPackage(f"reading {scheme}://", install) from error


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
                why = f"it cannot be listed: {_why(error)}"
                yield _refused(scheme, name, why, retry=True)
                continue
            waiting += reversed(inside)


def _found(scheme: str, about: Mapping[str, Any]) -> Found:
    if _ENDS_A_KEY in about["name"]:
        return _refused(scheme, about["name"], f"its key has {_ENDS_A_KEY}, so it cannot be asked")
    return Found(_place(scheme, about))


def _refused(scheme: str, name: str, reason: str, *, retry: bool = False) -> Found:
    place = Place(f"{scheme}://{name.lstrip('/')}")
    return Found(place, PictureError(place.path, reason, retry=retry))


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
    text = str(error).partition("\n")[0].partition("?")[0].strip()
    return f"{type(error).__name__}: {text}"[:_LETTERS].rstrip(": ")

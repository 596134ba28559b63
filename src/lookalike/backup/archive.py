"""The file of a backup: a plain tar of whole files, the last of which says what all of them are.

It is not compressed, as vectors and pictures hardly can be: what unpacks it can never be made to
write more than the file itself is long. Uploads go by the SHA-256 of their content; of every other
part the manifest has the SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .. import __version__
from ..errors import BadBackup

MANIFEST = "manifest.json"
PROBES = "probes.json"
CATALOGUE = "catalogue.sqlite"
FORMATS = {
    CATALOGUE: "lookalike catalogue 1 (SQLite 3)",
    PROBES: "lookalike probes 1 (JSON)",
    "index": "lookalike index cache",
    "local": "lookalike local index cache",
}
"""By part, or by the folder of several; other stores may pass over the caches."""
UPLOADS_FORMAT = "uploads by SHA-256 of their content"
VERSION = 1
_NAME = "lookalike-backup"
_BLOCK = 512
_PIECE = 1 << 20
_MOST_JSON = 64 << 20
_ALLOWED = re.compile(
    r"catalogue\.sqlite|probes\.json|manifest\.json|uploads/[0-9a-f]{2}/[0-9a-f]{64}"
    r"|(index|local)/[^/.\x00-\x1f\\][^/\x00-\x1f\\]*/[^/.\x00-\x1f\\][^/\x00-\x1f\\]*"
)


@dataclass(frozen=True, slots=True)
class Part:
    """A file of an archive, as the manifest names it."""

    name: str
    format: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds."""

    collection: dict[str, Any]
    """Counts, the recipe and the kinds of vectors, for who looks into it."""
    parts: list[Part]
    uploads: int
    upload_bytes: int
    lacking: list[str]
    """Ids of pictures that came as uploads, whose bytes were lost or damaged before."""
    made: float = field(default_factory=time.time)
    """Seconds since 1970."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in the archive."""
        return {
            "format": _NAME,
            "version": VERSION,
            "lookalike": __version__,
            "made": self.made,
            "collection": self.collection,
            "parts": [
                {"name": p.name, "format": p.format, "bytes": p.bytes, "sha256": p.sha256}
                for p in self.parts
            ],
            "uploads": {
                "format": UPLOADS_FORMAT,
                "count": self.uploads,
                "bytes": self.upload_bytes,
                "lacking": self.lacking,
            },
        }


class Writer:
    """Writes an archive. What is given may be written to meanwhile, but not become shorter."""

    def __init__(self, file: IO[bytes]) -> None:
        self._tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.GNU_FORMAT)
        self.parts: list[Part] = []
        self.uploads = 0
        self.upload_bytes = 0

    def add(self, name: str, path: Path) -> None:
        """A file that the manifest is to name."""
        with path.open("rb") as file:
            hashed = _Hashed(file)
            size = path.stat().st_size
            self._tar.addfile(_header(name, size), hashed)  # type: ignore[arg-type]
        kind = FORMATS.get(name) or FORMATS[name.partition("/")[0]]
        self.parts.append(Part(name, kind, size, hashed.sha256))

    def add_upload(self, id: str, content: bytes) -> None:
        """The bytes of an upload, whose SHA-256 is its id."""
        self.add_bytes(f"uploads/{id[:2]}/{id}", content)
        self.uploads += 1
        self.upload_bytes += len(content)

    def add_bytes(self, name: str, content: bytes) -> None:
        """A small file that the manifest does not name: an upload, or itself."""
        self._tar.addfile(_header(name, len(content)), io.BytesIO(content))

    def end(self, manifest: Manifest) -> None:
        """Write what says that all of it is there."""
        self.add_bytes(MANIFEST, json.dumps(manifest.to_json(), indent=1).encode())
        self._tar.close()


def read(path: Path, keep: Callable[[str], IO[bytes]]) -> tuple[Manifest, dict[str, Any]]:
    """Go through an archive; `keep` opens what each part is to be written to.

    The manifest and the probes come back. `BadBackup` unless every byte is as it was written; by
    then parts may have been written, so they must not count before.
    """
    found: dict[str, tuple[int, str]] = {}
    small: dict[str, bytes] = {}
    with path.open("rb") as file:
        for name, size in _members(file, path):
            if name in found or MANIFEST in found:
                raise BadBackup(path, f"it has {name!r} where that does not belong")
            if name in (MANIFEST, PROBES):
                if size > _MOST_JSON:
                    raise BadBackup(path, f"its {name} is too long")
                content = file.read(size)
                small[name] = content
                found[name] = size, hashlib.sha256(content).hexdigest()
            else:
                found[name] = size, _kept(file, size, keep(name))
            if sum(map(len, small.values())) > 2 * _MOST_JSON:
                raise BadBackup(path, "its texts are too long")
    manifest = _manifest(small.get(MANIFEST), path)
    _compare(manifest, found, path)
    return manifest, _object(small[PROBES], PROBES, path)


def _members(file: IO[bytes], path: Path) -> Iterator[tuple[str, int]]:
    """Name and size of each; its content is to be read before the next.

    Read by hand, as `tarfile` obeys links, sparse files and names as long as the whole archive.
    """
    end = path.stat().st_size
    while True:
        block = file.read(_BLOCK)
        if len(block) < _BLOCK:
            raise BadBackup(path, "it is cut short; take another backup, or copy it again")
        if block == bytes(_BLOCK):
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.TarError, ValueError) as error:
            raise BadBackup(path, "it is not a backup of lookalike's, or is damaged") from error
        if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise BadBackup(path, f"it holds what is no plain file: {header.name!r}")
        if not _ALLOWED.fullmatch(header.name):
            raise BadBackup(path, f"it holds a file that belongs to no backup: {header.name!r}")
        at = file.tell()
        if not 0 <= header.size <= end - at:
            raise BadBackup(path, "it is cut short; take another backup, or copy it again")
        yield header.name, header.size
        file.seek(at + -(-header.size // _BLOCK) * _BLOCK)


def _kept(file: IO[bytes], size: int, into: IO[bytes]) -> str:
    digest = hashlib.sha256()
    with into:
        while size:
            piece = file.read(min(size, _PIECE))
            digest.update(piece)
            into.write(piece)
            size -= len(piece)
    return digest.hexdigest()


def _manifest(content: bytes | None, path: Path) -> Manifest:
    if content is None:
        raise BadBackup(path, "it has no end: the backup was interrupted, or the file cut short")
    said = _object(content, MANIFEST, path)
    if said.get("format") != _NAME:
        raise BadBackup(path, "it is not a backup of lookalike's")
    if said.get("version") != VERSION:
        raise BadBackup(
            path,
            f"it has version {said.get('version')!r}, this lookalike knows {VERSION}: "
            "upgrade with `pip install --upgrade lookalike`",
        )
    try:
        parts = [
            Part(str(p["name"]), str(p["format"]), int(p["bytes"]), str(p["sha256"]))
            for p in said["parts"]
        ]
        uploads = said["uploads"]
        return Manifest(
            dict(said["collection"]),
            parts,
            int(uploads["count"]),
            int(uploads["bytes"]),
            [str(id) for id in uploads["lacking"]],
            float(said["made"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadBackup(path, f"its {MANIFEST} cannot be read") from error


def _compare(manifest: Manifest, found: dict[str, tuple[int, str]], path: Path) -> None:
    """`BadBackup` unless what was found is what was written."""
    uploads = {name: each for name, each in found.items() if name.startswith("uploads/")}
    for name, (_, sha256) in uploads.items():
        if name != f"uploads/{sha256[:2]}/{sha256}":
            raise BadBackup(path, f"its {name} is damaged")
    named = {part.name: (part.bytes, part.sha256) for part in manifest.parts}
    others = {name: each for name, each in found.items() if name not in {*uploads, MANIFEST}}
    for name in sorted({*named, *others, CATALOGUE, PROBES}):
        if name not in others:
            raise BadBackup(path, f"its {name} is missing")
        if named.get(name) != others[name]:
            raise BadBackup(path, f"its {name} is damaged")
    sizes = sum(size for size, _ in uploads.values())
    if (len(uploads), sizes) != (manifest.uploads, manifest.upload_bytes):
        raise BadBackup(path, "uploads are missing in it, or too many")


def _object(content: bytes, name: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadBackup(path, f"its {name} cannot be read") from error
    if not isinstance(value, dict):
        raise BadBackup(path, f"its {name} cannot be read")
    return value


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size, 0o600, int(time.time())
    return header


class _Hashed:
    """A file whose SHA-256 is known once it has been read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        piece = self._file.read(size)
        self._digest.update(piece)
        return piece

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

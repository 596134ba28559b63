"""A collection -> one file, while it is searched and added to."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from .. import recipe as recipes
from ..errors import BadBackup, CannotWrite, RecipeChanged
from ..sealed import publish
from ..store import FoundFirst, Home, home_of, snapshot
from ..store.embedded import EmbeddedStore
from ..uploads import SCHEME, Uploads
from . import archive, probes
from .probes import Probes
from .staging import staging

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Backup:
    """What was written."""

    file: str
    bytes: int
    pictures: int
    uploads: int
    probes: int
    """Questions whose answers a restored collection has to give again."""
    lacking: list[str]
    """Ids of pictures that came as uploads, whose bytes were lost or damaged before."""

    def to_json(self) -> dict[str, Any]:
        """As `lookalike backup --json` prints it."""
        return asdict(self)


def back_up(collection: str | os.PathLike[str], file: Path, *, overwrite: bool = False) -> Backup:
    """Write a collection to a file: of one moment, whole or not at all, read again.

    `collection`: a folder, or `es+https://HOST:9200/NAME`. Others may search, add and remove
    meanwhile; what is removed meanwhile may or may not be in it. Needs as much room again as the
    catalogue takes, beside the file. Raises `BadBackup`, `CannotWrite`, and what opening a
    collection does.
    """
    if file.exists() and not (overwrite and file.is_file()):
        raise BadBackup(file, "it is there already: name another file, or say --overwrite")
    with staging(file, "backup") as made:
        try:
            report = _written(home_of(collection), made, file)
            publish(made / "archive", file)
        except OSError as error:
            raise CannotWrite(file.parent, error.strerror or str(error)) from error
    return report


def _written(home: Home, made: Path, file: Path) -> Backup:
    """Again from the beginning should a reindex give the collection another recipe meanwhile."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(RecipeChanged):
            return _written_once(home, made, file)
    return _written_once(home, made, file)


def _written_once(home: Home, made: Path, file: Path) -> Backup:
    state = made / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    with home.copied(state) as first, (made / "archive").open("wb") as output:
        writer = archive.Writer(output)
        lacking = _add_uploads(home, state, writer)
        asked = _answered(state, first)
        (made / "probes").write_text(json.dumps(asked.to_json()), "utf-8")
        writer.add(archive.CATALOGUE, state / archive.CATALOGUE)
        for path in snapshot.cache_folders(state):
            for each in sorted(path.iterdir()):
                writer.add(each.relative_to(state).as_posix(), each)
        writer.add(archive.PROBES, made / "probes")
        about = _about(state)
        writer.end(
            archive.Manifest(about, writer.parts, writer.uploads, writer.upload_bytes, lacking)
        )
    archive.read(made / "archive", _nowhere)
    size = (made / "archive").stat().st_size
    return Backup(str(file), size, about["pictures"], writer.uploads, len(asked), lacking)


def _answered(state: Path, first: FoundFirst | None) -> Probes:
    """What the state answers, once no index of it is built any more."""
    for _ in range(_TRIES):
        before = snapshot.cache_folders(state)
        asked = probes.take(state, first)
        if snapshot.cache_folders(state) == before:
            break
    return asked


def _add_uploads(home: Home, state: Path, writer: archive.Writer) -> list[str]:
    """Those of the state; the ids of those whose bytes are lost.

    What has been removed since the state was taken is removed from it as well.
    """
    uploads = Uploads.among(home.files)
    lacking, removed, seen = [], [], set()
    with closing(home.open([])) as live:
        for place in snapshot.paths_beginning(state, SCHEME):
            id = uploads.id_of(place)
            if id in seen:
                continue
            seen.add(id)
            content = _content(uploads, id)
            if content is not None:
                writer.add_upload(id, content)
            elif live.get(id) is None:
                removed.append(id)
            else:
                lacking.append(id)
    if removed:
        with closing(EmbeddedStore(state, [])) as store:
            for id in removed:
                record = store.get(id)
                store.forget([place.path for place in record.places] if record else [])
    return lacking


def _content(uploads: Uploads, id: str) -> bytes | None:
    """The bytes of an upload; None if they are not there, or are others."""
    if not all(uploads.has(id)):
        return None
    content = uploads.read(id)
    return content if hashlib.sha256(content).hexdigest() == id else None


def _about(state: Path) -> dict[str, Any]:
    """What a reader of the manifest wants to know of the collection."""
    with closing(EmbeddedStore(state, [])) as store:
        stats = store.stats()
        recipe = EmbeddedStore.made_with(state).recipe
        return {
            "recipe": recipes.parse(recipe, "the recipe").name,
            "pictures": stats["pictures"],
            "places": stats["places"],
            "failed": stats["failed"],
            "judgements": len(store.judgements()),
            "local_features": stats["local_features"]["pictures"],
            "embeddings": {
                name: {"dim": each.dim, "fingerprint": each.fingerprint}
                for name, each in snapshot.embeddings_in(state).items()
            },
        }


def _nowhere(_: str) -> IO[bytes]:
    return _Nothing()


class _Nothing(io.BytesIO):
    """Keeps nothing of what is written."""

    def write(self, content: Any, /) -> int:
        return len(content)

"""A collection -> one file, while it is searched and added to."""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from .. import recipe as recipes
from ..errors import BadBackup, CannotWrite
from ..store import snapshot
from ..store.embedded import EmbeddedStore
from ..uploads import SCHEME, Uploads
from . import archive, probes
from .staging import publish, staging

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


def back_up(folder: Path, file: Path, *, overwrite: bool = False) -> Backup:
    """Write the collection in a folder to a file: of one moment, whole or not at all, read again.

    Others may search, add and remove meanwhile; what is removed meanwhile may or may not be in
    it. Needs as much room again as the catalogue takes, beside the file. Raises `BadBackup`,
    `CannotWrite`, and what opening a collection does.
    """
    if file.exists() and not (overwrite and file.is_file()):
        raise BadBackup(file, "it is there already: name another file, or say --overwrite")
    with staging(file, "backup") as made:
        try:
            report = _written(folder, made, file)
            publish(made / "archive", file)
        except OSError as error:
            raise CannotWrite(file.parent, error.strerror or str(error)) from error
    return report


def _written(folder: Path, made: Path, file: Path) -> Backup:
    state = made / "state"
    state.mkdir()
    snapshot.take(folder, state)
    with (made / "archive").open("wb") as output:
        writer = archive.Writer(output)
        lacking = _add_uploads(folder, state, writer)
        asked = _answered(state)
        (made / "probes").write_text(json.dumps(asked), "utf-8")
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
    questions = sum(map(len, asked.values()))
    return Backup(str(file), size, about["pictures"], writer.uploads, questions, lacking)


def _add_uploads(folder: Path, state: Path, writer: archive.Writer) -> list[str]:
    """Those of the state; the ids of those whose bytes are lost.

    What has been removed since the state was taken is removed from it as well.
    """
    uploads = Uploads(folder / "uploads")
    lacking, removed, seen = [], [], set()
    with closing(EmbeddedStore(folder, [])) as live:
        for place in snapshot.paths_beginning(state, SCHEME):
            id = uploads.id_of(place)
            if id in seen:
                continue
            seen.add(id)
            content = _content(uploads, place, id)
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


def _content(uploads: Uploads, place: str, id: str) -> bytes | None:
    """The bytes of an upload; None if they are not there, or are others."""
    path = uploads.encoded(place).path
    assert path is not None
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return content if hashlib.sha256(content).hexdigest() == id else None


def _answered(state: Path) -> probes.Asked:
    """What the state answers, once no index of it is built any more."""
    for _ in range(_TRIES):
        before = snapshot.cache_folders(state)
        asked = probes.ask(state)
        if snapshot.cache_folders(state) == before:
            break
    return asked


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

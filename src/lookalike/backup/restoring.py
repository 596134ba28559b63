"""One file -> a collection, which proves that it answers as the one did that was backed up."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import BadBackup, CannotWrite, CollectionTooNew, LookalikeError
from ..store import snapshot
from ..store.embedded import EmbeddedStore
from ..uploads import SCHEME, Uploads
from . import archive, probes
from .staging import publish, staging

_TOO_MANY = 100_000
"""Index files; a backup has a few dozen."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back."""

    collection: str
    pictures: int
    uploads: int
    proved: int
    """Questions that were answered as before, with the same first ten; 0 if none could be."""
    outside: str | None
    """A file that the recipe names and no backup holds, so that nothing could be proved."""
    lacking: list[str]
    """Ids of pictures that came as uploads, whose bytes were lost before the backup."""

    def to_json(self) -> dict[str, Any]:
        """As `lookalike restore --json` prints it."""
        return asdict(self)


def restore(file: Path, folder: Path) -> Restored:
    """Make the collection anew in a folder that is not there yet, or empty; whole or not at all.

    Raises `BadBackup` if the file is not exactly what was written, or the collection would
    answer otherwise; `CannotWrite` if there is no room.
    """
    if not file.is_file():
        raise BadBackup(file, "there is no such file")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadBackup(file, f"{folder} is there already: name a folder that is not")
    with staging(folder.absolute(), "restored") as made:
        try:
            _check_room(file, made)
            report = _unpacked(file, made, folder)
            publish(made, folder.absolute())
        except OSError as error:
            raise CannotWrite(folder.parent, error.strerror or str(error)) from error
    return report


def _check_room(file: Path, made: Path) -> None:
    wanted, free = file.stat().st_size, shutil.disk_usage(made).free
    if wanted > free:
        raise CannotWrite(
            made.parent, f"{wanted / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free"
        )


def _unpacked(file: Path, made: Path, folder: Path) -> Restored:
    manifest, said = archive.read(file, _Keeping(file, made))
    try:
        _check_catalogue(file, made, manifest)
        asked = probes.read(said)
        outside = probes.outside(made)
        questions = 0 if outside else sum(map(len, asked.values()))
        if not outside:
            now = probes.ask(made, {name: list(answers) for name, answers in asked.items()})
            different = probes.compared(asked, now)
            if different is not None:
                raise BadBackup(
                    file, f"what is restored does not answer as before ({different}); nothing kept"
                )
        with closing(EmbeddedStore(made, [])) as store:
            pictures = len(store)
    except BadBackup:
        raise
    except CollectionTooNew as error:
        raise BadBackup(file, "a newer lookalike made it: upgrade this one first") from error
    except (LookalikeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadBackup(file, f"its catalogue cannot be used ({type(error).__name__})") from error
    return Restored(str(folder), pictures, manifest.uploads, questions, outside, manifest.lacking)


def _check_catalogue(file: Path, made: Path, manifest: archive.Manifest) -> None:
    """`BadBackup` unless it is sound, of ours, and has its uploads."""
    found = snapshot.strange(made)
    if found is not None:
        raise BadBackup(file, f"its catalogue holds a {found}, which none of ours does")
    with closing(EmbeddedStore(made, [])) as store:
        for finding in store.check():
            if not finding.sound:
                raise BadBackup(file, f"its {finding.name} is damaged: {finding.text}")
    uploads = Uploads(made / "uploads")
    lacking = set(manifest.lacking)
    for place in snapshot.paths_beginning(made, SCHEME):
        path = uploads.encoded(place).path
        if uploads.id_of(place) not in lacking and not (path and path.is_file()):
            raise BadBackup(file, f"the upload {uploads.id_of(place)[:12]} is missing in it")


class _Keeping:
    """Opens the file for each part, below a folder that is empty at the beginning."""

    def __init__(self, file: Path, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._index_files = 0

    def __call__(self, name: str) -> IO[bytes]:
        self._index_files += not name.startswith("uploads/")
        if self._index_files > _TOO_MANY:
            raise BadBackup(self._file, "it has more files than any index")
        path = self._folder / name  # of a form that leads nowhere else: `archive` has checked it
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")

"""One file -> a collection, which proves that it answers as the one did that was backed up."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import (
    BadBackup,
    BadQuery,
    CannotRestore,
    CannotStore,
    CannotWrite,
    ClusterRefuses,
    ClusterUnreachable,
    ClusterUnsuited,
    ClusterUnwell,
    CollectionTooNew,
    LookalikeError,
    ObjectStoreUnusable,
)
from ..store import Home, home_of, snapshot
from ..store.embedded import EmbeddedStore
from ..uploads import SCHEME, Uploads
from . import archive, probes
from .staging import staging

_OF_THE_PLACE = (
    BadQuery,
    CannotRestore,
    CannotStore,
    CannotWrite,
    ClusterRefuses,
    ClusterUnreachable,
    ClusterUnsuited,
    ClusterUnwell,
    ObjectStoreUnusable,
)
"""What goes wrong with where it is to be, rather than with the file."""
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
    farther: int
    """For how many of them an approximate index had to look farther than it usually does."""
    outside: str | None
    """A file that the recipe names and no backup holds, so that nothing could be proved."""
    lacking: list[str]
    """Ids of pictures that came as uploads, whose bytes were lost before the backup."""

    def to_json(self) -> dict[str, Any]:
        """As `lookalike restore --json` prints it."""
        return asdict(self)


def restore(file: Path, collection: str | os.PathLike[str]) -> Restored:
    """Make the collection anew where there is none yet; whole or not at all.

    `collection`: a folder that is not there, or is empty, or `es+https://HOST:9200/NAME`. Raises
    `BadBackup` if the file is not exactly what was written, or the collection would answer
    otherwise; `CannotRestore` if something is there; `CannotWrite` if there is no room here, and
    what a cluster says of itself.
    """
    if not file.is_file():
        raise BadBackup(file, "there is no such file")
    home = home_of(collection)
    home.check_vacant()
    folder = home.folder.absolute()
    with staging(folder, "restored") as made:
        try:
            _check_room(file, made)
            return _unpacked(file, made, home)
        except OSError as error:
            raise CannotWrite(folder.parent, error.strerror or str(error)) from error


def _check_room(file: Path, made: Path) -> None:
    wanted, free = file.stat().st_size, shutil.disk_usage(made).free
    if wanted > free:
        raise CannotWrite(
            made.parent, f"{wanted / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free"
        )


def _unpacked(file: Path, made: Path, home: Home) -> Restored:
    manifest, said = archive.read(file, _Keeping(file, made))
    in_a_folder = home.address == str(home.folder)
    with _used(file):
        _check_catalogue(file, made, manifest)
        asked = probes.read(said)
        plans, local = probes.plans_in(made)
        outside = probes.outside(made) if in_a_folder else None
    with _used(file), home.filled(made, plans, local) as store:
        pictures = len(store)
        verdict = probes.judge(made, store, asked) if outside is None else None
        if verdict is not None and verdict.different is not None:
            raise BadBackup(
                file,
                f"what is restored does not answer as before ({verdict.different}); nothing kept",
            )
        if not in_a_folder:
            _keep_uploads(made, home)
    return Restored(
        home.address,
        pictures,
        manifest.uploads,
        0 if verdict is None else len(asked),
        0 if verdict is None else verdict.farther,
        outside,
        manifest.lacking,
    )


@contextlib.contextmanager
def _used(file: Path) -> Iterator[None]:
    """What goes wrong with what is in a file that a stranger may have written, as `BadBackup`."""
    try:
        yield
    except BadBackup:
        raise
    except _OF_THE_PLACE:
        raise
    except CollectionTooNew as error:
        raise BadBackup(file, "a newer lookalike made it: upgrade this one first") from error
    except (LookalikeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadBackup(file, f"its catalogue cannot be used ({type(error).__name__})") from error


def _keep_uploads(made: Path, home: Home) -> None:
    """Give uploads to whoever keeps them for this collection, each at once if it can be."""
    unpacked, uploads = Uploads.among(made), Uploads.among(home.files)
    kept: list[str] = []
    try:
        for id in unpacked.kept(math.inf):
            if not all(uploads.has(id)):
                kept.append(id)
                uploads.keep(bytes.fromhex(id), unpacked.read(id))
    except BaseException:
        for id in kept:
            with contextlib.suppress(OSError, ObjectStoreUnusable):
                uploads.drop(id)
        raise


def _check_catalogue(file: Path, made: Path, manifest: archive.Manifest) -> None:
    """`BadBackup` unless it is sound, of ours, and has its uploads."""
    found = snapshot.strange(made)
    if found is not None:
        raise BadBackup(file, f"its catalogue holds a {found}, which none of ours does")
    with closing(EmbeddedStore(made, [])) as store:
        for finding in store.check():
            if not finding.sound:
                raise BadBackup(file, f"its {finding.name} is damaged: {finding.text}")
    uploads = Uploads.among(made)
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

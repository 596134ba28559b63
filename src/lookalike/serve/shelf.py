"""The collections that are served, by name: opened, made and deleted while requests run."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..collection import Collection
from ..duplicates import Duplicates
from ..errors import LookalikeError
from ..opening import open_collection
from ..picture_map import Cartographer
from ..places import plain_text
from ..recipe import ready
from ..sources import is_collection
from ..types import Limits
from .problems import Refused, unknown_collection

MOST_HITS = 100_000
"""Of an answer to a search for all of them: some 50 MB of JSON."""
NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""What a new collection may be called: it becomes a folder, on any system."""
_DELETED = ".deleted-"
_log = logging.getLogger(__name__)
_DEFAULT_LIMITS = Limits()


class KnownDuplicates(NamedTuple):
    """Duplicates as they were when they were looked for."""

    found: Duplicates
    at: float
    """Seconds since the epoch."""
    state: object
    """That of the collection then: they are current while it is the same."""


@dataclass(slots=True, eq=False)
class Shelved:
    """One collection that is served."""

    name: str
    collection: Collection
    is_ours: bool
    """Whether it lies in the folder of collections, so that it may be deleted."""
    map: Cartographer = field(init=False)
    duplicates: dict[tuple[str, ...], KnownDuplicates] = field(default_factory=dict)
    """Those that were looked for last, by kinds."""
    borrowers: int = 0
    is_going: bool = False
    """Whether it is being deleted: nobody gets it any more."""

    def __post_init__(self) -> None:
        self.collection.most_hits = MOST_HITS
        self.map = Cartographer(self.collection)


@dataclass(frozen=True, slots=True)
class Broken:
    """A collection in the folder that could not be opened."""

    path: Path
    error: LookalikeError


class Shelf:
    """Who works with a collection borrows it; it is closed and deleted when nobody has it."""

    def __init__(
        self,
        collections: Mapping[str, Collection],
        folder: Path | None = None,
        *,
        device: str = "auto",
        limits: Limits = _DEFAULT_LIMITS,
    ) -> None:
        """`collections`: stay their owner's to close. `folder`: where others lie and are made.

        One in `folder` that cannot be opened is left out, and `broken`.
        """
        self.folder = folder
        self._device = device
        self._limits = limits
        self._changing = threading.Condition()
        self._coming: set[str] = set()
        self._broken: dict[str, Broken] = {}
        self._every = {name: Shelved(name, each, False) for name, each in collections.items()}
        if folder is not None:
            self._open_all(folder)

    def names(self) -> list[str]:
        """Those that can be borrowed."""
        with self._changing:
            return [name for name, each in self._every.items() if not each.is_going]

    def open_now(self) -> dict[str, Collection]:
        """By name, those that can be borrowed; to be looked at, as any may be closed meanwhile."""
        with self._changing:
            return {
                name: each.collection for name, each in self._every.items() if not each.is_going
            }

    def broken(self) -> dict[str, LookalikeError]:
        """By name, why those in the folder that could not be opened cannot."""
        with self._changing:
            self._forget_gone()
            return {name: each.error for name, each in self._broken.items()}

    def open_broken(self) -> list[Collection]:
        """Try once more to open them; those that now are open."""
        with self._changing:
            self._forget_gone()
            names = [name for name in self._broken if name not in self._coming]
            self._coming.update(names)
        try:
            opened = [self._open(name, self._broken[name].path) for name in names]
        finally:
            with self._changing:
                self._coming.difference_update(names)
        return [each for each in opened if each is not None]

    @contextlib.contextmanager
    def lent(self, name: str) -> Iterator[Shelved]:
        """The collection of this name, which is not closed meanwhile. Never waits.

        Refused with 404 if there is none, 409 if it is being deleted, 503 if it cannot be opened.
        """
        with self._changing:
            shelved = self._every.get(name)
            if shelved is None:
                raise self._absent(name)
            if shelved.is_going:
                raise _being_deleted(name)
            shelved.borrowers += 1
        try:
            yield shelved
        finally:
            with self._changing:
                shelved.borrowers -= 1
                self._changing.notify_all()

    def create(self, name: str, recipe: str) -> None:
        """Make an empty collection by a ready recipe; refused if it cannot be."""
        folder = self._own_folder() / name
        known = [each.name for each in ready()]
        if recipe not in known:
            detail = f"there is no ready recipe named {recipe!r}; known: {', '.join(known)}"
            raise Refused(400, "unknown-name", detail)
        with self._reserved(name, folder):
            try:
                made = open_collection(
                    folder, recipe=recipe, device=self._device, limits=self._limits
                )
            except BaseException:
                with contextlib.suppress(OSError):
                    folder.rmdir()  # if nothing was put there
                raise
            with self._changing:
                self._every[name] = Shelved(name, made, True)

    def check_own(self, name: str) -> None:
        """Whether `delete` would delete this; refused as there if not."""
        with self._changing:
            self._own(name)

    def delete(self, name: str, patience: float = 30) -> None:
        """Delete a collection with all that it keeps, once nobody works with it.

        Refused with 403 for one that lies elsewhere, 409 if it is in use for longer than `patience`
        seconds. The files that were indexed in folders stay where they are.
        """
        with self._changing:
            shelved = self._own(name)
            shelved.is_going = True
            if not self._changing.wait_for(lambda: not shelved.borrowers, patience):
                shelved.is_going = False
                detail = f"{name} is still worked with after {patience:g} s: ask again later"
                raise Refused(409, "in-use", detail)
        try:
            shelved.collection.close()
            _delete(shelved.collection.path)
        finally:
            with self._changing:
                del self._every[name]

    def close(self, patience: float = 5) -> None:
        """Close those that were opened here, each when nobody has it, or when patience ends."""
        until = time.monotonic() + patience
        with self._changing:
            every, self._every = self._every, {}
            ours = [each for each in every.values() if each.is_ours]
            self._changing.wait_for(
                lambda: not any(each.borrowers for each in ours), until - time.monotonic()
            )
        for each in ours:
            each.collection.close()

    def _open_all(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.iterdir()):
            if path.name.startswith(_DELETED):  # the service ended while it was deleted
                shutil.rmtree(path, ignore_errors=True)
            elif is_collection(path):
                name = plain_text(path.name).removesuffix(".lookalike")
                if name not in self._every:
                    self._open(name, path)

    def _open(self, name: str, path: Path) -> Collection | None:
        """One in the folder; None if it cannot be opened, and then it is `broken`."""
        try:
            opened = open_collection(path, device=self._device, create=False, limits=self._limits)
        except LookalikeError as error:
            known = self._broken.get(name)
            if known is None or str(known.error) != str(error):
                _log.warning("%s", error)
            self._broken[name] = Broken(path, error)
            return None
        with self._changing:
            self._broken.pop(name, None)
            self._every[name] = Shelved(name, opened, True)
        return opened

    def _forget_gone(self) -> None:
        """Who takes a broken collection out of the folder frees its name."""
        for name in [name for name, each in self._broken.items() if not each.path.exists()]:
            if name not in self._coming:
                del self._broken[name]

    def _own_folder(self) -> Path:
        if self.folder is None:
            detail = "this service makes no collections: start it with `--collections FOLDER`"
            raise Refused(403, "no-folder", detail)
        return self.folder

    @contextlib.contextmanager
    def _reserved(self, name: str, folder: Path) -> Iterator[None]:
        """The name for who makes it; refused with 409 if anybody else has it."""
        with self._changing:
            self._forget_gone()
            taken = name in self._every or name in self._coming or name in self._broken
            if taken or folder.exists():
                raise Refused(409, "exists", f"there is a collection named {name} already")
            self._coming.add(name)
        try:
            yield
        finally:
            with self._changing:
                self._coming.discard(name)

    def _own(self, name: str) -> Shelved:
        shelved = self._every.get(name)
        if shelved is None:
            raise self._absent(name)
        if not shelved.is_ours:
            detail = f"{name} was not made here: only what lies in `--collections` is deleted"
            raise Refused(403, "not-ours", detail)
        if shelved.is_going:
            raise _being_deleted(name)
        return shelved

    def _absent(self, name: str) -> Refused:
        broken = self._broken.get(name)
        if broken is not None:
            detail = f"{name} cannot be opened, which is tried again now and then: {broken.error}"
            return Refused(503, "cannot-open", detail)
        return unknown_collection(name)


def _being_deleted(name: str) -> Refused:
    return Refused(409, "being-deleted", f"{name} is being deleted")


def _delete(folder: Path) -> None:
    """First under another name, so that what is left after a crash is no collection any more."""
    doomed = folder.with_name(f"{_DELETED}{secrets.token_hex(4)}-{folder.name}")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)

"""A collection in a folder of this machine: where the embedded store lies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import CannotRestore, NotACollection
from ..recipe import Embedding
from ..sealed import publish
from . import NO_LOCAL_FEATURES, EmbeddingPlan, Kept, LocalPlan, snapshot
from .catalogue import FILE
from .embedded import EmbeddedStore


class Folder:
    """See `Home`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = str(folder)

    @classmethod
    def of(cls, text: str) -> Folder:
        """The one that a user wrote."""
        return cls(Path(os.path.expanduser(text)))  # noqa: PTH111 - pathlib's raises for `~nobody`

    @property
    def files(self) -> Path:
        """The same folder."""
        return self.folder

    def exists(self) -> bool:
        """Whether a collection is there."""
        try:
            return (self.folder / FILE).is_file()
        except OSError:
            return False

    def check_free(self, *, create: bool) -> None:
        """`NotACollection` if something else is there, or none is to be made and there is none.

        One that another process has half made, or was killed while it made it, is in nobody's way.
        """
        try:
            others = any(not each.name.startswith(FILE) for each in self.folder.iterdir())
            if others and not self.exists():
                raise NotACollection(self.folder, "something else is there")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise NotACollection(self.folder, (error.strerror or str(error)).lower()) from error
        if not create:
            raise NotACollection(self.folder, "there is nothing there")

    def index_kind(self, embedding: Embedding) -> str:
        """The one that the recipe names."""
        return embedding.index.name

    def create(self, recipe: str, plans: Sequence[EmbeddingPlan]) -> None:
        """Make an empty store; one that is there already is left as it is."""
        EmbeddedStore.create(self.folder, recipe, plans)

    def replace_empty(self, recipe: str, plans: Sequence[EmbeddingPlan]) -> bool:
        """Give a store without pictures another recipe; whether it had none."""
        return EmbeddedStore.replace_empty(self.folder, recipe, plans)

    def made_with(self) -> Kept:
        """The recipe that it has, and what the extractors have learned from its pictures."""
        return EmbeddedStore.made_with(self.folder)

    def open(
        self, plans: Sequence[EmbeddingPlan], local: LocalPlan = NO_LOCAL_FEATURES
    ) -> EmbeddedStore:
        """The store, to hold what is planned."""
        return EmbeddedStore(self.folder, plans, local)

    @contextlib.contextmanager
    def copied(self, into: Path) -> Iterator[None]:
        """Copy it as it is at one moment, and the index files with it, into an empty folder."""
        snapshot.take(self.folder, into)
        yield None

    def check_vacant(self) -> None:
        """`CannotRestore` if something is there."""
        folder = self.folder
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CannotRestore(folder, "it is there already: name a folder that is not")

    @contextlib.contextmanager
    def filled(
        self, made: Path, plans: Sequence[EmbeddingPlan], local: LocalPlan
    ) -> Iterator[EmbeddedStore]:
        """The collection in a folder beside; it has its name when the block has ended well."""
        self.check_vacant()
        with contextlib.closing(EmbeddedStore(made, plans, local)) as store:
            yield store
        publish(made, self.folder.absolute())

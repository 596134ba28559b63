"""A collection in Elasticsearch: whether it is there, making one, opening it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import ClusterUnsuited, NotACollection
from ...recipe import Embedding
from .. import NO_LOCAL_FEATURES, EmbeddingPlan, FoundFirst, Kept, LocalPlan
from . import address as addresses
from . import filling, mapping
from .address import Address
from .cluster import Cluster
from .kinds import BITS_FROM, kind_for
from .mapping import About
from .moment import Moment
from .reading import Reading
from .small import Small
from .store import ElasticStore


class ElasticHome:
    """See `Home`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.address = str(address)

    @classmethod
    def of(cls, text: str) -> ElasticHome:
        """The one that a user wrote; `BadAddress` if it cannot be read."""
        return cls(addresses.read(text))

    @property
    def folder(self) -> Path:
        """On this machine, or shared by all, for what is kept beside the records."""
        return self._address.folder

    @property
    def files(self) -> Path | str:
        """For uploads and thumbnails."""
        return self._address.files

    def exists(self) -> bool:
        """Whether a collection is there; asks the cluster, so that what is wrong is said first."""
        cluster = Cluster(self._address)
        try:
            cluster.check()
            return _current(cluster) is not None
        finally:
            cluster.close()

    def check_free(self, *, create: bool) -> None:
        """`NotACollection` if none is to be made."""
        if not create:
            raise NotACollection(self.address, "there is nothing there")

    def index_kind(self, embedding: Embedding) -> str:
        """The one for Elasticsearch, or what comes nearest to that for a folder."""
        index = embedding.index
        return kind_for(index.name, index.options, embedding.elastic, BITS_FROM).structure

    def create(self, recipe: str, plans: Sequence[EmbeddingPlan]) -> None:
        """Make an empty store; one that is there already is left as it is.

        The pictures' index comes last, and with it the name by which the collection is found.
        """
        mapping.check_plans(self._address, plans)
        bodies = mapping.companions(self._address)
        first = mapping.index_of(self._address, 1)
        cluster = Cluster(self._address)
        try:
            for name in (*bodies, first):
                self._check_own(cluster, name)
            for name, body in bodies.items():
                cluster.make(name, body)
            cluster.make_current(first, mapping.pictures(self._address, recipe, plans, 1))
        finally:
            cluster.close()

    def replace_empty(self, recipe: str, plans: Sequence[EmbeddingPlan]) -> bool:
        """Give a store without pictures another recipe; whether it had none."""
        mapping.check_plans(self._address, plans)
        store = self.open([])
        try:
            if len(store):
                return False
            with store.coming.alone():
                store.coming.begin(recipe, plans, {})
                return store.coming.swap([])
        finally:
            store.close()

    def made_with(self) -> Kept:
        """The recipe that it has, and what the extractors have learned from its pictures."""
        cluster = Cluster(self._address)
        try:
            _, about = self._found(cluster)
            index = Reading(cluster, f"{self._address.name}-about")
            small = Small(index, about.generation, list(about.embeddings))
            return Kept(about.recipe, small.learned())
        finally:
            cluster.close()

    def open(
        self, plans: Sequence[EmbeddingPlan], local: LocalPlan = NO_LOCAL_FEATURES
    ) -> ElasticStore:
        """The store, to hold what is planned."""
        cluster = Cluster(self._address)
        try:
            index, about = self._found(cluster)
            with contextlib.suppress(OSError):  # who needs it says better why it is not there
                self.folder.mkdir(parents=True, exist_ok=True)
            return ElasticStore(cluster, index, about, plans, local)
        except BaseException:
            cluster.close()
            raise

    @contextlib.contextmanager
    def copied(self, into: Path) -> Iterator[FoundFirst]:
        """Write it as it is at one moment, as a catalogue, into an empty folder."""
        cluster = Cluster(self._address)
        try:
            with contextlib.closing(Moment(cluster, *self._found(cluster))) as moment:
                moment.copy(into)
                yield moment.first
        finally:
            cluster.close()

    def check_vacant(self) -> None:
        """`CannotRestore` if no backup can be restored there."""
        cluster = Cluster(self._address)
        try:
            cluster.check()
            filling.check_free(cluster)
        finally:
            cluster.close()

    @contextlib.contextmanager
    def filled(
        self, made: Path, plans: Sequence[EmbeddingPlan], local: LocalPlan
    ) -> Iterator[ElasticStore]:
        """The collection that a catalogue says; it has its name when the block has ended well."""
        cluster = Cluster(self._address)
        try:
            with filling.filled(cluster, made, plans, local) as store:
                yield store
        finally:
            cluster.close()

    def _check_own(self, cluster: Cluster, index: str) -> None:
        """`ClusterUnsuited` if an index that a new collection needs is there, and not of it."""
        there = cluster.index_named(index)
        if there is None:
            return
        name = self._address.name
        aliases = there.get(index, {"aliases": {}})["aliases"]
        is_own = mapping.writing_alias(index) in aliases
        if not is_own or (index == mapping.index_of(self._address, 1) and name not in aliases):
            raise ClusterUnsuited(
                self.address,
                f"the index {index} is there, but not as that of a collection: delete it, or name "
                "the collection otherwise",
            )

    def _found(self, cluster: Cluster) -> tuple[str, About]:
        found = _current(cluster)
        if found is None:
            raise NotACollection(self.address, "there is nothing there")
        return found


def _current(cluster: Cluster) -> tuple[str, About] | None:
    """The index that the collection's name stands for, and what it says of itself."""
    found: dict[str, Any] | None = cluster.index_named(cluster.address.name)
    if found is None:
        cluster.check_recovered()  # else it would say of every index that there is none
        return None
    if len(found) != 1:
        raise NotACollection(str(cluster.address), "the name stands for several indices")
    ((index, said),) = found.items()
    about = mapping.about(cluster.address, said["mappings"])
    if index == cluster.address.name:
        name, _, _ = index.rpartition("-pictures-")
        raise NotACollection(str(cluster.address), f"it is an index of {name}, which is one")
    return index, about

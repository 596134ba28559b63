"""The index of one embedding, kept in step with the catalogue, whose cache it is."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from .. import registry
from ..distances import distance_named
from ..errors import CollectionClosed, LookalikeError, RecipeChanged, RecipeError
from ..index import Coding, Kind, cache
from ..index.flat import Flat, FlatOptions
from ..index.segments import SegmentedIndex
from ..sealed import Unusable
from ..types import Effort, Finding, Trial, Tuning
from . import EmbeddingPlan, Sample, embeddings, measuring
from .building import LEARN_FROM, Building
from .catalogue import Catalogue
from .connection import Connection

_log = logging.getLogger(__name__)

_VERIFY_AT_ONCE = 64 << 20
"""A cache up to this many bytes is checksummed when it is opened; a larger one meanwhile."""
_PAUSE_SECONDS = 600.0
"""After an index file could not be written, before that is tried again."""
_LOOK_AGAIN_SECONDS = 0.1
"""While another process builds what this one needs."""


class EmbeddingIndex:
    """Follows the catalogue's rows and removals; compacts itself in the background."""

    def __init__(self, catalogue: Catalogue, plan: EmbeddingPlan, number: int) -> None:
        self._catalogue = catalogue
        self._plan = plan
        self.kind = plan.index
        """The name of what its structures are made by."""
        self._number = number
        self._folder = catalogue.folder / "index"
        self._kind: type[Kind] = registry.load("index", plan.index)
        self._distance = distance_named(plan.distance)
        if isinstance(self._kind, Coding):
            if plan.pca:
                raise RecipeError(f"{plan.name}: an index that codes vectors goes without pca")
            self._distance = self._kind.coded(self._distance, plan.index_options, plan.dim)
        uuid = catalogue.about()["uuid"]
        self._building = Building(
            catalogue, number, plan, self._kind, self._distance, uuid, self._folder
        )
        self._following = threading.Lock()
        self._compacting = threading.Lock()
        self._not_before = 0.0
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._token: str | None = None
        self._unusable: str | None = None
        """Why the cache that the catalogue names cannot be used, until it is replaced."""
        self._waiting = 0
        """Vectors that are left out until an index has been built of them."""
        self._last_row = 0
        self._last_removal = 0
        self._tuned: str | None = None
        self._found: Tuning | None = None
        """What the catalogue says of tuning, and what that is."""
        self.followed = 0
        self.usual: Effort | None = None
        """How far searches look that do not say so, where that has been tuned."""
        self.tuning: Tuning | None = None
        """What `tune` found, if that was of such a structure as there is now."""
        self.vectors = SegmentedIndex(plan.dim, self._distance)

    def follow(self, connection: Connection, change: int) -> None:
        """Take in all that has been committed up to the caller's count of changes.

        Where that is too much to be held in memory, an index is built of it first.
        """
        with self._following:
            if self.followed >= change:
                return
            self._take_in(connection)
            waiting = self._waiting
            if not waiting:
                self.followed = change
        if waiting:
            self.compact()
            if self._stop.is_set():
                raise CollectionClosed(self._catalogue.folder)
            with self._following:  # all of it, also if nothing could be built
                self._take_in(connection, at_any_cost=True)
                self.followed = max(self.followed, change)
        if self._wants_compaction and not self._compacting.locked():
            self._in_background("compact", self.compact)

    def compact(self, *, at_leisure: bool = False) -> None:
        """If it is time, build a new main structure, make its cache the current one, and use it.

        Every other process goes over to it when it next follows. `at_leisure`: also if searches do
        not yet suffer much, as at the end of an ingest.
        """

        def wanted() -> bool:
            return self._wants_compaction or (at_leisure and self._is_behind)

        if time.monotonic() < self._not_before:
            return
        try:
            if not wanted():
                return
            with self._compacting, self._alone(wait=self._waiting > 0) as alone:
                # What another thread or process has published meanwhile may have settled it.
                self._catch_up()
                if alone and wanted():
                    self._clean_up()
                    built = self._built()
                    if built is not None:
                        self._publish(built)
                        self._catch_up()
                        if self._unusable is not None:
                            raise OSError(self._unusable)
        except (CollectionClosed, RecipeChanged):
            pass
        except (OSError, RuntimeError, MemoryError, LookalikeError) as error:
            # The cache is only for speed: without it every search is still right.
            self._not_before = time.monotonic() + _PAUSE_SECONDS
            _log.warning("The index file cannot be written, searches stay slower: %s", error)

    def stop(self) -> None:
        """End what runs in the background; what it did not finish is done another time."""
        with self._starting:
            self._stop.set()
            threads = self._threads
        for thread in threads:
            thread.join()

    def describe(self) -> dict[str, Any]:
        """The index in a few JSON values."""
        structure = self.vectors.structure
        stored = _size(self._folder / self._token) if self._token else 0
        return {
            "index": self._plan.index,
            "structure": structure.kind if structure is not None else "flat",
            "dim": self._plan.dim,
            "pca": self.vectors.projection.components if self.vectors.projection else 0,
            "distance": self._plan.distance,
            "fingerprint": self._plan.fingerprint,
            "vectors": len(self.vectors),
            "fresh": self.vectors.fresh_count,
            "cache_bytes": stored,
            "memory_bytes": structure.memory_bytes if structure else 0,
            "bytes_per_vector": round(stored / len(self.vectors), 1) if len(self.vectors) else 0.0,
            "tuning": self.tuning.to_json() if self.tuning else None,
        }

    def sampled(self, count: int, k: int) -> Sample:
        """Stored vectors, evenly spread, at most `count`, as queries with their true nearest."""
        index, rows = self.vectors, self.vectors.sample(count)
        with self._catalogue.reading() as connection:
            embedding = embeddings.in_use(connection, self._number)
            there, queries = self._catalogue.vectors_at(connection, embedding, rows)
        return measuring.sampled(index, there, queries, k)

    def tried(self, sample: Sample, effort: Effort) -> Trial:
        """How much of a sample's nearest searches with this effort find, and in what time."""
        return measuring.tried(self.vectors, sample, effort)

    def keep(self, tuning: Tuning) -> None:
        """Have every search of every process that says no effort use the chosen one."""
        said = {"made_for": self._made_for(), **tuning.to_json()}
        with self._catalogue.writing() as connection:
            embeddings.keep_tuning(connection, self._number, json.dumps(said))
        self._catch_up()

    def check(self, sample: int = 200, k: int = 10) -> list[Finding]:
        """Whether sampled vectors find themselves first, and the index what exact search finds."""
        rows = self.vectors.sample(sample)
        if len(rows) == 0:
            return [Finding(f"{self._plan.name} index", sound=True, text="empty")]
        with self._catalogue.reading() as connection:
            embedding = embeddings.in_use(connection, self._number)
            _, queries = self._catalogue.vectors_at(connection, embedding, rows)
        found, exact = self.vectors.search(queries, k), self.vectors.exact(queries, k)
        tolerance = 1e-4 * np.maximum(1.0, np.abs(exact.scores))
        themselves = float(np.mean(found.scores[:, 0] >= exact.scores[:, 0] - tolerance[:, 0]))
        recall = float(np.mean(found.scores >= exact.scores[:, -1:] - tolerance[:, -1:]))
        return [
            Finding(
                f"{self._plan.name} index",
                sound=themselves >= 0.99 and recall >= 0.9,
                text=f"{themselves:.1%} of {len(rows)} stored pictures find themselves first, "
                f"recall@{k} against exact search {recall:.3f}",
            )
        ]

    @property
    def _wants_compaction(self) -> bool:
        return (
            self._unusable is not None
            or self._waiting > 0
            or self.vectors.wants_compaction
            or self._wants_projection
        )

    @property
    def _is_behind(self) -> bool:
        """Whether more than a few vectors are not where the recipe now wants them."""
        structure, options = self.vectors.structure, self._plan.index_options
        if structure is not None and not self._kind.suits(structure, options, len(self.vectors)):
            return True
        flat = Flat.create(
            self._plan.dim, self._distance, FlatOptions(), len(self.vectors), self._folder
        )
        would_do = self._kind.suits(flat, options, len(self.vectors))
        return self.vectors.is_behind and not would_do

    @property
    def _wants_projection(self) -> bool:
        """Whether the collection has grown large enough to learn its own components."""
        enough = len(self.vectors) >= LEARN_FROM * self._plan.pca
        return bool(self._plan.pca) and enough and self.vectors.projection is None

    def _catch_up(self) -> None:
        with self._following, self._catalogue.reading() as connection:
            self._take_in(connection)

    def _take_in(self, connection: Connection, *, at_any_cost: bool = False) -> None:
        """Every commit that there is. After an error part of them is taken in, each only once.

        Vectors that are too many to be held in memory are left `_waiting`, unless `at_any_cost`.
        """
        embedding = embeddings.in_use(connection, self._number)
        while embedding.cache is not None and embedding.cache != self._token:
            self._adopt(embedding.cache, connection)
            if self._unusable is None:
                break
            # It may have been replaced, and deleted, since its name was read.
            embedding = embeddings.in_use(connection, self._number)
            if embedding.cache == self._token:
                _log.warning("The index file is not used, it is rebuilt: %s", self._unusable)
        # Removals first: what is added and removed in between is removed the next time.
        last, removed = self._catalogue.removals_after(connection, self._last_removal)
        self.vectors.remove(removed)
        self._last_removal = last
        coming = self._catalogue.count_after(connection, self._last_row)
        beside = self.vectors.structure is not None
        if not at_any_cost and self._building.comes_first(coming, beside=beside):
            if not self._waiting:
                _log.warning(
                    "The index is built from the catalogue first: %s vectors", f"{coming:,}"
                )
            self._waiting = coming
            return
        self._waiting = 0
        for rows, vectors in self._catalogue.vectors_after(connection, embedding, self._last_row):
            self.vectors.add(rows, vectors)
            self._last_row = int(rows[-1])
        self._take_up_tuning(connection)

    def _take_up_tuning(self, connection: Connection) -> None:
        """Search as `tune` found best, unless that was for another structure than there is now."""
        text = embeddings.tuning(connection, self._number)
        if text != self._tuned:
            self._tuned, self._found = text, self._read_tuning(text)
        found, structure = self._found, self.vectors.structure
        here = structure.kind if structure else "flat"
        self.tuning = found if found is not None and found.structure == here else None
        self.usual = self.tuning.chosen.effort if self.tuning else None

    def _read_tuning(self, text: str | None) -> Tuning | None:
        """None also if it was found for an index with other options."""
        if text is None:
            return None
        try:
            said = json.loads(text)
            return Tuning.from_json(said) if said["made_for"] == self._made_for() else None
        except (KeyError, TypeError, ValueError) as error:
            _log.warning("What `lookalike tune` found cannot be read, run it again: %s", error)
            return None

    def _made_for(self) -> list[Any]:
        """What an effort depends on of the recipe: JSON values."""
        options: dict[str, Any] = json.loads(json.dumps(asdict(self._plan.index_options)))
        return [self._plan.index, options, self._plan.distance, self._plan.pca]

    def _adopt(self, token: str, connection: Connection) -> None:
        """Go over to the cache that the catalogue names, if it is usable."""
        self._token = token
        folder = self._folder / token
        try:
            small = _size(folder) <= _VERIFY_AT_ONCE
            if small:
                cache.verify(folder)
            cached = self._cached(folder, mapped=True)
        except Unusable as why:
            self._unusable = f"{folder}: {why}"
            return
        self._unusable = None
        if not small:
            self._in_background("verify", lambda: self._verify(token))
        header = cached.header
        if cached.projection is not None:
            # What is fresh was projected otherwise, or not at all: it is read anew.
            self._start_from(cached, connection)
            return
        self.vectors.replace_main(cached.structure, cached.rows)
        if self._last_row == 0:
            self._last_removal = header.last_removal
        # A row that came and went before this process saw it may stand in the new structure.
        self._last_removal = min(self._last_removal, header.last_removal)
        self._last_row = max(self._last_row, header.last_row)

    def _start_from(self, cached: cache.Cached, connection: Connection) -> None:
        """Make a new index of a cache and what is here beside it, and only then go over to it."""
        vectors = SegmentedIndex(self._plan.dim, self._distance, cached.projection)
        vectors.replace_main(cached.structure, cached.rows)
        embedding = embeddings.in_use(connection, self._number)
        last_removal, removed = self._catalogue.removals_after(
            connection, cached.header.last_removal
        )
        vectors.remove(removed)
        last_row = cached.header.last_row
        for rows, block in self._catalogue.vectors_after(connection, embedding, last_row):
            if last_row >= self._last_row:  # the rest is taken in as ever
                break
            vectors.add(rows, block)
            last_row = int(rows[-1])
        self.vectors, self._last_row, self._last_removal = vectors, last_row, last_removal

    def _cached(self, folder: Path, *, mapped: bool) -> cache.Cached:
        """The cache in this folder, if it was made for this very index."""
        header, plan = cache.header_of(folder), self._plan
        made_for = (header.collection, header.index, header.distance, header.dim, header.pca)
        if made_for != (self._building.collection, plan.index, plan.distance, plan.dim, plan.pca):
            raise Unusable("it belongs to another collection or recipe")
        return cache.read(folder, plan.index_options, mapped=mapped)

    def _verify(self, token: str) -> None:
        folder = self._folder / token
        try:
            cache.verify(folder, lambda: not self._stop.is_set())
        except Unusable as why:
            self._abandon(token, f"{folder}: {why}")

    def _abandon(self, token: str, why: str) -> None:
        """Start anew from the catalogue alone, while the old index goes on answering."""
        try:
            with self._following, self._catalogue.reading() as connection:
                if self._token != token:  # replaced meanwhile, and so deleted
                    return
                _log.warning("The index file is not used, it is rebuilt: %s", why)
                self._unusable = why
                stored = self._catalogue.count(connection)
            if self._building.comes_first(stored, beside=False):
                self.compact()
            self._forget_structure(token)
        except LookalikeError as error:
            _log.warning("The catalogue cannot be read: %s", error)
            return
        self.compact()

    def _forget_structure(self, token: str) -> None:
        """Search all vectors one by one, unless there is another index by now."""
        vectors, last_row = SegmentedIndex(self._plan.dim, self._distance), 0
        with self._following, self._catalogue.reading() as connection:
            if self._token != token:
                return
            embedding = embeddings.in_use(connection, self._number)
            last_removal, _ = self._catalogue.removals_after(connection, 0)
            for rows, block in self._catalogue.vectors_after(connection, embedding, 0):
                if self._stop.is_set():
                    return
                vectors.add(rows, block)
                last_row = int(rows[-1])
            self.vectors = vectors
            self._last_row, self._last_removal = last_row, last_removal

    def _built(self) -> cache.Cached | None:
        """The structure to come, None if told to stop."""

        def go_on() -> bool:
            return not self._stop.is_set()

        token = self._token
        if token is not None and not self._must_rebuild():
            with contextlib.suppress(Unusable):
                return self._building.onto(self._cached(self._folder / token, mapped=False), go_on)
        return self._building.anew(go_on)

    def _must_rebuild(self) -> bool:
        structure, options = self.vectors.structure, self._plan.index_options
        return (
            self._unusable is not None
            or structure is None
            or len(structure) == 0  # which may have had nothing to learn from
            or not self._kind.suits(structure, options, len(self.vectors) + self._waiting)
            or self._wants_projection
            or self.vectors.wants_rebuild
        )

    def _publish(self, cached: cache.Cached) -> None:
        token = f"{self._plan.name}-{secrets.token_hex(8)}"
        cache.write(self._folder / token, cached)
        with self._catalogue.reading() as connection:
            embedding = embeddings.in_use(connection, self._number)
        self._catalogue.set_cache(embedding, token)
        self._clean_up()

    def _clean_up(self) -> None:
        """Delete former index files, and what builds that were killed have left."""
        with self._catalogue.reading() as connection:
            kept = embeddings.caches(connection)
        cache.remove_others(self._folder, {"lock", *kept})

    @contextlib.contextmanager
    def _alone(self, *, wait: bool) -> Iterator[bool]:
        """Whether no other process is compacting this collection, or is any more once we `wait`."""
        self._folder.mkdir(exist_ok=True)
        with (self._folder / "lock").open("w") as file:
            alone = _locked(file)
            while wait and not alone and not self._stop.wait(_LOOK_AGAIN_SECONDS):
                alone = _locked(file)
            yield alone

    def _in_background(self, name: str, work: Callable[[], None]) -> None:
        with self._starting:
            if self._stop.is_set():
                return
            thread = threading.Thread(target=work, name=f"lookalike-{name}", daemon=True)
            thread.start()
            self._threads = [*(each for each in self._threads if each.is_alive()), thread]


def _locked(file: IO[str]) -> bool:
    """Whether the lock on this file is ours now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size(folder: Path) -> int:
    """Bytes of a cache; 0 for one that is not there, or goes at this moment."""
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except OSError:
        return 0

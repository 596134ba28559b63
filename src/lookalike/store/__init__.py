"""Records and vectors -> the nearest records. One class a kind of store."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .. import registry
from ..errors import BadAddress
from ..filters import Filter
from ..recipe import Embedding
from ..types import (
    Effort,
    Finding,
    Judgement,
    LocalFeatures,
    Place,
    Record,
    Rows,
    Trial,
    Tuning,
    Vectors,
)

Verdict = Literal["stored", "copy", "skipped", "retry"]
Outcome = Literal["stored", "copy", "replaced", "unchanged"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A picture to be stored: what it is and where it lies. Its vectors travel beside it."""

    sha256: bytes
    format: str
    width: int
    height: int
    size: int
    place: Place
    others: tuple[Place, ...] = ()
    """Where else it lies, as another store knew it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A path that gave no picture, and why."""

    place: Place
    reason: str
    retry: bool
    recognised: bool
    """Whether it looked like a picture at all."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What became of one path."""

    path: str
    verdict: Verdict
    id: str | None
    """Of the stored picture, if there is one."""
    copy_of: str | None
    """The first place of the same content, if this is another one."""
    reason: str | None
    recognised: bool
    size: int
    modified_ns: int
    checked: float
    """Seconds since 1970."""

    def to_json(self) -> dict[str, Any]:
        """The entry as `lookalike ledger --json` prints it."""
        return {
            "path": self.path,
            "verdict": self.verdict,
            "id": self.id,
            "copy_of": self.copy_of,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class EmbeddingPlan:
    """One kind of vectors that a store is to hold: how long, how compared, how indexed."""

    name: str
    dim: int
    fingerprint: str
    distance: str
    index: str
    index_options: Any
    pca: int = 0
    """How many of the collection's own principal components the index works with; 0 for all."""
    elastic: Any = None
    """How Elasticsearch is to index it, one of `store.elastic.kinds`; None: as `index` suggests."""


@dataclass(frozen=True, slots=True)
class LocalPlan:
    """The local features that a store is to hold beside the vectors."""

    fingerprint: str
    """Of what makes them."""
    votes: bool
    """Whether an inverted file of them is kept ready."""


@dataclass(frozen=True, slots=True)
class Look:
    """Which of a query's neighbours are wanted, and how far to look for them."""

    where: Filter | None = None
    effort: Effort | None = None
    """None: as far as usual."""
    least: float | None = None
    """The least score; heeded where all are wanted, else it is the caller's to leave some out."""


SIDES = (256, 512, 1024, 2048, 4096)
"""Where one class of sizes ends and the next begins: pixels of the longer side."""


class Facets(NamedTuple):
    """Pictures by what they have in common, the most frequent first."""

    labels: list[tuple[str, int]]
    """At most as many as were asked for. A picture with several labels counts for each."""
    formats: list[tuple[str, int]]
    sizes: list[int]
    """How many have a longer side below each of SIDES, and from the last of them on."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Stored vectors as queries, and how good what they should find is."""

    queries: Vectors
    """float32 [q, dim], as they came."""
    own: Rows
    """int64 [q], the row of each, which does not count as found."""
    k: int
    there: npt.NDArray[np.int64]
    """int64 [q], how many are to be found: `k`, or all the others."""
    least: npt.NDArray[np.float64]
    """float64 [q], the lowest score among the true nearest; as good as that is right."""


class Kept(NamedTuple):
    """What a store keeps of how its vectors are made."""

    recipe: str
    """The recipe's text."""
    learned: dict[str, bytes]
    """By embedding."""


class Loose(NamedTuple):
    """What is stored that belongs to nothing; `reconcile` looks for it."""

    vectors: int
    """Without their picture."""
    local_features: int
    """Without their picture."""
    records: int
    """Of pictures that lie nowhere."""
    places: list[str]
    """Paths at which a picture is said to lie that is not there."""


FoundFirst = Callable[[EmbeddingPlan, Vectors, int], list[str] | None]
"""The ids of the nearest to a query, float32 [1, dim], at most so many, the best first.

None where no index decides that.
"""
ANYWHERE = Look()
NO_LOCAL_FEATURES = LocalPlan("", votes=False)


class Coming(Protocol):
    """The vectors of another recipe, made beside those in use, which they then replace."""

    def alone(self) -> AbstractContextManager[None]:
        """Alone among all processes that would reindex; else `ReindexUnderWay`."""
        ...

    def begun(self, recipe: str) -> dict[str, bytes]:
        """What extractors learned for a reindex to this recipe that has not ended."""
        ...

    def begin(
        self, recipe: str, plans: Sequence[EmbeddingPlan], learned: Mapping[str, bytes]
    ) -> None:
        """Make room for the vectors of another recipe beside those in use, or go on with it.

        Vectors of the very same model are taken over. `learned`: by embedding.
        """
        ...

    def models(self) -> set[tuple[str, int]]:
        """Of the vectors in use: the fingerprint of what made them, and their length."""
        ...

    def lacking(self, after: int, limit: int) -> list[tuple[int, Record]]:
        """Pictures that have yet to be described for the recipe to come, by row, above `after`."""
        ...

    def put(self, rows: Sequence[int], vectors: Mapping[str, Vectors]) -> None:
        """Store vectors of the recipe to come, by embedding, float32 [len(rows), dim]."""
        ...

    def swap(self, unreadable: Sequence[int]) -> bool:
        """Let the recipe to come take over at once, if no picture lacks its vectors.

        `unreadable`: rows that are forgotten with it. Whether it took over: not if others were
        added meanwhile.
        """
        ...


class Store(Protocol):
    """Where a collection keeps its records and vectors. Safe to use from several threads."""

    def put(
        self,
        arrivals: Sequence[Arrival],
        vectors: Mapping[str, Vectors],
        local: Sequence[LocalFeatures] | None = None,
    ) -> list[Outcome]:
        """Store all in one transaction; durable and findable when this returns.

        `vectors`: by embedding, float32 [len(arrivals), dim]; `local`: the features of each.
        """
        ...

    def local_features(self, ids: Sequence[str]) -> dict[str, LocalFeatures]:
        """Those that are stored of these pictures, by id."""
        ...

    def keep_local_features(self, features: Mapping[str, LocalFeatures]) -> None:
        """Keep those of pictures that have none yet, by id."""
        ...

    def lacking_local_features(self, after: int, limit: int) -> list[tuple[int, Record]]:
        """Pictures without local features, by row, above `after`."""
        ...

    def voted(
        self,
        features: Sequence[LocalFeatures],
        count: int | None,
        look: Look = ANYWHERE,
        *,
        exactly: bool = False,
    ) -> list[list[tuple[Record, float]]]:
        """The `count` records that the local features of each query vote for, best first.

        `exactly`: by mutual matches with every picture, in time linear in their number.
        """
        ...

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """Note paths that gave no picture. One that may be retried keeps what it gave before."""
        ...

    def describe(self, places: Sequence[Place]) -> None:
        """Give places that are known their label and metadata anew."""
        ...

    def forget(self, paths: Sequence[str]) -> int:
        """Drop places, and the pictures that lie nowhere else; how many pictures went."""
        ...

    def get(self, id: str) -> Record | None:
        """The record of this id, or of the only one that begins with it."""
        ...

    def vectors(self, embedding: str, id: str) -> Vectors:
        """The stored vector of a picture as it came, float32 [1, dim]."""
        ...

    def vectors_of(self, embedding: str, ids: Sequence[str]) -> dict[str, Vectors]:
        """Those of pictures that are there, as they came, float32 [1, dim], by whole id."""
        ...

    def compared(self, embedding: str, vectors: Vectors) -> Vectors:
        """Vectors as they came, float32 [n, dim] -> as they are compared, perhaps shorter."""
        ...

    def scan(self, offset: int, limit: int) -> list[Record]:
        """Records, the newest first."""
        ...

    def page(self, after: str | None, limit: int) -> tuple[list[Record], str | None]:
        """Records, the newest first, and where the next page begins: None if there is none.

        `after`: what an earlier page gave, None for the first. Nothing is left out or told twice,
        whoever adds or removes meanwhile. `BadQuery` for what no page gave.
        """
        ...

    def blocks(
        self, embeddings: Sequence[str], size: int = 1024
    ) -> Iterator[tuple[list[Record], dict[str, Vectors]]]:
        """Every record with its vectors, the oldest first, at most `size` at a time.

        Vectors by embedding, float32 [len(records), dim]. What others commit meanwhile may be
        among them or not; nobody waits for a slow reader.
        """
        ...

    def nearest(
        self, embedding: str, queries: Vectors, k: int | None, look: Look = ANYWHERE
    ) -> list[list[tuple[Record, float]]]:
        """The `k` nearest records of each query, float32 [q, dim], with scores, best first.

        Without `k`, all that the effort reaches, and score enough: linear in their number.
        """
        ...

    def knobs(self, embedding: str) -> frozenset[str]:
        """The fields of `Effort` that searches by this embedding heed."""
        ...

    def mentioned(
        self, words: str, count: int | None, look: Look = ANYWHERE
    ) -> list[tuple[Record, float]]:
        """The `count` records whose label or metadata have some of these words, best first.

        By BM25; `BadQuery` where the store keeps no words.
        """
        ...

    def exceeds(self, most: int, embedding: str, queries: Vectors, look: Look = ANYWHERE) -> bool:
        """Whether `nearest` without `k` would give more than so many to one of the queries."""
        ...

    def least(self, embedding: str, score: float, queries: Vectors) -> float:
        """What `nearest` gives at the least, as all is rounded, to a picture of this true score.

        `queries`: float32 [q, dim], one of which it answers.
        """
        ...

    def scores(self, embedding: str, query: Vectors, ids: Sequence[str]) -> dict[str, float]:
        """How well each of these pictures answers a query, float32 [1, dim], computed exactly."""
        ...

    def near_pairs(
        self, embedding: str, k: int, least: float
    ) -> list[tuple[Record, Record, float]]:
        """Pairs that score at least so much, where one is among the `k` nearest of the other.

        Each once, the best first. As the index finds them, in time linear in their number where
        that has a structure.
        """
        ...

    def in_several_places(self) -> list[Record]:
        """Pictures that lie at more than one place."""
        ...

    def judge(self, said: Sequence[Judgement]) -> None:
        """Keep what was said of pairs; what is said last of one counts."""
        ...

    def take_back(self, a: str, b: str) -> bool:
        """Forget what was said of two pictures, by their whole ids; whether anything was."""
        ...

    def judgements(self) -> list[Judgement]:
        """All that was said, in the order in which it was."""
        ...

    def learned(self) -> dict[str, bytes]:
        """What extractors have learned from the collection's pictures, by embedding."""
        ...

    def keep_learned(self, embedding: str, fingerprint: str, content: bytes) -> bytes:
        """Keep what an extractor has learned; what another process kept before it comes first."""
        ...

    def ledger(self, paths: Sequence[str]) -> dict[str, LedgerEntry]:
        """What became of those of these paths that were ever seen."""
        ...

    def refused(self) -> Iterator[LedgerEntry]:
        """Every path that gave no picture."""
        ...

    def paths_below(self, root: str) -> list[str]:
        """The paths ever seen that are `root`, or lie in it or inside it as an archive."""
        ...

    def stats(self) -> dict[str, Any]:
        """Counts and sizes, as JSON values."""
        ...

    def state(self) -> object:
        """The same object until anybody, in any process, commits."""
        ...

    def facets(self, where: Filter | None, most_labels: int) -> Facets:
        """How many pictures that pass a filter have each label, format and size."""
        ...

    def sample(self, embedding: str, limit: int) -> tuple[list[Record], Vectors]:
        """At most `limit` records, evenly spread, the oldest first; float32 [n, dim], theirs."""
        ...

    def sampled(self, embedding: str, count: int, k: int) -> Sample:
        """Stored vectors, evenly spread, at most `count`, as queries with their true `k` nearest.

        None of them finds itself.
        """
        ...

    def tried(self, embedding: str, sample: Sample, effort: Effort) -> Trial:
        """How much of a sample's nearest searches with this effort find, and in what time."""
        ...

    def keep_tuning(self, embedding: str, tuning: Tuning) -> None:
        """Have every search of every process that says no effort use the chosen one.

        Until the index is of another kind, or has other options.
        """
        ...

    def calibration(self) -> str | None:
        """What was kept of scores; see `keep_calibration`."""
        ...

    def keep_calibration(self, text: str) -> None:
        """Keep what scores were found to mean, for every process, in place of what was kept."""
        ...

    @property
    def coming(self) -> Coming:
        """Another recipe for the collection, while its vectors are made."""
        ...

    def loose(self) -> Loose:
        """What belongs to nothing; nothing does unless something has been damaged."""
        ...

    def drop_loose(self) -> None:
        """Delete all that."""
        ...

    def mend(self, ids: Sequence[str], vectors: Mapping[str, Vectors]) -> None:
        """Give pictures that are there their vectors anew; findable when this returns.

        `ids`: whole; `vectors`: of every embedding, float32 [len(ids), dim].
        """
        ...

    def settle(self) -> None:
        """Bring the index into its best shape now, if it has fallen out of it."""
        ...

    def check(self) -> list[Finding]:
        """Whether what is stored is sound, and found again."""
        ...

    def __len__(self) -> int: ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Home(Protocol):
    """Where a collection is, or is to be."""

    @property
    def address(self) -> str:
        """What a user calls it: a folder's path, or a URL without what is secret in it."""
        ...

    @property
    def folder(self) -> Path:
        """On this machine, for what is kept beside the records, such as logs."""
        ...

    @property
    def files(self) -> Path | str:
        """For uploads and thumbnails: a folder, or the URL of one in an object store."""
        ...

    def exists(self) -> bool:
        """Whether a collection is there."""
        ...

    def check_free(self, *, create: bool) -> None:
        """`NotACollection` if none may be made there, or none is to be made and there is none."""
        ...

    def index_kind(self, embedding: Embedding) -> str:
        """What vectors are found by there, under what a recipe says of them."""
        ...

    def create(self, recipe: str, plans: Sequence[EmbeddingPlan]) -> None:
        """Make an empty store; one that is there already is left as it is."""
        ...

    def replace_empty(self, recipe: str, plans: Sequence[EmbeddingPlan]) -> bool:
        """Give a store without pictures another recipe; whether it had none."""
        ...

    def made_with(self) -> Kept:
        """The recipe that it has, and what the extractors have learned from its pictures."""
        ...

    def open(self, plans: Sequence[EmbeddingPlan], local: LocalPlan = NO_LOCAL_FEATURES) -> Store:
        """The store, to hold what is planned; `ModelMismatch` if it holds other vectors."""
        ...

    def copied(self, into: Path) -> AbstractContextManager[FoundFirst | None]:
        """Write it as it is at one moment, as a catalogue, into an empty folder.

        Others may write to it meanwhile. Within the block it is known what its searches found
        then; None where the catalogue has the index files beside it that tell.
        """
        ...

    def check_vacant(self) -> None:
        """`CannotRestore` if no backup can be restored there, as something is there."""
        ...

    def filled(
        self, made: Path, plans: Sequence[EmbeddingPlan], local: LocalPlan
    ) -> AbstractContextManager[Store]:
        """The collection that the catalogue in a folder says, to be looked at before it counts.

        It has its name when the block has ended well; if that raises, nothing is left.
        """
        ...


_LIKE_AN_ADDRESS = re.compile(r"es\+|[A-Za-z][A-Za-z0-9+.-]+:/")
"""Of something that a folder of this name would surprise."""


def home_of(given: str | os.PathLike[str]) -> Home:
    """Where a user means: a folder, or `es+https://HOST:9200/NAME`; `BadAddress` for others.

    Of what has become a `Path` the second slash is missing, which is no harm.
    """
    text = os.fspath(given)
    scheme, slashed, _ = text.partition(":/")
    known = slashed and scheme in registry.names("store")
    if not known and _LIKE_AN_ADDRESS.match(text):
        shown = repr(text.rpartition("@")[2])[1:-1]  # before it there may be a password
        raise BadAddress(shown, "it begins with neither es+https:// nor es+http://")
    home: Home = registry.load("store", scheme if known else "folder").of(text)
    return home

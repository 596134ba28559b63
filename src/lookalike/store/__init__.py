"""Records and vectors -> the nearest records. One class a kind of store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..filters import Filter
from ..types import Effort, Finding, Judgement, LocalFeatures, Place, Record, Vectors

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


ANYWHERE = Look()
NO_LOCAL_FEATURES = LocalPlan("", votes=False)


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

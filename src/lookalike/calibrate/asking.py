"""Edited copies are asked with: what the original scores, and what the best other one does."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from ..collection import Collection
from ..compare.kinship import kinship
from ..confidence import vector_score
from ..decoding import DecodePool
from ..edits import EDITS, LONGEST_SIDE, Edit, drawn, generator, shared
from ..errors import PictureError
from ..picture import jpeg
from ..types import Hit, Pixels, Record

_SPARE = 4
"""Hits that are wanted past the candidates: the original, a background, twins are left out."""
_TRIED = 4
"""So many pictures are tried for each that is wanted, where files have gone."""
_TWIN = 20
"""Matches that agree from which on two stored pictures may be the same."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one edited copy of a stored picture found."""

    id: str
    """Of the picture."""
    edit: str
    right: Mapping[str, float]
    """By scorer: the score of the picture itself; lacking where it was not found."""
    wrong: Mapping[str, float]
    """By scorer: the best score of another one, of the picture's first query also without an edit;
    lacking where there was none."""
    is_first: bool
    """Whether it is the first of this picture: others are no independent query."""


class Asker:
    """Asks; a context manager, as it has a process for decoding."""

    def __init__(
        self,
        collection: Collection,
        comparators: Sequence[str],
        seed: int,
        sample: int,
        judged: Mapping[tuple[str, str], bool],
    ) -> None:
        """`judged`: whether stored pictures are the same, where that is known; by ids in order."""
        self._collection = collection
        self._comparators = comparators
        self._seed = seed
        self._sample = sample
        self._pool = DecodePool(1, collection.limits)
        self._same = dict(judged)
        self._judged = judged
        self.embeddings = [each.name for each in collection.recipe.embeddings]
        self.unreadable = 0
        """Pictures whose files are gone or hold another one by now."""

    def __enter__(self) -> Asker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.close()

    @property
    def twins(self) -> list[tuple[str, str]]:
        """Pairs of stored pictures that were left out, as they are seen to be the same."""
        return [pair for pair, same in self._same.items() if same and pair not in self._judged]

    def asked(self, on_query: Callable[[int, int], None] | None = None) -> Iterator[Asked]:
        """The answer to each query; of each picture one, or several if there are few pictures."""
        drawn_first = self._drawn(_TRIED * self._sample)
        wanted = min(self._sample, len(drawn_first))
        each = max(1, min(len(EDITS), self._sample // max(wanted, 1)))
        edits, done, pictures = list(EDITS.values()), 0, 0
        background: tuple[Record, Pixels] | None = None
        for record in drawn_first:
            if pictures == wanted:
                return
            try:
                pixels = self._decoded(record)
            except PictureError:
                self.unreadable += 1
                continue
            for turn in range(each):
                edit = edits[(pictures + turn * (len(edits) // each)) % len(edits)]
                if edit.needs_background and background is None:
                    edit = EDITS["unedited"]
                below = background if edit.needs_background else None
                yield self._ask(record, self._edited(edit, record, pixels, below), below, turn)
                done += 1
                if on_query is not None:
                    on_query(done, wanted * each)
            pictures, background = pictures + 1, (record, pixels)

    def _drawn(self, count: int) -> list[Record]:
        """So many of the collection's pictures, by chance, the same for the same seed."""

        def lot(record: Record) -> bytes:
            return drawn(self._seed, bytes.fromhex(record.id), "calibrate")

        return heapq.nsmallest(count, self._collection, key=lot)

    def _decoded(self, record: Record) -> Pixels:
        """As it is passed on; decoded no larger than that takes."""
        longest = max(record.width, record.height, 1)
        side = math.ceil(LONGEST_SIDE * max(min(record.width, record.height), 1) / longest)
        decoded = self._pool.decode(self._collection.original(record.id), side)
        if decoded.sha256.hex() != record.id:
            raise PictureError(record.path, "its file holds another picture by now", retry=True)
        return shared(decoded.pixels)

    def _edited(
        self, edit: Edit, record: Record, pixels: Pixels, below: tuple[Record, Pixels] | None
    ) -> tuple[str, bytes]:
        rng = generator(self._seed, bytes.fromhex(record.id), edit.name)
        made = edit(pixels, rng, below[1] if below else None)
        return edit.name, jpeg(made, edit.quality)

    def _ask(
        self,
        record: Record,
        query: tuple[str, bytes],
        below: tuple[Record, Pixels] | None,
        turn: int,
    ) -> Asked:
        edit, data = query
        candidates = self._collection.recipe.second_look.candidates
        wanted = candidates + _SPARE
        hits = self._collection.search(data, k=wanted, compare=self._comparators)
        shown = {record.id, below[0].id} if below else {record.id}
        right = [hit for hit in hits if hit.id == record.id]
        others = [hit for hit in hits if hit.id not in shown]
        if turn == 0:  # an edit takes away from what is like others: whole pictures are harder
            others += self._collection.more_like(record.id, k=wanted, compare=self._comparators)
        scores = {
            name: self._scored(right, name) for name in (*self.embeddings, *self._comparators)
        }
        return Asked(
            record.id,
            edit,
            {name: each[0][0] for name, each in scores.items() if each},
            {
                name: best
                for name in scores
                if (best := self._best(record, self._scored(others, name))) is not None
            },
            turn == 0,
        )

    def _scored(self, hits: Sequence[Hit], scorer: str) -> list[tuple[float, Hit]]:
        """Those that have this score, the best first."""
        engine = self._collection.engine
        is_vectors = scorer in self.embeddings
        scored = []
        for hit in hits:
            found = vector_score(hit, scorer, engine) if is_vectors else hit.scores.get(scorer)
            if found is not None:
                scored.append((found, hit))
        rises = higher_is_better(scorer, self._collection)
        return sorted(scored, key=lambda each: -each[0] if rises else each[0])

    def _best(self, record: Record, scored: Sequence[tuple[float, Hit]]) -> float | None:
        """The best score of a picture that is not the same as this."""
        return next(
            (score for score, hit in scored if not self._are_same(record, hit.record)), None
        )

    def _are_same(self, one: Record, other: Record) -> bool:
        pair = (one.id, other.id) if one.id < other.id else (other.id, one.id)
        if pair not in self._same:
            self._same[pair] = self._verifies(one, other)
        return self._same[pair]

    def _verifies(self, one: Record, other: Record) -> bool:
        """Whether the stored pictures themselves, and not an edited one, are copies."""
        pair = self._collection.match(one, other, compare="verified")
        if pair.evidence is None or pair.evidence.inliers < _TWIN:
            return False
        try:
            first, second = pair.pictures
        except PictureError:
            return kinship(pair.evidence, None, None) == "copy"
        return kinship(pair.evidence, first, second) == "copy"


def higher_is_better(scorer: str, collection: Collection) -> bool:
    """Which way a score goes; that of vectors rises."""
    engine = collection.engine
    return scorer in engine.extractors or engine.comparators(scorer)[scorer].higher_is_better

"""What one picture is to another: by what somebody said, by its pixels, by geometry."""

from __future__ import annotations

import hashlib
from collections.abc import Collection as Container
from collections.abc import Iterable, Mapping, Sequence

from .. import subjects
from ..collection import Collection
from ..compare import Comparison
from ..compare.kinship import kinship
from ..errors import PictureError
from ..types import Judgement, LocalFeatures, Picture, Record
from .candidates import ALIKE
from .values import Kind, Pair, Relation, pair_of

_WHOLE = 1 << 20
"""A shorter side that no picture has: it is decoded in full size."""
_BY_GEOMETRY: frozenset[Kind] = frozenset(("copy", "near"))


class Relations:
    """Compares pictures of a collection. What it has found of a pair, or read, it keeps."""

    def __init__(
        self,
        collection: Collection,
        kinds: Container[Kind],
        judgements: Iterable[Judgement],
        scores: Mapping[Pair, float],
    ) -> None:
        """`kinds`: what counts; `scores`: cosine by pair of ids, where it is known."""
        self._collection = collection
        self.kinds = kinds
        self._scores = scores
        said = {(each.a, each.b): each.same for each in judgements}
        self._same = {pair for pair, same in said.items() if same}
        self._different = {pair for pair, same in said.items() if not same}
        self._verified = collection.engine.comparators("verified")["verified"]
        self._known: dict[Pair, Relation | None] = {}
        self._pixels: dict[str, bytes | None] = {}
        self.described = 0
        """Pictures whose local features had to be made."""

    @property
    def compared(self) -> int:
        """How many pairs have been looked at."""
        return len(self._known)

    def rejected(self, a: Record, b: Record) -> bool:
        """Whether somebody has said that these are not the same."""
        return pair_of(a, b) in self._different

    def prepare(self, records: Sequence[Record]) -> None:
        """Make the local features of those that have none, and keep them, on all cores.

        A picture that cannot be read has none, and nothing is related to it by geometry.
        """
        if not _BY_GEOMETRY.intersection(self.kinds):
            return
        engine = self._collection.engine
        found = engine.store.local_features([record.id for record in records])
        lacking = [record for record in records if record.id not in found]
        made = subjects.local_features_of(engine, lacking, self._collection.original_of)
        self.described += sum(isinstance(each, LocalFeatures) for each in made.values())

    def between(self, record: Record, others: Sequence[Record]) -> list[Relation | None]:
        """What each of the others is to a picture; None for nothing that counts."""
        unknown = [other for other in others if pair_of(record, other) not in self._known]
        self._look_at(record, unknown)
        return [self._known[pair_of(record, other)] for other in others]

    def _look_at(self, record: Record, others: Sequence[Record]) -> None:
        judged = [other for other in others if pair_of(record, other) in self._same]
        for other in judged:
            self._known[pair_of(record, other)] = Relation("copy", judged=True)
        others = [other for other in others if other not in judged]
        for other in self._with_the_same_pixels(record, others):
            exact = Relation("exact") if "exact" in self.kinds else None
            self._known[pair_of(record, other)] = exact
        rest = [other for other in others if pair_of(record, other) not in self._known]
        self._look_at_the_rest(record, rest)

    def _look_at_the_rest(self, record: Record, others: Sequence[Record]) -> None:
        """By geometry, and where that finds anything, by laying the pictures over each other."""
        self._known.update((pair_of(record, other), None) for other in others)
        found = [
            (other, comparison.evidence)
            for other, comparison in zip(others, self._by_geometry(record, others), strict=True)
            if comparison.evidence is not None
        ]
        if not found:
            return
        ours, *theirs = self._pictures([record, *(other for other, _ in found)])
        for (other, evidence), picture in zip(found, theirs, strict=True):
            kind = kinship(evidence, ours, picture)
            if kind is not None and kind != "similar" and kind in self.kinds:
                self._known[pair_of(record, other)] = Relation(kind, evidence.inliers)

    def _pictures(self, records: Sequence[Record]) -> list[Picture | None]:
        """Decoded; None for those that cannot be read."""
        collection = self._collection
        every = subjects.made(
            collection.engine, records, collection.original_of, subjects.COMPARED_SIDE, list
        )
        return [each if isinstance(each, Picture) else None for each in every]

    def _by_geometry(self, record: Record, others: Sequence[Record]) -> list[Comparison]:
        if not others or not _BY_GEOMETRY.intersection(self.kinds):
            return [Comparison(None)] * len(others)
        engine, original = self._collection.engine, self._collection.original_of
        query, *candidates = subjects.stored(engine, [record, *others], original)
        return self._verified.compare(query, candidates)

    def _with_the_same_pixels(self, record: Record, others: Sequence[Record]) -> list[Record]:
        """Those in which no pixel differs, whatever their files hold."""
        likely = [
            other
            for other in others
            if (other.width, other.height) == (record.width, record.height)
            and self._scores.get(pair_of(record, other), 0.0) >= ALIKE
        ]
        if not likely:
            return []
        self._read([record, *likely])
        ours = self._pixels[record.id]
        return [other for other in likely if ours is not None and self._pixels[other.id] == ours]

    def _read(self, records: Sequence[Record]) -> None:
        unknown = [record for record in records if record.id not in self._pixels]
        collection = self._collection
        digests = subjects.made(
            collection.engine, unknown, collection.original_of, _WHOLE, _digests_of_pixels
        )
        for record, digest in zip(unknown, digests, strict=True):
            self._pixels[record.id] = None if isinstance(digest, PictureError) else digest


def _digests_of_pixels(pictures: Sequence[Picture]) -> list[bytes]:
    return [hashlib.sha256(picture.pixels.tobytes()).digest() for picture in pictures]

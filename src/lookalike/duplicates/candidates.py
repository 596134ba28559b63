"""Who may be a duplicate of whom: by stored vectors, by votes of local features, by judgements."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from ..collection import Collection
from ..store import Look
from ..types import Judgement, LocalFeatures, Record
from .values import Pair, pair_of

LIKELY = 0.6
"""Cosine of two pictures' vectors from which on they may be copies of each other.

With the default network, of edited photographs (60 classes, `edits.EDITS`) three in four keep it
but those that are turned, cropped to a quarter or less, or put into another picture; a photograph
has 1.8 others above it among 600 of 60 classes.
"""
ALIKE = 0.98
"""The same for the same pixels: they are not decoded alike from every format."""
_NEAREST = 32
"""How many others each picture may name by its vector."""
_ALL = 1_024
"""The same for one that leads a group, where more than so many are near it."""
_WITHOUT_BOUND = 8
"""How many it names where scores are in another scale than cosine."""
_VOTED = 4
"""How many each picture may name by votes."""
_STRONGEST = 120
"""So many of a picture's local features vote, which takes a quarter of the time of all."""
_VOTES = 0.02
"""The least votes, as a part of those that a picture gives to itself."""
_AT_ONCE = 256


class Candidates:
    """For each picture those that it has to be compared with, the likeliest first."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._embedding = collection.recipe.embeddings[0]
        self._records: dict[str, Record] = {}
        self._found: dict[str, dict[str, float]] = {}
        """By id, the others' ids and how likely each is; lower comes first."""
        self.scores: dict[Pair, float] = {}
        """Cosine by pair of ids, as far as it is known."""

    @property
    def _is_cosine(self) -> bool:
        return self._embedding.distance == "cosine"

    def by_vector(self, least: float) -> None:
        """Name each picture's nearest."""
        k, bound = (_NEAREST, least) if self._is_cosine else (_WITHOUT_BOUND, -np.inf)
        pairs = self._collection.store.near_pairs(self._embedding.name, k, bound)
        for rank, (a, b, score) in enumerate(pairs):
            self._add(a, b, rank / len(pairs))
            if self._is_cosine:
                self.scores[pair_of(a, b)] = score

    def by_votes(self) -> None:
        """Name those that a picture's local features vote for."""
        votes = [
            (votes / most, voter, record)
            for voter, found in self._votes()
            for most in (max((each for _, each in found), default=0.0),)
            for record, votes in found
            if record.id != voter.id and votes >= _VOTES * most
        ]
        votes.sort(key=lambda each: (-each[0], each[1].id, each[2].id))
        for rank, (_, voter, record) in enumerate(votes):
            self._add(voter, record, rank / len(votes))

    def judged(self, judgements: Iterable[Judgement]) -> None:
        """Those that somebody has said to be the same come before all."""
        store = self._collection.store
        for said in judgements:
            a, b = (store.get(id) for id in (said.a, said.b))
            if said.same and a is not None and b is not None:
                self._add(a, b, -1.0)

    def every(self) -> list[Record]:
        """All pictures that have a candidate."""
        return list(self._records.values())

    def of(self, record: Record) -> list[Record]:
        """Those of one picture, the likeliest first."""
        found = self._found[record.id]
        if self._is_cosine and len(found) >= _NEAREST:
            self._look_farther(record)
        return [self._records[id] for id in sorted(found, key=lambda other: (found[other], other))]

    def drop(self, ids: Iterable[str]) -> None:
        """Pictures that are in nobody's way any more."""
        for id in ids:
            del self._records[id]
            for other in self._found.pop(id):
                self._found[other].pop(id, None)

    def _look_farther(self, record: Record) -> None:
        """More of those that are near a picture which has as many as are named at first."""
        store, name = self._collection.store, self._embedding.name
        found = self._found[record.id]
        vector = store.vectors(name, record.id)
        for other, score in store.nearest(name, vector, _ALL, Look())[0]:
            if score < LIKELY:
                break
            if other.id in self._records and other.id != record.id:
                found.setdefault(other.id, 1 - score)
                self.scores.setdefault(pair_of(record, other), score)

    def _votes(self) -> Iterator[tuple[Record, list[tuple[Record, float]]]]:
        """Every picture, and those that its strongest local features vote for, with itself."""
        store = self._collection.store

        def voted(records: Sequence[Record]) -> list[tuple[Record, list[tuple[Record, float]]]]:
            features = store.local_features([record.id for record in records])
            there = [record for record in records if record.id in features]
            strongest = [_strongest(features[record.id]) for record in there]
            return list(zip(there, store.voted(strongest, _VOTED + 1), strict=True))

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for block in threads.map(voted, self._blocks()):
                yield from block

    def _blocks(self) -> list[list[Record]]:
        records = list(self._collection)
        return [records[start : start + _AT_ONCE] for start in range(0, len(records), _AT_ONCE)]

    def _add(self, a: Record, b: Record, likely: float) -> None:
        for one, other in ((a, b), (b, a)):
            self._records[one.id] = one
            found = self._found.setdefault(one.id, {})
            found[other.id] = min(likely, found.get(other.id, likely))


def _strongest(features: LocalFeatures) -> LocalFeatures:
    """The first come first: detectors sort them."""
    return replace(
        features,
        xy=features.xy[:_STRONGEST],
        scale=features.scale[:_STRONGEST],
        angle=features.angle[:_STRONGEST],
        descriptors=features.descriptors[:_STRONGEST],
    )

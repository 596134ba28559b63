"""Local features in an index of their own: fetched for candidates, or all of them for votes."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ...errors import TooLittleToLearnFrom
from ...local import exhaustive
from ...local.inverted_file import InvertedFile
from ...local.packing import packed, unpacked
from ...local.vocabulary import Vocabulary
from ...types import LocalFeatures, Record, Rows
from .cluster import Write
from .conditions import Query
from .documents import ORDER, Source
from .mapping import writing_alias
from .reading import Reading

_AT_ONCE = 200
_LEARN_FROM = 2_500
"""Pictures of which the words are learned."""

Voted = tuple[list[int], list[float]]
"""Rows and their votes, most first."""


class Local:
    """Of one collection, by one extractor."""

    def __init__(self, index: Reading, fingerprint: str) -> None:
        self._index = index
        self._fingerprint = fingerprint
        self._following = threading.Lock()
        self._file: InvertedFile | None = None
        self._last = -1

    def of(self, ids: Sequence[str]) -> dict[str, LocalFeatures]:
        """Those that are stored of these pictures, by id."""
        found: dict[str, LocalFeatures] = {}
        for start in range(0, len(ids), _AT_ONCE):
            for id, each in self._index.by_ids(ids[start : start + _AT_ONCE]).items():
                if each["_source"]["fingerprint"] == self._fingerprint:
                    found[id] = _features(each["_source"])
        return found

    def known(self, ids: Sequence[str]) -> set[str]:
        """Which of these pictures have some."""
        found = self._index.by_ids(ids, {"includes": ["fingerprint"]})
        return {
            id for id, each in found.items() if each["_source"]["fingerprint"] == self._fingerprint
        }

    def keep(self, every: Sequence[tuple[Record, int, LocalFeatures]]) -> None:
        """Keep those of pictures: each one's record, row and features."""
        index = writing_alias(self._index.index)
        writes = []
        for record, row, features in every:
            data = packed(features, (record.width, record.height))
            body = {
                "fingerprint": self._fingerprint,
                "row": row,
                "order": ORDER.next(),
                "bytes": len(data),
                "features": base64.b64encode(data).decode(),
            }
            writes.append(Write("index", index, record.id, body))
        self._index.cluster.write(writes)

    def drop(self, ids: Sequence[str]) -> None:
        """Delete those of pictures that are forgotten."""
        index = self._index.index
        self._index.cluster.write([Write("delete", index, id) for id in ids], found=False)

    def voted(self, features: LocalFeatures, count: int | None, allowed: Rows | None) -> Voted:
        """The pictures that have most in common with one, by an inverted file in memory."""
        file = self._followed()
        if file is None or len(features.descriptors) == 0:
            return [], []
        rows, votes = file.votes(features.descriptors, count or max(len(file), 1), allowed)
        return rows.tolist(), votes.tolist()

    def matched(self, features: LocalFeatures, count: int | None, allowed: Rows | None) -> Voted:
        """The same by mutual matches with every picture, all of which are read."""
        if len(features.descriptors) == 0:
            return [], []

        def blocks() -> Iterator[tuple[Rows, list[npt.NDArray[np.generic]]]]:
            for hits in self._index.every(self._own, True, _AT_ONCE):
                rows = np.array([hit["_source"]["row"] for hit in hits], np.int64)
                passed = np.ones(len(rows), np.bool_)
                if allowed is not None:
                    passed = np.isin(rows, allowed)
                chosen = np.flatnonzero(passed).tolist()
                yield rows[passed], [_features(hits[n]["_source"]).descriptors for n in chosen]

        most = count or np.iinfo(np.int64).max
        rows, matches = exhaustive.votes(features.descriptors, blocks(), most)
        return rows.tolist(), matches.tolist()

    def describe(self) -> dict[str, int]:
        """Counts and sizes, as JSON values."""
        answer = self._index.cluster.searched(
            index=self._index.index,
            query=self._own,
            size=0,
            track_total_hits=True,
            aggs={"bytes": {"sum": {"field": "bytes"}}},
        )
        file = self._file
        return {
            "pictures": answer["hits"]["total"]["value"],
            "bytes": int(answer["aggregations"]["bytes"]["value"]),
            "words": 0 if file is None else len(file.vocabulary),
            "index_bytes": 0 if file is None else file.memory_bytes,
        }

    @property
    def _own(self) -> Query:
        return {"term": {"fingerprint": self._fingerprint}}

    def _followed(self) -> InvertedFile | None:
        """The inverted file with all that is stored; None where there is nothing to be found."""
        with self._following:
            if self._file is None:
                self._learn()
            if self._file is not None:
                while hits := self._after(self._last):
                    rows = np.array([hit["_source"]["row"] for hit in hits], np.int64)
                    self._file.remove(np.sort(rows))
                    self._file.add(rows, [_features(hit["_source"]).descriptors for hit in hits])
                    self._last = hits[-1]["_source"]["order"]
            return self._file

    def _after(self, order: int) -> list[dict[str, Source]]:
        return self._index.ordered(self._own, order, _AT_ONCE, source=True)

    def _learn(self) -> None:
        """Begin an empty file, whose words are learned of some of the pictures."""
        count = self._index.count(self._own)
        chosen = {
            "function_score": {"query": self._own, "random_score": {"seed": 0, "field": "row"}}
        }
        hits = self._index.hits(chosen, size=min(count, _LEARN_FROM)) if count else []
        sample = [_features(hit["_source"]).descriptors for hit in hits]
        try:
            if sample:
                self._file = InvertedFile(Vocabulary.learn(np.concatenate(sample), count))
        except TooLittleToLearnFrom:  # pictures without keypoints find nothing
            return


def _features(source: Mapping[str, str]) -> LocalFeatures:
    return unpacked(base64.b64decode(source["features"]))

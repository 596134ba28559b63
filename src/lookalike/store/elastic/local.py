"""Local features in an index of their own: fetched for candidates, or all of them for votes."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import numpy as np

from ...local.packing import packed, unpacked
from ...types import LocalFeatures, Record, Rows
from ..votes import Block, Descriptors
from .cluster import Write
from .conditions import Query
from .documents import ORDER
from .mapping import writing_alias
from .reading import Reading

_AT_ONCE = 200


class Local:
    """Of one collection, by one extractor; a `Reader`, too, of those who vote."""

    def __init__(self, index: Reading, fingerprint: str) -> None:
        self._index = index
        self._fingerprint = fingerprint

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

    def count(self) -> int:
        """How many pictures have some."""
        return self._index.count(self._own)

    def sample(self, count: int) -> list[Descriptors]:
        """Of at most `count` pictures, by chance but always the same."""
        chosen = {
            "function_score": {"query": self._own, "random_score": {"seed": 0, "field": "row"}}
        }
        return [
            _features(hit["_source"]).descriptors for hit in self._index.hits(chosen, size=count)
        ]

    def after(self, number: int) -> Block | None:
        """The next pictures after a number."""
        hits = self._index.ordered(self._own, number, _AT_ONCE, source=True)
        if not hits:
            return None
        rows = np.array([hit["_source"]["row"] for hit in hits], np.int64)
        descriptors = [_features(hit["_source"]).descriptors for hit in hits]
        return Block(hits[-1]["_source"]["order"], rows, descriptors)

    def removed_after(self, number: int) -> tuple[int, Rows]:
        """Nothing: who reads the records of what was voted for finds none of what is gone."""
        return number, np.empty(0, np.int64)

    def sizes(self) -> tuple[int, int]:
        """How many pictures have some, and their bytes."""
        answer = self._index.cluster.searched(
            index=self._index.index,
            query=self._own,
            size=0,
            track_total_hits=True,
            aggs={"bytes": {"sum": {"field": "bytes"}}},
        )
        return answer["hits"]["total"]["value"], int(answer["aggregations"]["bytes"]["value"])

    @property
    def _own(self) -> Query:
        return {"term": {"fingerprint": self._fingerprint}}


def _features(source: Mapping[str, str]) -> LocalFeatures:
    return unpacked(base64.b64decode(source["features"]))

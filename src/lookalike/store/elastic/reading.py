"""Documents out of an index: by id, by query, a page at a time, all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .cluster import Cluster
from .conditions import Query
from .documents import LEFT_OUT, Source

MOST = 10_000
"""Hits of one search."""
_AT_ONCE = 1000
_KEPT_OPEN = "5m"
_RECORDS = {"excludes": LEFT_OUT}


class Reading:
    """Of one index."""

    def __init__(self, cluster: Cluster, index: str) -> None:
        self.cluster = cluster
        self.index = index
        self._cursors: dict[int, int] = {}
        """The order of the picture before which a page begins, by the page's offset."""

    def by_ids(
        self, ids: Sequence[str], source: Mapping[str, Any] | bool = True
    ) -> dict[str, Source]:
        """Those documents of these ids that are there, as they are at this moment."""
        found: dict[str, Source] = {}
        wanted = _RECORDS if source is True else source
        filters = (
            {f"source_{name}": each for name, each in wanted.items()}
            if isinstance(wanted, Mapping)
            else {"source": wanted}
        )
        for start in range(0, len(ids), _AT_ONCE):
            some = list(ids[start : start + _AT_ONCE])
            answer = self.cluster.ask(
                lambda c, some=some: c.mget(index=self.index, ids=some, **filters)  # type: ignore[misc]
            )
            for each in answer["docs"]:
                if each.get("found"):
                    found[each["_id"]] = each
                elif "error" in each:
                    self.cluster.raise_item(each["error"])
        return found

    def count(self, query: Query) -> int:
        """How many documents pass."""
        return self.cluster.count(self.index, query)

    def hits(self, query: Query, **more: Any) -> list[dict[str, Any]]:
        """The documents that pass, at most MOST, records alone unless `source` says otherwise."""
        request: dict[str, Any] = {"source": _RECORDS, "size": MOST, **more}
        answer = self.cluster.searched(
            index=self.index, query=query, track_total_hits=False, **request
        )
        hits: list[dict[str, Any]] = answer["hits"]["hits"]
        return hits

    def ordered(
        self,
        query: Query,
        after: int = -1,
        size: int = _AT_ONCE,
        source: Mapping[str, Any] | bool | None = None,
    ) -> list[dict[str, Any]]:
        """The next so many that pass, the oldest first, above `after` in order."""
        later = {"bool": {"filter": [query, {"range": {"order": {"gt": after}}}]}}
        wanted = _RECORDS if source is None else source
        return self.hits(later, sort=[{"order": "asc"}], size=min(size, MOST), source=wanted)

    def newest(self, offset: int, limit: int) -> list[dict[str, Any]]:
        """A page of them, the newest first."""
        if offset + limit <= MOST:
            return self._page(offset, limit)
        return self._far_page(offset, limit)

    def _page(self, offset: int, limit: int) -> list[dict[str, Any]]:
        hits = self.hits(
            {"match_all": {}}, sort=[{"order": "desc"}], from_=offset, size=max(limit, 0)
        )
        self._remember(offset + len(hits), hits)
        return hits

    def _far_page(self, offset: int, limit: int) -> list[dict[str, Any]]:
        """One past what a search reaches: walked to from the nearest page that is known."""
        known = [each for each in self._cursors if each <= offset]
        at = max(known, default=0)
        before = self._cursors.get(at)
        while at < offset:
            hits = self.before(before, min(offset - at, MOST), source=["order"])
            if not hits:
                return []
            at, before = at + len(hits), hits[-1]["_source"]["order"]
        hits = self.before(before, limit)
        self._remember(offset + len(hits), hits)
        return hits

    def before(
        self, order: int | None, size: int, source: Mapping[str, Any] | Sequence[str] = _RECORDS
    ) -> list[dict[str, Any]]:
        """The newest of those below `order`, or of all."""
        found: list[dict[str, Any]] = []
        while len(found) < size:
            below: Query = {"match_all": {}}
            if order is not None:
                below = {"range": {"order": {"lt": order}}}
            wanted = min(size - len(found), MOST)
            hits = self.hits(below, sort=[{"order": "desc"}], size=wanted, source=source)
            found += hits
            if len(hits) < wanted:
                break
            order = hits[-1]["_source"]["order"]
        return found

    def _remember(self, end: int, hits: Sequence[Mapping[str, Any]]) -> None:
        if hits:
            if len(self._cursors) > 1000:
                self._cursors = {}
            self._cursors[end] = hits[-1]["_source"]["order"]

    def every(
        self, query: Query, source: Mapping[str, Any] | bool | Sequence[str], size: int = _AT_ONCE
    ) -> Iterator[list[dict[str, Any]]]:
        """All documents that pass, as they are at this moment, a block at a time."""
        opened = self.cluster.ask(
            lambda c: c.open_point_in_time(index=self.index, keep_alive=_KEPT_OPEN)
        )
        pit = opened["id"]
        after: list[Any] | None = None
        try:
            while True:
                request: dict[str, Any] = {} if after is None else {"search_after": after}
                answer = self.cluster.searched(
                    pit={"id": pit, "keep_alive": _KEPT_OPEN},
                    query=query,
                    sort=[{"_shard_doc": "asc"}],
                    source=source,
                    size=size,
                    track_total_hits=False,
                    **request,
                )
                pit = answer.get("pit_id", pit)
                hits: list[dict[str, Any]] = answer["hits"]["hits"]
                if hits:
                    yield hits
                if len(hits) < size:
                    return
                after = hits[-1]["sort"]
        finally:
            self.cluster.give_up(lambda c: c.close_point_in_time(id=pit))

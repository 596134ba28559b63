"""Ground truth by names -> ground truth by the ids of stored pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...decoding import DecodePool
from ...errors import PictureError
from ...sources import encoded_at
from ...types import Box, Record
from .names import Match, Names
from .problems import Problems, Source
from .values import Resolved, ResolvedQuery, Truth, TruthQuery


def against(truth: Truth, records: Iterable[Record]) -> Resolved:
    """Which stored pictures a ground truth speaks of. `records`: all of a collection, or itself.

    A picture is relevant if any of its places is: the same content is one picture, and counts once.
    One that is called relevant under one name and junk under another counts as relevant. Stored
    pictures that the truth does not name are wrong answers to all queries.

    Raises `BadTruth` with every name that means no picture of the collection, or several, and every
    box that lies outside its picture. Junk that is not stored is noted, as it changes nothing.
    """
    resolving = _Resolving(truth, records)
    for name in sorted(truth.expected):
        resolving.one(name)
    queries = [resolved for query in truth.queries if (resolved := resolving.query(query))]
    resolving.check_boxes(queries)
    resolving.problems.raise_if_any(truth.path)
    return Resolved(truth, tuple(queries), (*truth.notes, *resolving.told(queries)))


class _Resolving:
    """One ground truth and the names of one collection."""

    def __init__(self, truth: Truth, records: Iterable[Record]) -> None:
        self.problems, self._notes = Problems(), Problems()
        self._truth = truth
        self._sizes: dict[str, tuple[int, int]] = {}
        self._names = Names(self._measured(records))
        self._found: dict[str, list[Match]] = {}
        self._told: set[str] = set()
        self._sets: dict[frozenset[str], frozenset[str]] = {}
        for query in truth.queries:
            self._ids(query.relevant)
        self._second_names = sum(len(names) - len(ids) for names, ids in self._sets.items())
        relevant = frozenset[str]().union(*self._sets.values())
        self._ignored = self._stored(truth.ignored) - relevant

    def one(self, name: str) -> Match | None:
        """The picture that a name means; a problem if that is none, or one of several."""
        found = self._find(name)
        if not found and self._untold(name):
            self.problems.add(self._source(name), f"`{name}` is no picture of the collection")
        return found[0] if len(found) == 1 else None

    def query(self, query: TruthQuery) -> ResolvedQuery | None:
        """A query by ids; None if its picture is not to be found, which is a problem."""
        relevant = self._ids(query.relevant)
        asked = self._asked(query)
        if asked is None:
            return None
        place, record = asked
        left_out = record if query.itself is not None else None
        if left_out in relevant and query.picture not in query.relevant:
            text = f"`{query.picture}` is the same picture as one relevant to it: left out"
            self._notes.add(self._source(query.picture), text)
        return ResolvedQuery(
            query.name,
            place,
            record,
            relevant,
            self._stored(query.junk, noted=True) - relevant,
            self._hard(query),
            self._ignored,
            left_out,
            query.group,
            query.box,
        )

    def check_boxes(self, queries: Iterable[ResolvedQuery]) -> None:
        """A box outside its picture is a problem, one that sticks out is odd."""
        with DecodePool(1) as pool:
            for query in queries:
                if query.box is not None:
                    self._check_box(query, query.box, pool)

    def told(self, queries: Iterable[ResolvedQuery]) -> tuple[str, ...]:
        """What was odd, with what shows when all is resolved."""
        alone = sum(query.relevant <= {query.left_out} for query in queries)
        if alone:
            self._note(
                f"queries to which nothing is relevant: {alone:,}; pooled measures alone count them"
            )
        if self._second_names:
            self._note(f"second names of the same relevant picture: {self._second_names:,}")
        return self._notes.texts()

    def _asked(self, query: TruthQuery) -> tuple[str, str | None] | None:
        """The place of the picture to ask with, and its id if it is stored."""
        if query.place is not None:
            record = self._names.at(query.place)
            if record is None and query.itself is not None:
                found = self._find(query.itself)
                record = found[0].id if len(found) == 1 else None
            return query.place, record
        found = self._find(query.picture)
        if not found and self._untold(query.picture):
            self.problems.add(
                self._source(query.picture),
                f"`{query.picture}` is neither a picture file nor one of the collection: name the "
                "folder of the queries",
            )
        return (found[0].place, found[0].id) if len(found) == 1 else None

    def _ids(self, names: frozenset[str]) -> frozenset[str]:
        """The ids of needed pictures; of a set that queries share, worked out once."""
        if names not in self._sets:
            matches = (self.one(name) for name in self._in_order(names))
            self._sets[names] = frozenset(match.id for match in matches if match)
        return self._sets[names]

    def _hard(self, query: TruthQuery) -> frozenset[str]:
        """The ids of hard pictures; one that has an easy name as well is easy."""
        if not query.hard:  # else every query of a class would have a copy of it
            return query.hard
        return self._ids(query.hard) - self._ids(query.relevant - query.hard)

    def _stored(self, names: frozenset[str], *, noted: bool = False) -> frozenset[str]:
        """The ids of those that are stored; `noted`: it is odd that one is not."""
        for name in self._in_order(names):
            if noted and not self._find(name) and self._untold(name):
                self._notes.add(self._source(name), f"`{name}`, which is junk, is not stored")
        return frozenset(match.id for name in names for match in self._find(name))

    def _find(self, name: str) -> list[Match]:
        """What a name means; several are a problem."""
        if name not in self._found:
            self._found[name] = found = self._names.find(name, self._truth.roots)
            if len(found) > 1:
                places = " or ".join(sorted(match.place for match in found)[:3])
                self.problems.add(
                    self._source(name), f"`{name}` may be {places}: name more of its path"
                )
        return self._found[name]

    def _check_box(self, query: ResolvedQuery, box: Box, pool: DecodePool) -> None:
        source = self._source(query.name)
        width, height = self._sizes.get(query.record or "", (0, 0))
        try:
            if not width or not height:
                width, height = pool.decode(encoded_at(query.place), 1).original_size
        except PictureError as error:
            self.problems.add(source, str(error))
            return
        right, bottom = box.x + box.width, box.y + box.height
        size = f"its picture of {width} x {height} pixels"
        if box.x >= width or box.y >= height or right <= 0 or bottom <= 0:
            self.problems.add(source, f"the box of `{query.name}` lies outside {size}")
        elif min(box.x, box.y) < -1 or right > width + 1 or bottom > height + 1:
            self._notes.add(source, f"the box of `{query.name}` is cut to {size}")

    def _measured(self, records: Iterable[Record]) -> Iterator[tuple[str, list[str]]]:
        boxes = any(query.box for query in self._truth.queries)
        for record in records:
            if boxes:
                self._sizes[record.id] = (record.width, record.height)
            yield record.id, [place.path for place in record.places]

    def _in_order(self, names: frozenset[str]) -> list[str]:
        """As they are said, so that what is wrong is told in the order of lines."""
        return sorted(names, key=lambda name: (self._source(name).line or 0, name))

    def _source(self, name: str) -> Source:
        return self._truth.said.get(name, Source(self._truth.path))

    def _untold(self, name: str) -> bool:
        """Whether a name was not complained of yet."""
        new = name not in self._told
        self._told.add(name)
        return new

    def _note(self, text: str) -> None:
        self._notes.add(Source(self._truth.path), text)

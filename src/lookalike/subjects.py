"""What comparators ask of pictures: fetched for all candidates at once when they ask of one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from .decoding import Encoded
from .engine import Engine
from .errors import PictureError
from .queries import Described
from .types import LocalFeatures, Picture, Record, Vectors

COMPARED_SIDE = 480
"""Comparators see pictures whose shorter side has at least so many pixels, if the original has."""

_Part = TypeVar("_Part")
Original = Callable[[Record], Encoded]
"""The picture of a record as it was; `PictureError` if it has gone."""


class Subjects:
    """Pictures that are compared, each a `compare.Subject`."""

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]],
        pictures: Callable[[], Sequence[Picture | PictureError]],
        local_features: Callable[[], Sequence[LocalFeatures | PictureError]],
        vectors: Callable[[], Sequence[Mapping[str, Vectors] | PictureError]],
    ) -> None:
        """`sizes`: width and height of each; all else is called when it is first asked for."""
        self.sizes = sizes
        self.pictures = _Fetched(pictures)
        self.local_features = _Fetched(local_features)
        self.vectors = _Fetched(vectors)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, number: int) -> One:
        return One(self, number)

    def __iter__(self) -> Iterator[One]:
        return (One(self, number) for number in range(len(self)))


class One:
    """One of several `Subjects`; see `compare.Subject`."""

    def __init__(self, subjects: Subjects, number: int) -> None:
        self._subjects = subjects
        self._number = number

    @property
    def picture(self) -> Picture:
        """Decoded; `PictureError` if the file has gone."""
        return self._subjects.pictures.of(self._number)

    @property
    def local_features(self) -> LocalFeatures:
        """Stored, or made now; `PictureError` if neither can be."""
        return self._subjects.local_features.of(self._number)

    @property
    def vectors(self) -> Mapping[str, Vectors]:
        """By embedding, float32 [1, dim]."""
        return self._subjects.vectors.of(self._number)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the original in pixels."""
        return self._subjects.sizes[self._number]


def asked(engine: Engine, described: Described) -> Subjects:
    """The picture of a query."""

    def pictures() -> list[Picture | PictureError]:
        return [described.decoded(engine.pipeline, _side(engine))]

    def local_features() -> list[LocalFeatures | PictureError]:
        if described.local is not None:
            return [described.local]
        return list(engine.local.extract_local([subjects[0].picture]))

    subjects = Subjects([described.size], pictures, local_features, lambda: [described.vectors])
    return subjects


def stored(engine: Engine, records: Sequence[Record], original: Original) -> Subjects:
    """Pictures of the collection."""
    ids = [record.id for record in records]

    def pictures() -> list[Picture | PictureError]:
        return made(engine, records, original, _side(engine), list)

    def local_features() -> list[LocalFeatures | PictureError]:
        found = engine.store.local_features(ids)
        lacking = [record for record in records if record.id not in found]
        made = local_features_of(engine, lacking, original) if lacking else {}
        return [found[id] if id in found else made[id] for id in ids]

    def vectors() -> list[Mapping[str, Vectors] | PictureError]:
        names = engine.dims(None)
        return [{name: engine.store.vectors(name, id) for name in names} for id in ids]

    sizes = [(record.width, record.height) for record in records]
    return Subjects(sizes, pictures, local_features, vectors)


def local_features_of(
    engine: Engine, records: Sequence[Record], original: Original
) -> dict[str, LocalFeatures | PictureError]:
    """Made of the pictures, which have none yet, and kept; by id."""
    extractor = engine.local
    every = made(engine, records, original, extractor.shortest_side, extractor.extract_local)
    by_id = {record.id: each for record, each in zip(records, every, strict=True)}
    engine.store.keep_local_features(
        {id: each for id, each in by_id.items() if isinstance(each, LocalFeatures)}
    )
    return by_id


def made(
    engine: Engine,
    records: Sequence[Record],
    original: Original,
    side: int,
    describe: Callable[[Sequence[Picture]], Sequence[_Part]],
) -> list[_Part | PictureError]:
    """What is made of the picture of each record, in order, on all cores.

    `side`: its shorter side has at least so many pixels, if the original has.
    """

    def marked(pictures: Sequence[Picture]) -> list[tuple[str, _Part]]:
        parts = describe(pictures)
        return [(p.sha256.hex(), part) for p, part in zip(pictures, parts, strict=True)]

    pairs = ((record, _encoded(record, original)) for record in records)
    results: list[_Part | PictureError] = []
    for batch in engine.pipeline.decoded(pairs, side, marked):
        for record, result in batch:
            if isinstance(result, PictureError):
                results.append(result)
            elif result[0] != record.id:
                results.append(PictureError(record.path, "its file holds another picture by now"))
            else:
                results.append(result[1])
    return results


def _encoded(record: Record, original: Original) -> Encoded | PictureError:
    try:
        return original(record)
    except PictureError as error:
        return error


def _side(engine: Engine) -> int:
    return max(COMPARED_SIDE, engine.local.shortest_side)


class _Fetched(Generic[_Part]):
    """A part of each of several pictures, fetched once when it is first asked for."""

    def __init__(self, fetch: Callable[[], Sequence[_Part | PictureError]]) -> None:
        self._fetch = fetch
        self._fetching = threading.Lock()
        self._parts: Sequence[_Part | PictureError] | None = None

    def of(self, number: int) -> _Part:
        """That of one of them; `PictureError` if it cannot be had."""
        with self._fetching:
            if self._parts is None:
                self._parts = self._fetch()
        part = self._parts[number]
        if isinstance(part, PictureError):
            raise part
        return part

"""A collection: a set of pictures under one recipe. Add, remove, search; all the work behind it."""

from __future__ import annotations

import functools
import getpass
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, Unpack

import numpy as np

from . import filters, ingest, picture, sources, subjects
from . import recipe as recipes
from .answering import Answering, described_files
from .calibration import Calibration
from .decoding import Encoded, at_hand
from .engine import LOCAL, Engine, OnLearning
from .errors import (
    BadQuery,
    PictureError,
    RecipeChanged,
    UnknownPicture,
)
from .features import FeaturePipeline
from .originals import Originals
from .pairs import USUAL, Pair, compared
from .places import place_of
from .queries import Asking, Described, Question, described, is_vector, text_encoder, upload
from .ray_workers import Workers, lanes_of
from .sources import Item
from .store import Arrival, Facets, Home, LedgerEntry, Outcome, Store
from .subjects import One, local_features_of
from .types import Box, Finding, Hit, Judgement, Limits, Metadata, Place, Record, Vectors
from .uploads import Uploads

if TYPE_CHECKING:
    from .queries import Query

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_DEFAULT_LIMITS = Limits()
_AT_ONCE = 512
"""Pictures whose local features are made before they are kept."""
_VECTORS_AT_ONCE = 64
"""Queries by ready vectors that are answered in one call."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits of one query out of many, or why it has none."""

    query: str | Sequence[str]
    """The place of the picture, or of each of those that were asked together; or the text."""
    hits: list[Hit]
    error: PictureError | None = None


def _under_the_current_recipe(
    method: Callable[Concatenate[Collection, _Parameters], _Result],
) -> Callable[Concatenate[Collection, _Parameters], _Result]:
    """Once more, should a reindex have given the collection another recipe meanwhile."""

    @functools.wraps(method)
    def repeated(
        self: Collection, /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        engine = self._engine
        try:
            return method(self, *args, **kwargs)
        except RecipeChanged:
            self.take_up_recipe(engine)
            return method(self, *args, **kwargs)

    return repeated


class Collection:
    """Pictures that can be searched. Safe to use from several threads, and several processes.

    Made by `lookalike.open`. A context manager: closing ends its processes and its files.
    """

    def __init__(
        self,
        home: Home,
        named: recipes.Recipe | None,
        device: str,
        limits: Limits,
        *,
        for_records: bool = False,
    ) -> None:
        self.path = home.folder
        """On this machine: all of it, or what is kept beside records that are elsewhere."""
        self.address = home.address
        """What a user calls it."""
        self._home = home
        self.limits = limits
        self.most_hits: int | None = None
        """Of a search for all of them; None for any number. The service sets it: `TooManyHits`."""
        self._device = device
        self._originals = Originals(home.files)
        self._changing = threading.Lock()
        self._describing = threading.Lock()
        """Held while what is said of a place is read and written again."""
        self._former: list[Engine] = []
        self._engine = Engine(home, named, device, limits, for_records=for_records)

    @property
    def name_in_full(self) -> str:
        """Its address such that it can be found from anywhere."""
        here = self.address == str(self.path)
        return str(self.path.absolute()) if here else self.address

    @property
    def recipe(self) -> recipes.Recipe:
        """How its pictures are described, compared and found."""
        return self._engine.recipe

    @property
    def uploads(self) -> Uploads:
        """The bytes of pictures that came as bytes."""
        return self._originals.uploads

    @property
    def reads_text(self) -> bool:
        """Whether it can be searched with words."""
        return any(map(text_encoder, self._engine.extractors.values()))

    @_under_the_current_recipe
    def add(
        self,
        *given: str | os.PathLike[str],
        prune: bool = False,
        retry: bool = False,
        within: Sequence[Path] | None = None,
        workers: Workers | None = None,
        on_progress: ingest.OnProgress | None = None,
        on_learning: OnLearning | None = None,
    ) -> ingest.Report:
        """Take in folders, pictures, globs, lists (CSV, JSONL), archives (zip, tar), s3://….

        What did not change since is passed over. `prune` also forgets what is no longer there;
        `retry` tries again what was refused before. `within`: folders, by their real paths, out of
        which no link may lead. `workers` of a Ray cluster describe the pictures, if given.
        `on_progress` is called after each commit.
        A recipe that learns from the collection's pictures does so first, from a sample of these;
        `on_learning` is told what, and the share that is done. Raises `BadSource` for a source
        that does not exist, before anything is stored.
        """
        texts = [os.fspath(each) for each in given]

        def found() -> Iterator[Item]:
            return ingest.found(texts, within)

        items = found()
        engine = self._engine
        engine.learn(found, on_learning)
        with lanes_of(engine, workers) as lanes:
            report = ingest.ingest(items, engine.store, lanes, retry=retry, on_progress=on_progress)
        if prune:
            report.removed = ingest.prune(texts, self.store)
            if report.removed:
                self._originals.drop_thumbnails_unless(self.__contains__)
        self.settle()
        return report

    @_under_the_current_recipe
    def add_bytes(
        self,
        data: bytes,
        name: str,
        *,
        label: str | None = None,
        metadata: Metadata | None = None,
    ) -> tuple[Record, Outcome]:
        """Keep a picture that came as bytes, once for each content. `PictureError` if it is none.

        `name` is what it was called where it came from. One that came before under this name
        keeps the label and the metadata it had, unless others are given.
        """
        (features,) = self._pipeline.of_batch([upload(data, name, self.limits)])
        if isinstance(features, PictureError):
            raise features
        path = self.uploads.place(features.sha256, name)
        known = self.store.get(features.sha256.hex())
        before = known.place_at(path) if known else None
        if before is not None:
            label = before.label if label is None else label
            metadata = before.metadata if metadata is None else metadata
        place = Place(path, label, metadata or {}, features.byte_size, 0)
        arrival = ingest.arrival_of(features, place)
        id = features.sha256.hex()
        self.uploads.keep(features.sha256, data)
        (outcome,) = self.store.put([arrival], features.vectors, ingest.local_of([features]))
        record = self.store.get(id)
        if record is None:  # somebody else has removed it again
            raise UnknownPicture(id)
        if not all(self.uploads.has(id)):
            # Somebody else has removed it while it came. Bytes go before their record, so these
            # stay if the record does.
            self.uploads.keep(features.sha256, data)
        return record, outcome

    def describe(
        self,
        id: str,
        change: Callable[[Place], Place],
        *,
        at: str | None = None,
    ) -> Record:
        """Give a picture another label or other metadata at each of its places, or `at` one.

        `change`: a place as it is -> as it is to be. Raises `UnknownPicture` for an id that is not
        stored, `BadQuery` for a place where it does not lie.
        """
        with self._describing:
            record = self[id]
            if at is not None and record.place_at(at) is None:
                raise BadQuery(f"this picture does not lie at {at!r}")
            here = [place for place in record.places if at in (None, place.path)]
            self.store.describe([change(place) for place in here])
            return self[id]

    @_under_the_current_recipe
    def add_vectors(
        self,
        vectors: Vectors | Mapping[str, Vectors],
        sha256: Sequence[bytes],
        places: Sequence[Place],
    ) -> list[Outcome]:
        """Store vectors that were made elsewhere, by this collection's own model.

        `vectors`: float32 [n, dim], or where there are several embeddings, by name; `sha256`: of
        each picture's content, 32 bytes; `places`: where each lies.
        """
        given = vectors if isinstance(vectors, Mapping) else {self._first: vectors}
        matrices = {name: np.asarray(each, np.float32) for name, each in given.items()}
        arrivals = [
            Arrival(digest, "UNKNOWN", 0, 0, place.size, place)
            for digest, place in zip(sha256, places, strict=True)
        ]
        return self.store.put(arrivals, matrices)

    def remove(self, *ids: str) -> int:
        """Forget pictures by id; how many there were. Files of yours stay where they are."""
        records = (self.store.get(id) for id in ids)
        return sum(
            self.forget(*(place.path for place in record.places)) for record in records if record
        )

    def forget(self, *places: str) -> int:
        """Forget places; how many pictures went, which lie nowhere else. Your files stay.

        What is kept of them goes first: interrupted, or refused, it can be done again.
        """
        forgotten = frozenset(places)
        lay = {entry.id for entry in self.store.ledger(places).values() if entry.id}
        for record in filter(None, map(self.store.get, sorted(lay))):
            self._originals.drop(record, forgotten)
        return self.store.forget(places)

    def judge(
        self, a: str, b: str, same: bool | None, *, by: str | None = None
    ) -> Judgement | None:
        """Keep that two pictures, by id or path, are the same one or are not.

        It goes both ways, replaces what was said before, and stays when they are forgotten and
        come back. None takes back what was said. `by`: who says so; you unless given. Raises
        `UnknownPicture` for one that is not stored, `BadQuery` for a picture and itself.
        """
        first, second = sorted((self.meant(a).id, self.meant(b).id))
        if first == second:
            raise BadQuery(f"{a} and {b} have the same content: there is nothing to be judged")
        if same is None:
            self.store.take_back(first, second)
            return None
        said = Judgement(first, second, same, time.time(), _user() if by is None else by)
        self.store.judge([said])
        return said

    def judgements(self) -> list[Judgement]:
        """What was said of pairs, in the order in which it was."""
        return self.store.judgements()

    def meant(self, text: str) -> Record:
        """The stored picture that an id or a path means; `UnknownPicture` if there is none."""
        record = self.store.get(text)
        if record is not None:
            return record
        entry = self.ledger(text)
        return self[entry.id if entry is not None and entry.id is not None else text]

    @_under_the_current_recipe
    def search(
        self,
        *query: Query,
        text: str | Sequence[str] = (),
        text_weight: float = 0.5,
        unlike: Sequence[Query] = (),
        unlike_text: str | Sequence[str] = (),
        k: int | None = 10,
        offset: int = 0,
        where: str | None = None,
        threshold: float | None = None,
        embedding: str | None = None,
        radius: float | None = None,
        probes: int | Literal["all"] | None = None,
        ef_search: int | None = None,
        refine: int | None = None,
        crop: Box | None = None,
        compare: str | Sequence[str] | None = None,
        order: Literal["last", "fused"] | None = None,
        collapse: bool = False,
        expand: int | None = None,
        rerank: int | None = None,
        confident: bool = False,
        weights: Sequence[float] | None = None,
        words: str | None = None,
        depth: int | None = None,
    ) -> list[Hit]:
        """The `k` pictures most alike, best first, after the first `offset`.

        Without `k`, every picture that the index reaches, in time linear in their number. Several
        pictures are one query: their mean, by their `weights` if given. A stored one, a record, is
        not among the hits. `text` is words to search by, alone or beside pictures,
        of which it then is `text_weight` (0 to 1); `unlike` and `unlike_text` are what the hits
        are not to be like. `where` is a filter (see `filters`); `threshold` keeps hits whose score
        is at least this, `radius` those whose distance is at most that. `embedding` searches by
        one of several alone, else they are fused. `probes`, `ef_search` and `refine` say how far
        an index looks that has such a knob (see `types.Effort`). `crop` asks with a part of each
        picture. `compare` names comparators that look again at the best candidates, in order; the
        last orders them, or with `order` "fused" all together; unless given, as the recipe has it.
        `collapse` puts hits that are nearly identical under the best of them. `expand` searches
        once more, with the mean of the query and so many of its hits (see `expansion`), for more
        of the same kind; `rerank` orders so many of the best by the neighbours that each shares
        with the query (see `reranking`), before comparators look at them. `confident` keeps those
        alone that pass for copies, by what `calibrate` found; there may be none. `words` also finds
        pictures whose labels or metadata have these words, by BM25, fused with the others by rank;
        in Elasticsearch only. `depth`: how far each of several that are fused looks at least, `k`
        unless given; the same for each page, or they disagree. Raises `PictureError` if a query
        cannot be decoded, `NoText` if the recipe reads no text,
        `UnknownName` for a comparator that there is not, `NotCalibrated` if nothing says how good
        a copy's score is, `BadQuery` if the query makes no sense.
        """
        question = Question(
            text,
            text_weight,
            unlike,
            unlike_text,
            k,
            offset,
            where,
            threshold,
            embedding,
            radius,
            probes,
            ef_search,
            refine,
            crop,
            compare,
            order,
            collapse,
            expand,
            rerank,
            confident,
            weights,
            words,
            depth,
        )
        if not (query or question.texts or words):
            raise BadQuery("a search needs at least one picture, or text")
        engine = self._engine
        answering, names = self._answering(engine), engine.dims(embedding)
        given = [
            answering.stored(each, embedding)
            if isinstance(each, Record) and crop is None
            else described(self._to_ask(each), engine.pipeline, names, self.limits, crop)
            for each in query
        ]
        return answering.together(question, given)

    def _to_ask(self, query: Query) -> Query | Encoded:
        return self.original_of(query) if isinstance(query, Record) else query

    def search_many(self, queries: Iterable[Query], **asking: Unpack[Asking]) -> Iterator[Answer]:
        """Answer each file (or each picture of each folder, list, archive) on its own, in order.

        `queries`: in any form that `search` takes; all vectors, float32 [q, dim], too. What is no
        file goes by its number, from 0. `asking`: as for `search`; it counts for each. All cores
        work on files at once. A picture that is not there or cannot be decoded is an answer with
        its `error`; what is no picture in a folder, by its bytes and its name, is passed over.
        """
        question = Question(**asking)
        for kind, group in itertools.groupby(enumerate(queries), _kind):
            if kind == "file":
                yield from self._each_of_files([query for _, query in group], question)
            elif kind == "vector":
                while some := list(itertools.islice(group, _VECTORS_AT_ONCE)):
                    yield from self._each_of_vectors(some, question)
            else:
                for number, query in group:
                    yield self._answer(str(number), query, asking)

    def _answer(self, name: str, query: Query, asking: Asking) -> Answer:
        try:
            return Answer(name, self.search(query, **asking))
        except PictureError as error:
            return Answer(name, [], error)

    @_under_the_current_recipe
    def _each_of_vectors(
        self, numbered: Sequence[tuple[int, Query]], question: Question
    ) -> list[Answer]:
        engine = self._engine
        names = engine.dims(question.embedding)
        given = [
            described(query, engine.pipeline, names, self.limits, question.crop)
            for _, query in numbered
        ]
        found = self._answering(engine).each(question, given)
        return [
            Answer(str(number), hits) for (number, _), hits in zip(numbered, found, strict=True)
        ]

    def _each_of_files(self, queries: Sequence[Any], question: Question) -> Iterator[Answer]:
        engine = self._engine
        for done in described_files(queries, engine, self.limits, question.crop):
            good = [each for _, each in done if isinstance(each, Described)]
            hits = iter(self._answering(engine).each(question, good) if good else ())
            for item, each in done:
                if isinstance(each, Described):
                    yield Answer(item.place.path, next(hits))
                else:
                    yield Answer(item.place.path, [], each)

    @_under_the_current_recipe
    def search_together(
        self, queries: Iterable[str | os.PathLike[str]], **asking: Unpack[Asking]
    ) -> Answer:
        """Answer all these files, and the pictures of these folders, lists, archives, as one query.

        `asking`: as for `search`. `PictureError` if one of the pictures cannot be decoded.
        """
        question, engine = Question(**asking), self._engine
        places, given = [], []
        for done in described_files(queries, engine, self.limits, question.crop):
            for item, each in done:
                if isinstance(each, PictureError):
                    raise each
                places.append(item.place.path)
                given.append(each)
        if not given:
            raise BadQuery("there is no picture in what you gave to search with")
        return Answer(places, self._answering(engine).together(question, given))

    @_under_the_current_recipe
    def more_like(self, id: str, **asking: Unpack[Asking]) -> list[Hit]:
        """The `k` pictures most like a stored one, itself excepted; `UnknownPicture` if none is.

        `asking`: as for `search`, all that does not say what is asked with.
        """
        question = Question(**asking)
        if not question.only_pictures or question.crop is not None:
            raise BadQuery("a stored picture is asked with as it is: no text, no crop")
        answering = self._answering(self._engine)
        return answering.together(question, [answering.stored(self[id], question.embedding)])

    @_under_the_current_recipe
    def match(self, first: Query, second: Query, *, compare: str | Sequence[str] = USUAL) -> Pair:
        """Compare two pictures, each stored or in any form that `search` takes, with each other.

        `first` is taken as the query. `PictureError` if one of them cannot be decoded.
        """
        engine = self._engine
        return compared(engine, self._one(first, engine), self._one(second, engine), compare)

    def _one(self, given: Query, engine: Engine) -> One:
        """A picture as comparators see it."""
        if isinstance(given, Record):
            return subjects.stored(engine, [given], self.original_of)[0]
        asked = described(given, engine.pipeline, engine.dims(None), self.limits)
        return subjects.asked(engine, asked)[0]

    @_under_the_current_recipe
    def vector(self, id: str, embedding: str | None = None) -> Vectors:
        """The stored vector of a picture, float32 [1, dim], as its extractor made it.

        `embedding`: which of several, the recipe's first unless given.
        """
        name = embedding or self._first
        self._engine.dims(name)
        return self.store.vectors(name, self[id].id)

    @_under_the_current_recipe
    def vector_of(self, query: Query, embedding: str | None = None) -> Vectors:
        """The vector of a picture in any form that `search` takes, float32 [1, dim].

        `embedding`: which of several, the recipe's first unless given.
        """
        engine, name = self._engine, embedding or self._first
        return described(query, engine.pipeline, engine.dims(name), self.limits).vectors[name]

    @_under_the_current_recipe
    def matching(self, query: Query, *, k: int = 10) -> list[Hit]:
        """The `k` pictures whose local features match those of a picture best, by these alone.

        A score is what the recipe goes by: votes, or mutual matches; pictures without any are left
        out. Raises `BadQuery` if the recipe finds nothing by local features.
        """
        engine = self._engine
        use = engine.recipe.local.use.matching
        if use == "none":
            raise BadQuery(
                f"the recipe {engine.recipe.name} finds nothing by local features: sift-mutual and "
                "copies do"
            )
        question = Question(k=k)
        asked = described(query, engine.pipeline, engine.dims(None), self.limits)
        if asked.local is None:
            raise BadQuery("a vector has no local features: give the picture")
        (found,) = engine.store.voted([asked.local], question.k, exactly=use == "exhaustive")
        return [Hit(record, score, -score, {LOCAL: score}) for record, score in found]

    def __getitem__(self, id: str) -> Record:
        """The record of an id, or of the only one that begins so; `UnknownPicture` if none is."""
        record = self.store.get(id)
        if record is None:
            raise UnknownPicture(id)
        return record

    def __contains__(self, id: object) -> bool:
        """Whether a stored picture has this id."""
        return isinstance(id, str) and self.store.get(id) is not None

    def __iter__(self) -> Iterator[Record]:
        """Every record, the last added first."""
        offset = 0
        while records := self.store.scan(offset, 500):
            yield from records
            offset += len(records)

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.store)

    def newest(self, *, offset: int = 0, limit: int = 50) -> list[Record]:
        """Records, the last added first."""
        return self.store.scan(offset, limit)

    def page(self, after: str | None = None, limit: int = 50) -> tuple[list[Record], str | None]:
        """The same page by page, and where the next begins; None after the last.

        Nothing is left out or told twice, whoever adds or removes pictures meanwhile.
        """
        return self.store.page(after, limit)

    def original(self, id: str) -> Encoded:
        """A stored picture as it was; `PictureError` if none of its places is there any more."""
        (encoded,) = at_hand([self.original_of(self[id])], self.limits.file_bytes)
        if isinstance(encoded, PictureError):
            raise encoded
        return encoded

    def original_of(self, record: Record) -> Encoded:
        """The same of a record that is at hand; one in an object store is not read yet."""
        return self._originals.of(record)

    def thumbnail(self, id: str, side: int = 256) -> bytes:
        """A JPEG of a stored picture, its long side at most `side` pixels; kept once made."""
        if side < 1:
            raise BadQuery(f"a thumbnail's side is 1 pixel or more, not {side}")
        return self._originals.thumbnail(self[id], side, lambda: self._pipeline.decoder)

    def preview(self, path: str | os.PathLike[str], side: int = 256) -> bytes:
        """A JPEG of any picture, its long side at most `side` pixels."""
        encoded = sources.encoded_at(place_of(os.fspath(path)))
        return picture.thumbnail(self._pipeline.decoder.decode(encoded, side), side)

    def ledger(self, path: str | os.PathLike[str]) -> LedgerEntry | None:
        """What became of one path, None if it was never seen."""
        text = os.fspath(path)
        name = place_of(text)
        entries = self.store.ledger([text, name])
        return entries.get(name) or entries.get(text)

    def failures(self, *, all: bool = False) -> Iterator[LedgerEntry]:
        """Every path that should have given a picture and did not, with the reason.

        With `all`, also the files that are no pictures.
        """
        return (entry for entry in self.store.refused() if all or entry.recognised)

    def stats(self) -> dict[str, Any]:
        """Counts, sizes and the state of the index, as JSON values."""
        return {
            "path": self.name_in_full,
            "recipe": self.recipe.name,
            **self.store.stats(),
            "calibration": found.to_json() if (found := self.calibration) else None,
        }

    def facets(self, where: str | None = None, *, most_labels: int = 200) -> Facets:
        """How many of the pictures that pass a filter have each label, format and size."""
        return self.store.facets(None if where is None else filters.parse(where), most_labels)

    @_under_the_current_recipe
    def sample(self, limit: int) -> tuple[list[Record], Vectors]:
        """At most `limit` records, evenly spread over all, and the vectors of the first embedding.

        Those are float32 [n, dim], as the extractor made them.
        """
        return self.store.sample(self._first, limit)

    @property
    def calibration(self) -> Calibration | None:
        """What `calibrate` found of the scores of this recipe; None if it has not been run."""
        return self._engine.calibration

    def keep_calibration(self, calibration: Calibration) -> None:
        """Have every search of every process go by it, until the recipe is another.

        What was found before of scores that are not in it stays.
        """
        self._engine.keep_calibration(calibration)

    def check(self) -> list[Finding]:
        """Whether what is stored is sound, and the index as good as exact search."""
        return self.store.check()

    def warm(self) -> None:
        """Start and load now what the first search would wait for. Raises what that would."""
        self._pipeline.warm()
        self.store.settle()

    def settle(self) -> None:
        """Make what is lacking and bring the index into its best shape; `add` ends with this.

        Local features are lacking where the recipe has them made of every picture, and vectors
        came without them, from another recipe or from elsewhere.
        """
        engine = self._engine
        if engine.makes_local_features:
            after = 0
            while lacking := engine.store.lacking_local_features(after, _AT_ONCE):
                after = lacking[-1][0]
                records = [record for _, record in lacking]
                local_features_of(engine, records, self.original_of)
        engine.store.settle()

    def take_up_recipe(self, instead_of: Engine | None = None) -> None:
        """Go over to the recipe that a reindex has given the collection.

        `instead_of`: nothing is done if another thread has replaced this engine already.
        """
        with self._changing:
            if instead_of in (None, self._engine):
                # Other threads may still be working with the former one.
                self._former.append(self._engine)
                self._engine = Engine(self._home, None, self._device, self.limits)

    def close(self) -> None:
        """End what runs in the background, the decoding processes, and close the files."""
        for engine in (*self._former, self._engine):
            engine.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def engine(self) -> Engine:
        """Its recipe at work."""
        return self._engine

    @property
    def store(self) -> Store:
        """Where its records and vectors are kept."""
        return self._engine.store

    @property
    def _pipeline(self) -> FeaturePipeline:
        return self._engine.pipeline

    @property
    def _first(self) -> str:
        """The name of the recipe's first embedding."""
        return self.recipe.embeddings[0].name

    def _answering(self, engine: Engine) -> Answering:
        return Answering(engine, self.limits, self.most_hits, self.original_of)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # of a container that has no name for it
        return "unknown"


def _kind(numbered: tuple[int, Query]) -> Literal["file", "vector", "other"]:
    query = numbered[1]
    if isinstance(query, str | os.PathLike):
        return "file"
    return "vector" if is_vector(query) else "other"

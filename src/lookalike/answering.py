"""A question, and what is asked with -> hits: found, looked at again, collapsed, cut to a page."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from . import ingest, subjects
from .collapsing import collapsed
from .confidence import VERIFIED, Confidence
from .decoding import Encoded
from .engine import Engine
from .errors import BadQuery, PictureError
from .features import Features
from .kinships import related
from .neighbourhood import expanded, reranked
from .queries import Described, Question, check_text, combined, described, mean, of_features
from .second_look import SecondLook
from .sources import Item
from .subjects import Original, Subjects
from .types import Box, Hit, Limits, LocalFeatures, Record, Vectors

_FOR_EACH = 4
"""Hits that are found for each that is wanted, where those that are nearly identical become one."""


class Answering:
    """How a collection answers under one recipe."""

    def __init__(
        self, engine: Engine, limits: Limits, most_hits: int | None, original: Original
    ) -> None:
        """`most_hits`: of a search for all of them; None for any number."""
        self._engine = engine
        self._limits = limits
        self._most_hits = most_hits
        self._original = original

    def together(self, question: Question, pictures: Sequence[Described]) -> list[Hit]:
        """The hits of one query: of some pictures, whose mean counts, or of words alone."""
        weights = question.weights
        if weights is not None and len(weights) != len(pictures):
            raise BadQuery(f"{len(weights)} weights, and {len(pictures)} pictures to weigh")
        if len(pictures) == 1:
            return self.each(question, pictures)[0]
        names = self._engine.dims(question.embedding) if pictures else ()
        means = {name: mean([each.vectors[name] for each in pictures], weights) for name in names}
        local = [each.local for each in pictures if each.local is not None]
        joined = [_joined(local)] if local else None
        return self._hits(question, means, joined, [None], _stored_among(pictures))[0]

    def each(self, question: Question, pictures: Sequence[Described]) -> list[list[Hit]]:
        """The hits of each picture, as a query of its own."""
        vectors = {
            name: np.concatenate([each.vectors[name] for each in pictures])
            if len(pictures) > 1
            else first
            for name, first in pictures[0].vectors.items()
        }
        local = [each.local for each in pictures if each.local is not None]
        asked = [self._subjects(each) for each in pictures]
        every_local = local if len(local) == len(pictures) else None
        return self._hits(question, vectors, every_local, asked, _stored_among(pictures))

    def stored(self, record: Record, embedding: str | None) -> Described:
        """A stored picture to ask with, which is not among its own hits.

        `embedding`: one of several to ask by alone.
        """
        engine = self._engine
        names = engine.dims(embedding)
        vectors = {name: engine.store.vectors(name, record.id) for name in names}
        local = None
        if engine.makes_local_features:
            with contextlib.suppress(PictureError):  # it has none, and cannot get any
                (itself,) = subjects.stored(engine, [record], self._original)
                local = itself.local_features
        return Described(vectors, local, size=(record.width, record.height), record=record)

    def _subjects(self, picture: Described) -> Subjects:
        """What comparators see of a picture that is asked with."""
        if picture.record is not None:
            return subjects.stored(self._engine, [picture.record], self._original)
        return subjects.asked(self._engine, picture)

    def _hits(
        self,
        question: Question,
        pictures: Mapping[str, Vectors],
        local: Sequence[LocalFeatures] | None,
        queries: Sequence[Subjects | None],
        but: Collection[str] = (),
    ) -> list[list[Hit]]:
        """`pictures`: by embedding, float32 [q, dim]; empty where only words are asked with.

        `local`: the features of each; `queries`: what comparators see of each, None where that is
        no one picture; `but`: the ids of pictures that are left out.
        """
        engine = self._engine
        vectors = self._vectors(question, pictures)
        if question.expand:
            vectors = expanded(engine, question, vectors, local, but)
        second = SecondLook(engine, question, self._original)
        if second.candidates and None in queries:
            if question.compare is not None:
                raise BadQuery("comparators compare one picture: ask with one, not with words")
            second = SecondLook(engine, replace(question, compare=()), self._original)
        confidence = Confidence(engine, second.names, question.embedding)
        if question.confident:
            confidence.check()
            if None in queries:
                raise BadQuery("confident answers are of one picture: not of several, nor of words")
        wide = question
        looked_at = max(second.candidates, question.rerank or 0)
        if looked_at or question.collapse or question.confident or but:
            wide = _widened(question, looked_at, len(but))
        if self._most_hits is not None:
            engine.check_number(vectors, wide, self._most_hits)
        found = engine.hits(vectors, wide, _page(question), local)
        if wide is question:
            return [
                hits if query is None else confidence.told(hits, confident=False)
                for hits, query in zip(found, queries, strict=True)
            ]
        upto = None if question.k is None else question.k + question.offset
        finished = []
        for number, (hits, query) in enumerate(zip(found, queries, strict=True)):
            others = [hit for hit in hits if hit.id not in but]
            if question.rerank:
                one = {name: each[number : number + 1] for name, each in vectors.items()}
                others = reranked(engine, one, others, question.rerank)
            hits = self._finished(question, second, confidence, others, query)
            finished.append(hits[question.offset : upto])
        return finished

    def _finished(
        self,
        question: Question,
        second: SecondLook,
        confidence: Confidence,
        hits: list[Hit],
        query: Subjects | None,
    ) -> list[Hit]:
        if second.candidates and query is not None:
            hits = second.at(hits, query)
            if VERIFIED in second.names:
                which = [confidence.is_found(hit) for hit in hits]
                hits = related(hits, which, query, self._engine, self._original)
        if query is not None:
            hits = confidence.told(hits, confident=question.confident)
        return collapsed(hits, self._engine) if question.collapse else hits

    def _vectors(
        self, question: Question, pictures: Mapping[str, Vectors]
    ) -> Mapping[str, Vectors]:
        """All that is asked, as vectors of the embeddings that can answer."""
        if question.only_pictures and question.embedding is None:
            return pictures
        engine = self._engine
        names = engine.dims(question.embedding)
        if question.only_pictures:
            return {name: pictures[name] for name in names}
        extractors = {name: engine.extractors[name] for name in names}
        check_text(question, extractors, engine.recipe.name)
        away = [
            self.stored(each, question.embedding).vectors
            if isinstance(each, Record)
            else described(each, engine.pipeline, names, self._limits).vectors
            for each in question.unlike
        ]
        vectors = {
            name: combined(pictures.get(name), question, [each[name] for each in away], extractor)
            for name, extractor in extractors.items()
        }
        return {name: each for name, each in vectors.items() if each is not None}


def _stored_among(pictures: Sequence[Described]) -> frozenset[str]:
    """The ids of those that are asked with as they are stored."""
    return frozenset(each.record.id for each in pictures if each.record is not None)


def _widened(question: Question, candidates: int, more: int) -> Question:
    """The same for all hits that are to be looked at, from the first on."""
    if question.k is None:
        return replace(question, offset=0)
    wanted = question.k + question.offset
    if question.collapse:
        wanted *= _FOR_EACH
    return replace(question, k=max(wanted, candidates) + more, offset=0)


def _page(question: Question) -> int | None:
    """How far each of several that are fused looks; not as far as `offset`, so that pages agree."""
    return None if question.k is None else max(question.depth or question.k, question.rerank or 0)


def _joined(every: Sequence[LocalFeatures]) -> LocalFeatures:
    """Those of several pictures as if they were of one."""
    return LocalFeatures(
        *(
            np.concatenate([getattr(each, name) for each in every])
            for name in ("xy", "scale", "angle", "descriptors")
        )
    )


def described_files(
    queries: Iterable[str | os.PathLike[str]], engine: Engine, limits: Limits, crop: Box | None
) -> Iterator[list[tuple[Item, Described | PictureError]]]:
    """Every picture in these files, folders, lists and archives as it is asked with, in order.

    What nobody meant as a picture is left out.
    """
    items = ingest.queried([os.fspath(each) for each in queries])
    pairs = ((item, ingest.encoded(item)) for item in items)
    asked: Iterable[list[tuple[Item, Described | PictureError]]]
    if crop is not None:
        asked = ([(item, _part_of(encoded, engine, limits, crop))] for item, encoded in pairs)
    else:
        asked = (
            [(item, _whole(features, encoded)) for (item, encoded), features in done]
            for done in engine.pipeline.stream((pair, pair[1]) for pair in pairs)
        )
    for done in asked:
        yield [
            (item, each)
            for item, each in done
            if isinstance(each, Described) or item.is_meant(each)
        ]


def _part_of(
    encoded: Encoded | PictureError, engine: Engine, limits: Limits, crop: Box
) -> Described | PictureError:
    if isinstance(encoded, PictureError):
        return encoded
    try:
        return described(encoded, engine.pipeline, engine.dims(None), limits, crop)
    except PictureError as error:
        return error


def _whole(
    features: Features | PictureError, encoded: Encoded | PictureError
) -> Described | PictureError:
    if isinstance(features, PictureError):
        return features
    assert isinstance(encoded, Encoded)
    return of_features(features, encoded)

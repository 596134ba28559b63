"""A recipe at work: its extractors, what they have learned, and the store that they fill."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import calibration, filters, fusion, ingest, registry
from . import recipe as recipes
from .calibration import Calibration
from .compare import Comparator
from .distances import Distance, distance_named
from .errors import BadQuery, CollectionClosed, LookalikeError, TooManyHits, UnknownName
from .extract import Extractor, LocalExtractor, Trainable
from .features import FeaturePipeline
from .queries import Question
from .sources import Item
from .stages import stage
from .store import ANYWHERE, EmbeddingPlan, Home, LocalPlan, Look, Store
from .types import Effort, Hit, Limits, LocalFeatures, Record, Vectors

OnLearning = Callable[[str, float], None]
"""Told what is learned, and the share that is done, 0 to 1."""


LOCAL = "local"
"""What the candidates of local features are called, beside the embeddings."""
WORDS = "words"
"""What pictures are called that words were found of in what is said of them."""
_ROUNDING = 1e-6
"""Of a fused score, which is from 0 to 1."""


class Engine:
    """What answers for a collection under one recipe. Safe to use from several threads."""

    def __init__(
        self,
        home: Home,
        named: recipes.Recipe | None,
        device: str,
        limits: Limits,
        *,
        for_records: bool = False,
    ) -> None:
        """`named`: may have other options for its indexes than the recipe that is stored.

        `for_records`: a model that cannot be had is told of when vectors are asked for, not now.
        """
        kept = home.made_with()
        self.recipe = named or recipes.parse(kept.recipe, f"the recipe of {home.address}")
        self.extractors: dict[str, Extractor] = {}
        self._untrained: list[str] = []
        self._without_model: LookalikeError | None = None
        try:
            extractors = extractors_of(self.recipe, device)
            self._untrained = restore(extractors, kept.learned)
            self.local: LocalExtractor = self.recipe.local.make_extractor(device)
            plans = plans_for(self.recipe, extractors)
            votes = self.recipe.local.use.matching == "votes"
            local = LocalPlan(self.local.fingerprint, votes)
            self.store: Store = home.open(plans, local)
            self.extractors = extractors
        except LookalikeError as error:
            if not for_records:
                raise
            self._without_model = error
            self.store = home.open([])
        self._dims = {name: each.dim for name, each in self.extractors.items()}
        self._distances = {
            each.name: distance_named(each.distance) for each in self.recipe.embeddings
        }
        self._indexes = {each.name: each.index.name for each in self.recipe.embeddings}
        self._weights = {each.name: each.weight for each in self.recipe.embeddings}
        self._weights[LOCAL] = self.recipe.local.use.weight
        self._weights[WORDS] = 1.0
        self._comparators: dict[recipes.Part, Comparator] = {}
        self._calibrated: tuple[str | None, Calibration | None] | None = None
        self.address = home.address
        self.limits = limits
        self.device = device
        self._starting = threading.Lock()
        self._started: FeaturePipeline | None = None
        self._closed = False

    @property
    def pipeline(self) -> FeaturePipeline:
        """Decoders and networks, started when first needed."""
        with self._starting:
            if self._closed:
                raise CollectionClosed(self.address)
            if self._without_model:
                raise self._without_model
            if self._untrained:  # another process may have learned meanwhile
                self._untrained = restore(self.extractors, self.store.learned())
            if self._started is None:
                local = self.local if self.makes_local_features else None
                self._started = FeaturePipeline(self.extractors, self.limits, local)
            return self._started

    def dims(self, embedding: str | None) -> dict[str, int]:
        """The lengths of the vectors, by embedding: of one, or of all."""
        if self._without_model:
            raise self._without_model
        if embedding is None:
            return self._dims
        if embedding not in self._dims:
            raise UnknownName("embedding", embedding, self._dims)
        return {embedding: self._dims[embedding]}

    def distance(self, embedding: str) -> Distance:
        """By which the vectors of an embedding are compared."""
        return self._distances[embedding]

    def weight(self, embedding: str) -> float:
        """What an embedding counts among those that are fused."""
        return self._weights[embedding]

    @property
    def makes_local_features(self) -> bool:
        """Whether every picture gets local features when it comes."""
        return self.recipe.local.use.stored == "at-ingest"

    def comparators(self, names: str | Sequence[str] | None) -> dict[str, Comparator]:
        """Those of these names in order, with the recipe's options; None: all of the recipe's."""
        of_recipe = {part.name: part for part in self.recipe.comparators}
        if names is None:
            wanted = list(of_recipe.values())
        else:
            named = [names] if isinstance(names, str) else names
            wanted = [of_recipe.get(name) or recipes.comparator(name) for name in named]
        return {part.name: self._comparator(part) for part in wanted}

    def _comparator(self, part: recipes.Part) -> Comparator:
        made = self._comparators.get(part)
        if made is None:
            made = registry.load("comparator", part.name)(part.options)
            self._comparators[part] = made
        return made

    @property
    def calibration(self) -> Calibration | None:
        """What `calibrate` found of those scores that this recipe gives."""
        text = self.store.calibration()
        if self._calibrated is None or self._calibrated[0] != text:
            found = calibration.read(text)
            self._calibrated = text, found and self._still_true(found)
        return self._calibrated[1]

    def keep_calibration(self, found: Calibration) -> None:
        """Have every search of every process go by it; what was found of other scores stays."""
        earlier = self.calibration.scorers if self.calibration else {}
        others = {name: each for name, each in earlier.items() if name not in found.unjudged}
        kept = replace(found, scorers={**others, **found.scorers})
        self.store.keep_calibration(json.dumps(kept.to_json()))

    def made_for(self, scorer: str) -> str:
        """What a score, of an embedding or a comparator, hangs on: models, options, candidates."""
        parts: list[Any] = [self.recipe.local.use, self.recipe.second_look, self.local.fingerprint]
        parts += [(each.name, each.distance, each.pca) for each in self.recipe.embeddings]
        parts += [each.fingerprint for each in self.extractors.values()]
        if scorer not in self.extractors:
            of_recipe = {part.name: part for part in self.recipe.comparators}
            parts.append(of_recipe.get(scorer) or recipes.comparator(scorer))
        return hashlib.sha256(repr((scorer, parts)).encode()).hexdigest()[:16]

    def _still_true(self, found: Calibration) -> Calibration | None:
        if self._without_model:
            return None
        known = {*self.extractors, *registry.names("comparator")}
        scorers = {
            name: each
            for name, each in found.scorers.items()
            if name in known and each.made_for == self.made_for(name)
        }
        return replace(found, scorers=scorers) if scorers else None

    def learn(self, found: Callable[[], Iterator[Item]], on_learning: OnLearning | None) -> None:
        """Let what has to learn do so from a sample of what is found; once in a collection."""
        pipeline = self.pipeline
        if self._untrained:
            for name in list(self._untrained):
                fingerprint, content = learned_by(
                    name, self.extractors[name], pipeline, found, on_learning
                )
                kept = self.store.keep_learned(name, fingerprint, content)
                self._untrained = restore(self.extractors, {name: kept}, self._untrained)

    def hits(
        self,
        vectors: Mapping[str, Vectors],
        question: Question,
        page: int | None = None,
        local: Sequence[LocalFeatures] | None = None,
    ) -> list[list[Hit]]:
        """Vectors by embedding, float32 [q, dim] -> the hits of each query, best first.

        `local`: the features of each, where they find candidates too.
        Where several are fused, each one's nearest are looked at as far as the recipe says, or as
        `page` does, which is `k` unless given; not as far as `offset`, so that pages agree.
        """
        for matrix in vectors.values():
            if not math.isfinite(np.vdot(matrix, matrix)):
                raise BadQuery("the query vector holds NaN, infinity or values too large")
        look = ANYWHERE if question.looks_anywhere else self._look(question, vectors)
        upto = None if question.k is None else int(question.k) + int(question.offset)
        if self.recipe.local.use.matching == "none" or question.embedding is not None:
            local = None
        with stage("search"):
            if len(vectors) == 1 and local is None and not question.words:
                ((name, matrix),) = vectors.items()
                hits = self._nearest(name, matrix, upto, look)
            else:
                depth = page or question.k
                if depth is not None:
                    depth = max(int(depth), self.recipe.fusion.candidates)
                hits = self._fused(vectors, local, question.words, depth, upto, look)
        if question.offset:
            hits = [each[question.offset :] for each in hits]
        if look.least is not None:
            hits = [[hit for hit in each if hit.score >= look.least] for each in hits]
        return hits

    def check_number(self, vectors: Mapping[str, Vectors], question: Question, most: int) -> None:
        """`TooManyHits` if all hits are wanted, and they are more of one kind of vectors."""
        if question.k is not None:
            return
        look = ANYWHERE if question.looks_anywhere else self._look(question, vectors)
        if len(vectors) > 1:
            look = replace(look, least=None)  # which is of the fused scores
        if any(self.store.exceeds(most, name, matrix, look) for name, matrix in vectors.items()):
            raise TooManyHits(most)

    def close(self) -> None:
        """End what runs in the background, the decoding processes, and close the files."""
        with self._starting:
            self._closed = True
            if self._started is not None:
                self._started.close()
        self.store.close()

    def _look(self, question: Question, vectors: Mapping[str, Vectors]) -> Look:
        effort, least = question.effort, question.threshold
        if effort is not None:
            for name in vectors:
                self._check(effort, name)
        if question.radius is not None:
            if len(vectors) > 1:
                raise BadQuery("a radius goes with one kind of vectors: name it with embedding")
            at_zero = self._distances[next(iter(vectors))].at_zero
            if question.radius < 0 and at_zero > 0:
                raise BadQuery(f"radius must be 0 or more, not {question.radius:g}")
            least = max(at_zero - question.radius, -math.inf if least is None else least)
        if least is not None:
            least = self._with_room(least, vectors)
        where = filters.parse(question.where) if question.where is not None else None
        return Look(where, effort, least)

    def _with_room(self, least: float, vectors: Mapping[str, Vectors]) -> float:
        """A bound that what misses it by rounding alone keeps to."""
        if len(vectors) != 1:
            return least - _ROUNDING
        ((name, matrix),) = vectors.items()
        return self.store.least(name, least, matrix)

    def _check(self, effort: Effort, embedding: str) -> None:
        """`BadQuery` if the index of this embedding has no such knob."""
        index = self._indexes[embedding]
        knobs = self.store.knobs(embedding)
        for name in ("probes", "ef_search", "refine"):
            if getattr(effort, name) is not None and name not in knobs:
                has = f"it has {', '.join(sorted(knobs))}" if knobs else "it has none"
                raise BadQuery(f"the index {index} has no knob {name}: {has}")

    def _nearest(
        self, embedding: str, vectors: Vectors, upto: int | None, look: Look
    ) -> list[list[Hit]]:
        found = self.store.nearest(embedding, vectors, upto, look)
        at_zero = self._distances[embedding].at_zero
        return [[Hit(record, score, at_zero - score) for record, score in each] for each in found]

    def _fused(
        self,
        vectors: Mapping[str, Vectors],
        local: Sequence[LocalFeatures] | None,
        words: str | None,
        depth: int | None,
        upto: int | None,
        look: Look,
    ) -> list[list[Hit]]:
        each_ones = replace(look, least=None)  # the threshold is of the fused scores
        found = {
            name: self.store.nearest(name, matrix, depth, each_ones)
            for name, matrix in vectors.items()
        }
        if local is not None:
            exactly = self.recipe.local.use.matching == "exhaustive"
            found[LOCAL] = self.store.voted(local, depth, each_ones, exactly=exactly)
        count = len(next(iter(vectors.values()))) if vectors else 1
        if words:
            found[WORDS] = [self.store.mentioned(words, depth, each_ones)] * count
        return [
            self._fused_one(
                {name: matrix[i : i + 1] for name, matrix in vectors.items()},
                {name: each[i] for name, each in found.items()},
                upto,
            )
            for i in range(count)
        ]

    def _fused_one(
        self,
        vectors: Mapping[str, Vectors],
        found: Mapping[str, Sequence[tuple[Record, float]]],
        count: int | None,
    ) -> list[Hit]:
        """The answers of several embeddings to one query, float32 [1, dim] each, as one."""
        records = {record.id: record for each in found.values() for record, _ in each}
        scores = {
            name: {record.id: score for record, score in each} for name, each in found.items()
        }
        if self.recipe.fusion.method == "weighted" and WORDS not in found:
            ids = list(records)
            scores = {name: self.store.scores(name, vectors[name], ids) for name in vectors}
            fused = fusion.weighted(scores, self._weights)
        else:
            fused = fusion.reciprocal_rank(scores, self._weights)
        return [
            Hit(
                records[id],
                fused[id],
                1 - fused[id],
                {name: round(each[id], 6) for name, each in scores.items() if id in each},
            )
            for id in fusion.best(fused, len(fused) if count is None else count)
        ]


def extractors_of(recipe: recipes.Recipe, device: str) -> dict[str, Extractor]:
    """A recipe's extractors by embedding; their weights are loaded when they are first needed."""
    return {each.name: each.make_extractor(device) for each in recipe.embeddings}


def plans_for(recipe: recipes.Recipe, extractors: Mapping[str, Extractor]) -> list[EmbeddingPlan]:
    """What a store is to hold for these extractors of a recipe."""
    return [
        EmbeddingPlan(
            name=each.name,
            dim=extractors[each.name].dim,
            fingerprint=extractors[each.name].fingerprint,
            distance=each.distance,
            index=each.index.name,
            index_options=each.index.options,
            pca=min(each.pca, extractors[each.name].dim),
            elastic=each.elastic,
        )
        for each in recipe.embeddings
    ]


def restore(
    extractors: Mapping[str, Extractor],
    learned: Mapping[str, bytes],
    among: Sequence[str] | None = None,
) -> list[str]:
    """Give extractors what they learned before; the names of those that have yet to learn.

    `among`: the names to look at, all unless given.
    """
    untrained = []
    for name in extractors if among is None else among:
        extractor = extractors[name]
        if isinstance(extractor, Trainable):
            if name in learned:
                extractor.restore(learned[name])
            else:
                untrained.append(name)
    return untrained


def learned_by(
    name: str,
    extractor: Extractor,
    pipeline: FeaturePipeline,
    found: Callable[[], Iterator[Item]],
    on_learning: OnLearning | None,
) -> tuple[str, bytes]:
    """Let an extractor learn from a sample of what is found: its fingerprint, what to keep."""
    assert isinstance(extractor, Trainable)
    tell = on_learning or (lambda _what, _share: None)
    samples, share = [], 0.0

    def telling() -> Iterator[Item]:
        for item in found():
            tell(name, share)  # who is told may stop it
            yield item

    for sample in pipeline.samples(ingest.sampled(telling, extractor.wanted_pictures), extractor):
        samples.append(sample)
        share = 0.5 * len(samples) / extractor.wanted_pictures
        tell(name, share)
    content = extractor.learn(samples, lambda share: tell(name, 0.5 + 0.5 * share))
    return extractor.fingerprint, content

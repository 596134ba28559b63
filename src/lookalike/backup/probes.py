"""What a collection answers to a few of its own pictures: the proof that a restored one is it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import recipe as recipes
from ..distances import distance_named
from ..recipe import Recipe
from ..store import (
    ANYWHERE,
    NO_LOCAL_FEATURES,
    EmbeddingPlan,
    FoundFirst,
    LocalPlan,
    Look,
    Store,
    snapshot,
)
from ..store.embedded import EmbeddedStore
from ..types import Effort, Vectors

FIRST = 10
"""How many of the best answers are compared."""
_PICTURES = 8
_OF_LOCAL = 3
"""Those asked by local features, whose votes take longer."""
_LOCAL = "local"
_SAME = 1e-4
"""Of a score, against the largest: what another processor's rounding may make of it."""
_FARTHEST = Effort(probes="all", ef_search=10_000, refine=1_000)

Answers = list[tuple[str, float]]
"""Ids, and how well each answers: computed from its vector, whatever the index has rounded."""
Asked = dict[str, dict[str, Answers]]
"""By embedding, or `local`; by the id of the picture that is asked with."""


@dataclass(frozen=True, slots=True)
class Probes:
    """A few questions to a collection, and the first ten of each."""

    found: Asked
    """As the collection itself answered."""
    exactly: Asked
    """As comparing every vector does, of those questions where its index found others."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in the archive."""
        return {"found": self.found, "exactly": self.exactly}

    def __len__(self) -> int:
        return sum(map(len, self.found.values()))


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a restored collection answers."""

    farther: int
    """To how many questions it answers as before only if it looks farther than usual."""
    different: str | None
    """The first question, in words, that it does not answer as before even then."""


def read(said: Any) -> Probes:
    """Probes as JSON has them. `ValueError`, `TypeError`, `LookupError` or `AttributeError`."""
    return Probes(_read(said["found"]), _read(said["exactly"]))


def take(folder: Path, first: FoundFirst | None) -> Probes:
    """Ask with some pictures of a catalogue, spread evenly. No model is needed.

    `first`: how the collection that it comes from finds; unless given, its own index does.
    """
    recipe, plans, local = _planned(folder)
    with closing(EmbeddedStore(folder, [] if first else plans, local)) as store:
        ids = {plan.name: _ids(store, plan.name, _PICTURES) for plan in plans}
        exactly = _compared(store, plans, ids)
        found = _asked(store, plans, ids) if first is None else _told(store, plans, first, exactly)
        if local is not NO_LOCAL_FEATURES:
            found[_LOCAL] = _voted(store, recipe, _ids(store, plans[0].name, _OF_LOCAL))
    otherwise = {
        name: {id: hits for id, hits in answers.items() if not _same(found[name][id], hits)}
        for name, answers in exactly.items()
    }
    return Probes(found, otherwise)


def judge(folder: Path, store: Store, said: Probes) -> Verdict:
    """Ask a collection that has been restored from the catalogue in a folder the same again."""
    recipe, plans, local = _planned(folder)
    farther = 0
    for plan in plans:
        ids = list(said.found.get(plan.name, ()))
        right = [each.get(plan.name, {}) for each in (said.found, said.exactly)]
        knobs = store.knobs(plan.name)
        effort = Effort(**{knob: getattr(_FARTHEST, knob) for knob in knobs})
        for look in (ANYWHERE, Look(effort=effort)):
            now = _asked(store, [plan], {plan.name: ids}, look)[plan.name]
            ids = [id for id in ids if not any(id in r and _same(r[id], now[id]) for r in right)]
            farther += len(ids) if look is ANYWHERE else 0
        if ids:
            return Verdict(farther, f"{plan.name} search with picture {ids[0][:12]}")
    # Votes hang on the words that were learned, which come along in a folder's index files alone.
    exactly = recipe.local.use.matching == "exhaustive"
    if local is not NO_LOCAL_FEATURES and (exactly or isinstance(store, EmbeddedStore)):
        answers = said.found.get(_LOCAL, {})
        for id, hits in _voted(store, recipe, list(answers)).items():
            if not _same(answers[id], hits):
                return Verdict(farther, f"local search with picture {id[:12]}")
    return Verdict(farther, None)


def plans_in(folder: Path) -> tuple[list[EmbeddingPlan], LocalPlan]:
    """What the catalogue in a folder holds, as a store is opened to hold it.

    Files elsewhere, that a recipe has its index keep, are left out.
    """
    _, plans, local = _planned(folder)
    return plans, local


def outside(folder: Path) -> str | None:
    """A file that the recipe has its index keep elsewhere, which no backup holds; None if none."""
    named = (getattr(each.index.options, "store_file", "") for each in _recipe(folder).embeddings)
    return next(filter(None, named), None)


def _planned(folder: Path) -> tuple[Recipe, list[EmbeddingPlan], LocalPlan]:
    recipe = _recipe(folder)
    stored = snapshot.embeddings_in(folder)
    plans = []
    for each in recipe.embeddings:
        made = stored[each.name]
        options = each.index.options
        if getattr(options, "store_file", ""):
            options = replace(options, store_file="", overwrite=False)
        plans.append(
            EmbeddingPlan(
                each.name,
                made.dim,
                made.fingerprint,
                each.distance,
                each.index.name,
                options,
                min(each.pca, made.dim),
                each.elastic,
            )
        )
    fingerprint, matching = snapshot.local_fingerprint(folder), recipe.local.use.matching
    ready = matching == "exhaustive" or (matching == "votes" and any(folder.glob("local/*")))
    if not (fingerprint and ready):
        return recipe, plans, NO_LOCAL_FEATURES
    return recipe, plans, LocalPlan(fingerprint, votes=matching == "votes")


def _recipe(folder: Path) -> Recipe:
    return recipes.parse(EmbeddedStore.made_with(folder).recipe, f"the recipe of {folder}")


def _ids(store: EmbeddedStore, embedding: str, count: int) -> list[str]:
    return [record.id for record in store.sample(embedding, count)[0]]


def _asked(
    store: Store,
    plans: Sequence[EmbeddingPlan],
    ids: Mapping[str, Sequence[str]],
    look: Look = ANYWHERE,
) -> Asked:
    """The first ten of each of these pictures, by embedding, as the store's index finds them."""
    asked: Asked = {}
    for plan in plans:
        asked[plan.name] = {}
        for id in ids[plan.name]:
            query = store.vectors(plan.name, id)
            (hits,) = store.nearest(plan.name, query, FIRST, look)
            found = [record.id for record, _ in hits]
            asked[plan.name][id] = _scored(store, plan, query, found)
    return asked


def _told(store: Store, plans: Sequence[EmbeddingPlan], first: FoundFirst, exactly: Asked) -> Asked:
    """The same as `first` tells it; where nothing decides, as it is `exactly`."""
    told: Asked = {}
    for plan in plans:
        told[plan.name] = {}
        for id, answers in exactly[plan.name].items():
            query = store.vectors(plan.name, id)
            found = first(plan, query, FIRST)
            told[plan.name][id] = answers if found is None else _scored(store, plan, query, found)
    return told


def _scored(store: Store, plan: EmbeddingPlan, query: Vectors, ids: Sequence[str]) -> Answers:
    """These hits of a query, float32 [1, dim], in their order, with their scores computed anew."""
    vectors = store.vectors_of(plan.name, ids)
    there = [id for id in ids if id in vectors]
    if not there:
        return []
    matrix = np.concatenate([vectors[id] for id in there])
    return list(zip(there, _scores(plan, query, matrix).tolist(), strict=True))


def _compared(
    store: EmbeddedStore, plans: Sequence[EmbeddingPlan], ids: Mapping[str, Sequence[str]]
) -> Asked:
    """The same by comparing every vector, which are read once, a block at a time."""
    queries = {
        (plan.name, id): store.vectors(plan.name, id) for plan in plans for id in ids[plan.name]
    }
    best: dict[tuple[str, str], Answers] = {each: [] for each in queries}
    for records, vectors in store.blocks([plan.name for plan in plans]):
        for plan in plans:
            for id in ids[plan.name]:
                scores = _scores(plan, queries[plan.name, id], vectors[plan.name])
                order = np.argsort(-scores, kind="stable")[:FIRST].tolist()
                some = [(records[place].id, float(scores[place])) for place in order]
                every = sorted([*best[plan.name, id], *some], key=lambda hit: -hit[1])
                best[plan.name, id] = every[:FIRST]
    return {plan.name: {id: best[plan.name, id] for id in ids[plan.name]} for plan in plans}


def _scores(plan: EmbeddingPlan, query: Vectors, vectors: Vectors) -> Vectors:
    """One query, float32 [1, dim], against vectors as they came, float32 [n, dim]: [n]."""
    distance = distance_named(plan.distance)
    return distance.scores(distance.prepared(query)[0], distance.prepared(vectors))


def _voted(store: Store, recipe: Recipe, ids: Sequence[str]) -> dict[str, Answers]:
    """The first ten of each of these pictures by the recipe's local features."""
    exactly = recipe.local.use.matching == "exhaustive"
    asked: dict[str, Answers] = {}
    for id, features in store.local_features(ids).items():
        (hits,) = store.voted([features], FIRST, exactly=exactly)
        asked[id] = [(record.id, float(score)) for record, score in hits]
    return asked


def _read(said: Any) -> Asked:
    return {
        str(name): {
            str(id): [(str(hit), float(score)) for hit, score in hits]
            for id, hits in answers.items()
        }
        for name, answers in said.items()
    }


def _same(before: Answers, now: Answers) -> bool:
    """Whether they are in the same order, but for those that score the same up to rounding."""
    if len(before) != len(now):
        return False
    if not before:
        return True
    first, second = (np.array([score for _, score in each]) for each in (before, now))
    tolerance = _SAME * max(1.0, float(np.abs(first).max()))
    if not np.allclose(first, second, rtol=0, atol=tolerance):
        return False
    scored = dict(before)
    return all(
        id == other or abs(scored.get(other, before[-1][1]) - score) <= tolerance
        for (id, score), (other, _) in zip(before, now, strict=True)
    )

"""What a collection answers to a few of its own pictures: the proof that a restored one is it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import recipe as recipes
from ..recipe import Recipe
from ..store import NO_LOCAL_FEATURES, EmbeddingPlan, LocalPlan, snapshot
from ..store.embedded import EmbeddedStore
from ..types import Record

FIRST = 10
"""How many of the best answers are compared."""
_PICTURES = 8
_OF_LOCAL = 3
"""Those asked by local features, whose votes take longer."""
_LOCAL = "local"
_SAME = 1e-4
"""Of a score, against the largest: what another processor's rounding may make of it."""

Answers = list[tuple[str, float]]
Asked = dict[str, dict[str, Answers]]
"""By embedding, or `local`; by the id of the picture that is asked with."""


def ask(folder: Path, ids: Mapping[str, Sequence[str]] | None = None) -> Asked:
    """The first ten of some stored pictures, by the vectors and features that are stored of them.

    `ids`: which to ask with; some spread evenly unless given. No model is needed.
    """
    recipe = recipes.parse(EmbeddedStore.made_with(folder).recipe, f"the recipe of {folder}")
    plans, local = _plans(folder, recipe)
    with contextlib.closing(EmbeddedStore(folder, plans, local)) as store:
        asked: Asked = {}
        for plan in plans:
            wanted = _ids(store, plan.name, _PICTURES) if ids is None else ids.get(plan.name, ())
            asked[plan.name] = {id: _nearest(store, plan.name, id) for id in wanted}
        if local is not NO_LOCAL_FEATURES:
            first = plans[0].name
            wanted = _ids(store, first, _OF_LOCAL) if ids is None else ids.get(_LOCAL, ())
            exactly = recipe.local.use.matching == "exhaustive"
            asked[_LOCAL] = {id: _voted(store, id, exactly=exactly) for id in wanted}
        return asked


def compared(before: Asked, now: Asked) -> str | None:
    """The first picture whose answers differ, in words; None if all are the same."""
    for name, answers in before.items():
        for id, hits in answers.items():
            if not _same(hits, now.get(name, {}).get(id, [])):
                return f"{name} search with picture {id[:12]}"
    return None


def read(said: Any) -> Asked:
    """Answers as JSON has them. Raises `ValueError`, `TypeError` or `AttributeError`."""
    return {
        str(name): {
            str(id): [(str(hit), float(score)) for hit, score in hits]
            for id, hits in answers.items()
        }
        for name, answers in said.items()
    }


def outside(folder: Path) -> str | None:
    """A file that the recipe has its index keep elsewhere, which no backup holds; None if none."""
    recipe = recipes.parse(EmbeddedStore.made_with(folder).recipe, f"the recipe of {folder}")
    named = (getattr(each.index.options, "store_file", "") for each in recipe.embeddings)
    return next(filter(None, named), None)


def _plans(folder: Path, recipe: Recipe) -> tuple[list[EmbeddingPlan], LocalPlan]:
    """What is stored, as a store is opened; what is said of files elsewhere is left out."""
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
            )
        )
    fingerprint, matching = snapshot.local_fingerprint(folder), recipe.local.use.matching
    ready = matching == "exhaustive" or (matching == "votes" and any(folder.glob("local/*")))
    if not (fingerprint and ready):
        return plans, NO_LOCAL_FEATURES
    return plans, LocalPlan(fingerprint, votes=matching == "votes")


def _ids(store: EmbeddedStore, embedding: str, count: int) -> list[str]:
    return [record.id for record in store.sample(embedding, count)[0]]


def _nearest(store: EmbeddedStore, embedding: str, id: str) -> Answers:
    (hits,) = store.nearest(embedding, store.vectors(embedding, id), FIRST)
    return _told(hits)


def _voted(store: EmbeddedStore, id: str, *, exactly: bool) -> Answers:
    features = store.local_features([id])
    if id not in features:
        return []
    (hits,) = store.voted([features[id]], FIRST, exactly=exactly)
    return _told(hits)


def _told(hits: Sequence[tuple[Record, float]]) -> Answers:
    return [(record.id, float(score)) for record, score in hits]


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

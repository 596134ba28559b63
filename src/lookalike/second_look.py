"""Comparators look again at the best candidates: scores, evidence, another order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from . import fusion
from .compare import Comparator, Comparison
from .engine import Engine
from .queries import Question
from .stages import stage
from .subjects import Original, Subjects, stored
from .types import Hit

_FIRST_LOOK = "first look"


class SecondLook:
    """What a question wants to be compared, and how that orders its hits."""

    def __init__(self, engine: Engine, question: Question, original: Original) -> None:
        self._engine = engine
        self._original = original
        self._comparators = engine.comparators(question.compare)
        self._order = question.order or engine.recipe.second_look.order
        self.candidates = engine.recipe.second_look.candidates if self._comparators else 0
        """How many hits are compared, the best first; 0 where nothing is."""
        self.names = list(self._comparators)
        """Of the comparators, in order."""

    def at(self, hits: Sequence[Hit], query: Subjects) -> list[Hit]:
        """The hits with what the comparators say of them, in the new order.

        `query`: one. Hits past the candidates follow as they came.
        """
        head, tail = hits[: self.candidates], hits[self.candidates :]
        if not head:
            return list(hits)
        candidates = stored(self._engine, [hit.record for hit in head], self._original)
        with stage("compare"):
            found = {
                name: comparator.compare(query[0], list(candidates))
                for name, comparator in self._comparators.items()
            }
        compared = [
            _with(hit, {name: each[i] for name, each in found.items()})
            for i, hit in enumerate(head)
        ]
        ordered = self._fused if self._order == "fused" else self._by_the_last
        return [*ordered(compared), *tail]

    def _by_the_last(self, hits: Sequence[Hit]) -> list[Hit]:
        name, comparator = list(self._comparators.items())[-1]
        return sorted(hits, key=lambda hit: _rank(hit.scores[name], comparator))

    def _fused(self, hits: Sequence[Hit]) -> list[Hit]:
        """By reciprocal rank of the first look and of each comparator, all with equal weight."""
        ranked: dict[str, Mapping[str, float]] = {
            _FIRST_LOOK: {hit.id: -place for place, hit in enumerate(hits)}
        }
        for name, comparator in self._comparators.items():
            ranks = {
                hit.id: _rank(hit.scores[name], comparator)
                for hit in hits
                if hit.scores[name] is not None
            }
            ranked[name] = {id: -rank for id, rank in sorted(ranks.items(), key=lambda it: it[1])}
        fused = fusion.reciprocal_rank(ranked, dict.fromkeys(ranked, 1.0))
        return sorted(hits, key=lambda hit: -fused[hit.id])


def _with(hit: Hit, said: Mapping[str, Comparison]) -> Hit:
    scores = {
        name: None if each.score is None else round(each.score, 6) for name, each in said.items()
    }
    return hit._replace(
        scores={**hit.scores, **scores},
        unavailable={name: each.unavailable for name, each in said.items() if each.unavailable},
        evidence=next((each.evidence for each in said.values() if each.evidence), hit.evidence),
    )


def _rank(score: float | None, comparator: Comparator) -> float:
    """Lower is better; what could not be compared comes last."""
    if score is None:
        return math.inf
    return -score if comparator.higher_is_better else score

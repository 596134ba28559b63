"""What a score means in one collection: the probability of a copy, and where to draw the line.

A score's scale depends on the model and on the pictures: a cosine of 0.9 is a copy among
photographs and chance among drawings. `calibrate` measures scores of pairs that are copies and of
pairs that are not; here are the curve that is fitted to them and what is kept of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
"""float64 [n], each in its scorer's own scale."""

ENOUGH = 3
"""False positives that the wanted rate must allow, so that the true one is below three times it."""
_STEPS = 100
_SMALLEST_STEP = 1e-10


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """A score -> the probability of a copy, 0 to 1; rises (or falls) all along its scale.

    1 / (1 + exp(-(`slope` g(score) + `offset`))), where g is the score itself or, where
    `logarithmic`, log(1 + score), as counts that run into hundreds need it. Finite everywhere.
    """

    slope: float
    offset: float
    logarithmic: bool

    def __call__(self, score: float) -> float:
        """Of one score."""
        (probability,) = self.of(np.array([score], np.float64)).tolist()
        return float(probability)

    def between(self, low: float, high: float) -> float:
        """The middle of two scores, on the scale on which the curve is fitted."""
        middle = float(_scaled(np.array([low, high]), self.logarithmic).mean())
        return min(max(math.expm1(middle) if self.logarithmic else middle, low), high)

    def of(self, scores: Scores) -> npt.NDArray[np.float64]:
        """Of each."""
        exponent = self.slope * _scaled(scores, self.logarithmic) + self.offset
        probability: npt.NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -exponent))
        return probability


def fitted(copies: Scores, others: Scores, *, higher_is_better: bool) -> Sigmoid:
    """The curve that makes these scores most likely, of those that go the right way.

    By Platt ("Probabilistic outputs for support vector machines", 1999), with his targets, which
    are a little off 0 and 1, so that scores that do not overlap still give a finite slope; by
    Newton's method, as in Lin, Lin and Weng ("A note on Platt's probabilistic outputs", 2007).
    Scores that are nowhere negative are also tried by their logarithm, and the likelier is taken.
    Raises `ValueError` where there are none of one kind, or one is not finite.
    """
    if not len(copies) or not len(others):
        raise ValueError("a curve needs scores of copies and of others")
    scores = np.concatenate([copies, others]).astype(np.float64)
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    targets = np.concatenate(
        [
            np.full(len(copies), (len(copies) + 1) / (len(copies) + 2)),
            np.full(len(others), 1 / (len(others) + 2)),
        ]
    )
    scales = (False, True) if scores.min() >= 0 else (False,)
    tried = []
    for logarithmic in scales:
        values = _scaled(scores, logarithmic)
        slope, offset = _logistic(values, targets)
        if (slope < 0) == higher_is_better:  # it says the contrary: better to say nothing
            slope, offset = 0.0, _logit(float(targets.mean()))
        loss = _loss(slope * values + offset, targets)
        tried.append((loss, Sigmoid(slope, offset, logarithmic)))
    return min(tried, key=lambda each: each[0])[1]


def _scaled(scores: Scores, logarithmic: bool) -> Scores:
    return np.log1p(np.maximum(scores, 0.0)) if logarithmic else scores


def _logistic(values: Scores, targets: Scores) -> tuple[float, float]:
    """Slope and offset of the logistic regression of targets, 0 to 1, on values."""
    middle, spread = float(values.mean()), float(values.std())
    if spread <= 1e-12 * max(1.0, abs(middle)):
        return 0.0, _logit(float(targets.mean()))
    rows = np.column_stack([(values - middle) / spread, np.ones(len(values))])
    at = np.array([0.0, _logit(float(targets.mean()))])
    loss = _loss(rows @ at, targets)
    for _ in range(_STEPS):
        probability = np.exp(-np.logaddexp(0.0, -(rows @ at)))
        gradient = rows.T @ (probability - targets)
        weights = probability * (1 - probability)
        hessian = (rows * weights[:, None]).T @ rows + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (new := _loss(rows @ (at - size * step), targets)) > loss and size > _SMALLEST_STEP:
            size /= 2
        at, gained, loss = at - size * step, loss - new, min(new, loss)
        if gained <= 1e-12 * max(1.0, loss):
            break
    slope = float(at[0]) / spread
    return slope, float(at[1]) - slope * middle


def _loss(exponents: Scores, targets: Scores) -> float:
    """Minus the logarithm of the likelihood."""
    return float((np.logaddexp(0.0, exponents) - targets * exponents).sum())


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


class Counted(NamedTuple):
    """How many copies were asked with, and how many of them a threshold lets through."""

    asked: int
    found: int


@dataclass(frozen=True, slots=True)
class Scorer:
    """What was measured of one score, a comparator's or that of an embedding's vectors."""

    made_for: str
    """By which model and options; a score of others means something else."""
    higher_is_better: bool
    sigmoid: Sigmoid
    threshold: float
    """Hits of this score and better pass: in the middle of where neither kind was seen."""
    false_positives: float
    """Share of the queries without a copy for which a hit passes, 0 to 1."""
    bounds: tuple[float, float]
    """Where that share lies for other such queries, with 95% confidence (Clopper, Pearson 1934)."""
    non_matches: int
    """How many queries without a copy there were."""
    recall: float
    """Share of the copies that pass, 0 to 1."""
    auc: float
    """How often a copy has a better score than what is none, 0 to 1."""
    edits: Mapping[str, Counted]
    """By edit; `pairs` for those that a user has judged."""

    def passes(self, score: float) -> bool:
        """Whether this is good enough."""
        return score >= self.threshold if self.higher_is_better else score <= self.threshold

    def to_json(self) -> dict[str, Any]:
        """As the catalogue keeps it and `lookalike calibrate --json` prints it."""
        edits = {name: each._asdict() for name, each in self.edits.items()}
        return {
            "made_for": self.made_for,
            "higher_is_better": self.higher_is_better,
            "sigmoid": asdict(self.sigmoid),
            "threshold": self.threshold,
            "false_positives": self.false_positives,
            "bounds": list(self.bounds),
            "non_matches": self.non_matches,
            "recall": self.recall,
            "auc": self.auc,
            "edits": edits,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Scorer:
        """What `to_json` made; `KeyError`, `TypeError` or `ValueError` for anything else."""
        low, high = said["bounds"]
        return cls(
            str(said["made_for"]),
            bool(said["higher_is_better"]),
            Sigmoid(**said["sigmoid"]),
            float(said["threshold"]),
            float(said["false_positives"]),
            (float(low), float(high)),
            int(said["non_matches"]),
            float(said["recall"]),
            float(said["auc"]),
            {name: Counted(**each) for name, each in said["edits"].items()},
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `calibrate` found in one collection."""

    wanted: float
    """The share of queries without a copy that may get a hit, 0 to 1."""
    sample: int
    """How many pictures were asked with, edited."""
    seed: int
    measured: float
    """Seconds since 1970."""
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    """By name: of an embedding, or of a comparator."""
    twins: int = 0
    """Pairs in the collection that were found to be copies of each other, and left out."""
    judged: int = 0
    """Pairs that the user has judged, and that joined in."""
    unreadable: int = 0
    """Pictures that were to be asked with, and could not be read."""
    unjudged: Mapping[str, str] = field(default_factory=dict)
    """Scores that could not be calibrated, by name: why."""

    @property
    def enough(self) -> bool:
        """Whether there were queries enough to tell the wanted rate from three times as much."""
        queries = min((each.non_matches for each in self.scorers.values()), default=0)
        return queries * self.wanted >= ENOUGH - 1e-9

    def to_json(self) -> dict[str, Any]:
        """As the catalogue keeps it and `lookalike stats --json` prints it."""
        return {
            "wanted": self.wanted,
            "sample": self.sample,
            "seed": self.seed,
            "measured": self.measured,
            "scorers": {name: each.to_json() for name, each in self.scorers.items()},
            "twins": self.twins,
            "judged": self.judged,
            "unreadable": self.unreadable,
            "unjudged": dict(self.unjudged),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Calibration:
        """What `to_json` made; `KeyError`, `TypeError` or `ValueError` for anything else."""
        return cls(
            float(said["wanted"]),
            int(said["sample"]),
            int(said["seed"]),
            float(said["measured"]),
            {name: Scorer.from_json(each) for name, each in said["scorers"].items()},
            int(said["twins"]),
            int(said["judged"]),
            int(said["unreadable"]),
            dict(said["unjudged"]),
        )


def read(text: str | None) -> Calibration | None:
    """What a catalogue keeps; None where it keeps none, or something that is not ours."""
    if text is None:
        return None
    try:
        return Calibration.from_json(json.loads(text))
    except (KeyError, TypeError, ValueError):
        return None

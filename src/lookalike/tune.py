"""Find the least effort of an index that reaches a wanted recall, and have searches use it.

Some of a collection's own vectors are the queries; what they should find is known from exact
search. Each finds itself at once, so it is left out: one more than `k` is asked for, and the `k`
best others are counted. Pictures from elsewhere may be a little harder to answer than these.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from . import registry
from .collection import Collection
from .errors import BadQuery, UnknownName
from .types import Effort, Trial, Tuning

OnTrial = Callable[[str, Trial], None]
"""Told of an embedding what has just been tried."""

_MOST_EF_SEARCH = 4_096
_MOST_PROBES = 65_536
_REFINES = (4, 10, 30, 100, 300)
_GAIN = 0.0005
"""Recall that more probes must bring, else it is the codes that keep the rest from being found."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was tried of one embedding's index, and what was chosen."""

    embedding: str
    tuning: Tuning
    trials: tuple[Trial, ...]
    """By rising effort."""

    @property
    def advice(self) -> str | None:
        """What would help, where no effort reaches the recall."""
        if self.tuning.reached:
            return None
        return (
            f"{self.embedding}: no effort reaches recall {self.tuning.wanted:g}, the best, "
            f"{self.tuning.chosen.recall:.4f}, is used. {_REMEDIES[_family(self.tuning.structure)]}"
        )

    def to_json(self) -> dict[str, Any]:
        """As `lookalike tune --json` prints it."""
        return {
            **self.tuning.to_json(),
            "reached": self.tuning.reached,
            "advice": self.advice,
            "trials": [trial.to_json() for trial in self.trials],
        }


def tune(
    collection: Collection,
    *,
    recall: float = 0.99,
    k: int = 10,
    sample: int = 500,
    embedding: str | None = None,
    on_trial: OnTrial | None = None,
) -> list[Tuned]:
    """Choose for each embedding, or for one, the fastest effort that has at least this recall@`k`.

    Measured with `sample` stored vectors, evenly spread. What is chosen is kept in the collection:
    every search that says no effort uses it, until the index is of another kind or has other
    options. Where nothing reaches the recall the best is chosen, and `Tuned.advice` says what
    would help. `BadQuery` if a number makes no sense, or there are not two pictures.
    """
    _check(recall, k, sample)
    names = [each.name for each in collection.recipe.embeddings]
    if embedding is not None and embedding not in names:
        raise UnknownName("embedding", embedding, names)
    if len(collection) < 2:
        raise BadQuery(
            f"{collection.address} has {len(collection)} pictures, tuning needs 2 or more: "
            "fill it with `lookalike index DIR`"
        )
    collection.settle()
    chosen = names if embedding is None else [embedding]
    return [_tuned(collection, name, recall, k, sample, on_trial) for name in chosen]


def _check(recall: float, k: int, sample: int) -> None:
    if not 0 < recall <= 1:  # which NaN is not either
        raise BadQuery(f"recall must be above 0 and at most 1, not {recall}")
    if k < 1 or sample < 1:
        raise BadQuery(f"k and sample must be 1 or more, not {k} and {sample}")


def _tuned(
    collection: Collection,
    name: str,
    recall: float,
    k: int,
    sample: int,
    on_trial: OnTrial | None,
) -> Tuned:
    store = collection.store
    queries = store.sampled(name, sample, k)
    about = store.stats()["embeddings"][name]

    def tried(effort: Effort) -> Trial:
        trial = store.tried(name, queries, effort)
        if on_trial is not None:
            on_trial(name, trial)
        return trial

    trials: list[Trial] = []
    for climb in _climbs(about["structure"], min(k, about["vectors"])):
        fastest = _fastest(trials, recall)
        if fastest is None or not climb.last_resort:
            trials += _climbed(climb, tried, recall, fastest)
    best = _fastest(trials, recall) or max(trials, key=lambda each: (each.recall, -each.median_ms))
    tuning = Tuning(
        structure=about["structure"],
        vectors=about["vectors"],
        wanted=recall,
        k=k,
        sample=len(queries.queries),
        measured=time.time(),
        chosen=best,
    )
    store.keep_tuning(name, tuning)
    return Tuned(name, tuning, tuple(sorted(trials, key=_by_effort)))


@dataclass(frozen=True, slots=True)
class _Climb:
    """Efforts one above the other, each slower than the one before and finding more."""

    efforts: Iterable[Effort]
    levels_off: bool = False
    """Whether codes may keep it from the top: the next climb looks at more of the vectors."""
    last_resort: bool = False
    """Whether it is for where nothing else reaches the recall."""


def _climbs(structure: str, k: int) -> Iterator[_Climb]:
    """What is worth trying of a kind of structure."""
    family = _family(structure)
    if family == "exact":
        yield _Climb([Effort()])
    elif family == "graph":  # which keeps at least as many candidates as hits are wanted
        rising = _rising(16, max(_MOST_EF_SEARCH, 4 * k))
        yield _Climb(Effort(ef_search=each) for each in rising if each > k)
    elif family == "codes":
        for refine in _REFINES:
            yield _Climb(_with_probes(refine), levels_off=True)
        yield _Climb([Effort(probes="all", refine=_REFINES[-1])], last_resort=True)
    else:
        if structure == "lsh":  # past many buckets it is faster to look at everything
            yield _Climb([Effort(probes="all")])
        yield _Climb(_with_probes(None))
        yield _Climb([Effort(probes="all")], last_resort=True)


def _with_probes(refine: int | None) -> Iterator[Effort]:
    return (Effort(probes=each, refine=refine) for each in _rising(1, _MOST_PROBES))


def _rising(least: int, most: int) -> Iterator[int]:
    """1, 2, 3, 4, 6, 8, 12, 16 …: those of them from `least` to `most`."""
    every = (each for power in itertools.count() for each in (2**power, 3 * 2**power // 2))
    upto = itertools.takewhile(lambda each: each <= most, every)
    return (each for each in itertools.islice(upto, 1, None) if each >= least)


def _climbed(
    climb: _Climb, tried: Callable[[Effort], Trial], recall: float, fastest: Trial | None
) -> list[Trial]:
    """Trials up to where more effort cannot be the answer any more.

    That is past the first that is slower than the fastest with the wanted `recall`, as by then the
    curve is known; and, of one that levels off, where recall rises no further.
    """
    trials: list[Trial] = []
    for effort in climb.efforts:
        trials.append(tried(effort))
        before, fastest = fastest, _fastest([*trials, *([fastest] if fastest else [])], recall)
        if trials[-1].recall == 1.0 or (before and trials[-1].median_ms > before.median_ms):
            break
        level = len(trials) > 2 and trials[-1].recall < trials[-3].recall + _GAIN
        if climb.levels_off and level:
            break
    return trials


def _fastest(trials: Iterable[Trial], recall: float) -> Trial | None:
    """The fastest of those with this recall."""
    reaching = [each for each in trials if each.recall >= recall]
    return min(reaching, key=lambda each: each.median_ms) if reaching else None


def _by_effort(trial: Trial) -> tuple[float, float]:
    effort = trial.effort
    probes = float("inf") if effort.probes == "all" else effort.probes or 0
    return effort.refine or 0, effort.ef_search or probes


_Family = Literal["exact", "graph", "lists", "codes"]

_REMEDIES: dict[_Family, str] = {
    "exact": "Exact search finds all: run this again, something has changed meanwhile.",
    "graph": "Give the index of its recipe a larger m or ef_construction, or another kind (ivf "
    "reaches any recall), and run `lookalike reindex --recipe`.",
    "lists": "Looking at all finds all: run this again, something has changed meanwhile.",
    "codes": "Give the index of its recipe another kind that keeps more of each vector (ivfsq "
    "after ivfpq after rabitq; hnsw or ivf keep it whole), and run `lookalike reindex --recipe`.",
}


def _family(structure: str) -> _Family:
    """What a kind of structure can be told by."""
    seam: registry.Seam = "index" if structure in registry.names("index") else "elastic"
    knobs = registry.load(seam, structure).knobs
    if "ef_search" in knobs:
        return "graph"
    if "refine" in knobs:
        return "codes"
    return "lists" if "probes" in knobs else "exact"

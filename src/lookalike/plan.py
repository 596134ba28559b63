"""Before anything is started: which index, what a picture takes, how well and fast it will find.

Bytes are formulas of the structures and of SQLite's file format (`store.sizes`), recall and
latency come from a table that was measured (`forecast`), ingest from a trial on this machine.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from . import forecast, registry, trial
from .engine import extractors_of, plans_for
from .forecast import Way
from .machine import memory_bytes
from .recipe import Recipe
from .store import EmbeddingPlan, sizes

THUMBNAIL = 28_000
"""Bytes of one of 384 pixels, as the page asks for: the mean of ten photographs of scikit-image's
wheel. (84 of Caltech-101, whose originals have 300 pixels, took 15,000.)"""
_PROGRAM = 165_000_000
"""Resident bytes of a process that has searched with a picture by the default recipe, and of its
decoding process; each network of torch takes about a gigabyte more."""
CHECKING = 34_000_000
"""Bytes that were resident beyond the index of 100,000 vectors after it had been opened: two of the
blocks of 16 MiB in which its file's checksums are compared."""
_SHARE = 0.5
"""Of this machine's memory that a plan may take, unless said otherwise."""
_UNNOTICED = 2e-3
"""Seconds of a search under which nobody notices a difference: there the plainer is preferred."""
_PLAIN = ("flat", "hnsw")
"""The kinds that compare vectors as they are, the plainest first; `auto` prefers them, too."""
_STORED_SECONDS = 110e-6
"""For a picture's rows and vector in SQLite: 9,000 a second were added as ready vectors."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for."""

    pictures: int
    memory: int | None = None
    """Bytes of everything that is in memory; half of this machine's where None."""
    latency: float | None = None
    """Seconds of a search by a picture that is stored, or a ready vector."""
    recall: float = 0.95
    """The least recall@10 against exact search, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The index of one embedding, and what it takes."""

    embedding: str
    dim: int
    """Values of a stored vector."""
    way: Way
    disk: int
    """Bytes of the index's file."""
    memory: int
    """Of it, what has to be in memory."""
    filling: int
    """Bytes of memory that additions may take beside, before the index takes them in."""

    cold: float
    """Share of what searches read a few vectors of on disk, that no memory is left for."""

    @property
    def seconds(self) -> float:
        """Of a search by a ready vector."""
        return self.way.seconds + self.cold * self.way.reads * forecast.READ_SECONDS

    @property
    def fragment(self) -> str:
        """For a recipe: TOML."""
        knobs = "".join(f"{name} = {value}\n" for name, value in self.way.knobs.items())
        return f'[embeddings.{self.embedding}.index]\nname = "{self.way.index}"\n{knobs}'


@dataclass(frozen=True, slots=True)
class Scheme:
    """A choice for each embedding."""

    choices: tuple[Choice, ...]

    @property
    def memory(self) -> int:
        """Bytes while searching."""
        return _PROGRAM + CHECKING + sum(each.memory for each in self.choices)

    @property
    def memory_filling(self) -> int:
        """Bytes while pictures are taken in."""
        return self.memory + sum(each.filling for each in self.choices)

    @property
    def seconds(self) -> float:
        """Of a search by ready vectors."""
        return sum(each.seconds for each in self.choices)

    @property
    def recall(self) -> float:
        """Of the worst embedding."""
        return min(each.way.recall for each in self.choices)

    @property
    def fragment(self) -> str:
        """For a recipe: TOML."""
        return "\n".join(each.fragment for each in self.choices)

    def to_json(self) -> dict[str, Any]:
        """As `lookalike plan --json` has it."""
        return {
            "embeddings": {
                each.embedding: {
                    "index": each.way.index,
                    "knobs": each.way.knobs,
                    "dim": each.dim,
                    "index_bytes": each.disk,
                    "memory_bytes": each.memory,
                }
                for each in self.choices
            },
            "recipe_fragment": self.fragment,
            "memory_bytes": self.memory,
            "memory_bytes_filling": self.memory_filling,
            "recall_at_10": round(self.recall, 4),
            "latency_seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class PictureBytes:
    """What one picture takes on disk, beside the original, which stays where it is."""

    record: float
    vectors: float
    index: float
    local_features: float
    """0: no recipe stores any yet."""
    thumbnail: float
    """Once it has been looked at."""

    @property
    def stored(self) -> float:
        """What is there from the first, without thumbnails."""
        return self.record + self.vectors + self.index + self.local_features

    @property
    def total(self) -> float:
        """All of it, once every picture has been looked at."""
        return self.stored + self.thumbnail


@dataclass(frozen=True, slots=True)
class Plan:
    """What fits a wish, or what would."""

    wish: Wish
    recipe: str
    scheme: Scheme | None
    """None: nothing fits."""
    instead: dict[str, Scheme]
    """Where nothing fits: what would, by the wish that has to give way."""
    picture: PictureBytes
    trial: trial.Trial | str
    """How fast this machine describes pictures; or why that cannot be tried."""
    ingest_seconds: float | None

    def to_json(self) -> dict[str, Any]:
        """As `lookalike plan --json` prints it."""
        picture = {
            **asdict(self.picture),
            "stored": self.picture.stored,
            "total": self.picture.total,
        }
        tried = self.trial if isinstance(self.trial, str) else None
        rate = self.trial.pictures_per_second if isinstance(self.trial, trial.Trial) else None
        return {
            "recipe": self.recipe,
            "wish": asdict(self.wish),
            "fits": self.scheme is not None,
            "plan": self.scheme.to_json() if self.scheme else None,
            "instead": {name: each.to_json() for name, each in self.instead.items()},
            "bytes_per_picture": {name: round(value, 1) for name, value in picture.items()},
            "disk_bytes": round(self.picture.total * self.wish.pictures),
            "ingest": {
                "pictures_per_second": rate,
                "hours": self.ingest_seconds and self.ingest_seconds / 3600,
                "why_not": tried,
            },
        }


def make(recipe: Recipe, wish: Wish, device: str = "auto") -> Plan:
    """The plan for a collection of this recipe; takes a few seconds for the trials."""
    extractors = extractors_of(recipe, device)
    plans = plans_for(recipe, extractors)
    scan = trial.scan_seconds()
    hits = forecast.K if len(plans) == 1 else recipe.fusion.candidates
    if wish.memory is None:
        wish = replace(wish, memory=int(_SHARE * memory_bytes()))

    def offered(memory: int | None) -> list[list[Choice]]:
        return [list(_choices(each, wish.pictures, memory, scan, hits)) for each in plans]

    scheme = best(offered(wish.memory), wish)
    instead = {} if scheme else dict(_instead(offered, wish))
    shown = scheme or next(iter(instead.values()))
    tried = trial.of_pictures(extractors)
    return Plan(
        wish=wish,
        recipe=recipe.name,
        scheme=scheme,
        instead=instead,
        picture=_picture_bytes(shown, wish.pictures),
        trial=tried,
        ingest_seconds=_ingest_seconds(shown, wish.pictures, tried),
    )


def best(choices: Sequence[Sequence[Choice]], wish: Wish) -> Scheme | None:
    """The fastest that fits; the exact one where that takes no longer than anybody notices.

    `choices`: of each embedding, all that there are.
    """
    fitting = [each for each in _schemes(choices, wish.recall) if _fits(each, wish)]
    return min(fitting, key=_slowness, default=None)


def _fits(scheme: Scheme, wish: Wish) -> bool:
    return (
        (wish.memory is None or scheme.memory_filling <= wish.memory)
        and (wish.latency is None or scheme.seconds <= wish.latency)
        and scheme.recall >= wish.recall
    )


def _slowness(scheme: Scheme) -> tuple[float, int, float]:
    kinds = [each.way.index for each in scheme.choices]
    plainness = max(_PLAIN.index(kind) if kind in _PLAIN else len(_PLAIN) for kind in kinds)
    return max(scheme.seconds, _UNNOTICED), plainness, scheme.seconds


def _schemes(choices: Sequence[Sequence[Choice]], recall: float) -> Iterator[Scheme]:
    """Combinations of what is worth combining."""
    return map(Scheme, itertools.product(*(_worthwhile(each, recall) for each in choices)))


def _worthwhile(choices: Sequence[Choice], recall: float) -> list[Choice]:
    """Of those that reach the recall, the ones that no other beats in both memory and time.

    And the fastest of each plain kind.
    """
    kept: list[Choice] = []
    enough = [each for each in choices if each.way.recall >= recall]
    for each in sorted(enough, key=lambda each: (each.memory + each.filling, each.seconds)):
        plain = each.way.index in _PLAIN and each.way.index not in {k.way.index for k in kept}
        if plain or not kept or each.seconds < min(other.seconds for other in kept):
            kept.append(each)
    return kept


def _instead(
    offered: Callable[[int | None], list[list[Choice]]], wish: Wish
) -> Iterator[tuple[str, Scheme]]:
    """What would fit if one of the wishes gave way, or at last two.

    `offered`: all choices of each embedding for so many bytes of memory.
    """
    found = False
    unbounded = list(_schemes(offered(None), wish.recall))
    fitting = [each for each in unbounded if _fits(each, replace(wish, memory=None))]
    if fitting:
        found = True
        yield "memory", min(fitting, key=lambda scheme: scheme.memory_filling)
    within = offered(wish.memory)
    fitting = [
        each for each in _schemes(within, wish.recall) if _fits(each, replace(wish, latency=None))
    ]
    if fitting:
        found = True
        yield "latency", min(fitting, key=lambda scheme: scheme.seconds)
    levels = sorted({each.way.recall for some in within for each in some}, reverse=True)
    for recall in (level for level in levels if level < wish.recall):
        lower = best(within, replace(wish, recall=recall))
        if lower is not None:
            found = True
            yield "recall", lower
            break
    if not found:
        yield "memory and latency", min(unbounded, key=lambda scheme: scheme.memory_filling)


def _choices(
    plan: EmbeddingPlan, pictures: int, allowed: int | None, scan: float, hits: int
) -> Iterator[Choice]:
    """Every way to index one embedding; `allowed`: bytes of memory, None for any number."""
    dim = min(plan.pca or plan.dim, plan.dim)
    filling = sizes.filling_bytes(plan, pictures)
    for way in forecast.ways(dim, pictures, scan, hits):
        options = registry.load("index", way.index).Options(**way.knobs)
        of_kind = EmbeddingPlan(
            plan.name, plan.dim, plan.fingerprint, plan.distance, way.index, options, plan.pca
        )
        disk, memory = sizes.index_footprint(of_kind, pictures)
        cold = 0.0
        if allowed is not None and way.reads:
            spare = max(0, allowed - _PROGRAM - CHECKING - memory - filling)
            cold = max(0.0, 1 - spare / (disk - memory))
        yield Choice(plan.name, plan.dim, way, disk, memory, filling, cold)


def _picture_bytes(scheme: Scheme, pictures: int) -> PictureBytes:
    return PictureBytes(
        record=sizes.RECORD,
        vectors=sum(sizes.vector_bytes(each.dim) for each in scheme.choices),
        index=sum(each.disk for each in scheme.choices) / pictures,
        local_features=0.0,
        thumbnail=THUMBNAIL,
    )


def _ingest_seconds(scheme: Scheme, pictures: int, tried: trial.Trial | str) -> float | None:
    """To describe and store all, and to build the indexes; None without a rate."""
    if isinstance(tried, str):
        return None
    building = sum(each.way.building for each in scheme.choices) / (os.cpu_count() or 1)
    return pictures * (1 / tried.pictures_per_second + _STORED_SECONDS) + building

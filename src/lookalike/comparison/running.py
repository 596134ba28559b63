"""Each recipe on the same pictures: indexed, evaluated, and dropped before the next."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import math
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from .. import model_list, sources
from .. import recipe as recipes
from ..collection import Collection
from ..copies import layout
from ..errors import (
    BadSource,
    BadTruth,
    LookalikeError,
    MissingPackage,
    NotComparable,
    WeightsMissing,
)
from ..evaluate import truth as truths
from ..evaluate.harness import POOLED, evaluate
from ..evaluate.truth import Truth
from ..ingest import Report
from ..opening import open_collection
from ..places import absolute
from .distilling import decides, result_of
from .judging import against_best, ordered, verdict
from .surroundings import surroundings
from .values import NotRun, RecipeComparison, RecipeResult

OnStep = Callable[[str, int | None, int | None], None]
"""Told what is being done, how much of it is, and of how much; None where nobody knows."""

_RATE = "indexed.json"
"""Beside a kept collection: how fast it was made."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is the same for all recipes."""

    pictures: Path
    truth: Truth
    derived: bool
    """Whether the truth is the folder itself, which has what lies there, readable or not."""
    named: bool
    """Whether the user has named the recipes."""
    keep: Path | None
    false_positives: float
    device: str
    on_step: OnStep | None


def check(names: Sequence[str] | None) -> list[tuple[str, recipes.Recipe]]:
    """The recipes of these names, or all ready ones, under names that differ.

    `UnknownName` or `RecipeError` for one that there is not.
    """
    if names is None:
        return [(each.name, each) for each in recipes.ready()]
    loaded = {name: recipes.load(name) for name in names}
    called = [each.name for each in loaded.values()]
    return [
        (each.name if called.count(each.name) == 1 else given, each)
        for given, each in loaded.items()
    ]


def compare(
    folder: str,
    names: Sequence[str] | None = None,
    *,
    truth: str | None = None,
    queries: str | None = None,
    keep: Path | None = None,
    false_positives: float = 0.01,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> RecipeComparison:
    """Index `folder` with each recipe, ask every query of the truth, and compare.

    `folder` is of pictures, in a folder for each class unless a `truth` is named, or a set that
    `make-copies` has made. `names`: of recipes, all ready ones whose weights are here unless given.
    `keep`: a folder whose collections are used again, and are left there. What cannot run is told
    of in the result. Raises `BadTruth`, `BadSource`, `UnknownName` and `RecipeError` before
    anything is made; `BadTruth` also once the first recipe has shown which pictures there are.
    """
    chosen = check(names)
    where = absolute(folder)
    if not where.is_dir():
        raise BadSource(f"{folder} is not a folder: name one of pictures, or a set of make-copies")
    pictures, said = _truth_of(where, truth, queries)
    derived, named = truth is None, names is not None
    run = _Run(_Asked(pictures, said, derived, named, keep, false_positives, device, on_step))
    started, clock = datetime.now(UTC).astimezone(), time.monotonic()
    for name, each in chosen:
        run.one(name, each, absent=_absent(each) if names is None else None)
    results = ordered(run.results)
    pooled = run.measure in POOLED
    against = against_best(results, pooled=pooled)
    return RecipeComparison(
        where,
        run.truth.path,
        run.truth.layout,
        run.setup,
        run.measure,
        pooled,
        false_positives,
        run.pictures,
        tuple(results),
        against,
        tuple(run.not_run),
        verdict(results, against),
        run.notes,
        surroundings(),
        started.isoformat(timespec="seconds"),
        time.monotonic() - clock,
    )


class _Run:
    """What has been found out so far."""

    def __init__(self, asked: _Asked) -> None:
        self.truth = asked.truth
        self.results: list[RecipeResult] = []
        self.not_run: list[NotRun] = []
        self.notes: tuple[str, ...] = ()
        self.measure, self.pictures = asked.truth.protocol.measures[0], 0
        self.setup = asked.truth.protocol.setups[0]
        self._asked = asked
        self._files = sources.count([str(asked.pictures)])

    def one(self, name: str, recipe: recipes.Recipe, absent: str | None) -> None:
        """Another result, or another reason why there is none. `absent`: one known beforehand."""
        if absent is not None:
            self.not_run.append(NotRun(name, absent, asked_for=False))
            return
        try:
            with self._place(recipe) as place:
                self.results.append(self._result(name, recipe, place))
        except (LookalikeError, OSError, RuntimeError) as error:
            if isinstance(error, BadTruth) and not self.results:
                raise  # it would be the same with every other
            expected = not isinstance(error, MissingPackage | WeightsMissing)
            asked_for = self._asked.named or expected
            self.not_run.append(NotRun(name, str(error), asked_for=asked_for))
        gc.collect()  # a network that nobody holds any more must be gone before the next is loaded

    def _result(self, name: str, recipe: recipes.Recipe, place: Path) -> RecipeResult:
        self._tell(f"{name}: opening", 0, self._files)
        with open_collection(
            place / "collection", recipe=recipe, device=self._asked.device
        ) as made:
            rate = self._indexed(name, made, place / _RATE)
            if self._asked.derived and not self.results:
                self.truth = _without_unreadable(self.truth, made)
            resolved = truths.against(self.truth, made)
            evaluation = evaluate(made, resolved, on_query=partial(self._tell, f"{name}: asking"))
            result = result_of(name, made, evaluation, rate, self._asked.false_positives)
        if not self.results:
            judgement, self.measure = decides(evaluation)
            self.setup, self.pictures = judgement.setup, evaluation.pictures
            self.notes = resolved.notes
        else:
            _check_comparable(result, self.results[0])
        return replace(result, notes=tuple(set(result.notes) - set(self.notes)))

    def _indexed(self, name: str, collection: Collection, kept: Path) -> float:
        """Take in what is new; pictures a second, now or when it was made."""

        def on_progress(report: Report) -> None:
            self._tell(f"{name}: indexing", report.seen, self._files)

        def on_learning(what: str, share: float) -> None:
            self._tell(f"{name}: learning {what}", round(100 * share), 100)

        report = collection.add(
            str(self._asked.pictures),
            prune=True,
            on_progress=on_progress,
            on_learning=on_learning,
        )
        if report.pictures_per_second:
            kept.write_text(json.dumps({"pictures_per_second": report.pictures_per_second}))
            return report.pictures_per_second
        with contextlib.suppress(OSError, ValueError, KeyError):
            return float(json.loads(kept.read_text("utf-8"))["pictures_per_second"])
        return math.nan

    @contextlib.contextmanager
    def _place(self, recipe: recipes.Recipe) -> Iterator[Path]:
        """The folder of a recipe: one that is kept, or one that is gone afterwards."""
        if self._asked.keep is None:
            with tempfile.TemporaryDirectory(prefix="lookalike-") as name:
                yield Path(name)
            return
        place = self._asked.keep / _folder_name(recipe, self._asked.pictures)
        is_new = not place.exists()
        place.mkdir(parents=True, exist_ok=True)
        try:
            yield place
        except LookalikeError:
            if is_new:  # else the next run would find something that was never whole
                shutil.rmtree(place, ignore_errors=True)
            raise

    def _tell(self, doing: str, done: int | None, total: int | None) -> None:
        if self._asked.on_step is not None:
            self._asked.on_step(doing, done, total)


def _truth_of(folder: Path, truth: str | None, queries: str | None) -> tuple[Path, Truth]:
    """The pictures to index, and what is right."""
    is_set = (folder / layout.TRUTH).is_file() and (folder / layout.COLLECTION).is_dir()
    pictures = folder / layout.COLLECTION if is_set else folder
    usual = folder / layout.TRUTH if is_set else folder
    return pictures, truths.read(truth or usual, queries=queries)


def _absent(recipe: recipes.Recipe) -> str | None:
    """Why a ready recipe that nobody named is not tried: it is not here, or would take too long."""
    if recipe.local.use.matching == "exhaustive":
        return f"it compares every pair of pictures: name it with --recipes {recipe.name}"
    for model in model_list.listed():
        if model.recipe == recipe.name and model.state == "missing":
            return (
                f"the weights of {model.name} are not on this machine ({model.megabytes:,.0f} MB): "
                f"`lookalike models fetch {recipe.name}`"
            )
    return None


def _without_unreadable(truth: Truth, collection: Collection) -> Truth:
    """Without the pictures that could not be stored, which nobody could ask with or find.

    For a truth that is the folder itself: it has them only because they lie there.
    """
    failed = {entry.path for entry in collection.failures()}
    kept = {names: names - failed for names in {query.relevant for query in truth.queries}}
    queries = tuple(
        replace(query, relevant=kept[query.relevant])
        for query in truth.queries
        if query.place not in failed
    )
    lost = len(truth.queries) - len(queries)
    if not lost and all(names == left for names, left in kept.items()):
        return truth
    first = ", ".join(sorted(failed)[:_NAMED])
    more = f" and {len(failed) - _NAMED:,} more" if len(failed) > _NAMED else ""
    text = f"left out, as they cannot be read: {len(failed):,} pictures: {first}{more}"
    return replace(truth, queries=queries, notes=(*truth.notes, text))


def _check_comparable(result: RecipeResult, first: RecipeResult) -> None:
    """`NotComparable` unless both answered the same queries."""
    same = result.queries == first.queries and result.values.shape == first.values.shape
    if not same or (np.isnan(result.values) != np.isnan(first.values)).any():
        raise NotComparable(result.name, first.name)


def _folder_name(recipe: recipes.Recipe, pictures: Path) -> str:
    """Another one for another text or other pictures; readable where the name is."""
    plain = re.sub(r"[^\w.-]+", "-", recipe.name, flags=re.ASCII).strip(".-")[:40]
    digest = hashlib.sha256(f"{recipe.text}\0{pictures}".encode("utf-8", "replace")).hexdigest()
    return f"{plain or 'recipe'}-{digest[:12]}"

"""Find out what a score means in a collection: how likely a copy it is, and where to draw the line.

Some of the collection's own pictures are edited, as `make_copies` does, and asked with. Each should
find its original: those are the copies. With the original left out, the best of what remains is
what a picture without a copy would have found: those are the non-matches. They are asked without
the edit as well, and the better score counts, as pictures that nobody has edited are often more
like others. `asking` has the questions, `fitting` what is made of the scores, `judged` the
pairs that a person has judged, which join in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..calibration import Calibration, Scorer
from ..collection import Collection
from ..errors import BadQuantity, CannotCalibrate, UnknownName
from .asking import Asked, Asker
from .fitting import fitted_scorer
from .judged import JudgedPair, by_ids, kept_pairs, read_pairs, scored_pairs

__all__ = ["JudgedPair", "calibrate", "read_pairs"]

OnQuery = Callable[[int, int], None]
"""Told how many queries have been asked, and how many there are."""
USUAL = ("verified",)
"""The comparators that are calibrated where a recipe has none: `lookalike check` asks them."""
LEAST = 2
"""Pictures."""


def calibrate(
    collection: Collection,
    *,
    false_positives: float = 0.01,
    sample: int = 300,
    compare: Sequence[str] | None = None,
    pairs: str | Path | Sequence[JudgedPair] = (),
    seed: int = 0,
    on_query: OnQuery | None = None,
) -> Calibration:
    """Measure every score of a collection's recipe, and have searches go by it from now on.

    `false_positives`: the share of queries without a copy that may get a hit, 0 to 1;
    `sample`: how many pictures are asked with, each edited in one way, or in several where there
    are fewer pictures; `compare`: the comparators, those of the recipe unless given; `pairs`: that
    are the same picture or are not, or a CSV file of such, beside the judgements that the
    collection keeps. The same `seed` gives the same result. What is found is kept in the
    collection. Raises `CannotCalibrate` if there are too few pictures or none of their files can be
    read, `BadQuantity` if a number makes no sense.
    """
    _check(false_positives, sample)
    names = _comparators(collection, compare)
    given = read_pairs(Path(pairs)) if isinstance(pairs, str | Path) else list(pairs)
    if len(collection) < LEAST:
        raise CannotCalibrate(
            f"{collection.address} holds {len(collection)} pictures, and calibrating needs {LEAST} "
            "or more, hundreds for numbers that mean something: fill it with `lookalike index DIR`"
        )
    collection.settle()
    given = [*kept_pairs(collection), *given]
    with Asker(collection, names, seed, sample, by_ids(collection, given)) as asker:
        asked = list(asker.asked(on_query))
    _check_asked(collection, asked, asker.unreadable)
    judged = scored_pairs(collection, given, names)
    scorers, unjudged = {}, {}
    for name in [*asker.embeddings, *names]:
        found = fitted_scorer(name, collection, asked, judged, false_positives)
        if isinstance(found, Scorer):
            scorers[name] = found
        else:
            unjudged[name] = found
    calibration = Calibration(
        wanted=false_positives,
        sample=len({each.id for each in asked}),
        seed=seed,
        measured=time.time(),
        scorers=scorers,
        twins=len(asker.twins),
        judged=len(judged),
        unreadable=asker.unreadable,
        unjudged=unjudged,
    )
    collection.keep_calibration(calibration)
    return calibration


def _check(false_positives: float, sample: int) -> None:
    if not 0 < false_positives < 1:  # which NaN is not either
        wanted = "above 0 and below 1, such as 0.01"
        raise BadQuantity("--false-positives", f"{false_positives:g}", wanted)
    if sample < 1:
        raise BadQuantity("--sample", str(sample), "1 or more")


def _comparators(collection: Collection, compare: Sequence[str] | None) -> list[str]:
    names = [part.name for part in collection.recipe.comparators] or list(USUAL)
    wanted = names if compare is None else list(dict.fromkeys(compare))
    clash = {each.name for each in collection.recipe.embeddings}.intersection(wanted)
    if clash:
        raise UnknownName("comparator", clash.pop(), [])
    return wanted


def _check_asked(collection: Collection, asked: Sequence[Asked], unreadable: int) -> None:
    if not asked:
        raise CannotCalibrate(
            f"none of the {unreadable} pictures of {collection.address} that were tried can be "
            "read any more: index them again where they are now"
        )

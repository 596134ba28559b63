"""Results of recipes -> who is how much worse than the best, and which to take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from ..evaluate import significance
from ..quantities import written_bytes
from .values import Against, RecipeResult, Verdict

_Cost = Callable[[RecipeResult], float]

_NEAR = 0.01
"""A point, of a measure between 0 and 1: so much quality may be given up for speed or size."""
_SCALES = {"n_s": 4.0}
"""The most of measures that do not end at 1."""
_NOTICED = 1.1
"""A recipe that is faster or smaller by less is not called so: measurements differ as much."""


def ordered(results: Sequence[RecipeResult]) -> list[RecipeResult]:
    """The best first, the faster of equals; those without quality last."""
    return sorted(results, key=lambda each: (_falling(each.quality.value), _rising(each.cost.p50)))


def against_best(results: Sequence[RecipeResult], *, pooled: bool) -> dict[str, Against]:
    """Every result but the first, which is the best, beside it, corrected for their number."""
    if not results:
        return {}
    best, *others = results
    pairs = [_pair(each, best, pooled=pooled) for each in others]
    corrected = significance.holm([pair.p_value for pair in pairs])
    return {
        each.name: Against(pair.difference, *pair.interval, p_value)
        for each, pair, p_value in zip(others, pairs, corrected, strict=True)
    }


def verdict(results: Sequence[RecipeResult], against: Mapping[str, Against]) -> Verdict:
    """Which recipe to take. `results`: the best first."""
    known = [each for each in results if not math.isnan(each.quality.value)]
    if not known:
        text = "No recipe can be advised: no query has a right answer that could be found."
        if not results:
            text = "No recipe can be advised, as none could be run."
        return Verdict(None, None, None, None, text, ())
    best, measure = known[0], next(iter(known[0].measures))
    near = [
        each
        for each in known
        if best.quality.value - each.quality.value <= _point(measure) * (1 + 1e-9)
    ]
    fast = _least(near, best, lambda each: each.cost.p50)
    small = _least(near, best, lambda each: each.cost.bytes_a_picture)
    reasons = (
        _of_best(best, known, against),
        *([_of_fast(fast, best, against, measure)] if len(known) > 1 else []),
        *([_of_small(small, known, best, against, measure)] if len(known) > 1 else []),
    )
    sentence = _sentence(fast, best, small, measure, alone=len(known) == 1)
    return Verdict(fast.name, best.name, fast.name, small.name, sentence, reasons)


def points(measure: str, difference: float) -> str:
    """`1.2 points`: hundredths, of a measure between 0 and 1; of N-S, itself."""
    if measure in _SCALES:
        return f"{abs(difference):.2f}"
    return f"{100 * abs(difference):.1f} points"


def _pair(result: RecipeResult, best: RecipeResult, *, pooled: bool) -> significance.Comparison:
    difference = result.quality.value - best.quality.value
    if pooled:
        count = best.quality.queries
        return significance.compare_pooled(result.values, best.values, difference, count)
    return significance.compare(result.values, best.values)


def _least(near: Sequence[RecipeResult], best: RecipeResult, cost: _Cost) -> RecipeResult:
    """The one that costs least, or the best where that is hardly more."""
    least = min(near, key=lambda each: _rising(cost(each)))
    return least if cost(best) > _NOTICED * cost(least) else best


def _sentence(
    fast: RecipeResult, best: RecipeResult, small: RecipeResult, measure: str, *, alone: bool
) -> str:
    if alone:
        return f"{best.name} is the only one with figures: there is nothing to choose from."
    if fast is not best:
        lost = points(measure, best.quality.value - fast.quality.value)
        times = best.cost.p50 / fast.cost.p50
        return (
            f"Take {fast.name}: within {lost} of the best, {best.name}, "
            f"and {times:.1f} times as fast."
        )
    near = f"within {_near(measure)} of it"
    if small is best:
        return f"Take {best.name}: none is better, and none {near} is faster or smaller."
    return f"Take {best.name}: none is better, and none {near} is faster."


def _of_best(
    best: RecipeResult,
    known: Sequence[RecipeResult],
    against: Mapping[str, Against],
) -> str:
    tied = [each.name for each in known[1:] if not against[each.name].is_worse]
    if not tied:
        others = " All others are significantly worse." if len(known) > 1 else ""
        return f"Best quality: {best.name}, {best.quality.value:.3f}.{others}"
    return (
        f"Best quality: {best.name}, {best.quality.value:.3f}. "
        f"Not significantly worse: {', '.join(tied)}."
    )


def _of_fast(
    fast: RecipeResult, best: RecipeResult, against: Mapping[str, Against], measure: str
) -> str:
    taken = f"{1e3 * fast.cost.p50:.1f} ms a search"
    if fast is best:
        return f"Fastest within {_near(measure)} of it: itself, {taken}."
    return (
        f"Fastest within {_near(measure)} of it: {fast.name}, {taken} "
        f"against {1e3 * best.cost.p50:.1f}{_how_sure(fast, against, measure)}."
    )


def _of_small(
    small: RecipeResult,
    known: Sequence[RecipeResult],
    best: RecipeResult,
    against: Mapping[str, Against],
    measure: str,
) -> str:
    size = f"{written_bytes(round(small.cost.bytes_a_picture))} a picture"
    text = f"Smallest within {_near(measure)} of it: itself, {size}."
    if small is not best:
        sure = _how_sure(small, against, measure)
        text = f"Smallest within {_near(measure)} of it: {small.name}, {size}{sure}."
    least = min(known, key=lambda each: each.cost.bytes_a_picture)
    if small.cost.bytes_a_picture <= _NOTICED * least.cost.bytes_a_picture:
        return text
    lost = points(measure, best.quality.value - least.quality.value)
    size = written_bytes(round(least.cost.bytes_a_picture))
    return f"{text} Smallest of all: {least.name}, {size}, at a loss of {lost}."


def _how_sure(result: RecipeResult, against: Mapping[str, Against], measure: str) -> str:
    lost = points(measure, against[result.name].difference)
    if against[result.name].is_worse:
        return f"; {lost} less, which is significant"
    return f"; {lost} less, which may be chance"


def _near(measure: str) -> str:
    return "0.04" if measure in _SCALES else "1 point"


def _point(measure: str) -> float:
    return _NEAR * _SCALES.get(measure, 1.0)


def _falling(value: float) -> float:
    return math.inf if math.isnan(value) else -value


def _rising(value: float) -> float:
    return math.inf if math.isnan(value) else value

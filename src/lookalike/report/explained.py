"""What the words on the page mean, and what was measured where."""

from __future__ import annotations

from ..comparison import RecipeComparison
from ..quantities import written_time
from ..tables import comparison as told
from ..tables.evaluation import NAMES
from .markup import Markup, element, joined
from .parts import section

_MEANINGS = {
    "mAP": "mean average precision. For each query: at the rank of each right picture, the share "
    "of right ones so far; their mean, what was not found counting 0. Then the mean over queries.",
    "mAP, trapezoid": "the same with straight lines between ranks, as the papers on this data set "
    "count it.",
    "micro-AP": "the average precision of the answers to all queries as one ranking by score: it "
    "asks for scores that mean the same for every query, as one threshold for all does.",
    "N-S, of 4": "how many of the first four hits are right, the mean over queries.",
    "R@P90": "the share of all right pictures that a threshold finds at which "
    "9 of 10 hits are right.",
    "P@10": "the share of the first ten hits that is right; where fewer than ten are right to be "
    "found, it cannot reach 1.",
    "mP@10": "the same, up to the last right hit if that comes earlier.",
}


def explained(comparison: RecipeComparison) -> Markup:
    """Definitions, then the surroundings."""
    return section(
        "How this was measured",
        "Each recipe indexed the same pictures into a collection of its own, was asked every query "
        "and was closed before the next was opened.",
        _list(_definitions(comparison)),
        element("h3", "Where and when"),
        _list(_surroundings(comparison)),
        *([element("h3", "What was odd"), *_notes(comparison)] if _notes(comparison) else []),
    )


def _definitions(comparison: RecipeComparison) -> list[tuple[str, str]]:
    shown = [NAMES.get(each, each) for each in (comparison.measure, comparison.second_measure)]
    if comparison.layout in ("oxford", "roxford", "holidays", "copydays"):
        shown = ["mAP, trapezoid" if each == "mAP" else each for each in shown]
    return [
        *((each, _MEANINGS[each]) for each in shown if each in _MEANINGS),
        (
            "95% of the time",
            "a bootstrap over queries: the middle 95% of what resamples of the same queries give. "
            "Seed 0.",
        ),
        ("beside the best", f"{told.how_tested(comparison)}. Seed 0."),
        ("pictures/s", "read, decoded, described and stored, all cores at work."),
        ("queries/s", "pictures as queries, decoded and described, all cores at work on many."),
        (
            "p50 ms, p99 ms",
            "one search after the other, for ten hits, a picture as query: half of them, and 99 of "
            "100, take no longer. Up to 200 of the queries, after a warm-up.",
        ),
        ("a picture", "what the collection takes on disk (records, vectors, index), by picture."),
    ]


def _surroundings(comparison: RecipeComparison) -> list[tuple[str, str]]:
    return [
        ("pictures", str(comparison.folder)),
        ("ground truth", f"{comparison.truth}, {comparison.layout}"),
        ("begun", f"{comparison.started}, took {written_time(comparison.seconds)}"),
        *comparison.surroundings.items(),
    ]


def _notes(comparison: RecipeComparison) -> list[Markup]:
    """Of all, then of single recipes."""
    every = [element("p", text) for text in comparison.notes]
    for result in comparison.results:
        every += [element("p", f"{result.name}: {text}") for text in result.notes]
    return every


def _list(pairs: list[tuple[str, str]]) -> Markup:
    entries = (joined(element("dt", name), element("dd", text)) for name, text in pairs)
    return element("dl", *entries)

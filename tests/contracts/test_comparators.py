"""What every comparator promises, checked for each line of the registry."""

from __future__ import annotations

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from samples import photographs
from subjects import Gone, Present, Stored, subject

from lookalike import registry
from lookalike.compare import Comparison, Subject
from lookalike.types import Pixels

IDENTICAL = {"basic": 1, "ssim": 1, "histogram": 1, "orb": 0, "phash": 0}
"""What those with a fixed end of their scale say of a picture and itself."""

NEEDS_PIXELS = {"ssim", "histogram", "orb", "phash"}
"""The others do with what is stored."""


@pytest.fixture(params=registry.names("comparator"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def comparator(name: str) -> Any:
    kind = registry.load("comparator", name)
    return kind(kind.Options())


@pytest.fixture(scope="module")
def pictures() -> list[Present]:
    return [Present(picture) for picture in photographs()]


@pytest.fixture(scope="module")
def odd_ones() -> dict[str, Present]:
    return {name: subject(pixels) for name, pixels in odd_pixels().items()}


def odd_pixels() -> dict[str, Pixels]:
    """Shapes and contents at the edge of what a decoder passes on."""
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (1, 300), (300, 1), (2, 3), (6, 6), (7, 7), (20, 4000), (4000, 20), (64, 64)]
    noise = {f"{w}x{h}": rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in shapes}
    plain = {f"plain {value}": np.full((64, 80, 3), value, np.uint8) for value in (0, 127, 255)}
    ramp = np.tile(np.arange(256, dtype=np.uint8), (100, 1))
    stripes = np.tile(np.array([0, 255], np.uint8), (90, 60))
    board = np.kron(np.indices((12, 12)).sum(0) % 2, np.full((10, 10), 255)).astype(np.uint8)
    patterns = {"ramp": ramp, "stripes": stripes, "chessboard": board}
    return {
        **noise,
        **plain,
        "one red pixel": np.array([[[255, 0, 0]]], np.uint8),
        **{name: np.repeat(grey[..., np.newaxis], 3, 2) for name, grey in patterns.items()},
    }


def scores(comparisons: list[Comparison]) -> list[float | None]:
    return [each.score for each in comparisons]


def is_sound(comparison: Comparison) -> bool:
    """Either a finite score or a reason."""
    if comparison.score is None:
        return bool(comparison.unavailable) and comparison.evidence is None
    return math.isfinite(comparison.score) and comparison.unavailable is None


def test_options_are_a_frozen_dataclass_with_defaults(name: str) -> None:
    options = registry.load("comparator", name).Options()
    assert dataclasses.is_dataclass(options)
    with pytest.raises((AttributeError, TypeError)):  # slots refuse an unknown name in either way
        setattr(options, "side", 1)  # noqa: B010
    for field in dataclasses.fields(options):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(options, field.name, None)


def test_a_picture_itself_is_first_among_others(comparator: Any, pictures: list[Present]) -> None:
    for at, query in enumerate(pictures):
        found = [float(each.score) for each in comparator.compare(query, pictures)]
        upwards = found if comparator.higher_is_better else [-each for each in found]
        assert upwards[at] > max(upwards[:at] + upwards[at + 1 :])


def test_a_picture_and_itself_have_the_identical_end_of_the_scale(
    name: str, comparator: Any, pictures: list[Present], odd_ones: dict[str, Present]
) -> None:
    if name not in IDENTICAL:
        pytest.skip(f"{name} counts matches: its scale has no such end")
    for each in [*pictures, *odd_ones.values()]:
        again = subject(each.picture.pixels.copy())
        assert scores(comparator.compare(each, [again])) == [IDENTICAL[name]]


def test_no_candidate_depends_on_the_others_or_their_order(
    comparator: Any, pictures: list[Present]
) -> None:
    together = scores(comparator.compare(pictures[0], pictures))
    assert scores(comparator.compare(pictures[0], pictures[::-1])) == together[::-1]
    alone = [scores(comparator.compare(pictures[0], [each]))[0] for each in pictures]
    assert alone == together
    twice = comparator.compare(pictures[0], [pictures[1], pictures[1]])
    assert scores(twice) == [together[1], together[1]]


def test_no_candidates_give_nothing(comparator: Any, pictures: list[Present]) -> None:
    assert comparator.compare(pictures[0], []) == []
    assert comparator.compare(Gone(), []) == []


def test_one_missing_candidate_says_so_and_loses_no_other(
    comparator: Any, pictures: list[Present]
) -> None:
    expected = scores(comparator.compare(pictures[0], pictures))
    for at in (0, 3, len(pictures)):
        found = comparator.compare(pictures[0], [*pictures[:at], Gone(), *pictures[at:]])
        missing = found.pop(at)
        assert missing.score is None
        assert "/gone.jpg" in missing.unavailable
        assert scores(found) == expected


def test_a_missing_query_is_said_of_every_candidate(
    comparator: Any, pictures: list[Present]
) -> None:
    found = comparator.compare(Gone(), pictures[:3])
    assert scores(found) == [None] * 3
    assert all("/gone.jpg" in each.unavailable for each in found)


def test_stored_features_count_though_the_file_has_gone(
    name: str, comparator: Any, pictures: list[Present]
) -> None:
    stored: list[Subject] = [Stored(each) for each in pictures]
    found = scores(comparator.compare(pictures[0], stored))
    if name in NEEDS_PIXELS:
        assert found == [None] * len(stored)
    else:
        assert found == scores(comparator.compare(pictures[0], pictures))


def test_odd_pictures_get_a_finite_score_or_a_reason(
    comparator: Any, pictures: list[Present], odd_ones: dict[str, Present]
) -> None:
    every = [*odd_ones.values(), *pictures[:1]]
    for query in every:
        before = query.picture.pixels.copy()
        found = comparator.compare(query, every)
        assert len(found) == len(every)
        assert all(is_sound(each) for each in found)
        np.testing.assert_array_equal(query.picture.pixels, before)


def test_eight_threads_get_what_one_gets(comparator: Any, pictures: list[Present]) -> None:
    expected = scores(comparator.compare(pictures[1], pictures))
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(comparator.compare, pictures[1], pictures) for _ in range(8)]
        assert all(scores(call.result()) == expected for call in calls)

"""Maps that are known are found again, through noise and false matches; chance is not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lookalike.compare.geometry import located, region, unmirrored
from lookalike.compare.matching import Matches, mirrored_places
from lookalike.types import Evidence, LocalFeatures

SIZE = (480, 360)
Array = npt.NDArray[np.float64]


def similarity(scale: float, degrees: float, x: float, y: float) -> Array:
    angle = np.radians(degrees)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1]])


MAPS = {
    "itself": np.eye(3),
    "a quarter turn": similarity(1, 90, 360, 0),
    "upside down": similarity(1, 180, 480, 360),
    "small, elsewhere": similarity(0.3, 0, 200, 150),
    "a part, enlarged": similarity(2.5, 10, -300, -200),
    "sheared": np.array([[1, 0.2, 5], [0.1, 0.8, 9], [0, 0, 1]]),
    "from one side": np.array([[0.9, 0.05, 10], [0.02, 0.8, 20], [4e-4, 1e-4, 1]]),
}


def mapped(by: Array, xy: Array) -> Array:
    there = np.column_stack([xy, np.ones(len(xy))]) @ by.T
    return np.asarray(there[:, :2] / there[:, 2:])


def features(xy: Array, scale: Array, angle: Array) -> LocalFeatures:
    return LocalFeatures(
        xy.astype(np.float32),
        scale.astype(np.float32),
        (np.degrees(angle) % 360).astype(np.float32),
        np.zeros((len(xy), 128), np.float32),
    )


def scene(
    rng: np.random.Generator, by: Array, true: int, false: int, noise: float = 0.5
) -> tuple[LocalFeatures, LocalFeatures, Matches]:
    """Keypoints that the map moves, grows and turns, and after them some that belong nowhere."""
    count = true + false
    xy, scale = rng.uniform((0, 0), SIZE, (count, 2)), rng.uniform(3, 20, count)
    angle = rng.uniform(0, 2 * np.pi, count)
    there = mapped(by, xy)
    step = 0.01 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    across = 0.01 * np.stack([-np.sin(angle), np.cos(angle)], axis=1)
    ahead, aside = mapped(by, xy + step) - there, mapped(by, xy + across) - there
    growth = np.sqrt(np.abs(ahead[:, 0] * aside[:, 1] - ahead[:, 1] * aside[:, 0])) / 0.01
    turned = np.arctan2(ahead[:, 1], ahead[:, 0]) + rng.normal(0, 0.05, count)
    there += rng.normal(0, noise, (count, 2)) * np.maximum(growth, 1)[:, None]
    size = scale * growth * np.exp(rng.normal(0, 0.1, count))
    there[true:] = rng.uniform((0, 0), SIZE, (false, 2))
    size[true:], turned[true:] = rng.uniform(3, 20, false), rng.uniform(0, 2 * np.pi, false)
    lines, ones = np.arange(count), np.ones(count, np.float32)
    return (
        features(xy, scale, angle),
        features(there, size, turned),
        Matches(lines, lines, 0.5 * ones, ones),
    )


def find(query: LocalFeatures, candidate: LocalFeatures, matches: Matches) -> Evidence | None:
    return located(query, SIZE, candidate, SIZE, matches)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize(("true", "false"), [(200, 0), (100, 100), (30, 60)])
def test_a_known_map_is_found(name: str, true: int, false: int) -> None:
    query, candidate, matches = scene(np.random.default_rng(true), MAPS[name], true, false)
    found = find(query, candidate, matches)
    assert found is not None
    assert found.matches == true + false
    assert found.homography is not None
    kept = {tuple(xy) for xy in found.query_xy.tolist()}
    right = {tuple(xy) for xy in query.xy[:true].tolist()}
    assert len(kept & right) >= 0.9 * true
    assert len(kept - right) <= 0.1 * true
    assert found.region is not None
    corners = np.array([(0, 0), (480, 0), (480, 360), (0, 360)], float) - 0.5
    expected = mapped(MAPS[name], corners)
    longest = float(np.linalg.norm(np.ptp(expected, axis=0)))
    np.testing.assert_allclose(found.region, expected, atol=0.05 * longest)


@pytest.mark.parametrize("name", ["itself", "a quarter turn", "small, elsewhere"])
@pytest.mark.parametrize("true", [5, 8])
def test_few_matches_are_enough_where_scale_and_direction_agree(name: str, true: int) -> None:
    query, candidate, matches = scene(np.random.default_rng(true), MAPS[name], true, 20)
    found = find(query, candidate, matches)
    assert found is not None
    assert (
        len(
            {tuple(xy) for xy in found.query_xy.tolist()}
            & set(map(tuple, query.xy[:true].tolist()))
        )
        >= 4
    )


def test_chance_agrees_on_nothing() -> None:
    """Of a thousand pairs with 40 false matches each, less than one in a hundred has evidence."""
    rng = np.random.default_rng(5)
    found = [find(*scene(rng, np.eye(3), 0, 40)) for _ in range(1000)]
    inliers = [each.inliers for each in found if each is not None]
    assert len(inliers) < 10
    assert max(inliers, default=0) <= 5


def test_places_that_fit_count_only_with_scale_and_direction() -> None:
    rng = np.random.default_rng(6)
    query, candidate, matches = scene(rng, MAPS["itself"], 40, 0)
    other = features(
        candidate.xy.astype(float), rng.uniform(2, 60, 40), rng.uniform(0, 2 * np.pi, 40)
    )
    assert find(query, candidate, matches) is not None
    against_chance = find(query, other, matches)
    assert against_chance is None or against_chance.inliers < 15


def test_the_same_input_gives_the_same_answer() -> None:
    for name in MAPS:
        inputs = scene(np.random.default_rng(7), MAPS[name], 60, 60)
        one, other = find(*inputs), find(*inputs)
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.homography, other.homography)
        np.testing.assert_array_equal(one.query_xy, other.query_xy)


def test_a_mirror_is_not_found_unless_it_is_asked_for() -> None:
    mirror = np.array([[-1.0, 0, 479], [0, 1, 0], [0, 0, 1]])
    query, candidate, matches = scene(np.random.default_rng(8), mirror, 60, 0)
    straight = find(query, candidate, matches)
    assert straight is None or straight.inliers < 10
    found = find(mirrored_places(query, SIZE[0]), candidate, matches)
    assert found is not None
    turned_back = unmirrored(found, SIZE)
    assert turned_back.mirrored
    assert turned_back.inliers >= 55
    np.testing.assert_allclose(
        turned_back.query_xy, query.xy[: len(turned_back.query_xy)], atol=1e3
    )
    assert turned_back.homography is not None
    there = mapped(turned_back.homography, turned_back.query_xy.astype(float))
    np.testing.assert_allclose(there, turned_back.candidate_xy, atol=4)
    assert turned_back.region is not None
    np.testing.assert_allclose(turned_back.region[0], [479.5, -0.5], atol=3)


@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_all_at_one_place_is_no_evidence(spread: float) -> None:
    rng = np.random.default_rng(9)
    query, candidate, matches = scene(rng, np.eye(3), 40, 0)
    heap = features(
        100 + rng.normal(0, spread, (40, 2)), candidate.scale.astype(float), np.zeros(40)
    )
    for found in (find(query, heap, matches), find(heap, candidate, matches)):
        assert found is None or found.inliers <= 4
    assert find(heap, heap, matches) is None


def test_pictures_of_any_size_are_judged_alike() -> None:
    """A photograph of 48 megapixels has the same tolerance, in parts of its side."""
    query, candidate, matches = scene(np.random.default_rng(10), MAPS["sheared"], 60, 40)
    small = find(query, candidate, matches)
    large = features(
        20 * candidate.xy.astype(float),
        20 * candidate.scale.astype(float),
        np.radians(candidate.angle.astype(float)),
    )
    found = located(query, SIZE, large, (9600, 7200), matches)
    assert found is not None
    assert small is not None
    assert abs(found.inliers - small.inliers) <= 1
    assert found.region is not None
    assert small.region is not None
    np.testing.assert_allclose(found.region, 20 * small.region, atol=20)


def test_places_alone_are_enough_for_patches() -> None:
    """They have all one size and no direction."""
    rng = np.random.default_rng(11)
    query, candidate, matches = scene(rng, similarity(1, 0, 20, 10), 50, 30)
    alike = [
        features(each.xy.astype(float), np.full(80, 16.0), np.zeros(80))
        for each in (query, candidate)
    ]
    found = find(alike[0], alike[1], matches)
    assert found is not None
    assert 45 <= found.inliers <= 60


def test_a_scene_in_depth_agrees_without_a_plane() -> None:
    """Seen from two places: what is nearer has moved farther, at any of many depths."""
    rng = np.random.default_rng(12)
    query, candidate, matches = scene(rng, np.eye(3), 150, 0, noise=0.2)
    moved = candidate.xy + np.array([1, 0.2]) * rng.uniform(0, 45, (150, 1))
    beside = LocalFeatures(
        moved.astype(np.float32), candidate.scale, candidate.angle, candidate.descriptors
    )
    found = find(query, beside, matches)
    assert found is not None
    assert found.homography is None
    assert found.region is None
    assert found.inliers > 100


def test_a_region_behind_the_horizon_is_none() -> None:
    assert region(np.array([[1, 0, 0], [0, 1, 0], [-1 / 240, 0, 1]], float), SIZE) is None

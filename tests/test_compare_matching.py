"""Matches against brute force and OpenCV; SIFT in a mirror against a flipped picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from samples import photographs

from lookalike.compare.matching import (
    MIRRORED_SIFT,
    Matches,
    mirrored_places,
    mutual,
    mutual_mirrored,
    nearest,
)
from lookalike.extract.local import KeypointExtractor, KeypointOptions
from lookalike.picture import from_pixels
from lookalike.types import LocalFeatures

SIZES = [(500, [500, 321, 1, 0, 2, 499]), (7, [500, 3]), (1, [1, 2]), (0, [5, 0])]


def floats(rng: np.random.Generator, count: int, width: int = 128) -> npt.NDArray[np.float32]:
    values = rng.random((count, width)).astype(np.float32) ** 3
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), np.float32)


def bits(rng: np.random.Generator, count: int, width: int = 32) -> npt.NDArray[np.uint8]:
    return rng.integers(0, 256, (count, width), np.uint8)


def knn(a: Any, b: Any) -> list[list[Any]]:
    """OpenCV's two nearest in `b` of each in `a`, a matcher that looks at every pair."""
    norm = cv2.NORM_HAMMING if a.dtype == np.uint8 else cv2.NORM_L2
    if not (len(a) and len(b)):
        return []
    return [list(two) for two in cv2.BFMatcher(norm).knnMatch(a, b, k=2)]


def pairs(matches: Matches) -> set[tuple[int, int]]:
    return set(zip(matches.query.tolist(), matches.candidate.tolist(), strict=True))


@pytest.mark.parametrize("make", [floats, bits])
@pytest.mark.parametrize(("count", "others"), SIZES)
def test_nearest_is_what_opencv_finds(make: Any, count: int, others: list[int]) -> None:
    rng = np.random.default_rng(count)
    query, candidates = make(rng, count), [make(rng, other) for other in others]
    for found, candidate in zip(nearest(query, candidates), candidates, strict=True):
        expected = knn(query, candidate)
        assert len(found) == len(expected)
        for line, two in enumerate(expected):
            np.testing.assert_allclose(found.distance[line], two[0].distance, atol=2e-3)
            second = two[1].distance if len(two) == 2 else np.inf
            np.testing.assert_allclose(found.second[line], second, atol=2e-3)
            if second - two[0].distance > 1e-3:
                assert found.candidate[line] == two[0].trainIdx


@pytest.mark.parametrize(("count", "others"), SIZES)
def test_mutual_is_what_opencv_cross_checks(count: int, others: list[int]) -> None:
    rng = np.random.default_rng(count)
    query, candidates = floats(rng, count), [floats(rng, other) for other in others]
    matcher = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True)
    for found, candidate in zip(mutual(query, candidates), candidates, strict=True):
        crossed = matcher.match(query, candidate) if count and len(candidate) else []
        assert pairs(found) == {(each.queryIdx, each.trainIdx) for each in crossed}


@pytest.mark.parametrize("make", [floats, bits])
def test_mutual_is_one_to_one_though_features_repeat(make: Any) -> None:
    rng = np.random.default_rng(0)
    query = np.repeat(make(rng, 40), 3, axis=0)
    (found,) = mutual(query, [np.repeat(query[::3], 2, axis=0)])
    assert len(found) == len(set(found.query.tolist())) == len(set(found.candidate.tolist())) == 40
    assert len(found.passing(0.99)) == 0, "a twin is as near"


@pytest.mark.parametrize("width", [61, 32, 3])
def test_bits_are_counted_exactly(width: int) -> None:
    rng = np.random.default_rng(width)
    query, candidate = bits(rng, 90, width), bits(rng, 70, width)
    every = np.unpackbits(query[:, None] ^ candidate[None], axis=2).sum(axis=2)
    (found,) = nearest(query, [candidate])
    two = np.sort(every, axis=1)[:, :2]
    np.testing.assert_array_equal(found.distance, two[:, 0])
    np.testing.assert_array_equal(found.second, two[:, 1])


def test_wide_descriptors_are_matched_like_narrow_ones() -> None:
    """Patches of a network: their products are not made in pieces."""
    rng = np.random.default_rng(1)
    query, candidate = floats(rng, 197, 768), floats(rng, 196, 768)
    products = query.astype(float) @ candidate.T.astype(float)
    best, back = products.argmax(axis=1), products.argmax(axis=0)
    expected = {(i, int(j)) for i, j in enumerate(best) if back[j] == i}
    assert pairs(mutual(query, [candidate])[0]) == expected


def test_the_ratio_needs_a_second() -> None:
    rng = np.random.default_rng(2)
    query = floats(rng, 5)
    (alone,) = nearest(query, [query[:1]])
    assert np.isinf(alone.second).all()
    assert len(alone.passing(1.0)) == 0


@pytest.mark.parametrize("count", [0, 1, 130])
def test_both_queries_at_once_are_each_by_itself(count: int) -> None:
    rng = np.random.default_rng(3)
    query, candidates = floats(rng, count), [floats(rng, other) for other in (77, 0, 500, 1)]
    both = mutual_mirrored(query, candidates)
    for (as_is, mirrored), straight, turned in zip(
        both,
        mutual(query, candidates),
        mutual(np.ascontiguousarray(query[:, MIRRORED_SIFT]), candidates),
        strict=True,
    ):
        for ours, theirs in ((as_is, straight), (mirrored, turned)):
            assert pairs(ours) == pairs(theirs)
            np.testing.assert_allclose(ours.distance, theirs.distance, atol=1e-3)
            np.testing.assert_allclose(ours.second, theirs.second, atol=1e-3)


def test_sift_in_a_mirror_is_sift_of_the_flipped_picture() -> None:
    extractor = KeypointExtractor(KeypointOptions(), "cpu")
    for picture in photographs()[:3]:
        width = picture.original_size[0]
        features, flipped = extractor.extract_local(
            [picture, from_pixels(np.ascontiguousarray(picture.pixels[:, ::-1]))]
        )
        mirrored = mirrored_places(features, width)
        near = [same_keypoint(mirrored, line, flipped) for line in range(len(features.xy))]
        met = [(line, other) for line, other in enumerate(near) if other is not None]
        assert len(met) > 0.75 * len(near)
        ours, theirs = np.array(met).T
        permuted = features.descriptors[ours][:, MIRRORED_SIFT]
        off = np.linalg.norm(permuted - flipped.descriptors[theirs], axis=1)
        assert np.median(off) < 0.1
        unpermuted = features.descriptors[ours] - flipped.descriptors[theirs]
        assert np.median(np.linalg.norm(unpermuted, axis=1)) > 0.6


def same_keypoint(mirrored: LocalFeatures, line: int, flipped: LocalFeatures) -> int | None:
    """The one of the flipped picture that has this place, scale and angle."""
    turned = np.abs((flipped.angle - mirrored.angle[line] + 180) % 360 - 180)
    same = (
        (np.linalg.norm(flipped.xy - mirrored.xy[line], axis=1) < 1)
        & (np.abs(np.log(flipped.scale / mirrored.scale[line])) < 0.1)
        & (turned < 4)
    )
    return int(same.argmax()) if same.any() else None

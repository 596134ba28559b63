"""`orb`: the share of keypoints not found again, counted with OpenCV's own matcher."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest
from samples import DATA, needs_data, photographs, pixels
from subjects import Present, subject, subject_at

from lookalike.compare.orb import Orb, OrbOptions
from lookalike.types import Pixels


def compared(a: Pixels, b: Pixels) -> float | None:
    [found] = Orb(OrbOptions()).compare(subject(a), [subject(b)])
    return found.score


def blurred(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.5), np.uint8)


def expected(a: Pixels, b: Pixels) -> float:
    """By cross-checked matching, of pictures that are not shrunk first."""
    of_a, of_b = (
        cv2.ORB.create(nfeatures=500).detectAndCompute(
            cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), None
        )[1]
        for each in (a, b)
    )
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(of_a, of_b)
    found = sum(match.distance < 50 for match in matches)
    return 1 - found / max(len(of_a), len(of_b))


def test_it_is_the_share_that_opencvs_cross_checked_matcher_does_not_find() -> None:
    whole = photographs()[1].pixels
    # chelsea is 451 x 300: none of these is shrunk
    views: list[Pixels] = [whole, whole[:, ::-1], whole[40:260, 60:400], blurred(whole)]
    views.append(photographs()[0].pixels[:400, :400])
    for a, b in combinations([np.ascontiguousarray(view) for view in views], 2):
        # Of two that are equally near, either may be taken.
        assert compared(a, b) == pytest.approx(expected(a, b), abs=0.01)


def test_a_turned_and_a_smaller_copy_are_nearer_than_any_other_picture() -> None:
    others = [Present(picture) for picture in photographs()]
    for at, own in enumerate(others[:5]):
        turned = subject(np.ascontiguousarray(np.rot90(own.picture.pixels)))
        small = subject(np.ascontiguousarray(blurred(own.picture.pixels)[::2, ::2]))
        for copy in (turned, small):
            found = [each.score for each in Orb(OrbOptions()).compare(copy, others)]
            [nearest, *_] = sorted(each for each in found if each is not None)
            assert found[at] == nearest < 0.9


@needs_data
def test_unrelated_pictures_are_near_one() -> None:
    folders = sorted((DATA / "caltech60").iterdir())[:20]
    every = [subject_at(sorted(folder.iterdir())[0]) for folder in folders]
    found = [
        each.score
        for at, query in enumerate(every)
        for each in Orb(OrbOptions()).compare(query, every[at + 1 :])
    ]
    scores = [each for each in found if each is not None]
    assert len(scores) > 0.9 * len(found)
    assert np.median(scores) > 0.97
    assert max(scores) <= 1


def test_where_there_are_no_keypoints_there_is_nothing_to_say_but_identity() -> None:
    sky, night = (np.full((80, 90, 3), value, np.uint8) for value in (200, 20))
    cat = photographs()[1].pixels
    assert compared(sky, sky.copy()) == 0
    for a, b in [(sky, night), (sky, cat), (cat, sky), (cat, cat[:5, :5].copy())]:
        assert compared(a, b) is None
    [of_query] = Orb(OrbOptions()).compare(subject(sky), [subject(cat)])
    [of_candidate] = Orb(OrbOptions()).compare(subject(cat), [subject(sky)])
    assert of_query.unavailable == "ORB finds no keypoint in the query"
    assert of_candidate.unavailable == "ORB finds no keypoint in this picture"


def test_a_texture_that_repeats_is_identical_to_itself() -> None:
    tiles = np.tile(pixels(3, 40, 40), (6, 6, 1))
    assert compared(tiles, tiles.copy()) == 0

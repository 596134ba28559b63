"""The comparators of local features on real pictures: edits of them are found, and where."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from samples import photographs

from lookalike.compare import Comparator, Comparison
from lookalike.compare.mutual import Mutual, MutualOptions
from lookalike.compare.sift import Sift, SiftOptions
from lookalike.compare.verified import Verified, VerifiedOptions
from lookalike.edits import EDITS
from lookalike.errors import PictureError
from lookalike.extract.keypoints import Detector
from lookalike.extract.local import KeypointExtractor, KeypointOptions
from lookalike.picture import from_pixels
from lookalike.types import LocalFeatures, Picture, Pixels, Vectors

COMPARATORS: list[Comparator] = [
    Sift(SiftOptions()),
    Mutual(MutualOptions()),
    Verified(VerifiedOptions()),
]
VERIFIED = COMPARATORS[2]
NAMES = ["sift", "mutual", "verified"]


@dataclass(frozen=True)
class Shown:
    """A subject whose features are made of its picture."""

    picture: Picture
    local_features: LocalFeatures

    @property
    def vectors(self) -> dict[str, Vectors]:
        return {}

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.original_size


class Gone:
    """A subject whose file has gone, and of which nothing is stored."""

    size = (10, 10)

    @property
    def picture(self) -> Picture:
        raise PictureError("gone.jpg", "no such file")

    @property
    def local_features(self) -> LocalFeatures:
        raise PictureError("gone.jpg", "no such file")

    @property
    def vectors(self) -> dict[str, Vectors]:
        raise PictureError("gone.jpg", "no such file")


def subject(pixels: Pixels, detector: Detector = "sift") -> Shown:
    picture = from_pixels(pixels)
    extractor = KeypointExtractor(KeypointOptions(detector), "cpu")
    return Shown(picture, extractor.extract_local([picture])[0])


@pytest.fixture(scope="module")
def subjects() -> list[Shown]:
    return [subject(shrunk(each.pixels)) for each in photographs()]


def shrunk(pixels: Pixels) -> Pixels:
    height, width, _ = pixels.shape
    share = 400 / max(height, width)
    size = round(width * share), round(height * share)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def score(comparison: Comparison) -> float:
    assert comparison.score is not None
    assert np.isfinite(comparison.score)
    return comparison.score


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_picture_is_found_first(edit: str, subjects: list[Shown]) -> None:
    background = photographs()[3].pixels
    for number in (0, 1, 2):
        edited = EDITS[edit](
            subjects[number].picture.pixels,
            np.random.default_rng(number),
            background if EDITS[edit].needs_background else None,
        )
        if edit == "picture-in-picture":
            others = [each for place, each in enumerate(subjects) if place != 3]
        else:
            others = subjects
        answers = VERIFIED.compare(subject(edited), others)
        scores = [score(each) for each in answers]
        assert scores[number] >= 8
        assert max(scores[:number] + scores[number + 1 :]) <= 4
        found = answers[number].evidence
        assert found is not None
        assert found.mirrored == (edit == "flip")
        assert found.inliers == scores[number]


def test_the_region_is_where_the_crop_was_cut(subjects: list[Shown]) -> None:
    whole = subjects[0]
    for pixels, expected in (
        (whole.picture.pixels[60:260, 100:340], [(100, 60), (340, 60), (340, 260), (100, 260)]),
        (whole.picture.pixels[60:260, 339:99:-1], [(340, 60), (100, 60), (100, 260), (340, 260)]),
        (
            np.rot90(whole.picture.pixels[60:260, 100:340]),
            [(340, 60), (340, 260), (100, 260), (100, 60)],
        ),
    ):
        query = subject(np.ascontiguousarray(pixels))
        found = VERIFIED.compare(query, [whole])[0].evidence
        assert found is not None
        assert found.region is not None
        np.testing.assert_allclose(found.region, np.array(expected) - 0.5, atol=3)


def test_a_candidate_is_judged_the_same_in_any_company(subjects: list[Shown]) -> None:
    query = subject(np.ascontiguousarray(subjects[1].picture.pixels[:, ::-1]))
    many = subjects * 4
    for comparator in COMPARATORS:
        alone = [score(comparator.compare(query, [each])[0]) for each in subjects]
        assert [score(each) for each in comparator.compare(query, many)] == alone * 4
        backwards = comparator.compare(query, many[::-1])
        assert [score(each) for each in backwards[::-1]] == alone * 4


@pytest.mark.parametrize("comparator", COMPARATORS, ids=NAMES)
def test_itself_has_the_most(comparator: Comparator, subjects: list[Shown]) -> None:
    assert comparator.higher_is_better
    for number, query in enumerate(subjects):
        scores = [score(each) for each in comparator.compare(query, subjects)]
        assert np.argmax(scores) == number


@pytest.mark.parametrize("comparator", COMPARATORS, ids=NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (300, 400), (1, 2000)])
def test_without_keypoints_there_are_no_matches(
    comparator: Comparator, shape: tuple[int, int], subjects: list[Shown]
) -> None:
    plain = subject(np.full((*shape, 3), 128, np.uint8))
    assert [score(each) for each in comparator.compare(plain, subjects[:2])] == [0, 0]
    assert [score(each) for each in comparator.compare(subjects[0], [plain])] == [0]
    assert [score(each) for each in comparator.compare(plain, [plain])] == [0]


@pytest.mark.parametrize("comparator", COMPARATORS, ids=NAMES)
def test_what_has_gone_is_unavailable_and_others_are_not(
    comparator: Comparator, subjects: list[Shown]
) -> None:
    first, gone, last = comparator.compare(subjects[0], [subjects[0], Gone(), subjects[1]])
    assert score(first) > score(last)
    assert gone.score is None
    assert gone.unavailable == "gone.jpg: no such file"
    (no_query,) = comparator.compare(Gone(), [subjects[0]])
    assert no_query.score is None
    assert no_query.unavailable is not None
    assert "no such file" in no_query.unavailable
    assert comparator.compare(Gone(), []) == comparator.compare(subjects[0], []) == []


def test_features_of_another_kind_are_not_compared(subjects: list[Shown]) -> None:
    bits = subject(subjects[0].picture.pixels, "orb")
    for comparator in COMPARATORS:
        (answer,) = comparator.compare(bits, [subjects[0]])
        assert answer.score is None
        assert (
            answer.unavailable
            == "its local features are float32 of 128, the query's are uint8 of 32"
        )


def test_orb_is_verified_too(subjects: list[Shown]) -> None:
    query = subject(np.ascontiguousarray(np.rot90(subjects[0].picture.pixels)), "orb")
    candidates = [subject(each.picture.pixels, "orb") for each in subjects[:3]]
    scores = [score(each) for each in VERIFIED.compare(query, candidates)]
    assert scores[0] > 50
    assert max(scores[1:]) <= 5


def test_sift_counts_as_opencv_users_do(subjects: list[Shown]) -> None:
    query, candidate = subjects[0], subject(subjects[0].picture.pixels[::2, ::2].copy())
    matches = cv2.BFMatcher(cv2.NORM_L2).knnMatch(
        query.local_features.descriptors, candidate.local_features.descriptors, k=2
    )
    good = [one for one, two in matches if one.distance < 0.75 * two.distance]
    assert score(COMPARATORS[0].compare(query, [candidate])[0]) == len(good)


@pytest.mark.parametrize("options", [SiftOptions, VerifiedOptions])
@pytest.mark.parametrize("ratio", [0, -1, 1.01])
def test_a_ratio_is_a_part(options: type[SiftOptions | VerifiedOptions], ratio: float) -> None:
    with pytest.raises(ValueError, match="ratio"):
        options(ratio=ratio)

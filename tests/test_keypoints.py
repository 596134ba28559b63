"""Keypoints: where they lie in the original, how many there are, and RootSIFT by its formula."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
import pytest
from samples import photographs

from lookalike.errors import MissingPackage
from lookalike.extract.keypoints import WIDTHS, Detector, Keypoints, root_sift
from lookalike.picture import from_pixels
from lookalike.types import LocalFeatures, Picture


def has_akaze() -> bool:
    try:
        Keypoints("akaze", 1, 0)
    except MissingPackage:
        return False
    return True


needs_akaze = pytest.mark.skipif(not has_akaze(), reason="this OpenCV has no AKAZE")
DETECTORS = [
    pytest.param(name, marks=needs_akaze if name == "akaze" else ()) for name in get_args(Detector)
]


@pytest.fixture(scope="module")
def picture() -> Picture:
    return photographs()[1]


def blobs(*places: tuple[int, int]) -> Picture:
    """Bright discs of 12 pixels on black, 300 x 200, at these x and y."""
    pixels = np.zeros((200, 300, 3), np.uint8)
    for place in places:
        cv2.circle(pixels, place, 6, (255, 255, 255), -1, cv2.LINE_AA)
    return from_pixels(cv2.GaussianBlur(pixels, (0, 0), 2))


def equal(a: LocalFeatures, b: LocalFeatures) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in LocalFeatures.__slots__
    )


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_array_has_a_line_a_keypoint(detector: Detector, picture: Picture) -> None:
    found = Keypoints(detector, 300, 0).of(picture)
    assert 100 < len(found.xy) <= 300
    assert found.xy.shape == (len(found.xy), 2)
    assert found.scale.shape == found.angle.shape == (len(found.xy),)
    assert {found.xy.dtype, found.scale.dtype, found.angle.dtype} == {np.dtype(np.float32)}
    assert found.descriptors.shape == (len(found.xy), WIDTHS[detector])
    assert found.descriptors.dtype == np.uint8
    assert (found.scale > 0).all()
    assert ((found.angle >= 0) & (found.angle <= 360)).all()
    width, height = picture.original_size
    assert ((found.xy > 0) & (found.xy < (width, height))).all()


@pytest.mark.parametrize("detector", DETECTORS)
def test_fewer_features_are_the_first_of_more(detector: Detector, picture: Picture) -> None:
    """ORB shares its number out among its levels, so its few are others."""
    many = Keypoints(detector, 400, 0).of(picture)
    few = Keypoints(detector, 50, 0).of(picture)
    assert len(few.xy) == 50
    if detector != "orb":
        np.testing.assert_array_equal(few.xy, many.xy[:50])
        np.testing.assert_array_equal(few.descriptors, many.descriptors[:50])


def test_sift_gives_what_opencv_gives(picture: Picture) -> None:
    grey = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY)
    keypoints, descriptors = cv2.SIFT.create().detectAndCompute(grey, None)
    strongest = sorted(
        range(len(keypoints)),
        key=lambda i: (-keypoints[i].response, keypoints[i].size, keypoints[i].angle),
    )
    found = Keypoints("sift", 1_000_000, 0).of(picture)
    np.testing.assert_allclose(found.xy, [keypoints[i].pt for i in strongest], atol=1e-3)
    np.testing.assert_allclose(found.scale, [keypoints[i].size for i in strongest])
    np.testing.assert_allclose(found.angle, [keypoints[i].angle for i in strongest])
    np.testing.assert_array_equal(found.descriptors, descriptors[strongest])


def test_places_and_scales_are_those_of_the_original() -> None:
    """A disc is found where it is, and as large, however much the decoder or we have shrunk it."""
    place = (150, 100)
    full = blobs(place)
    half = from_pixels(cv2.resize(full.pixels, (150, 100), interpolation=cv2.INTER_AREA))
    shrunk = replace(half, original_size=(300, 200))
    scales = []
    for picture, side in ((full, 0), (full, 150), (shrunk, 0)):
        found = Keypoints("sift", 10, side).of(picture)
        nearest = np.linalg.norm(found.xy - place, axis=1).argmin()
        np.testing.assert_allclose(found.xy[nearest], place, atol=1)
        scales.append(found.scale[nearest])
    np.testing.assert_allclose(scales, scales[0], rtol=0.15)


def test_the_longest_side_is_a_cap(picture: Picture) -> None:
    size = (64, round(64 * picture.pixels.shape[0] / picture.pixels.shape[1]))
    small = from_pixels(cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA))
    by_hand = Keypoints("sift", 1000, 0).of(small)
    capped = Keypoints("sift", 1000, 64).of(picture)
    assert abs(len(capped.xy) - len(by_hand.xy)) <= 0.2 * len(by_hand.xy)
    assert len(capped.xy) < len(Keypoints("sift", 1000, 0).of(picture).xy) / 4
    assert equal(Keypoints("sift", 100, 10_000).of(picture), Keypoints("sift", 100, 0).of(picture))


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (7, 3000), (8, 8), (64, 64)])
def test_nothing_to_find_is_no_error(detector: Detector, shape: tuple[int, int]) -> None:
    for side in (0, 640):
        found = Keypoints(detector, 100, side).of(from_pixels(np.full((*shape, 3), 9, np.uint8)))
        assert found.xy.shape == (0, 2)
        assert found.scale.shape == found.angle.shape == (0,)
        assert found.descriptors.shape == (0, WIDTHS[detector])
        assert found.descriptors.dtype == np.uint8


@pytest.mark.parametrize("detector", DETECTORS)
def test_narrow_noise_is_no_error(detector: Detector) -> None:
    rng = np.random.default_rng(0)
    for shape in [(8, 5000), (5000, 8), (9, 9), (16, 400), (1, 900), (33, 20), (2, 2)]:
        noise = from_pixels(rng.integers(0, 256, (*shape, 3), np.uint8))
        for side in (0, 640):
            assert np.isfinite(Keypoints(detector, 100, side).of(noise).xy).all()


@pytest.mark.parametrize("detector", DETECTORS)
def test_threads_find_the_same(detector: Detector) -> None:
    keypoints = Keypoints(detector, 200, 320)
    pictures = photographs()[:3]
    expected = [keypoints.of(picture) for picture in pictures]
    with ThreadPoolExecutor(6) as threads:
        for found, wanted in zip(
            threads.map(keypoints.of, pictures * 4), expected * 4, strict=True
        ):
            assert equal(found, wanted)


def test_root_sift_is_the_root_of_what_sums_to_one() -> None:
    raw = np.random.default_rng(0).integers(0, 256, (20, 128)).astype(np.uint8)
    raw[3] = 0
    roots = root_sift(raw)
    assert roots.dtype == np.float32
    for line, root in zip(raw.astype(float), roots, strict=True):
        np.testing.assert_allclose(root, np.sqrt(line / (line.sum() or 1)), rtol=1e-6)
    assert raw[0].any()  # not in place


def test_a_missing_akaze_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "AKAZE_create", raising=False)
    monkeypatch.delattr(cv2, "xfeatures2d", raising=False)
    with pytest.raises(MissingPackage, match=r"akaze needs .*opencv-contrib-python-headless"):
        Keypoints("akaze", 1, 0)


def test_less_contrast_finds_more_in_haze(picture: Picture) -> None:
    """And what stands out stays first."""
    haze = from_pixels((picture.pixels // 8 + 100).astype(np.uint8))
    usual, faint = (Keypoints("sift", 500, 480, contrast).of(haze) for contrast in (0.04, 0.01))
    assert len(faint.xy) > 3 * max(1, len(usual.xy))
    np.testing.assert_allclose(faint.xy[: len(usual.xy)], usual.xy)

"""`ssim`: scikit-image's value on the same two squares."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from samples import photographs
from skimage import metrics, transform
from subjects import Present, subject

from lookalike.compare.ssim import Ssim, SsimOptions
from lookalike.types import Pixels


def score(a: Pixels, b: Pixels, side: int = 64) -> float:
    [found] = Ssim(SsimOptions(side)).compare(subject(a), [subject(b)])
    assert found.score is not None
    return found.score


similarity_of: Any = metrics.structural_similarity
downscaled: Any = transform.downscale_local_mean


def grey_square(pixels: Pixels, side: int) -> npt.NDArray[np.uint8]:
    """Of pictures that are at least as large both ways."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize("side", [7, 64, 128, 191])
def test_it_is_what_scikit_image_says_of_grey_squares(side: int) -> None:
    every = [picture.pixels for picture in photographs()]
    for a, b in combinations(every, 2):
        expected = similarity_of(grey_square(a, side), grey_square(b, side))
        assert score(a, b, side) == pytest.approx(expected, abs=1e-9)


def test_a_picture_and_its_negative_are_below_zero() -> None:
    pixels = photographs()[4].pixels
    assert -1 <= score(pixels, 255 - pixels) < 0
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    board = np.repeat(stripes[..., np.newaxis], 3, axis=2)
    expected = similarity_of(stripes, 255 - stripes)
    assert expected < -0.9
    assert score(board, 255 - board) == pytest.approx(expected, abs=1e-9)


def test_what_is_only_smaller_or_squeezed_is_nearly_the_same() -> None:
    whole = photographs()[0].pixels
    half = np.rint(downscaled(whole, (2, 2, 1))).astype(np.uint8)
    squeezed = np.rint(downscaled(whole, (1, 4, 1))).astype(np.uint8)
    assert score(whole, half) > 0.99
    assert score(whole, squeezed) > 0.99


def test_a_long_line_is_averaged_not_sampled() -> None:
    """Every second pixel is white: whoever skips pixels sees all black or all white."""
    line = np.zeros((1, 4096, 3), np.uint8)
    line[:, ::2] = 255
    assert score(line, np.full((1, 1, 3), 128, np.uint8)) == pytest.approx(1, abs=1e-4)


def test_both_ways_it_is_the_same() -> None:
    a, b = (Present(picture) for picture in photographs()[:2])
    ssim = Ssim(SsimOptions())
    assert ssim.compare(a, [b]) == ssim.compare(b, [a])


def test_a_side_below_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="side must be 7 or more, not 6"):
        SsimOptions(6)

"""`histogram`: colours counted by hand, OpenCV's own comparison, and the ends of the scale."""

from __future__ import annotations

import colorsys
from itertools import combinations, product
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from samples import photographs
from subjects import subject

from lookalike.compare.histogram import Histogram, HistogramOptions, Method
from lookalike.types import Pixels

METHODS = get_args(Method)


def score(a: Pixels, b: Pixels, method: Method) -> float:
    [found] = Histogram(HistogramOptions(method)).compare(subject(a), [subject(b)])
    assert found.score is not None
    return found.score


def counts(pixels: Pixels) -> dict[tuple[int, int, int], int]:
    """Pixels in each of 8 x 8 x 8 bins, by the standard library's HSV."""
    found: dict[tuple[int, int, int], int] = {}
    for red, green, blue in (pixels.reshape(-1, 3) / 255).tolist():
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        shade = round(hue * 180) % 180 * 8 // 180
        place = (shade, round(saturation * 255) // 32, round(value * 255) // 32)
        found[place] = found.get(place, 0) + 1
    return found


def plain(*colour: int) -> Pixels:
    return np.full((10, 12, 3), colour, np.uint8)


def halves(left: tuple[int, ...], right: tuple[int, ...]) -> Pixels:
    return np.concatenate([plain(*left), plain(*right)], axis=1)


RED, GREEN, GREY = (255, 0, 0), (0, 255, 0), (90, 90, 90)


def test_intersection_is_the_share_of_pixels_with_a_counterpart() -> None:
    assert score(halves(RED, GREEN), plain(*RED), "intersection") == 0.5
    assert score(halves(RED, GREEN), halves(GREEN, GREY), "intersection") == 0.5
    assert score(plain(*RED), plain(*GREEN), "intersection") == 0
    assert score(plain(*GREY), plain(250, 250, 250), "intersection") == 0


def test_intersection_of_photographs_is_that_of_colours_counted_one_by_one() -> None:
    a, b, c = (picture.pixels[::8, ::8] for picture in photographs()[:3])
    for one, other in combinations((a, b, c), 2):
        mine, theirs = counts(one), counts(other)
        size, other_size = (pixels.shape[0] * pixels.shape[1] for pixels in (one, other))
        expected = sum(min(n / size, theirs.get(bin, 0) / other_size) for bin, n in mine.items())
        # Where a value lies between two bins, OpenCV's integers may round to the other.
        assert score(one, other, "intersection") == pytest.approx(expected, abs=0.02)


def test_correlation_is_pearsons_or_zero_where_that_is_negative() -> None:
    below = 0
    for a, b in combinations([picture.pixels for picture in photographs()], 2):
        one, other = (opencvs_counts(pixels) for pixels in (a, b))
        expected = np.corrcoef(one, other)[0, 1]
        assert cv2.compareHist(one, other, cv2.HISTCMP_CORREL) == pytest.approx(expected, abs=1e-6)
        below += expected < 0
        assert score(a, b, "correlation") == pytest.approx(max(expected, 0), abs=1e-9)
    assert below
    assert score(plain(*RED), plain(*GREEN), "correlation") == 0


def opencvs_counts(pixels: Pixels) -> Any:
    """Float32 [512]."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, [8, 8, 8], [0, 180, 0, 256, 0, 256])
    return np.asarray(counts).ravel()


@pytest.mark.parametrize("method", METHODS)
def test_where_colours_lie_does_not_count(method: Method) -> None:
    for picture in photographs():
        pixels = picture.pixels
        shuffled = pixels[::-1, ::-1].transpose(1, 0, 2)
        assert score(pixels, np.ascontiguousarray(shuffled), method) == 1
        assert score(pixels, np.repeat(pixels, 2, axis=0), method) == 1


def test_a_picture_with_as_many_pixels_in_every_bin_correlates_with_itself_alone() -> None:
    """Its histogram has no spread, by which correlation divides."""
    of_bin: dict[tuple[int, ...], tuple[int, int, int]] = {}
    dark, all_over = range(32), range(0, 256, 3)
    colours = np.array([*product(dark, repeat=3), *product(all_over, repeat=3)], np.uint8)
    hsv = cv2.cvtColor(colours[np.newaxis], cv2.COLOR_RGB2HSV)[0].astype(int)
    bins = np.stack([hsv[:, 0] * 8 // 180, hsv[:, 1] // 32, hsv[:, 2] // 32], axis=1)
    for place, colour in zip(map(tuple, bins.tolist()), colours.tolist(), strict=True):
        of_bin.setdefault(place, colour)
    every = np.array(list(of_bin.values()), np.uint8)[np.newaxis]
    assert len(of_bin) == 512
    assert score(every, every.copy(), "correlation") == 1
    assert score(every, plain(*RED), "correlation") == 0


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="correlation or intersection, not 'chi'"):
        HistogramOptions("chi")  # type: ignore[arg-type]

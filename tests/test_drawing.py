"""The drawing of a match: both pictures, what agrees, and where the one lies in the other."""

from __future__ import annotations

import numpy as np
import pytest
from samples import photographs
from test_compare_verified import VERIFIED, Shown, shrunk, subject

from lookalike.drawing import side_by_side
from lookalike.picture import from_pixels, png
from lookalike.types import Evidence, Pixels

OUTLINE = (255, 196, 0)


@pytest.fixture(scope="module")
def whole() -> Shown:
    return subject(shrunk(photographs()[0].pixels))


def drawn(query: Shown, candidate: Shown, *caption: str) -> Pixels:
    evidence = VERIFIED.compare(query, [candidate])[0].evidence
    features = query.local_features, candidate.local_features
    return side_by_side(query.picture, candidate.picture, evidence, features, caption)


def outlined(canvas: Pixels) -> tuple[int, int]:
    """How many pixels have the outline's colour in the left half, and in the right."""
    same = (canvas == OUTLINE).all(axis=2)
    middle = canvas.shape[1] // 2
    return int(same[:, :middle].sum()), int(same[:, middle:].sum())


def test_it_shows_both_pictures(whole: Shown) -> None:
    canvas = side_by_side(whole.picture, whole.picture, None)
    assert canvas.dtype == np.uint8
    assert canvas.shape == (480 + 32, 2 * 480 + 48, 3)
    left, right = canvas[16:496, 16:496], canvas[16:496, 512:992]
    np.testing.assert_array_equal(left, right)
    assert np.abs(left.mean(axis=(0, 1)) - whole.picture.pixels.mean(axis=(0, 1))).max() < 2
    assert outlined(canvas) == (0, 0)


def test_the_outline_is_where_the_smaller_part_is(whole: Shown) -> None:
    part = subject(whole.picture.pixels[60:300, 80:320].copy())
    left, right = outlined(drawn(part, whole))
    assert left == 0
    assert right > 500
    left, right = outlined(drawn(whole, part))
    assert left > 500
    assert right == 0


def test_the_caption_adds_height_and_never_width(whole: Shown) -> None:
    bare = drawn(whole, whole)
    told = drawn(whole, whole, "copy", "a very long name " * 40, "")
    assert told.shape[1] == bare.shape[1]
    assert told.shape[0] > bare.shape[0] + 40
    np.testing.assert_array_equal(told[:480], bare[:480])


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (2000, 2), (900, 40)])
def test_pictures_of_any_shape_are_drawn(shape: tuple[int, int], whole: Shown) -> None:
    odd = subject(np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8))
    for canvas in (drawn(odd, whole, "nothing"), drawn(whole, odd)):
        assert max(canvas.shape) < 1500


def test_a_wild_map_is_no_error(whole: Shown) -> None:
    places = np.array([[1, 1], [50, 60], [200, 10], [100, 300]], np.float32)
    for homography in (
        np.array([[1e6, 0, -1e7], [0, 1e6, 4e8], [0, 0, 1.0]]),
        np.array([[1e-6, 0, 10], [0, 1e-6, 10], [0, 0, 1.0]]),
        np.array([[1.0, 0, 0], [0, 1, 0], [-0.005, 0, 1]]),
        None,
    ):
        region = (
            None
            if homography is None
            else np.array([[-1e9, 0], [1e9, 5], [1e9, 1e9], [0, 9]], np.float32)
        )
        evidence = Evidence(places, places, 9, homography, region, mirrored=False)
        side_by_side(whole.picture, whole.picture, evidence)


def test_as_png_it_stays_what_it_is(whole: Shown) -> None:
    import io

    from PIL import Image

    canvas = drawn(whole, whole, "copy")
    with Image.open(io.BytesIO(png(canvas, "a test"))) as image:
        np.testing.assert_array_equal(np.asarray(image), canvas)
    assert from_pixels(canvas).original_size == (canvas.shape[1], canvas.shape[0])

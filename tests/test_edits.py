"""Every edit, measured in what it returns and not by how it works."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from samples import photographs, pixels
from scipy.ndimage import label, laplace

from lookalike import edits
from lookalike.edits import EDITS, chosen, generator, shared
from lookalike.errors import UnknownName
from lookalike.picture import jpeg
from lookalike.types import Pixels

SEEDS = range(40)
SHAPES = [(1, 1), (1, 2), (2, 1), (8, 8), (3, 400), (400, 3), (1, 1600), (1600, 1), (97, 97)]


def edited(name: str, picture: Pixels, seed: int = 0, background: Pixels | None = None) -> Pixels:
    edit = EDITS[name]
    below = plain((30, 40), 7) if background is None else background
    return edit(picture, np.random.default_rng(seed), below if edit.needs_background else None)


def plain(shape: tuple[int, int], *colour: int) -> Pixels:
    """One colour all over, or one grey."""
    return np.full((*shape, 3), colour[0] if len(colour) == 1 else colour, np.uint8)


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def coordinates(height: int, width: int) -> Pixels:
    """Every pixel says where it is: x in red, y in green. At most 256 each way."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.zeros_like(x)], axis=2).astype(np.uint8)


MARKERS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255))
"""In the corners: above left, above right, below right, below left."""


def marked(height: int, width: int, side: int = 15) -> Pixels:
    """Grey, with a square of another colour in each corner."""
    made = plain((height, width), 120)
    for colour, (y, x) in zip(
        MARKERS,
        ((0, 0), (0, width - side), (height - side, width - side), (height - side, 0)),
        strict=True,
    ):
        made[y : y + side, x : x + side] = colour
    return made


def markers_of(picture: Pixels) -> npt.NDArray[np.float64]:
    """The middles of the four squares, float64 [4, 2], x and y."""
    middles = []
    for colour in MARKERS:
        near = (np.abs(picture.astype(int) - colour).sum(axis=2) < 60).nonzero()
        assert near[0].size, f"no {colour}"
        middles.append((near[1].mean(), near[0].mean()))
    return np.array(middles)


def luma(picture: Pixels) -> npt.NDArray[np.float64]:
    return np.asarray(picture @ np.array([0.299, 0.587, 0.114]))


def every_way(name: str, picture: Pixels) -> Iterator[Pixels]:
    return (edited(name, picture, seed) for seed in SEEDS)


@pytest.mark.parametrize("percent", [50, 25, 10])
@pytest.mark.parametrize("shape", [(180, 240), (240, 180), (200, 200)])
def test_a_crop_is_a_part_of_that_area_and_near_the_aspect(
    percent: int, shape: tuple[int, int]
) -> None:
    original = coordinates(*shape)
    places = set()
    for made in every_way(f"crop-{percent}", original):
        height, width, _ = made.shape
        assert height * width / (shape[0] * shape[1]) == pytest.approx(percent / 100, rel=0.02)
        aspect = (width / height) / (shape[1] / shape[0])
        assert 1 / 1.18 < aspect < 1.18
        left, top = int(made[0, 0, 0]), int(made[0, 0, 1])
        assert np.array_equal(made, original[top : top + height, left : left + width])
        places.add((left // 20, top // 20))
    assert len(places) > 5


def test_turned_by_15_degrees_all_of_it_is_there() -> None:
    shape = (240, 320)
    before = markers_of(marked(*shape))
    angles = []
    for made in every_way("turn-15", marked(*shape)):
        after = markers_of(made)
        for a, b in ((0, 1), (1, 2), (2, 3), (3, 0), (0, 2)):
            old, new = before[b] - before[a], after[b] - after[a]
            assert np.hypot(*new) == pytest.approx(np.hypot(*old), abs=1)
            angles.append(math.degrees(math.atan2(*new[::-1]) - math.atan2(*old[::-1])))
    wrapped = (np.array(angles) + 180) % 360 - 180
    assert np.abs(wrapped).min() > 14.5
    assert np.abs(wrapped).max() < 15.5
    assert {*np.sign(wrapped)} == {-1, 1}


def test_turned_by_90_degrees_either_way_and_no_pixel_is_lost() -> None:
    original = noise(30, 40)
    made = [each.tobytes() for each in every_way("turn-90", original)]
    assert {*made} == {np.rot90(original, k).tobytes() for k in (1, -1)}


def test_a_flip_is_numpys() -> None:
    original = noise(30, 41)
    assert np.array_equal(edited("flip", original), np.fliplr(original))


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 375), (97, 97)])
def test_96_pixels_wide(height: int, width: int) -> None:
    original = pixels(3, width, height)
    made = edited("width-96", original)
    assert made.shape == (round(height * 96 / width), 96, 3)
    pillows = Image.fromarray(original).resize(made.shape[1::-1], Image.Resampling.BILINEAR)
    assert np.abs(made.astype(int) - np.asarray(pillows)).mean() < 4


def test_a_strip_that_becomes_96_wide_keeps_a_row() -> None:
    assert edited("width-96", noise(10, 3000)).shape == (1, 96, 3)


@pytest.mark.parametrize("width", [1, 50, 96])
def test_what_is_not_wider_than_96_stays_as_it_is(width: int) -> None:
    original = noise(70, width)
    assert np.array_equal(edited("width-96", original), original)


def test_text_and_boxes_cover_some_of_it_and_leave_most() -> None:
    for original in (noise(375, 500), noise(500, 300)):
        touched = []
        for made in every_way("text-and-boxes", original):
            assert made.shape == original.shape
            touched.append((made != original).any(axis=2).mean())
        assert min(touched) > 0.06
        assert max(touched) < 0.5


def test_there_are_two_boxes_or_two_that_touch_something() -> None:
    """Seen on a ground that has none of their colours; which touch are one patch, and no box."""
    ground = plain((200, 300), 120, 90, 70)
    numbers = []
    for made in every_way("text-and-boxes", ground):
        patches, count = label((made != ground).any(axis=2))
        every = [patches == number for number in range(1, count + 1)]
        numbers.append(sum(is_box(made, patch) for patch in every))
    assert max(numbers) == 2
    assert numbers.count(2) > 5
    assert numbers.count(0) < 15


def is_box(made: Pixels, patch: npt.NDArray[np.bool_]) -> bool:
    """Whether a patch is a filled rectangle of 3 to 9% of the area, but for a word in it."""
    rows, columns = patch.any(axis=1).sum(), patch.any(axis=0).sum()
    _, sizes = np.unique(made[patch], axis=0, return_counts=True)
    is_filled = patch.sum() == rows * columns and sizes.max() > 0.7 * patch.sum()
    return bool(is_filled and 0.03 < patch.mean() < 0.095)


def test_captions_are_drawn_with_glyphs_that_the_font_has() -> None:
    assert all(text.isascii() and text.isprintable() for text in edits._CAPTIONS)
    assert all(text.isascii() and text.isprintable() for text in edits._LABELS)


def test_a_caption_stands_out_from_what_is_behind_it() -> None:
    """On white, on black and on grey its strip has dark pixels and light ones."""
    for grey in (0, 120, 255):
        ground = plain((300, 500), grey)
        for made in every_way("text-and-boxes", ground):
            changed = (made != ground).any(axis=(1, 2))
            assert changed.any()
            top, bottom = made[:72], made[-72:]
            spread = [np.ptp(luma(strip)) for strip in (top, bottom)]
            assert max(spread) > 100


@pytest.mark.parametrize("shape", [(150, 300), (300, 150), (200, 200), (1, 300), (300, 1)])
def test_a_letterbox_has_two_bars_of_one_size_around_the_whole_picture(
    shape: tuple[int, int],
) -> None:
    height, width = shape
    original = noise(height, width) // 2 + 60  # neither black nor white
    colours = set()
    for made in every_way("letterbox", original):
        upright = made if width >= height else made.transpose(1, 0, 2)
        wanted = original if width >= height else original.transpose(1, 0, 2)
        high = wanted.shape[0]
        bar, rest = divmod(len(upright) - high, 2)
        assert rest == 0
        assert np.array_equal(upright[bar : bar + high], wanted)
        bars = np.concatenate([upright[:bar], upright[bar + high :]])
        assert (bars == bars[0, 0]).all()
        colours.add(int(bars[0, 0, 0]))
        if high > 100:
            assert 0.19 < 2 * bar / len(upright) < 0.51
    assert colours == {0, 255}


def test_a_strong_colour_is_another_one_and_the_picture_is_still_there() -> None:
    for picture in photographs()[:4]:
        original = shared(picture.pixels)[::4, ::4]
        for made in every_way("colour", original):
            assert made.shape == original.shape
            assert np.abs(made.astype(int) - original).mean() > 8
            assert 0.6 < luma(made).mean() / luma(original).mean() < 1.5
            assert np.corrcoef(luma(made).ravel(), luma(original).ravel())[0, 1] > 0.85


def test_grey_pictures_get_a_colour_too() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 20, axis=0).repeat(3, axis=2)
    for made in every_way("colour", ramp):
        assert np.ptp(made.astype(int), axis=2).max() > 20


def test_grey_has_equal_channels_by_the_weights_of_rec_601() -> None:
    original = noise(40, 50)
    made = edited("grey", original)
    assert (made == made[..., :1]).all()
    assert np.abs(made[..., 0] - luma(original)).max() < 1


def test_a_blur_widens_an_edge_by_its_part_of_the_longer_side() -> None:
    """The derivative of a blurred step is the kernel itself: its deviation is the sigma."""
    step = plain((60, 800), 20)
    step[:, 400:] = 220
    for made in every_way("blur", step):
        slope = np.diff(made[30, :, 0].astype(float))
        at = np.arange(799)
        middle = (at * slope).sum() / slope.sum()
        sigma = math.sqrt((slope * (at - middle) ** 2).sum() / slope.sum())
        assert 0.0045 * 800 < sigma < 0.0105 * 800


def test_a_blur_takes_the_detail_of_a_photograph() -> None:
    original = shared(photographs()[0].pixels)
    made = edited("blur", original)
    assert laplace(luma(made)).std() < 0.3 * laplace(luma(original)).std()


def test_perspective_keeps_all_four_corners_and_shortens_one_side() -> None:
    shape = (360, 480)
    before = markers_of(marked(*shape))
    sides = np.hypot(*(np.roll(before, -1, axis=0) - before).T)
    shortest = set()
    for made in every_way("perspective", marked(*shape)):
        assert made.shape == (*shape, 3)
        after = markers_of(made)
        along = np.roll(after, -1, axis=0) - after
        (x, y), (next_x, next_y) = along.T, np.roll(along, -1, axis=0).T
        assert (x * next_y - y * next_x > 0).all()  # still a convex quadrilateral, and not mirrored
        shrunk = np.hypot(*along.T) / sides
        # The squares lie a little inside the corners, and each corner may be off by 5%.
        assert 0.5 < shrunk.min() < 0.85
        assert shrunk.max() > 0.7
        shortest.add(int(shrunk.argmin()))
    assert shortest == {0, 1, 2, 3}


@pytest.mark.parametrize("shape", [(375, 500), (500, 375), (100, 1000), (1000, 100)])
@pytest.mark.parametrize("below", [(375, 500), (20, 900), (900, 20), (1, 1)])
def test_a_picture_in_a_picture_has_45_percent_of_the_width(
    shape: tuple[int, int], below: tuple[int, int]
) -> None:
    height, width = shape
    places = set()
    for seed in SEEDS:
        made = edited("picture-in-picture", plain(shape, 200), seed, plain(below, 10))
        assert made.shape[1] == width
        rows, columns = (made[..., 0] == 200).nonzero()
        assert np.ptp(columns) + 1 == round(0.45 * width)
        assert np.ptp(rows) + 1 == round(0.45 * width) * height // width or (
            abs(np.ptp(rows) + 1 - 0.45 * height) <= 1
        )
        assert (made[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == 200).all()
        assert (made[..., 0] == 10).sum() + rows.size == made.shape[0] * width
        assert made.shape[0] <= max(2 * width, height)
        places.add((int(rows.min()), int(columns.min())))
    assert len(places) > 5


def test_the_background_is_neither_stretched_nor_moved() -> None:
    """A disc in its middle is still a disc in the middle, of any aspect."""
    for below in ((400, 300), (300, 400), (300, 2000), (3000, 300)):
        y, x = np.mgrid[: below[0], : below[1]]
        disc = np.hypot(y - (below[0] - 1) / 2, x - (below[1] - 1) / 2) < 100
        background = np.where(disc[..., None], 250, 10).astype(np.uint8).repeat(3, axis=2)
        small = plain((40, 500), 120)
        made = [edited("picture-in-picture", small, seed, background) for seed in SEEDS]
        bright = np.stack(made)[..., 0] > 180
        seen = np.asarray(bright.any(axis=0))  # each hides another part of it
        rows, columns = seen.nonzero()
        assert np.ptp(columns) == pytest.approx(np.ptp(rows), abs=4)
        middle = rows.mean(), columns.mean()
        assert middle == pytest.approx(((len(seen) - 1) / 2, (500 - 1) / 2), abs=2)


def test_unedited_and_quality_10_leave_the_pixels_alone() -> None:
    original = noise(20, 30)
    for name in ("unedited", "jpeg-10"):
        assert np.array_equal(edited(name, original), original)
    assert {name: edit.quality for name, edit in EDITS.items() if edit.quality != 90} == {
        "jpeg-10": 10
    }


# ITU-T T.81, table K.1.
BRIGHTNESS = [
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
]


def tables_of(quality: int) -> list[int]:
    """The table of a quality by the formula of the Independent JPEG Group, sorted."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return sorted(min(max((each * scale + 50) // 100, 1), 255) for each in BRIGHTNESS)


@pytest.mark.parametrize("name", ["jpeg-10", "unedited"])
def test_files_have_the_quantisation_of_their_quality(name: str) -> None:
    edit = EDITS[name]
    with Image.open(io.BytesIO(jpeg(noise(40, 40), edit.quality))) as image:
        tables: dict[int, list[int]] = image.quantization  # type: ignore[attr-defined]
        assert sorted(tables[0]) == tables_of(edit.quality)


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_no_result_is_empty_and_what_was_given_stays(name: str, shape: tuple[int, int]) -> None:
    original, below = noise(*shape), noise(5, 700)
    kept, kept_below = original.copy(), below.copy()
    original.flags.writeable = below.flags.writeable = False
    for seed in range(4):
        made = edited(name, original, seed, below)
        assert made.dtype == np.uint8
        assert made.shape[2:] == (3,)
        assert 0 < made.shape[0] <= 4000
        assert 0 < made.shape[1] <= 4000
        assert jpeg(made, EDITS[name].quality)
    assert np.array_equal(original, kept)
    assert np.array_equal(below, kept_below)


@pytest.mark.parametrize("name", EDITS)
def test_the_same_dice_give_the_same_and_others_something_else(name: str) -> None:
    original = shared(photographs()[1].pixels)
    first, again = (edited(name, original, 5) for _ in range(2))
    assert np.array_equal(first, again)
    others = [edited(name, original, seed) for seed in range(6, 14)]
    fixed = {"unedited", "flip", "width-96", "grey", "jpeg-10"}
    differs = any(not np.array_equal(first, other) for other in others)
    assert differs == (name not in fixed)


def test_every_edit_changes_a_photograph_or_its_file() -> None:
    original = shared(photographs()[2].pixels)
    for name, edit in EDITS.items():
        same = np.array_equal(edited(name, original), original)
        assert same == (name in ("unedited", "jpeg-10")), name
        assert edit.what


def test_a_large_picture_is_shrunk_as_it_is_passed_on_and_no_other() -> None:
    assert shared(noise(1200, 3200)).shape == (600, 1600, 3)
    assert shared(plain((2, 40_000), 9)).shape == (1, 1600, 3)
    small = noise(1600, 10)
    assert shared(small) is small


def test_chance_hangs_on_the_seed_the_content_and_the_purpose() -> None:
    draws = {
        generator(seed, sha256, purpose).integers(1 << 62)
        for seed in (0, 1, -1)
        for sha256 in (b"\0" * 32, b"\1" * 32)
        for purpose in ("flip", "grey")
    }
    assert len(draws) == 12
    again = generator(0, b"\0" * 32, "flip").integers(1 << 62)
    assert again in draws


def test_names_are_chosen_in_the_order_of_the_table_and_once() -> None:
    assert [edit.name for edit in chosen(["grey", "flip", "grey"])] == ["flip", "grey"]
    assert [edit.name for edit in chosen(EDITS)] == list(EDITS)


def test_a_name_that_is_none_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no edit named 'crop-30'\. Did you mean crop-"):
        chosen(["flip", "crop-30"])

"""`phash`: the bits of the library imagehash, and how many differ."""

from __future__ import annotations

from itertools import combinations

import imagehash
import numpy as np
import pytest
from PIL import Image
from samples import DATA, needs_data, photographs, pixels
from subjects import subject, subject_at

from lookalike.compare.phash import PHash, PHashOptions
from lookalike.types import Pixels


def score(a: Pixels, b: Pixels) -> float | None:
    [found] = PHash(PHashOptions()).compare(subject(a), [subject(b)])
    return found.score


def of_imagehash(a: Pixels, b: Pixels) -> int:
    one, other = (imagehash.phash(Image.fromarray(each)) for each in (a, b))
    return int(one - other)


def test_as_many_bits_differ_as_imagehash_says_of_photographs() -> None:
    for a, b in combinations([picture.pixels for picture in photographs()], 2):
        assert score(a, b) == of_imagehash(a, b)


@pytest.mark.parametrize("size", [(31, 33), (32, 32), (8, 8), (500, 3), (1, 40), (1000, 700)])
def test_as_many_bits_differ_as_imagehash_says_at_any_size(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(2))
    assert score(a, b) == of_imagehash(a, b)
    assert score(a, pixels(2)) == of_imagehash(a, pixels(2))


@needs_data
def test_as_many_bits_differ_as_imagehash_says_of_two_hundred_photographs() -> None:
    every = [subject_at(path) for path in sorted((DATA / "caltech60").glob("*/*.jpg"))[::12]]
    found = PHash(PHashOptions()).compare(every[0], every)
    expected = [of_imagehash(every[0].picture.pixels, each.picture.pixels) for each in every]
    assert [each.score for each in found] == expected


def test_a_negative_is_nearly_the_opposite() -> None:
    pixels = photographs()[1].pixels
    found = score(pixels, 255 - pixels)
    assert found is not None
    assert 60 <= found <= 64

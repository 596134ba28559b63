"""Packed local features: what comes back, how near it is, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import photographs

from lookalike.extract.local import KeypointExtractor, KeypointOptions
from lookalike.local.packing import packed, unpacked
from lookalike.types import LocalFeatures

SIZE = (640, 480)


@pytest.fixture(scope="module")
def sift() -> list[tuple[LocalFeatures, tuple[int, int]]]:
    pictures = photographs()
    found = KeypointExtractor(KeypointOptions(), "cpu").extract_local(pictures)
    return [(each, picture.original_size) for each, picture in zip(found, pictures, strict=True)]


def made(descriptors: np.ndarray, seed: int = 0) -> LocalFeatures:
    """Keypoints anywhere in SIZE, with these descriptors."""
    rng = np.random.default_rng(seed)
    count = len(descriptors)
    return LocalFeatures(
        (rng.random((count, 2)) * SIZE - 0.5).astype(np.float32),
        (rng.random(count) * 100).astype(np.float32),
        (rng.random(count) * 360).astype(np.float32),
        descriptors,
    )


def test_sift_comes_back_within_what_is_promised(
    sift: list[tuple[LocalFeatures, tuple[int, int]]],
) -> None:
    for features, size in sift:
        again = unpacked(packed(features, size))
        errors = np.linalg.norm(again.descriptors - features.descriptors, axis=1)
        assert errors.max() < 0.01
        assert np.abs(np.linalg.norm(again.descriptors, axis=1) - 1).max() < 0.005
        assert np.abs(again.xy - features.xy).max() <= max(size) / 131_000 + 1e-3
        np.testing.assert_allclose(again.scale, features.scale, rtol=1 / 2000)
        turned = (again.angle - features.angle + 180) % 360 - 180  # 360 degrees are 0
        assert np.abs(turned).max() < 0.003


def test_a_keypoint_of_sift_takes_136_bytes(
    sift: list[tuple[LocalFeatures, tuple[int, int]]],
) -> None:
    features, size = sift[0]
    assert len(packed(features, size)) == 136 * len(features.xy) + 28


def test_the_nearest_of_each_descriptor_stays_the_nearest(
    sift: list[tuple[LocalFeatures, tuple[int, int]]],
) -> None:
    """Rounding must not change who matches whom, but where two were as near within its error."""
    (a, size_a), (b, size_b) = sift[0], sift[2]
    before = np.linalg.norm(a.descriptors[:, np.newaxis] - b.descriptors, axis=2)
    packed_a, packed_b = unpacked(packed(a, size_a)), unpacked(packed(b, size_b))
    after = np.linalg.norm(packed_a.descriptors[:, np.newaxis] - packed_b.descriptors, axis=2)
    chosen = np.take_along_axis(before, after.argmin(axis=1)[:, np.newaxis], axis=1)[:, 0]
    assert (chosen <= before.min(axis=1) + 0.04).all()


def test_bits_come_back_as_they_were() -> None:
    bits = np.random.default_rng(1).integers(0, 256, (70, 61)).astype(np.uint8)
    np.testing.assert_array_equal(unpacked(packed(made(bits), SIZE)).descriptors, bits)


def test_other_descriptors_come_back_with_length_one() -> None:
    values = np.random.default_rng(2).normal(size=(196, 768)).astype(np.float32) * 40
    wanted = values / np.linalg.norm(values, axis=1, keepdims=True)
    again = unpacked(packed(made(values), SIZE)).descriptors
    assert again.dtype == np.float32
    assert np.abs(again - wanted).max() <= np.abs(wanted).max() / 254 + 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_picture_without_keypoints_is_packed(dtype: type) -> None:
    again = unpacked(packed(made(np.empty((0, 128), dtype)), SIZE))
    assert again.xy.shape == (0, 2)
    assert again.descriptors.shape == (0, 128)
    assert again.descriptors.dtype == dtype


def test_all_zero_descriptors_stay_zero() -> None:
    again = unpacked(packed(made(np.zeros((3, 128), np.float32)), SIZE))
    assert not again.descriptors.any()


def test_places_outside_the_picture_end_at_its_edge() -> None:
    features = replace(
        made(np.ones((2, 4), np.float32)), xy=np.array([[-9, -9], [9e3, 9e3]], np.float32)
    )
    np.testing.assert_allclose(unpacked(packed(features, SIZE)).xy, [[-0.5, -0.5], [639.5, 479.5]])


def test_every_truncation_is_refused(
    sift: list[tuple[LocalFeatures, tuple[int, int]]],
) -> None:
    data = packed(*sift[0])
    for length in (*range(200), len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match="packed features"):
            unpacked(data[:length])
    with pytest.raises(ValueError, match="bytes instead of"):
        unpacked(data + b"x")


def test_every_changed_byte_is_refused(
    sift: list[tuple[LocalFeatures, tuple[int, int]]],
) -> None:
    data = bytearray(packed(*sift[0]))
    rng = np.random.default_rng(0)
    for at in (*range(28), *rng.integers(28, len(data), 200).tolist()):
        data[at] ^= 0x41
        with pytest.raises(ValueError, match="packed features"):
            unpacked(bytes(data))
        data[at] ^= 0x41
    unpacked(bytes(data))


def test_random_bytes_are_refused() -> None:
    rng = np.random.default_rng(0)
    for length in (0, 1, 31, 32, 33, 5000):
        for start in (b"", b"LKLF", b"LKLF\x01"):
            with pytest.raises(ValueError, match="packed features"):
                unpacked((start + rng.bytes(length))[:length])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    good = made(np.ones((3, 128), np.float32))
    spoiled = np.full((3, 128), bad, np.float32)
    with pytest.raises(ValueError, match="not finite"), np.errstate(invalid="ignore"):
        packed(replace(good, descriptors=spoiled), SIZE)
    with pytest.raises(ValueError, match="finite"):
        packed(replace(good, xy=spoiled[:, :2]), SIZE)


def test_lengths_that_differ_are_refused() -> None:
    good = made(np.ones((3, 128), np.float32))
    with pytest.raises(ValueError, match="as many places"):
        packed(replace(good, scale=good.scale[:2]), SIZE)
    with pytest.raises(ValueError, match="not 0 x 480"):
        packed(good, (0, 480))

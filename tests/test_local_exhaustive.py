"""Mutual nearest neighbours against every picture: counted as a plain loop counts them."""

from __future__ import annotations

import numpy as np
import pytest
from samples import photographs

from lookalike.extract.keypoints import Detector
from lookalike.extract.local import KeypointExtractor, KeypointOptions
from lookalike.local.exhaustive import votes

Described = list[np.ndarray]


def described(detector: Detector) -> Described:
    extractor = KeypointExtractor(KeypointOptions(detector, features=60), "cpu")
    return [each.descriptors for each in extractor.extract_local(photographs())]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    if a.dtype == np.uint8:
        return float(np.unpackbits(a ^ b).sum())
    return float(((a.astype(float) - b) ** 2).sum())


def mutual(a: np.ndarray, b: np.ndarray) -> set[tuple[int, int]]:
    table = np.array([[distance(one, other) for other in b] for one in a])
    return {
        (i, int(table[i].argmin()))
        for i in range(len(a))
        if int(table[:, table[i].argmin()].argmin()) == i
    }


@pytest.mark.parametrize("detector", ["sift", "orb"])
def test_counts_are_those_of_a_plain_loop(detector: Detector) -> None:
    found = described(detector)
    rows, counts = votes(found[0], [(np.arange(6), found)], 6)
    wanted = [len(mutual(found[0], each)) for each in found]
    assert rows[0] == 0
    assert counts[0] == len(found[0])
    tolerance = 1 if detector == "orb" else 0  # two that are equally near, to many bits
    for row, count in zip(rows, counts, strict=True):
        assert abs(count - wanted[row]) <= tolerance


def test_blocks_do_not_matter() -> None:
    found = described("sift")
    whole = votes(found[3], [(np.arange(6), found)], 4)
    pieces = ((np.array([number]), [found[number]]) for number in (5, 1, 0, 3, 2, 4))
    for one, other in zip(whole, votes(found[3], pieces, 4), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(whole[0]) == 4


def test_no_keypoints_no_votes() -> None:
    found, none = described("sift"), np.empty((0, 128), np.float32)
    assert len(votes(none, [(np.arange(6), found)], 4)[0]) == 0
    assert votes(found[0], [(np.array([7, 8]), [none, found[0]])], 4)[0].tolist() == [8]
    assert len(votes(found[0], [], 4)[0]) == 0


def test_descriptors_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="not compared"):
        votes(described("sift")[0], [(np.arange(6), described("orb"))], 4)

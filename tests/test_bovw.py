"""Bags of visual words, beside the same computed by hand, and what a vocabulary refuses."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import cache
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from samples import photographs
from scipy.spatial.distance import cdist

from lookalike import recipe
from lookalike.errors import NotTrained, RecipeError, TooLittleToLearnFrom
from lookalike.extract import Descriptors, Extractor, LocalExtractor, Trainable
from lookalike.extract.bovw import BagOfVisualWords, BovwOptions
from lookalike.extract.nearest import Nearest, means
from lookalike.picture import from_pixels

SIFT = BovwOptions(k=20, features=150, longest_side=200)
ORB = replace(SIFT, detector="orb")


@cache
def samples(options: BovwOptions) -> list[Descriptors]:
    return BagOfVisualWords(options, "cpu").sample(photographs())


@cache
def learned(options: BovwOptions) -> bytes:
    return BagOfVisualWords(options, "cpu").learn(samples(options), lambda _: None)


def trained(options: BovwOptions) -> BagOfVisualWords:
    extractor = BagOfVisualWords(options, "cpu")
    extractor.restore(learned(replace(options, encoding="tf-idf")))
    return extractor


def contents(options: BovwOptions) -> dict[str, Any]:
    """What the learned bytes hold."""
    with np.load(io.BytesIO(learned(options)), allow_pickle=False) as arrays:
        return dict(arrays)


def packed(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def values(options: BovwOptions, descriptors: Descriptors) -> npt.NDArray[np.float64]:
    """What distances are taken of, float64 [n, d]."""
    if options.detector == "orb":
        bits = [[byte >> (7 - i) & 1 for byte in line for i in range(8)] for line in descriptors]
        return np.array(bits, float).reshape(len(descriptors), -1)
    raw = descriptors.astype(float)
    return np.sqrt(raw / raw.sum(axis=1, keepdims=True)) if options.root_sift else raw


def words_by_hand(options: BovwOptions, descriptors: Descriptors) -> npt.NDArray[np.int64]:
    centres = contents(options)["words"].astype(float)
    if options.detector == "orb":
        centres = (centres >= 0.5).astype(float)
    return np.asarray(cdist(values(options, descriptors), centres).argmin(axis=1), np.int64)


def test_it_is_an_extractor_of_local_features_that_learns() -> None:
    extractor: Extractor = BagOfVisualWords(SIFT, "cpu")
    assert isinstance(extractor, LocalExtractor)
    assert isinstance(extractor, Trainable)
    assert extractor.wanted_pictures == SIFT.pictures


@pytest.mark.parametrize("shape", [(1, 2), (31, 64), (32, 65), (300, 63), (700, 1000)])
def test_the_nearest_word_is_that_of_brute_force(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    points, centres = (rng.random((count, 128), dtype=np.float32) for count in shape)
    before = points.copy()
    np.testing.assert_array_equal(Nearest(centres).to(points), cdist(points, centres).argmin(1))
    np.testing.assert_array_equal(points, before)


def test_k_means_is_as_good_as_that_of_faiss() -> None:
    """By the mean of the squared distances to the nearest centre, after as many rounds."""
    points = values(SIFT, np.concatenate(samples(replace(SIFT, features=1000)))).astype(np.float32)
    theirs = faiss.Kmeans(
        128, 40, niter=15, seed=1, min_points_per_centroid=1, max_points_per_centroid=len(points)
    )
    theirs.train(points)
    ours = means(points, 40, 15, 0, lambda _: None)
    error, wanted = (
        (cdist(points, each).min(axis=1) ** 2).mean() for each in (ours, theirs.centroids)
    )
    assert error < 1.01 * wanted


@pytest.mark.parametrize("options", [SIFT, replace(SIFT, root_sift=False), ORB])
def test_counts_are_how_often_each_word_is_the_nearest(options: BovwOptions) -> None:
    counts = trained(replace(options, encoding="counts")).extract(photographs())
    assert counts.shape == (6, 20)
    for vector, descriptors in zip(counts, samples(options), strict=True):
        by_hand = np.bincount(words_by_hand(options, descriptors), minlength=20)
        # A tie of bits may fall either way, and so may what rounding decides.
        assert np.abs(vector - by_hand).sum() <= (0.1 * len(descriptors) if options == ORB else 2)
        assert vector.sum() == len(descriptors)


@pytest.mark.parametrize("options", [SIFT, ORB])
def test_tf_idf_is_the_counts_by_the_weights_at_length_one(options: BovwOptions) -> None:
    counts = trained(replace(options, encoding="counts")).extract(photographs()).astype(float)
    # These are the pictures that it was learned from.
    weights = np.log((1 + 6) / (1 + (counts > 0).sum(axis=0))) + 1
    np.testing.assert_allclose(contents(options)["weights"], weights, rtol=1e-6)
    expected = counts * weights
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(trained(options).extract(photographs()), expected, atol=1e-6)


@pytest.mark.parametrize("options", [SIFT, ORB])
def test_vlad_is_the_residuals_of_each_word(options: BovwOptions) -> None:
    extractor = trained(replace(options, encoding="vlad"))
    centres = contents(options)["words"].astype(float)
    assert extractor.dim == 20 * centres.shape[1]
    vectors = extractor.extract(photographs())
    for vector, descriptors in zip(vectors, samples(options), strict=True):
        nearest = words_by_hand(options, descriptors)
        if options == ORB:  # whose ties may fall either way
            bits = np.packbits(centres >= 0.5, axis=1)
            nearest = faiss.knn_hamming(descriptors, bits, 1)[1][:, 0]
        blocks = np.zeros_like(centres)
        for word, value in zip(nearest, values(options, descriptors), strict=True):
            blocks[word] += value - centres[word]
        for block in blocks:
            length = np.linalg.norm(block)
            block *= 1 / length if length > 1e-4 else 0  # else it is nothing but rounding
        expected = np.sign(blocks.ravel()) * np.abs(blocks.ravel()) ** 0.5
        expected /= np.linalg.norm(expected)
        assert vector @ expected > 0.999


def test_local_features_are_those_that_words_are_made_of() -> None:
    for options in (SIFT, replace(SIFT, root_sift=False), ORB):
        found = BagOfVisualWords(options, "cpu").extract_local(photographs())
        for each, descriptors in zip(found, samples(options), strict=True):
            assert len(each.xy) == len(each.descriptors) <= options.features
            if options == ORB:
                np.testing.assert_array_equal(each.descriptors, descriptors)
            else:
                assert each.descriptors.dtype == np.float32
                np.testing.assert_allclose(each.descriptors, values(options, descriptors), 1e-5)


@pytest.mark.parametrize("encoding", ["tf-idf", "counts", "vlad"])
def test_a_picture_without_keypoints_is_all_zero(encoding: Any) -> None:
    extractor = trained(replace(SIFT, encoding=encoding))
    plain = from_pixels(np.full((50, 50, 3), 200, np.uint8))
    vectors = extractor.extract([plain, photographs()[0], plain])
    assert not vectors[[0, 2]].any()
    assert np.isfinite(vectors).all()
    assert vectors[1].any()
    assert extractor.sample([plain])[0].shape == (0, 128)


def test_the_same_samples_and_seed_give_the_same_vocabulary() -> None:
    told: list[float] = []
    again = BagOfVisualWords(SIFT, "cpu").learn(samples(SIFT), told.append)
    assert again == learned(SIFT)
    assert told == sorted(told)
    assert 0 < told[0] < told[-1] == 1
    assert learned(replace(SIFT, seed=1)) != learned(SIFT)


def test_a_learner_describes_as_one_that_restores() -> None:
    learner = BagOfVisualWords(SIFT, "cpu")
    learner.restore(learner.learn(samples(SIFT), lambda _: None))
    other = trained(SIFT)
    assert learner.fingerprint == other.fingerprint
    np.testing.assert_array_equal(learner.extract(photographs()), other.extract(photographs()))


def test_the_fingerprint_changes_with_every_option_and_with_what_was_learned() -> None:
    others: dict[str, Any] = {
        "detector": "orb",
        "root_sift": False,
        "k": 21,
        "features": 151,
        "longest_side": 201,
        "encoding": "vlad",
        "seed": 1,
        "pictures": 7,
    }
    assert set(others) == {field.name for field in fields(BovwOptions)}
    every = [SIFT, *(replace(SIFT, **{name: value}) for name, value in others.items())]
    fingerprints = {BagOfVisualWords(options, "cpu").fingerprint for options in every}
    assert len(fingerprints) == len(every)
    extractor = trained(SIFT)
    assert extractor.fingerprint not in fingerprints
    before = extractor.fingerprint
    extractor.learn(samples(SIFT)[:3], lambda _: None)
    assert extractor.fingerprint != before


def test_before_it_has_learned_it_says_so() -> None:
    with pytest.raises(NotTrained, match="visual words has not been learned yet: index a folder"):
        BagOfVisualWords(SIFT, "cpu").extract(photographs()[:1])


@pytest.mark.parametrize("count", [0, 1, 19])
def test_fewer_descriptors_than_words_are_too_little(count: int) -> None:
    extractor = BagOfVisualWords(SIFT, "cpu")
    few = [samples(SIFT)[0][:count], samples(SIFT)[0][:0]]
    with pytest.raises(TooLittleToLearnFrom, match=f"^{count} descriptors of 2 .* 20 words"):
        extractor.learn(few, lambda _: None)
    with pytest.raises(NotTrained):
        extractor.extract(photographs()[:1])


@pytest.mark.parametrize("options", [SIFT, ORB])
def test_just_enough_and_equal_descriptors_are_learned_from(
    options: BovwOptions, capfd: pytest.CaptureFixture[str]
) -> None:
    extractor = BagOfVisualWords(options, "cpu")
    same = np.repeat(samples(options)[0][:1], 30, axis=0)
    for few in ([samples(options)[0][:20]], [same, same]):
        extractor.learn(few, lambda _: None)
        assert np.isfinite(extractor.extract(photographs())).all()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "other",
    [replace(SIFT, k=21), replace(SIFT, root_sift=False), ORB, replace(SIFT, detector="orb", k=5)],
)
def test_a_vocabulary_for_other_options_is_refused(other: BovwOptions) -> None:
    with pytest.raises(RecipeError, match="of 20 x 128 values for rootsift; the recipe wants"):
        BagOfVisualWords(other, "cpu").restore(learned(SIFT))


def hostile() -> dict[str, bytes]:
    """Bytes that are no vocabulary of ours."""
    whole, sound = learned(SIFT), contents(SIFT)
    compressed = io.BytesIO()
    np.savez_compressed(compressed, **sound)
    pickled = packed(**{**sound, "words": np.array([{"a": 1}], object)})
    changed: dict[str, Any] = {
        "another version": {"version": np.int64(2)},
        "versions": {"version": np.arange(2)},
        "a version in words": {"version": np.array("1")},
        "not a number": {"words": np.full((20, 128), np.nan, np.float32)},
        "infinite weights": {"weights": np.full(20, np.inf, np.float32)},
        "doubles": {"words": sound["words"].astype(float)},
        "text": {"words": np.full((20, 128), "a")},
        "fewer weights": {"weights": sound["weights"][:19]},
        "another shape": {"words": sound["words"].T},
        "a number for": {"made_for": np.int64(1)},
    }
    lacking = {
        f"no {name}": packed(**{n: a for n, a in sound.items() if n != name}) for name in sound
    }
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    vast = whole.replace(b"(20, 128), }", b"(9999999999,)", 1)
    return {
        "nothing": b"",
        "text ": b"hello",
        "npy": whole[whole.index(b"\x93NUMPY") :],
        "one bit": bytes(flipped),
        "packed": compressed.getvalue(),
        "pickle": pickled,
        "vast": vast,
        **{f"first {n}": whole[:n] for n in (1, 4, 30, 100, len(whole) // 2, len(whole) - 1)},
        **{name: packed(**{**sound, **change}) for name, change in changed.items()},
        **lacking,
    }


def test_damaged_and_hostile_bytes_are_refused_and_change_nothing() -> None:
    extractor = trained(SIFT)
    before = extractor.fingerprint
    for data in hostile().values():
        with pytest.raises(RecipeError, match="the learned vocabulary"):
            extractor.restore(data)
        assert extractor.fingerprint == before


@pytest.mark.slow
def test_any_changed_byte_is_refused_or_harmless() -> None:
    """Outside of the values, which are under a checksum, zip has bytes that nobody reads."""
    whole = learned(SIFT)
    extractor = trained(SIFT)
    expected = extractor.extract(photographs()[:1])
    rng = np.random.default_rng(0)
    places = [*range(200), *range(len(whole) - 600, len(whole)), *rng.integers(0, len(whole), 200)]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= int(rng.integers(1, 256))
        try:
            extractor.restore(bytes(changed))
        except RecipeError:
            continue
        np.testing.assert_array_equal(extractor.extract(photographs()[:1]), expected)


def test_many_threads_give_what_one_gives_and_leave_faiss_alone() -> None:
    before = faiss.omp_get_max_threads()
    for options in (SIFT, ORB):
        extractor = trained(options)
        expected = extractor.extract(photographs())
        with ThreadPoolExecutor(6) as threads:
            for vectors in threads.map(extractor.extract, [photographs()] * 6):
                np.testing.assert_array_equal(vectors, expected)
    assert faiss.omp_get_max_threads() == before


def test_a_decoder_never_shrinks_below_the_cap() -> None:
    assert BagOfVisualWords(SIFT, "cpu").shortest_side >= SIFT.longest_side
    assert BagOfVisualWords(replace(SIFT, longest_side=0), "cpu").shortest_side > 10**6


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("k = 1", "k must be 2 or more, not 1"),
        ("features = 0", "features must be 1 or more"),
        ("longest_side = -1", "longest_side must be 0 or more"),
        ("longest_side = 8", "longest_side must be 0 or at least 32"),
        ("detector = 'surf'", "detector must be one of 'sift', 'orb', 'akaze'"),
        ("encoding = 'fisher'", "encoding must be one of"),
        ("kk = 5", "did you mean k"),
    ],
)
def test_a_recipe_that_asks_for_the_impossible_is_refused(wrong: str, says: str) -> None:
    text = f"[embeddings.v.extractor]\nname = 'bovw'\n{wrong}\n[embeddings.v.index]\nname = 'flat'"
    with pytest.raises(RecipeError, match=says):
        recipe.parse(text, "mine")

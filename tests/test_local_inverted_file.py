"""The inverted file: who gets votes, that pieces equal the whole, and what is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import PHOTOGRAPHS, photographs

from lookalike.errors import TooLittleToLearnFrom
from lookalike.extract.local import KeypointExtractor, KeypointOptions
from lookalike.local import voting
from lookalike.local.inverted_file import InvertedFile
from lookalike.local.vocabulary import Vocabulary
from lookalike.picture import from_pixels
from lookalike.sealed import Unusable

Described = list[np.ndarray]


@pytest.fixture(scope="module")
def described() -> Described:
    """RootSIFT of the sample photographs, and of their quarters, 30 pictures."""
    pictures = []
    for picture in photographs():
        height, width = picture.pixels.shape[:2]
        pictures.append(picture)
        for y in (0, height // 2):
            for x in (0, width // 2):
                quarter = picture.pixels[y : y + height // 2, x : x + width // 2]
                pictures.append(from_pixels(np.ascontiguousarray(quarter)))
    extractor = KeypointExtractor(KeypointOptions(features=200), "cpu")
    return [each.descriptors for each in extractor.extract_local(pictures)]


@pytest.fixture(scope="module")
def vocabulary(described: Described) -> Vocabulary:
    return Vocabulary.learn(np.concatenate(described), len(described))


def filled(vocabulary: Vocabulary, described: Described) -> InvertedFile:
    """Their rows are 100, 101, …"""
    inverted = InvertedFile(vocabulary)
    inverted.add(np.arange(len(described)) + 100, described)
    return inverted


def same(a: InvertedFile, b: InvertedFile, described: Described) -> bool:
    answers = [(a.votes(query, 50), b.votes(query, 50)) for query in described]
    return all(
        np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])
        for one, other in answers
    )


def test_a_picture_votes_for_itself_first(vocabulary: Vocabulary, described: Described) -> None:
    inverted = filled(vocabulary, described)
    assert len(inverted) == len(described)
    for number, query in enumerate(described):
        rows, votes = inverted.votes(query, 5)
        assert rows[0] == number + 100
        assert (votes[:-1] >= votes[1:]).all()
        assert (votes > 0).all()


def test_a_quarter_votes_for_its_whole(vocabulary: Vocabulary, described: Described) -> None:
    """Of what is stored, the whole pictures alone."""
    inverted = InvertedFile(vocabulary)
    inverted.add(np.arange(6), described[::5])
    for number, query in enumerate(described):
        if number % 5 and len(query) >= 20:
            assert inverted.votes(query, 1)[0].tolist() == [number // 5]


def test_votes_are_those_of_brute_force(vocabulary: Vocabulary, described: Described) -> None:
    """Distances counted bit by bit, over all pairs that share a word."""
    inverted = filled(vocabulary, described)
    stored = [vocabulary.values(each) for each in described]
    words = [vocabulary.nearest(each, 1)[:, 0] for each in stored]
    bits = [_bits(vocabulary.signatures(*both)) for both in zip(stored, words, strict=True)]
    for query in described[1:12:3]:
        asked = vocabulary.nearest(query, 3)
        theirs = _bits(vocabulary.signatures(query, asked))
        wanted = np.zeros(len(described))
        for some_words, some_bits in zip(asked, theirs, strict=True):
            nearest = []
            for number in range(len(described)):
                distances = [
                    int((mine != their).sum())
                    for word, mine in zip(some_words, some_bits, strict=True)
                    for their in bits[number][words[number] == word]
                ]
                if distances and min(distances) <= voting.FARTHEST:
                    nearest.append((min(distances), number))
            nearest.sort()
            limit = nearest[10][0] if len(nearest) > 10 else voting.FARTHEST + 1
            for distance, number in nearest[:10]:
                wanted[number] += 1 - distance / max(limit, 1)
        rows, votes = inverted.votes(query, len(described))
        found = np.zeros(len(described))
        found[rows - 100] = votes
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def _bits(signatures: np.ndarray) -> np.ndarray:
    return (signatures[..., np.newaxis] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)


def test_pieces_equal_the_whole(vocabulary: Vocabulary, described: Described) -> None:
    whole, pieces = filled(vocabulary, described), InvertedFile(vocabulary)
    order = np.random.default_rng(0).permutation(len(described))
    for some in np.array_split(order, 9):
        pieces.add(some + 100, [described[number] for number in some])
    assert len(pieces) == len(whole)
    assert same(whole, pieces, described)


def test_removed_pictures_get_no_votes(
    vocabulary: Vocabulary, described: Described, tmp_path: Path
) -> None:
    inverted = filled(vocabulary, described)
    gone = np.array([100, 107, 129, 4711])
    inverted.remove(gone)
    left = [number for number in range(len(described)) if number + 100 not in gone]
    never = InvertedFile(vocabulary)
    never.add(np.array(left) + 100, [described[number] for number in left])
    assert len(inverted) == len(described) - 3
    assert inverted.rows.tolist() == [number + 100 for number in left]
    assert same(inverted, never, described)
    inverted.save(tmp_path / "saved")
    assert same(InvertedFile.load(tmp_path / "saved"), never, described)


def test_a_filter_loses_nothing(vocabulary: Vocabulary, described: Described) -> None:
    """What is allowed is voted for as if nothing else were there."""
    inverted = filled(vocabulary, described)
    some = np.arange(0, len(described), 7)
    alone = InvertedFile(vocabulary)
    alone.add(some + 100, [described[number] for number in some])
    for query in described:
        rows, votes = inverted.votes(query, 50, some + 100)
        expected_rows, expected_votes = alone.votes(query, 50)
        np.testing.assert_array_equal(rows, expected_rows)
        np.testing.assert_array_equal(votes, expected_votes)
    assert len(inverted.votes(described[0], 5, np.empty(0, np.int64))[0]) == 0


@pytest.mark.parametrize("mapped", [True, False])
def test_what_is_saved_is_loaded(
    mapped: bool, vocabulary: Vocabulary, described: Described, tmp_path: Path
) -> None:
    inverted = filled(vocabulary, described[:20])
    inverted.add(np.arange(10) + 120, described[20:])
    inverted.save(tmp_path / "saved")
    InvertedFile.verify(tmp_path / "saved")
    loaded = InvertedFile.load(tmp_path / "saved", mapped=mapped)
    assert len(loaded) == len(described)
    assert same(inverted, loaded, described)
    loaded.add(np.array([7]), [described[0]])  # it grows beside what is mapped
    assert set(loaded.votes(described[0], 2)[0].tolist()) == {7, 100}
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_what_is_empty_is_saved_too(
    vocabulary: Vocabulary, described: Described, tmp_path: Path
) -> None:
    InvertedFile(vocabulary).save(tmp_path / "saved")
    loaded = InvertedFile.load(tmp_path / "saved")
    assert len(loaded) == 0
    assert len(loaded.votes(described[0], 5)[0]) == 0


def test_pictures_and_queries_without_keypoints(
    vocabulary: Vocabulary, described: Described
) -> None:
    none = np.empty((0, 128), np.float32)
    inverted = InvertedFile(vocabulary)
    inverted.add(np.array([1, 2]), [none, none])
    inverted.add(np.array([], np.int64), [])
    inverted.add(np.array([3, 4]), [described[0], none])
    assert len(inverted) == 4
    assert inverted.votes(described[0], 9)[0].tolist() == [3]
    assert len(inverted.votes(none, 9)[0]) == 0


def test_votes_while_it_grows_and_shrinks(vocabulary: Vocabulary, described: Described) -> None:
    """Whoever asks sees each picture whole or not at all."""
    inverted = InvertedFile(vocabulary)
    inverted.add(np.array([0]), [described[0]])
    alone = inverted.votes(described[0], 1)[1][0]

    def write(number: int) -> None:
        rows = np.arange(5) + 10 * number
        inverted.add(rows, [described[(number + i) % 30] for i in range(5)])
        inverted.remove(rows[1:])

    with ThreadPoolExecutor(4) as threads:
        writes = [threads.submit(write, number) for number in range(1, 30)]
        asked = [threads.submit(inverted.votes, described[0], 200) for _ in range(60)]
    for each in writes:
        each.result()
    for answer in asked:
        rows, votes = answer.result()
        assert 0 in rows.tolist()
        assert len(rows) == len(set(rows.tolist()))
        assert (votes <= alone + 1e-3).all()
    assert len(inverted) == 30


def test_bits_are_voted_with_as_well() -> None:
    """ORB: the same pictures, found by the half of their own keypoints."""
    extractor = KeypointExtractor(KeypointOptions("orb", features=200), "cpu")
    found = [each.descriptors for each in extractor.extract_local(photographs())]
    inverted = InvertedFile(Vocabulary.learn(np.concatenate(found), len(found)))
    inverted.add(np.arange(len(found)), found)
    rng = np.random.default_rng(0)
    for number, bits in enumerate(found):
        noisy = bits[::2] ^ np.packbits(rng.random((len(bits[::2]), 256)) < 0.05, axis=1)
        assert inverted.votes(noisy, 1)[0].tolist() == [number]


def test_other_descriptors_are_refused(vocabulary: Vocabulary, described: Described) -> None:
    inverted = filled(vocabulary, described)
    with pytest.raises(ValueError, match=r"\[n, 128\] here, not \[3, 64\]"):
        inverted.votes(np.zeros((3, 64), np.float32), 5)
    with pytest.raises(ValueError, match="float32 here, not uint8"):
        inverted.votes(np.zeros((3, 128), np.uint8), 5)
    with pytest.raises(ValueError, match="not finite"):
        inverted.votes(np.full((3, 128), np.nan, np.float32), 5)
    with pytest.raises(ValueError, match="here already"):
        inverted.add(np.array([100]), [described[0]])
    with pytest.raises(ValueError, match="named twice"):
        inverted.add(np.array([1, 1]), [described[0], described[0]])
    with pytest.raises(ValueError, match="2 rows for 1 pictures"):
        inverted.add(np.array([1, 2]), [described[0]])


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(TooLittleToLearnFrom, match="no picture has local features"):
        Vocabulary.learn(np.empty((0, 128), np.float32), 0)


@pytest.mark.parametrize("count", [1, 2, 9, 300])
def test_few_descriptors_are_enough(count: int, described: Described) -> None:
    few = np.concatenate(described)[:count]
    inverted = InvertedFile(Vocabulary.learn(few, 1))
    inverted.add(np.array([5]), [few])
    assert inverted.votes(few, 3)[0].tolist() == [5]


def test_the_same_sample_gives_the_same_words(described: Described) -> None:
    sample = np.concatenate(described)
    one, other = (Vocabulary.learn(sample, 30, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.words, other.words)
    np.testing.assert_array_equal(one.directions, other.directions)


def test_many_words_are_found_in_two_steps() -> None:
    """The nearest word is nearly always found, and there are as many words as were wanted."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(500, 16)).astype(np.float32)
    points = centres[rng.integers(0, 500, 70_000)] + rng.normal(size=(70_000, 16)).astype(
        np.float32
    ) * np.float32(0.2)
    vocabulary = Vocabulary.learn(points, 20_000)
    assert len(vocabulary) == len(points) // 8
    asked = points[:300]
    exact = ((asked[:, np.newaxis] - vocabulary.words) ** 2).sum(axis=2).argmin(axis=1)
    assert (vocabulary.nearest(asked, 1)[:, 0] == exact).mean() > 0.95


def test_damaged_files_are_refused(
    vocabulary: Vocabulary, described: Described, tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    filled(vocabulary, described).save(folder)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for damaged in (whole[:-1], b"", whole + b"x"):
            path.write_bytes(damaged)
            with pytest.raises(Unusable):
                InvertedFile.load(folder)
        changed = bytearray(whole)
        changed[len(whole) // 2] ^= 1
        path.write_bytes(changed)
        with pytest.raises(Unusable, match=r"damaged|cannot be read"):
            InvertedFile.verify(folder)
        path.unlink()
        with pytest.raises(Unusable):
            InvertedFile.load(folder)
        path.write_bytes(whole)
    InvertedFile.load(folder)


def test_a_newer_format_is_refused(
    vocabulary: Vocabulary, described: Described, tmp_path: Path
) -> None:
    filled(vocabulary, described).save(tmp_path / "saved")
    header = tmp_path / "saved" / "header.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"version": 99}))
    with pytest.raises(Unusable, match="format 99"):
        InvertedFile.load(tmp_path / "saved")


def test_an_unfinished_save_leaves_nothing(
    vocabulary: Vocabulary, described: Described, tmp_path: Path
) -> None:
    inverted = filled(vocabulary, described)
    (tmp_path / "saved.tmp").mkdir()  # what a killed process has left
    inverted.save(tmp_path / "saved")
    with pytest.raises(OSError, match="saved"):
        inverted.save(tmp_path / "saved")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    assert same(inverted, InvertedFile.load(tmp_path / "saved"), described)


def test_a_turned_picture_is_found() -> None:
    with Image.open(PHOTOGRAPHS / "coffee.png") as image:
        turned = from_pixels(np.asarray(image.convert("RGB").rotate(30, expand=True)))
    extractor = KeypointExtractor(KeypointOptions(), "cpu")
    found = [each.descriptors for each in extractor.extract_local([*photographs(), turned])]
    inverted = InvertedFile(Vocabulary.learn(np.concatenate(found[:6]), 6))
    inverted.add(np.arange(6), found[:6])
    assert inverted.votes(found[6], 1)[0].tolist() == [2]

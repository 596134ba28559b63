"""Words find pictures, with no network for text: what is found, how it is computed, what is not."""

from __future__ import annotations

import hashlib
import shutil
import time
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.errors import BadQuery, NoText, RecipeError
from lookalike.extract import TextEncoder
from lookalike.extract.class_words import ClassWords, ClassWordsOptions, pieces, split, words
from lookalike.extract.onnx import OnnxExtractor, OnnxOptions
from lookalike.extract.onnx_model import Model

MODELS = ("efficientnet-lite0-int8", "efficientnet-lite0-fp16")
TEXTS = ("electric guitar", "Two red cars, at night!", "gerenuk", "jumping", "a photo of a panda")


@cache
def extractor(name: str = MODELS[0]) -> OnnxExtractor:
    return OnnxExtractor(OnnxOptions(name), "cpu")


@cache
def shipped() -> dict[str, Any]:
    text = extractor().model.text
    assert isinstance(text, ClassWordsOptions)
    with np.load(extractor().model.path.with_name(text.file)) as arrays:
        return dict(arrays)


def loaded() -> ClassWords:
    text = extractor().model.text
    assert isinstance(text, ClassWordsOptions)
    path = extractor().model.path.with_name(text.file)
    return ClassWords.load(path, text.sha256, text.temperature)


def test_a_vector_is_what_the_shipped_arrays_give_by_hand() -> None:
    """The softmax over the classes nearest to two words, summed over the classifier's rows."""
    arrays = shipped()
    listed = bytes(arrays["entries"]).decode().split("\n")
    meaning = sum(
        arrays["vectors"][at].astype(float) * float(arrays["scales"][at])
        for at in (listed.index("electric guitar"), listed.index("panda"))
    )
    cosines = arrays["classes"].astype(float) @ meaning / np.linalg.norm(meaning)
    text = extractor().model.text
    assert isinstance(text, ClassWordsOptions)
    shares = np.exp(cosines / text.temperature)
    expected = (shares[:, None] * arrays["rows"].astype(float)).sum(axis=0)
    expected /= np.linalg.norm(expected)
    (vector,) = extractor().encode_text(["panda, electric guitars"])
    np.testing.assert_allclose(vector, expected, atol=1e-4)


def test_a_class_is_found_by_its_name() -> None:
    weights = loaded().weights("electric guitar")
    assert weights.argmax() == 546  # its place among the 1,000
    assert weights.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Grand  Piano", ["grand piano"]),
        ("grand pianos", ["grand piano"]),
        ("wolves and foxes", ["wolf", "and", "fox"]),
        ("pianoforteist", ["piano", "##forte", "##ist"]),
        ("éclair", ["eclair"]),
        ("🎸 熊猫", []),
        ("!!! ... ", []),
    ],
)
def test_a_text_is_split_into_the_longest_that_is_known(text: str, expected: list[str]) -> None:
    known = ["grand piano", "piano", "##forte", "##ist", "wolf", "and", "fox", "eclair"]
    assert list(split(text, known)) == expected


def test_a_word_that_is_known_in_part_only_is_left_out() -> None:
    assert pieces("pianoxyz", ["piano", "##forte"]) == []
    assert words("Crème_brûlée №7") == ["creme", "brulee", "no7"]


def test_many_texts_give_what_each_gives_alone() -> None:
    together = extractor().encode_text(TEXTS)
    assert together.shape == (len(TEXTS), extractor().dim)
    assert together.dtype == np.float32
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_array_equal(extractor().encode_text([text])[0], vector)
    assert extractor().encode_text([]).shape == (0, extractor().dim)


def test_both_models_and_every_loading_give_the_same() -> None:
    expected = extractor().encode_text(TEXTS)
    for name in MODELS:
        np.testing.assert_array_equal(extractor(name).encode_text(TEXTS), expected)
    np.testing.assert_array_equal(loaded().encode(TEXTS), expected)


def test_threads_that_begin_at_once_get_the_same() -> None:
    fresh = OnnxExtractor(OnnxOptions(MODELS[0]), "cpu")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: fresh.encode_text(TEXTS), range(32)))
    for answer in answers:
        np.testing.assert_array_equal(answer, answers[0])


@pytest.mark.parametrize("text", ["", " ", "\n\t\u3000"])
def test_an_empty_text_is_refused(text: str) -> None:
    with pytest.raises(BadQuery, match="text is empty"):
        extractor().encode_text(["a cat", text])


@pytest.mark.parametrize(
    "text",
    [
        *("🎸", "?!", "xqzzkv", "熊猫", "электрогитара", "गिटार", "e\u0301" * 50, "\x00", "\ud800"),
        *("the of and", "7", "x" * 10_000, "guitar " * 1_500, "'; DROP TABLE", "##ing"),
    ],
)
def test_any_other_text_gives_a_finite_vector_of_length_one(text: str) -> None:
    (vector,) = extractor().encode_text([text])
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_long_text_does_not_take_long() -> None:
    extractor().encode_text(["warm"])
    started = time.perf_counter()
    extractor().encode_text(["strange quaternionic words " * 400])
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("name", MODELS)
def test_the_words_are_those_that_the_description_names(name: str) -> None:
    model = Model.named(name)
    assert isinstance(model.text, ClassWordsOptions)
    content = model.path.with_name(model.text.file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == model.text.sha256


def test_text_does_not_change_the_fingerprint_of_pictures() -> None:
    model = Model.named(MODELS[0])
    assert replace(model, text=None).fingerprint == model.fingerprint


def test_whether_a_model_reads_text_is_in_its_description() -> None:
    deaf = OnnxExtractor(OnnxOptions(MODELS[0]), "cpu")
    assert isinstance(deaf, TextEncoder)
    assert deaf.reads_text
    deaf.model = replace(deaf.model, text=None)
    assert not deaf.reads_text
    with pytest.raises(NoText, match="reads no text"):
        deaf.encode_text(["a cat"])


@pytest.mark.parametrize("how", ["missing", "shorter"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, how: str) -> None:
    model = Model.named(MODELS[0])
    assert isinstance(model.text, ClassWordsOptions)
    name = model.text.file
    if how == "shorter":
        shutil.copy(model.path.with_name(name), tmp_path)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
    broken = OnnxExtractor(OnnxOptions(MODELS[0]), "cpu")
    broken.model = replace(model, path=tmp_path / "model.onnx")
    with pytest.raises(RecipeError, match=name):
        broken.encode_text(["a cat"])


def test_the_shipped_table_is_whole() -> None:
    arrays = shipped()
    entries = bytes(arrays["entries"]).decode("ascii").split("\n")
    assert len(set(entries)) == len(entries) == len(arrays["vectors"]) == len(arrays["scales"])
    assert arrays["rows"].shape == (1000, extractor().dim)
    assert arrays["classes"].shape == (1000, arrays["vectors"].shape[1])
    every: Iterable[Any] = (arrays["scales"], arrays["rows"], arrays["classes"])
    assert all(np.isfinite(each).all() for each in every)
    table = tomllib.loads(extractor().model.path.with_suffix(".toml").read_text("utf-8"))
    assert table["text"]["kind"] == "classes"

"""Models of open_clip: pictures and words in one space, held against open_clip's own passes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
from samples import cosine

from .conftest import TINY_CLIP

pytest.importorskip("torch", reason="torch is not installed: pip install 'lookalike[torch]'")
open_clip = pytest.importorskip(
    "open_clip", reason="open_clip is not installed: pip install 'lookalike[torch]'"
)

import torch
from tokenizers import Tokenizer

from lookalike import model_list, recipe
from lookalike.errors import RecipeError, UnknownName
from lookalike.extract import LocalExtractor, TextEncoder
from lookalike.extract.clip import ClipExtractor, ClipOptions
from lookalike.types import Picture

TEXTS = ["a red bicycle at night", "a cat", "Zwei Hunde, im Schnee!", "日本語", "", "x" * 400]
ODD_TEXTS = [
    *TEXTS,
    "it's don't we'll I'D",
    "  spaces\n\tand\u00a0tabs ",
    "emoji 😀👍🏽 100% !!! ???",
    "cafe\u0301 café",
    "“quoted” ‘text’ — dash…",  # noqa: RUF001
    "#hash @user http://x.y/z?q=1",
    "word " * 100,
    "½ ² ① 12345",
]


@pytest.fixture
def options(clip_files: Path) -> ClipOptions:
    return ClipOptions(str(clip_files / "tiny.json"), weights=str(clip_files / "tiny.pt"))


@pytest.fixture
def extractor(options: ClipOptions) -> ClipExtractor:
    return ClipExtractor(options, "cpu")


@pytest.fixture
def library(clip_files: Path) -> Any:
    model = open_clip.CLIP(**TINY_CLIP).eval()
    model.load_state_dict(torch.load(clip_files / "tiny.pt", weights_only=True))
    return model


def test_pictures_and_words_are_those_of_open_clip_in_one_space(
    extractor: ClipExtractor, library: Any, pictures: list[Picture]
) -> None:
    assert isinstance(extractor, TextEncoder)
    assert extractor.reads_text
    assert not isinstance(extractor, LocalExtractor)
    assert (extractor.dim, extractor.context, extractor.preprocessing.size) == (32, 24, 32)
    vectors, words = extractor.extract(pictures), extractor.encode_text(TEXTS)
    tokens = open_clip.SimpleTokenizer(context_length=24)(TEXTS)
    with torch.inference_mode():
        inputs = torch.from_numpy(extractor.preprocessing.normalised(pictures))
        expected = library.encode_image(inputs, normalize=True).numpy()
        expected_words = library.encode_text(tokens, normalize=True).numpy()
        scores = library.get_logits(inputs, tokens)[0] / library.logit_scale.exp()
    assert cosine(vectors, expected).min() > 0.99999
    assert cosine(words, expected_words).min() > 0.99999
    np.testing.assert_allclose(vectors @ words.T, scores.numpy(), atol=1e-5)
    for each in (vectors, words):
        assert each.dtype == np.float32
        assert each.flags.c_contiguous
        np.testing.assert_allclose(np.linalg.norm(each, axis=1), 1, atol=1e-5)
    assert extractor.extract([]).shape == extractor.encode_text([]).shape == (0, 32)


def test_a_batch_gives_what_each_gives_alone(
    extractor: ClipExtractor, pictures: list[Picture]
) -> None:
    alone = np.concatenate([extractor.extract([picture]) for picture in pictures])
    np.testing.assert_allclose(extractor.extract(pictures), alone, atol=1e-5)
    words = np.concatenate([extractor.encode_text([text]) for text in TEXTS])
    np.testing.assert_allclose(extractor.encode_text(TEXTS), words, atol=1e-5)


def test_eight_threads_give_what_one_gives(
    extractor: ClipExtractor, options: ClipOptions, pictures: list[Picture]
) -> None:
    reference = ClipExtractor(options, "cpu")
    expected, words = reference.extract(pictures), reference.encode_text(TEXTS)
    with ThreadPoolExecutor(8) as threads:
        every = threads.map(
            lambda _: (extractor.extract(pictures), extractor.encode_text(TEXTS)), range(8)
        )
        for found, found_words in every:
            np.testing.assert_allclose(found, expected, atol=1e-5)
            np.testing.assert_allclose(found_words, words, atol=1e-5)


def test_the_networks_for_export_give_what_the_extractor_gives(
    extractor: ClipExtractor, pictures: list[Picture]
) -> None:
    tokens = open_clip.SimpleTokenizer(context_length=extractor.context)(TEXTS)
    with torch.inference_mode():
        inputs = torch.from_numpy(extractor.preprocessing.normalised(pictures))
        found = extractor.picture_network()(inputs).numpy()
        words = extractor.text_network()(tokens).numpy()
    np.testing.assert_allclose(found, extractor.extract(pictures), atol=1e-6)
    np.testing.assert_allclose(words, extractor.encode_text(TEXTS), atol=1e-6)


def test_the_tokenizer_file_gives_the_ids_of_open_clip(extractor: ClipExtractor) -> None:
    """Over texts in many scripts, and the comments and code of a library."""
    tokenizer = Tokenizer.from_str(extractor.tokenizer_json())
    sources = sorted(Path(skimage.__file__).parent.rglob("*.py"))[:40]
    lines = {line for path in sources for line in path.read_text("utf-8").splitlines()}
    texts = [*ODD_TEXTS, *sorted(line for line in lines if "&" not in line)[:3000]]
    expected = open_clip.SimpleTokenizer(context_length=24)(texts).numpy()
    found = np.array([each.ids for each in tokenizer.encode_batch(texts)])
    different = (found != expected).any(axis=1)
    assert [text for text, wrong in zip(texts, different, strict=True) if wrong] == []
    assert len(texts) > 2000


def test_other_tokenizers_are_not_written_down_wrongly(extractor: ClipExtractor) -> None:
    extractor.__dict__["_made_tokenizer"] = open_clip.SimpleTokenizer(clean="canonicalize")
    with pytest.raises(RecipeError, match=r"tiny\.json cannot be written"):
        extractor.tokenizer_json()


def test_the_recipe_names_a_model_as_open_clip_knows_it() -> None:
    options = recipe.load("clip").embeddings[0].extractor.options
    extractor = ClipExtractor(options, "cpu")
    (listed,) = (each for each in model_list.listed() if each.recipe == "clip")
    config = open_clip.get_pretrained_cfg(options.model, options.pretrained)
    assert listed.source == f"https://huggingface.co/{config['hf_hub']}".rstrip("/")
    assert (extractor.dim, extractor.context, listed.dim) == (512, 77, 512)
    preprocessing = extractor.preprocessing
    assert (preprocessing.size, preprocessing.resize, preprocessing.crop) == (224, "crop", 1.0)
    assert (preprocessing.mean, preprocessing.std) == (config["mean"], config["std"])
    with torch.device("meta"):
        state = open_clip.CLIP(**open_clip.get_model_config(options.model)).state_dict()
    size = sum(each.numel() * each.element_size() for each in state.values())
    assert listed.megabytes == round(size / 1e6, 1)


def test_weights_trained_with_another_activation_set_it(clip_files: Path) -> None:
    """OpenAI's have the quick form of GELU, which their model's configuration does not say."""
    plain = ClipExtractor(ClipOptions("ViT-B-32", "laion2b_s34b_b79k"), "cpu")
    openai = ClipExtractor(ClipOptions("ViT-B-32", "openai"), "cpu")
    assert not plain._blueprint.config.get("quick_gelu")
    assert openai._blueprint.config["quick_gelu"] is True
    quick = clip_files / "quick.json"
    quick.write_text(json.dumps({"model_cfg": TINY_CLIP | {"quick_gelu": True}}), "utf-8")
    weights = str(clip_files / "tiny.pt")
    prints = {
        ClipExtractor(ClipOptions(str(clip_files / name), weights=weights), "cpu").fingerprint
        for name in ("tiny.json", "quick.json")
    }
    assert len(prints) == 2


def test_the_fingerprint_changes_with_weights_preprocessing_and_precision(
    options: ClipOptions, clip_files: Path
) -> None:
    torch.manual_seed(1)
    torch.save(open_clip.CLIP(**TINY_CLIP).state_dict(), clip_files / "other.pt")
    told = {"model_cfg": TINY_CLIP, "preprocess_cfg": {"resize_mode": "squash"}}
    (clip_files / "squash.json").write_text(json.dumps(told), "utf-8")
    every = [
        options,
        replace(options, weights=str(clip_files / "other.pt")),
        replace(options, model=str(clip_files / "squash.json")),
        replace(options, precision="full"),
    ]
    assert len({ClipExtractor(each, "cpu").fingerprint for each in every}) == len(every)
    assert ClipExtractor(options, "cpu").fingerprint == ClipExtractor(options, "cpu").fingerprint


@pytest.mark.parametrize(
    ("model", "pretrained", "said"),
    [
        ("ViT-B-3", "openai", "Did you mean ViT-B-32"),
        ("ViT-B-32", "laion", "no set of weights for ViT-B-32 named 'laion'"),
        ("no.json", "", "cannot read the configuration no.json"),
    ],
)
def test_what_is_not_known_is_refused_by_name(model: str, pretrained: str, said: str) -> None:
    with pytest.raises((UnknownName, RecipeError), match=said):
        _ = ClipExtractor(ClipOptions(model, pretrained, weights="x.pt"), "cpu").dim


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot read the configuration"),
        ("[]", "lacks the key embed_dim"),
        ('{"embed_dim": 3, "vision_cfg": {}}', "lacks the key text_cfg"),
    ],
)
def test_a_wrong_configuration_is_refused_by_file_and_key(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text, "utf-8")
    with pytest.raises(RecipeError, match=said):
        _ = ClipExtractor(ClipOptions(str(path), weights="x.pt"), "cpu").dim
    with pytest.raises(ValueError, match="give pretrained"):
        ClipOptions("ViT-B-32")

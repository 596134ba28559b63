"""Words for a network that was trained to tell classes apart, by the names of those classes.

A text becomes a mixture of classes, and the mixture a vector: the classifier's own rows, added up.
ConSE the other way round (Norouzi et al., 2013). Each noun of WordNet, and each word piece for
what is none, has a static vector, made by `tools/build_words.py`; there is no network to run.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from ..errors import BadQuery, RecipeError
from ..types import Vectors

LONGEST = 5
"""The most words that an entry has."""
_LONGEST_PIECE = 20
_PLURALS = (
    *(("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z")),
    *(("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
)
"""How WordNet takes a noun back to its singular."""


@dataclass(frozen=True, slots=True)
class ClassWordsOptions:
    """The keys of [text] in a model's TOML."""

    file: str
    """Beside the TOML."""
    sha256: str
    temperature: float
    kind: Literal["classes"] = "classes"
    licence: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ClassWords:
    """Text -> vectors among those of pictures. Never changed, so any thread may use it."""

    entries: Mapping[str, int]
    """Phrases of up to `LONGEST` words, and pieces of words: `##` and what a word goes on with."""
    vectors: npt.NDArray[np.int8]
    """int8 [entries, width]: what each means."""
    scales: npt.NDArray[np.float32]
    """float32 [entries]: what each vector is multiplied by; less for words that say little."""
    classes: Vectors
    """float32 [classes, width], of length 1: what each class's name and definition mean."""
    rows: Vectors
    """float32 [classes, dim], of length 1: where pictures of each class lie."""
    temperature: float
    """Of the softmax over the classes: the lower, the fewer count."""

    @classmethod
    def load(cls, path: Path, sha256: str, temperature: float) -> Self:
        """From a file of `tools/build_words.py`; `RecipeError` if it is missing or damaged."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RecipeError(f"cannot read the words of the model: {path}: {error}") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise RecipeError(f"{path} is damaged: its sha256 is not the expected one")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            listed = arrays["entries"].tobytes().decode("ascii").split("\n")
            return cls(
                entries={entry: number for number, entry in enumerate(listed)},
                vectors=arrays["vectors"],
                scales=arrays["scales"].astype(np.float32),
                classes=arrays["classes"].astype(np.float32),
                rows=arrays["rows"].astype(np.float32),
                temperature=temperature,
            )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """`texts`: n of them -> float32 [n, dim], each of length 1; `BadQuery` for an empty one.

        A text of which nothing is known is an even mixture of all classes.
        """
        vectors = np.empty((len(texts), self.rows.shape[1]), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            mixture = self.weights(text) @ self.rows
            vector[:] = mixture / np.linalg.norm(mixture)
        return vectors

    def weights(self, text: str) -> npt.NDArray[np.float32]:
        """The share of each class in a text: float32 [classes], their sum is 1."""
        if not text.strip():
            raise BadQuery("the text is empty: say in a few words what to look for")
        found = [self.entries[entry] for entry in split(text, self.entries)]
        meaning = self.scales[found] @ self.vectors[found].astype(np.float32)
        closeness = self.classes @ (meaning / max(float(np.linalg.norm(meaning)), 1e-12))
        shares = np.exp((closeness - closeness.max()) / self.temperature)
        return np.asarray(shares / shares.sum(), np.float32)


def words(text: str) -> list[str]:
    """Letters and digits in runs, in lower case and without accents."""
    apart = unicodedata.normalize("NFKD", text).lower()
    return re.findall(
        r"[^\W_]+", "".join(each for each in apart if not unicodedata.combining(each))
    )


def singulars(word: str) -> Iterator[str]:
    """A word, then what it may be the plural of."""
    yield word
    for ending, instead in _PLURALS:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            yield word.removesuffix(ending) + instead


def split(text: str, entries: Container[str]) -> Iterator[str]:
    """The entries that a text is made of: the longest phrase first, pieces where there is none."""
    left = words(text)
    while left:
        for count in range(min(LONGEST, len(left)), 0, -1):
            *before, last = left[:count]
            phrases = (" ".join([*before, form]) for form in singulars(last))
            known = next((phrase for phrase in phrases if phrase in entries), None)
            if known is not None:
                yield known
                break
        else:
            count = 1
            yield from pieces(left[0], entries)
        left = left[count:]


def pieces(word: str, entries: Container[str]) -> list[str]:
    """The longest that fit, from the left, as WordPiece does; none if some of it is unknown."""
    found: list[str] = []
    start = 0
    while start < len(word):
        mark = "##" if start else ""
        for end in range(min(len(word), start + _LONGEST_PIECE), start, -1):
            if mark + word[start:end] in entries:
                found.append(mark + word[start:end])
                start = end
                break
        else:
            return []
    return found

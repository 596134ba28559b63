"""Visual words: what is learned from many descriptors, and which word each of others is.

Sivic and Zisserman, "Video Google: a text retrieval approach to object matching in videos", 2003.
"""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import faiss
import numpy as np
import numpy.typing as npt

from ..errors import RecipeError, TooLittleToLearnFrom
from ..types import Vectors
from .nearest import Nearest, means

Words = npt.NDArray[np.int64]
"""int64 [n]: the number of a word for each descriptor."""

_VERSION = 1
_ROUNDS = 15
# Time grows with k times as many: 5,000 words take 40 s of one core, 1,000 take 5 s.
_POINTS_PER_WORD = 32
_POINTS_AT_LEAST = 65_536

# All that zipfile and numpy raise for bytes that are no sound npz.
_UNSOUND = (
    ValueError,
    KeyError,
    TypeError,
    OSError,
    EOFError,
    MemoryError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Words, and how telling each of them is."""

    words: Vectors
    """float32 [k, d]: the means of the descriptors that became one word; of bits, 0 to 1."""
    weights: npt.NDArray[np.float32]
    """float32 [k]: ln((1 + pictures) / (1 + pictures with the word)) + 1."""
    nearest: Nearest | npt.NDArray[np.uint8]
    """What finds a descriptor's word; for bits uint8 [k, d / 8], what most of a word's have."""

    @classmethod
    def learn(
        cls,
        samples: Sequence[npt.NDArray[Any]],
        values: Callable[[npt.NDArray[Any]], Vectors],
        k: int,
        *,
        binary: bool,
        seed: int,
        on_progress: Callable[[float], None],
    ) -> Self:
        """`k` words from the descriptors of each picture, [n, width]; `values` of them float32.

        The same samples and seed give the same words. Raises `TooLittleToLearnFrom`.
        """
        total = sum(map(len, samples))
        if total < k:
            raise TooLittleToLearnFrom(
                f"{total:,} descriptors of {len(samples):,} pictures are too few to learn "
                f"{k:,} words from: index more pictures, or pictures with more detail, or lower "
                "`k` in the recipe"
            )
        enough = max(k * _POINTS_PER_WORD, _POINTS_AT_LEAST)
        chosen = np.random.default_rng(seed).permutation(total)[:enough]
        points = values(np.concatenate(samples)[np.sort(chosen)])
        words = means(points, k, _ROUNDS, seed, lambda share: on_progress(0.9 * share))
        vocabulary = cls._of(words, np.ones(k, np.float32), binary)
        containing = np.zeros(k)
        for number, sample in enumerate(samples):
            containing[np.unique(vocabulary.assign(sample, values))] += 1
            on_progress(0.9 + 0.1 * (number + 1) / len(samples))
        weights = np.log((1 + len(samples)) / (1 + containing)) + 1
        return cls(words, weights.astype(np.float32), vocabulary.nearest)

    @classmethod
    def _of(cls, words: Vectors, weights: npt.NDArray[np.float32], binary: bool) -> Self:
        return cls(words, weights, np.packbits(words >= 0.5, axis=1) if binary else Nearest(words))

    def assign(
        self, descriptors: npt.NDArray[Any], values: Callable[[npt.NDArray[Any]], Vectors]
    ) -> Words:
        """The nearest word of each descriptor, [n, width], on the calling thread alone."""
        if len(descriptors) == 0:
            return np.empty(0, np.int64)
        if isinstance(self.nearest, Nearest):
            return self.nearest.to(values(descriptors))
        with _one_thread():
            # Words of bits as well: 1,000 of ORB's descriptors are compared with 1,000 words in
            # 1.3 ms by counting bits.
            _, words = faiss.knn_hamming(descriptors, self.nearest, 1)
        return np.asarray(words[:, 0], np.int64)

    def to_bytes(self, made_for: str) -> bytes:
        """An npz; `made_for` are words that tell which descriptors these are the words of."""
        stream = io.BytesIO()
        np.savez(
            stream,
            version=np.int64(_VERSION),
            made_for=np.array(made_for),
            words=self.words,
            weights=self.weights,
        )
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, made_for: str, shape: tuple[int, int], binary: bool) -> Self:
        """What `to_bytes` gave; `RecipeError` unless it is whole, and made for the same."""
        try:
            version, found, words, weights = _arrays(data)
        except _UNSOUND as error:
            raise RecipeError(
                "the learned vocabulary is damaged: `lookalike reindex --recipe NAME` learns and "
                "describes anew"
            ) from error
        if version != _VERSION:
            raise RecipeError(
                f"the learned vocabulary has version {version}, this lookalike knows {_VERSION}: "
                "upgrade with `pip install --upgrade lookalike`"
            )
        if found != made_for or words.shape != shape:
            raise RecipeError(
                f"the learned vocabulary is of {' x '.join(map(str, words.shape))} values for "
                f"{found}; the recipe wants {shape[0]} x {shape[1]} for {made_for}"
            )
        sound = words.dtype == weights.dtype == np.float32 and weights.shape == shape[:1]
        if not (sound and np.isfinite(words).all() and np.isfinite(weights).all()):
            raise RecipeError("the learned vocabulary is damaged: its values are none")
        return cls._of(words, weights, binary)


def _arrays(data: bytes) -> tuple[int, str, Any, Any]:
    """Version, what it was made for, words, weights."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
                raise ValueError("packed, as ours never are: it could unpack to anything")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        version, made_for = arrays["version"], arrays["made_for"]
        words, weights = arrays["words"], arrays["weights"]
    if version.shape or made_for.shape or version.dtype != np.int64 or made_for.dtype.kind != "U":
        raise ValueError("version and made_for are single values")
    return int(version), str(made_for), np.ascontiguousarray(words), weights


@contextmanager
def _one_thread() -> Iterator[None]:
    """FAISS keeps to the calling thread: there are as many lanes as cores already.

    The setting is the calling thread's own, so that others are not disturbed.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

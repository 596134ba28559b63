"""Visual words, and the signatures that tell apart what is one word.

Sivic and Zisserman, "Video Google", 2003; Jégou, Douze and Schmid, "Hamming embedding and weak
geometric consistency for large scale image search", 2008.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import faiss
import numpy as np
import numpy.typing as npt

from ..errors import TooLittleToLearnFrom
from ..types import Vectors

Words = npt.NDArray[np.int64]
"""int64 [n]: the number of a word for each descriptor; or [n, m], of its m nearest."""
Signatures = npt.NDArray[np.uint64]
"""uint64 [n]: on which side of its word a descriptor lies, in 64 directions."""

BITS = 64
_FEWEST, _MOST = 256, 65_536
_POSTINGS_PER_WORD = 512
_KEYPOINTS = 400
"""What a picture usually has, to tell how long the lists will be."""
_POINTS_PER_WORD = 24
_ROUNDS = 10
# Comparing with every word takes 0.1 ms a descriptor at 16,384 words, the graph a quarter of it.
_WALKED_FROM = 8_192
_LINKS, _EFFORT, _EFFORT_WHILE_BUILT = 16, 32, 60
_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Words learned from a collection's own descriptors, and random directions."""

    words: Vectors
    """float32 [k, d]."""
    directions: Vectors
    """float32 [BITS, d], at right angles to one another where d is large enough."""
    binary: bool
    """Whether the descriptors are bits, uint8 [n, d / 8]."""
    _index: Any
    """FAISS's, of the words: finds the nearest."""
    _thresholds: Vectors
    """float32 [k, BITS]: how far each word lies along each direction."""

    @classmethod
    def learn(cls, descriptors: npt.NDArray[Any], pictures: int, seed: int = 0) -> Self:
        """Words for a collection of so many pictures, from a sample of their descriptors.

        `descriptors`: float32 [n, width], or uint8 that hold bits. 256 to 65,536 words, so that
        each has some 512 postings, as far as the sample tells so many apart. The same sample and
        seed give the same words. Raises `TooLittleToLearnFrom` if there is no descriptor at all.
        """
        if len(descriptors) == 0:
            raise TooLittleToLearnFrom(
                "no picture has local features to learn visual words from: index pictures with "
                "more detail first"
            )
        rng = np.random.default_rng(seed)
        k = _wanted_words(pictures, len(descriptors))
        chosen = np.sort(rng.permutation(len(descriptors))[: k * _POINTS_PER_WORD])
        points = comparable(descriptors[chosen])
        words = _means(points, k, seed)
        directions = _directions(points.shape[1], rng)
        return cls._of(words, directions, descriptors.dtype == np.uint8, _new_index(words))

    @classmethod
    def _of(cls, words: Vectors, directions: Vectors, binary: bool, index: Any) -> Self:
        return cls(words, directions, binary, index, words @ directions.T)

    @property
    def width(self) -> int:
        """How many values a descriptor has; of bits, how many bytes."""
        dim = int(self.words.shape[1])
        return dim // 8 if self.binary else dim

    def __len__(self) -> int:
        return len(self.words)

    @property
    def memory_bytes(self) -> int:
        """What it takes, nearly: the index has the words once more, and perhaps links."""
        links = 2 * _LINKS * 4 * len(self) if len(self) >= _WALKED_FROM else 0
        return 2 * self.words.nbytes + self._thresholds.nbytes + self.directions.nbytes + links

    def values(self, descriptors: npt.NDArray[Any]) -> Vectors:
        """Descriptors as float32 [n, d]; `ValueError` if of another kind, or not finite."""
        kind = "uint8, of bits" if self.binary else "float32"
        if descriptors.ndim != 2 or descriptors.shape[1] != self.width:
            raise ValueError(
                f"descriptors are [n, {self.width}] here, not {list(descriptors.shape)}"
            )
        if (descriptors.dtype == np.uint8) != self.binary:
            raise ValueError(f"descriptors are {kind} here, not {descriptors.dtype}")
        values = comparable(descriptors)
        if not np.isfinite(values).all():
            raise ValueError("descriptors are not finite")
        return values

    def nearest(self, values: Vectors, count: int) -> Words:
        """The `count` nearest words of each, int64 [n, count], nearest first."""
        count = min(count, len(self))
        found = np.empty((len(values), count), np.int64)
        for start in range(0, len(values), _AT_ONCE):
            found[start : start + _AT_ONCE] = self._index.search(
                values[start : start + _AT_ONCE], count
            )[1]
        # A graph may reach fewer than were asked for: then the nearest stands for the rest.
        return np.where(found < 0, np.maximum(found[:, :1], 0), found)

    def signatures(self, values: Vectors, words: Words) -> Signatures:
        """Of float32 [n, d] beside their words, int64 [n] or [n, m]: of the same shape."""
        projected = values @ self.directions.T
        if words.ndim == 2:
            projected = projected[:, np.newaxis]
        beyond = projected > self._thresholds[words]
        packed = np.packbits(beyond, axis=-1, bitorder="little")
        return np.ascontiguousarray(packed).view("<u8")[..., 0]

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What it is made of, to be kept."""
        return {
            "words": self.words,
            "directions": self.directions,
            "binary": np.array([self.binary]),
            "index": faiss.serialize_index(self._index),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """What `to_arrays` gave; `ValueError` for anything else."""
        try:
            words, directions = arrays["words"], arrays["directions"]
            (binary,) = arrays["binary"].tolist()
            index = faiss.deserialize_index(np.ascontiguousarray(arrays["index"]))
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(f"this is no vocabulary ({error})") from error
        if not words.dtype == directions.dtype == np.float32:
            raise ValueError("this is no vocabulary: its words are not float32")
        if directions.shape != (BITS, words.shape[1]) or (index.ntotal, index.d) != words.shape:
            raise ValueError("this is no vocabulary: its parts do not fit one another")
        return cls._of(words, directions, bool(binary), _ready(index))


def comparable(descriptors: npt.NDArray[Any]) -> Vectors:
    """Descriptors as float32 [n, d], nearer by Euclid's distance where they are by their own.

    Bits, uint8 [n, d / 8], become equal parts below and above 0, of length 1 together.
    """
    if descriptors.dtype != np.uint8:
        return np.ascontiguousarray(descriptors, np.float32)
    bits = np.unpackbits(descriptors, axis=1).astype(np.float32)
    bits *= 2
    bits -= 1
    bits /= np.float32(bits.shape[1] ** 0.5)
    return bits


def _wanted_words(pictures: int, sample: int) -> int:
    wanted = max(1, pictures * _KEYPOINTS // _POSTINGS_PER_WORD)
    power = 1 << (wanted - 1).bit_length()
    return max(1, min(max(power, _FEWEST), _MOST, sample // 8))


def _means(points: Vectors, k: int, seed: int) -> Vectors:
    """k-means: float32 [n, d] -> float32 [k, d]. Many words are found in two steps."""
    if k <= _FEWEST * 4:
        return _lloyd(points, k, seed)
    cells = round(k**0.5)
    centres = _lloyd(points[: cells * 256], cells, seed)
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(centres)
    owners = index.search(points, 1)[1][:, 0]
    order = np.argsort(owners, kind="stable")
    ends = np.cumsum(np.bincount(owners, minlength=cells))
    # Each cell gets its share of the words: all of them together are exactly k.
    shares = np.diff(ends * k // len(points), prepend=0)
    parts = np.split(points[order], ends[:-1])
    few = [_lloyd(part, int(share), seed) for part, share in zip(parts, shares, strict=True)]
    return np.concatenate(few)


def _lloyd(points: Vectors, k: int, seed: int) -> Vectors:
    if k == 0:
        return np.empty((0, points.shape[1]), np.float32)
    trained = faiss.Kmeans(
        points.shape[1],
        k,
        niter=_ROUNDS,
        seed=seed + 1,
        min_points_per_centroid=1,
        max_points_per_centroid=1_000,
    )
    trained.train(points)
    return np.asarray(trained.centroids, np.float32).reshape(k, -1)


def _directions(dim: int, rng: np.random.Generator) -> Vectors:
    """float32 [BITS, dim]; beyond `dim` of them they cannot be at right angles any more."""
    sets = [np.linalg.qr(rng.normal(size=(dim, dim)))[0] for _ in range(-(-BITS // dim))]
    return np.ascontiguousarray(np.concatenate(sets)[:BITS], np.float32)


def _new_index(words: Vectors) -> Any:
    dim = words.shape[1]
    if len(words) < _WALKED_FROM:
        index = faiss.IndexFlatL2(dim)
    else:
        index = faiss.IndexHNSWFlat(dim, _LINKS)
        index.hnsw.efConstruction = _EFFORT_WHILE_BUILT
    index.add(words)
    return _ready(index)


def _ready(index: Any) -> Any:
    if isinstance(index, faiss.IndexHNSW):
        index.hnsw.efSearch = _EFFORT
    return index

"""Bag of visual words: a picture is described by which local patterns it has, and how many.

Words and tf-idf: Sivic and Zisserman, "Video Google", 2003. VLAD: Jégou et al., "Aggregating local
descriptors into a compact image representation", 2010, each word's part brought to one length as
in Arandjelović and Zisserman, "All about VLAD", 2013.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ..errors import NotTrained
from ..types import LocalFeatures, Picture, Vectors
from . import Descriptors
from .keypoints import WIDTHS, Detector, Keypoints, root_sift
from .vocabulary import Vocabulary, Words

# Larger than any picture's side, and no integer of any decoder overflows.
_NEVER_SHRINK = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BovwOptions:
    """Which keypoints, how many words, and what becomes of them."""

    detector: Detector = "sift"
    root_sift: bool = True
    """Compare SIFT's descriptors by their roots; the others have none."""
    k: int = 1000
    """Words in the vocabulary."""
    features: int = 500
    """At most so many keypoints of a picture, the strongest."""
    longest_side: int = 640
    """A larger picture is shrunk to this many pixels first; 0 = never."""
    encoding: Literal["tf-idf", "counts", "vlad"] = "tf-idf"
    seed: int = 0
    """Of the choice of descriptors to learn from, and of the first words."""
    pictures: int = 1000
    """The vocabulary is learned from at most so many."""

    def __post_init__(self) -> None:
        least = {"k": 2, "features": 1, "longest_side": 0, "seed": 0, "pictures": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name} must be {bound} or more, not {getattr(self, name)}")
        if 0 < self.longest_side < 32:
            raise ValueError("longest_side must be 0 or at least 32: nothing stands out in less")


class BagOfVisualWords:
    """Histograms of visual words, or VLAD. One thread a call: callers run several calls at once."""

    Options: ClassVar = BovwOptions

    def __init__(self, options: BovwOptions, device: str) -> None:  # noqa: ARG002
        self.options = options
        self.wanted_pictures = options.pictures
        # The long side is at least as long as the short one, so this never shrinks below the cap.
        self.shortest_side = options.longest_side or _NEVER_SHRINK
        self._keypoints = Keypoints(options.detector, options.features, options.longest_side)
        self._binary = options.detector != "sift"
        self._width = WIDTHS[options.detector] * (8 if self._binary else 1)
        self.dim = options.k * (self._width if options.encoding == "vlad" else 1)
        self.fingerprint = _fingerprint(options, b"")
        self._vocabulary: Vocabulary | None = None

    def extract(self, pictures: Sequence[Picture]) -> Vectors:
        """`pictures`: n of them -> float32 [n, dim]; all zero where nothing stands out."""
        vocabulary = self._vocabulary
        if vocabulary is None:
            raise NotTrained("the vocabulary of visual words")
        vectors = np.zeros((len(pictures), self.dim), np.float32)
        # Each picture's words by themselves: in one product, rounding would depend on the batch.
        for vector, descriptors in zip(vectors, self.sample(pictures), strict=True):
            if len(descriptors):
                vector[:] = self._encoded(vocabulary, descriptors)
        return vectors

    def extract_local(self, pictures: Sequence[Picture]) -> list[LocalFeatures]:
        """The keypoints of each: descriptors float32 [n, 128] for SIFT, else uint8 with bits."""
        every = map(self._keypoints.of, pictures)
        if self._binary:
            return list(every)
        return [replace(each, descriptors=self._values(each.descriptors)) for each in every]

    def sample(self, pictures: Sequence[Picture]) -> list[Descriptors]:
        """The descriptors of each picture, uint8 [n, width]: a quarter of the room of floats."""
        return [self._keypoints.of(picture).descriptors for picture in pictures]

    def learn(self, samples: Sequence[Descriptors], on_progress: Callable[[float], None]) -> bytes:
        """Learn the vocabulary from the descriptors of each picture; an npz without pickles."""
        vocabulary = Vocabulary.learn(
            samples,
            self._values,
            self.options.k,
            binary=self._binary,
            seed=self.options.seed,
            on_progress=on_progress,
        )
        learned = vocabulary.to_bytes(self._made_for)
        self.restore(learned)
        return learned

    def restore(self, learned: bytes) -> None:
        """Take up a vocabulary; `RecipeError` if it is damaged or made for other options."""
        shape = (self.options.k, self._width)
        self._vocabulary = Vocabulary.from_bytes(learned, self._made_for, shape, self._binary)
        self.fingerprint = _fingerprint(self.options, learned)

    @property
    def _made_for(self) -> str:
        """Which descriptors the words are words of."""
        detector = self.options.detector
        return "rootsift" if detector == "sift" and self.options.root_sift else detector

    def _values(self, descriptors: Descriptors) -> Vectors:
        """What means are taken of: uint8 [n, width] -> float32 [n, 128], or 0 and 1 for each bit.

        Bits have a mean like any numbers, and its rounding is what most have (k-majority), so that
        one k-means serves all detectors.
        """
        if self._binary:
            return np.unpackbits(descriptors, axis=1).astype(np.float32)
        return root_sift(descriptors) if self.options.root_sift else descriptors.astype(np.float32)

    def _encoded(self, vocabulary: Vocabulary, descriptors: Descriptors) -> npt.NDArray[np.float32]:
        """One picture's descriptors -> float32 [dim]."""
        words = vocabulary.assign(descriptors, self._values)
        if self.options.encoding == "vlad":
            return vlad(self._values(descriptors), words, vocabulary.words)
        counts = np.bincount(words, minlength=self.options.k).astype(np.float32)
        return counts if self.options.encoding == "counts" else _unit(counts * vocabulary.weights)


def vlad(values: Vectors, words: Words, centres: Vectors) -> npt.NDArray[np.float32]:
    """How descriptors lie around their words: float32 [k * d], of length 1 or all zero.

    `values`: float32 [n, d], one or more; `words`: their words; `centres`: float32 [k, d].
    """
    order = np.argsort(words, kind="stable")
    present, starts, counts = np.unique(words[order], return_index=True, return_counts=True)
    sums = np.add.reduceat(values[order], starts, axis=0)
    apart = sums - counts[:, np.newaxis].astype(np.float32) * centres[present]
    # Where a word was learned from this very picture alone only rounding is left, which must not
    # be brought to the length of the others.
    apart[np.linalg.norm(apart, axis=1) < 1e-5 * np.linalg.norm(sums, axis=1)] = 0
    residuals = np.zeros_like(centres)
    residuals[present] = apart
    # Each word's part of one length, so that a pattern which repeats does not outweigh the rest.
    flat = _unit(residuals).ravel()
    return _unit(np.sign(flat) * np.sqrt(np.abs(flat)))


def _fingerprint(options: BovwOptions, learned: bytes) -> str:
    """Hexadecimal sha256 over the options, and what was learned if anything was."""
    return hashlib.sha256(f"bovw 1 {options} ".encode() + learned).hexdigest()


def _unit(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The same at length 1 along the last axis; all zero stays so."""
    norms = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.where(norms > 0, norms, 1), np.float32)

"""How alike the global vectors are, as the search itself has it, in a scale of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import PictureError
from ..types import Vectors
from . import Comparison, Subject


@dataclass(frozen=True, slots=True)
class BasicOptions:
    """Nothing to choose."""


class Basic:
    """The cosine of the global vectors: 1 identical, 0 unrelated, -1 opposite; higher is better.

    With several embeddings it is the mean over those that both pictures have. A vector of zeros
    has no direction (a bag of words without a word): its embedding does not count.
    """

    Options: ClassVar = BasicOptions
    higher_is_better: ClassVar = True

    def __init__(self, options: BasicOptions) -> None:
        """There is nothing to set."""

    def compare(self, query: Subject, candidates: Sequence[Subject]) -> list[Comparison]:
        """One for each candidate, in order. No pixels are looked at where vectors are stored."""
        try:
            of_query = _directions(query.vectors)
        except PictureError as error:
            reason = f"the query's vectors cannot be had: {error}"
            return [Comparison(None, unavailable=reason)] * len(candidates)
        return [_compared(of_query, candidate) for candidate in candidates]


_Direction = npt.NDArray[np.float64]
_Directions = Mapping[str, _Direction]


def _directions(vectors: Mapping[str, Vectors]) -> _Directions:
    """Of length 1, float64 [dim], by embedding; those of zeros are left out."""
    wide = {name: vector[0].astype(np.float64) for name, vector in vectors.items()}
    return {name: each / np.linalg.norm(each) for name, each in wide.items() if each.any()}


def _compared(of_query: _Directions, candidate: Subject) -> Comparison:
    try:
        of_candidate = _directions(candidate.vectors)
    except PictureError as error:
        return Comparison(None, unavailable=str(error))
    cosines = [
        _cosine(each, of_candidate[name]) for name, each in of_query.items() if name in of_candidate
    ]
    if not cosines:
        return Comparison(None, unavailable="no embedding has a vector of both, other than zeros")
    return Comparison(sum(cosines) / len(cosines))


def _cosine(a: _Direction, b: _Direction) -> float:
    if np.array_equal(a, b):  # rounding would make it nearly 1
        return 1.0
    return float(np.clip(a @ b, -1, 1))

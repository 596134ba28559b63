"""The rotation before a code, applied at once to one query or to many."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from ..types import Vectors


class Rotation:
    """A trained FAISS transformation of vectors by a matrix alone."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform
        self._matrix: Vectors | None = None

    def apply(self, vectors: Vectors) -> Vectors:
        """`vectors`: float32 [n, dim] -> rotated, float32 [n, values]."""
        if len(vectors) != 1:
            rotated: Vectors = self.transform.apply(vectors)
            return rotated
        # What FAISS is given as an address must lie as it expects.
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.shape[1] != self.transform.d_in:
            raise ValueError(f"{vectors.shape[1]} values, {self.transform.d_in} are rotated")
        # FAISS multiplies matrices; for one vector inner products take a quarter of the time.
        matrix = self._matrix
        if matrix is None:
            values = faiss.vector_to_array(self.transform.A)
            matrix = self._matrix = values.reshape(self.transform.d_out, self.transform.d_in)
        one = np.empty((1, len(matrix)), np.float32)
        faiss.fvec_inner_products_ny(
            faiss.swig_ptr(one),
            faiss.swig_ptr(vectors),
            faiss.swig_ptr(matrix),
            matrix.shape[1],
            len(matrix),
        )
        return one

"""A query and its nearest neighbours -> another query, in the midst of them."""

from __future__ import annotations

import numpy as np

from .types import Vectors

MOST = 100
"""Neighbours that a query may be expanded with."""


def expanded(query: Vectors, neighbours: Vectors, alpha: float = 1.0) -> Vectors:
    """The mean of a query, which weighs 1, and of its neighbours; float32 [1, dim].

    `query`: float32 [1, dim]; `neighbours`: float32 [n, dim], of about the same lengths; none leave
    the query as it is. A neighbour weighs its cosine with the query to the power of `alpha`, and
    nothing where that is negative. With `alpha` 0 this is average query expansion (Chum, Philbin,
    Sivic, Isard and Zisserman, "Total recall", ICCV 2007), else the weighted one (Radenović, Tolias
    and Chum, "Fine-tuning CNN image retrieval with no human annotation", TPAMI 2018). Costs a
    second search, and n * dim multiplications.
    """
    one, others = query.astype(np.float64), neighbours.astype(np.float64)
    sizes = np.linalg.norm(others, axis=1) * np.linalg.norm(one)
    products = others @ one[0]
    cosines = np.divide(products, sizes, out=np.zeros_like(products), where=sizes > 0)
    weights = np.where(cosines > 0, np.maximum(cosines, 0) ** alpha, 0)
    total = 1 + weights.sum()
    return np.asarray(one / total + (weights / total) @ others, np.float32)

"""The pictures of a collection on a plane, those alike near each other."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .collection import Collection
from .types import Record, Vectors

Plane = npt.NDArray[np.float32]
"""float32 [n, 2], each value from -1 to 1."""

_LEARNED_FROM = 5_000
"""Vectors that say which two directions tell the most; more would say the same."""
_SUBSPACE = 12
_ROUNDS = 8
_NOTHING = 1e-6
"""An extent that is none but for rounding, as of pictures that are all the same."""


@dataclass(frozen=True, slots=True, eq=False)
class PictureMap:
    """Where pictures lie on the plane; a state of the collection, and not changed any more."""

    records: list[Record]
    places: Plane
    total: int
    """How many pictures there are; `records` may be a sample of them."""


class Cartographer:
    """Draws the map of a collection, and keeps the last until anybody commits."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._drawing = threading.Lock()
        self._drawn: tuple[object, int, PictureMap] | None = None

    def map(self, limit: int) -> PictureMap:
        """The map of at most `limit` pictures, evenly spread over all of them."""
        with self._drawing:  # a second client waits for the same map instead of computing it
            state = self._collection.store.state()
            if self._drawn is None or self._drawn[:2] != (state, limit):
                records, vectors = self._collection.sample(limit)
                total = len(self._collection)
                self._drawn = state, limit, PictureMap(records, on_a_plane(vectors), total)
            return self._drawn[2]


def on_a_plane(vectors: Vectors) -> Plane:
    """The first two principal components of the directions of `vectors`, float32 [n, dim].

    The sign of each is such that the value farthest from zero is positive, so that a map does not
    turn over when a picture is added.
    """
    plane = np.zeros((len(vectors), 2), np.float32)
    if len(vectors) < 2:
        return plane
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)
    directions -= directions.mean(axis=0)
    components = _principal(directions[:: -(-len(directions) // _LEARNED_FROM)])
    plane[:, : components.shape[1]] = directions @ components
    farthest = np.take_along_axis(plane, np.abs(plane).argmax(axis=0)[None], axis=0)
    plane /= np.where(np.abs(farthest) > _NOTHING, farthest, np.inf)
    return plane


def _principal(centred: Vectors) -> Vectors:
    """The two directions along which rows of float32 [n, dim] vary most, [dim, at most 2].

    By subspace iteration (Halko, Martinsson and Tropp 2011), since vectors may have many
    thousand dimensions.
    """
    width = min(_SUBSPACE, *centred.shape)
    guess = np.random.default_rng(0).standard_normal((centred.shape[1], width), np.float32)
    for _ in range(_ROUNDS):
        guess, _ = np.linalg.qr(centred.T @ (centred @ guess))
    _, _, rotation = np.linalg.svd(centred @ guess, full_matrices=False)
    return np.asarray(guess @ rotation[:2].T, np.float32)

"""Vectors on a plane: those that are near each other stay so."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .types import Vectors

Plane = npt.NDArray[np.float32]
"""float32 [n, 2]."""
_Edges = npt.NDArray[np.int64]

_COMPONENTS = 32
"""Directions that neighbours are looked for in; further ones are mostly noise."""
_LEARNED_FROM = 5_000
"""Vectors that say which directions those are; more would say the same."""
_ROUNDS = 8
_NOTHING = 1e-6
"""An extent that is none but for rounding, as of pictures that are all the same."""

_NEIGHBOURS = 12
_OTHERS = 6
"""Points drawn at random that push one away, each time."""
_PULL = 0.1
"""Of a neighbour, as a share of a push: with more, groups fall in on themselves."""
_STEPS = 200
_FARTHEST_STEP = 4.0
_SPREAD = 10.0
"""The extent of what it begins with, in distances at which points pull half as much."""


def on_a_plane(vectors: Vectors) -> Plane:
    """A place for each of float32 [n, dim], from -1 to 1: alike near alike, whatever its length.

    Begins with the first two principal components of the directions. Then each point is pulled by
    its nearest neighbours and pushed by others drawn at random, as UMAP does it (McInnes, Healy and
    Melville 2018), with the kernel of t-SNE, 1 / (1 + d²). The same vectors give the same places.
    """
    components = principal(vectors, _COMPONENTS)
    plane = _within_one(components[:, :2])
    if len(vectors) > 3 and plane.any():
        plane = _within_one(_laid_out(_SPREAD * plane, components))
    return plane


def principal(vectors: Vectors, count: int) -> Vectors:
    """The first principal components of the directions of float32 [n, dim]: [n, `count`].

    Zero where there are fewer. By subspace iteration (Halko, Martinsson and Tropp 2011), since
    vectors may have many thousand dimensions. The value of each that is farthest from zero is
    positive, so that a map does not turn over when a picture is added.
    """
    found = np.zeros((len(vectors), count), np.float32)
    if len(vectors) < 2:
        return found
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)
    directions -= directions.mean(axis=0)
    axes = _axes(directions[:: -(-len(directions) // _LEARNED_FROM)], count)
    found[:, : axes.shape[1]] = directions @ axes
    farthest = np.take_along_axis(found, np.abs(found).argmax(axis=0)[None], axis=0)
    return np.asarray(found * np.sign(farthest), np.float32)


def _axes(centred: Vectors, count: int) -> Vectors:
    """The directions along which rows of float32 [n, dim] vary most, [dim, at most `count`]."""
    width = min(count + 10, *centred.shape)
    guess = np.random.default_rng(0).standard_normal((centred.shape[1], width), np.float32)
    for _ in range(_ROUNDS):
        guess, _ = np.linalg.qr(centred.T @ (centred @ guess))
    _, _, rotation = np.linalg.svd(centred @ guess, full_matrices=False)
    return np.asarray(guess @ rotation[:count].T, np.float32)


def _laid_out(start: Plane, components: Vectors) -> Plane:
    """`start` once neighbours in `components`, float32 [n, d], have pulled and others pushed."""
    random = np.random.default_rng(0)
    heads, tails, weights = _graph(components)
    begins = np.flatnonzero(np.diff(heads, prepend=-1))  # every point has an edge of its own
    plane = (start + random.normal(0, 0.01, start.shape)).T.astype(np.float32)  # rows: x and y
    for step in range(_STEPS):
        apart = plane[:, heads] - plane[:, tails]
        pull = _PULL * weights / (1 + apart[0] ** 2 + apart[1] ** 2)
        moves = -np.add.reduceat(pull * apart, begins, axis=1)
        for _ in range(_OTHERS):
            apart = plane - plane[:, random.integers(0, len(start), len(start), np.int32)]
            squares = apart[0] ** 2 + apart[1] ** 2
            moves += apart / ((0.1 + squares) * (1 + squares))
        plane += np.float32(1 - step / _STEPS) * moves.clip(-_FARTHEST_STEP, _FARTHEST_STEP)
    return plane.T


def _graph(components: Vectors) -> tuple[_Edges, _Edges, Vectors]:
    """Each point with its nearest, both ways, by ascending head; weights float32, at most 1."""
    count = min(_NEIGHBOURS, len(components) - 1)
    nearest, distances = _nearest(components, count)
    first, mean = distances[:, :1], distances.mean(axis=1, keepdims=True)
    weights = np.exp(-(distances - first) / np.maximum(mean - first, _NOTHING))
    ends = np.repeat(np.arange(len(components)), count), nearest.ravel()
    both = np.stack([np.concatenate(ends), np.concatenate(ends[::-1])])
    order = np.argsort(both[0], kind="stable")
    doubled = np.tile(weights.ravel(), 2)
    return both[0, order], both[1, order], doubled[order].astype(np.float32)


def _nearest(components: Vectors, count: int) -> tuple[_Edges, Vectors]:
    """The nearest others of each row and how far they are, both [n, count], nearest first."""
    squares = (components**2).sum(axis=1)
    found, distances = [], []
    for start in range(0, len(components), 1024):
        block = components[start : start + 1024]
        far = squares - 2 * block @ components.T + squares[start : start + 1024, None]
        np.fill_diagonal(far[:, start:], np.inf)
        some = np.argpartition(far, count - 1, axis=1)[:, :count]
        those = np.take_along_axis(far, some, axis=1)
        order = np.argsort(those, axis=1)
        found.append(np.take_along_axis(some, order, axis=1))
        distances.append(np.sqrt(np.maximum(np.take_along_axis(those, order, axis=1), 0)))
    return np.concatenate(found), np.concatenate(distances)


def _within_one(plane: Plane) -> Plane:
    """The same about its middle, so that the farthest value of each axis is 1 or -1."""
    if not len(plane):
        return plane
    middle = (plane.max(axis=0) + plane.min(axis=0)) / 2
    extent = np.abs(plane - middle).max(axis=0)
    return np.asarray((plane - middle) / np.where(extent > _NOTHING, extent, np.inf), np.float32)

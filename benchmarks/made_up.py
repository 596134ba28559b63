"""Made-up pictures, to fill a collection up; their vectors and local features are as real ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import lookalike
from lookalike.store import Arrival
from lookalike.types import LocalFeatures, Record

_BLOCK = 500


def fill(collection: lookalike.Collection, wanted: int) -> None:
    """Add them until the collection has so many, and settle it; it has some real ones."""
    real = list(collection)
    rng = np.random.default_rng(0)
    has_local = collection.engine.makes_local_features
    for numbers in _blocks(len(real), wanted):
        some = [real[number % len(real)] for number in numbers]
        vectors = {
            each.name: np.concatenate(
                [_disturbed(collection.vector(record.id, each.name), rng) for record in some]
            )
            for each in collection.recipe.embeddings
        }
        local = None
        if has_local:
            features = collection.store.local_features([record.id for record in some])
            local = [_moved(features[record.id], rng) for record in some]
        arrivals = [_made_up(*pair) for pair in zip(numbers, some, strict=True)]
        collection.store.put(arrivals, vectors, local)
    collection.settle()


def _blocks(start: int, end: int) -> Iterator[list[int]]:
    """Numbers, some at a time."""
    for at in range(start, end, _BLOCK):
        yield list(range(at, min(at + _BLOCK, end)))


def _made_up(number: int, record: Record) -> Arrival:
    """A picture that is nowhere."""
    digest = hashlib.sha256(str(number).encode()).digest()
    place = lookalike.Place(f"made-up:{number}")
    return Arrival(digest, record.format, record.width, record.height, record.size, place)


def _disturbed(vector: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Another direction, as far away as another picture of the same kind."""
    noise = rng.standard_normal(vector.shape, np.float32)
    away = noise * np.float32(np.linalg.norm(vector) / np.linalg.norm(noise))
    return np.asarray(vector + away, np.float32)


def _moved(features: LocalFeatures, rng: np.random.Generator) -> LocalFeatures:
    """Descriptors that nothing matches, though each lies near its word; in other places."""
    noise = np.abs(rng.standard_normal(features.descriptors.shape, np.float32))
    mixed = features.descriptors + noise * np.float32(0.1)
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    order = rng.permutation(len(features.xy))
    return replace(features, xy=features.xy[order], descriptors=mixed / np.maximum(lengths, 1e-6))

"""How good the recipe `default` is on caltech60, by our own arithmetic and as a user is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from samples import DATA, needs_data

import lookalike
from lookalike.index.projection import Projection
from lookalike.types import Record, Vectors

pytestmark = needs_data


@dataclass(frozen=True)
class Caltech:
    """A collection of all of it."""

    collection: lookalike.Collection
    records: list[Record]
    labels: npt.NDArray[Any]
    vectors: Vectors
    """float32 [records, 384], of length 1."""


@pytest.fixture(scope="module")
def caltech(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caltech]:
    with lookalike.open(tmp_path_factory.mktemp("caltech") / "c") as collection:
        report = collection.add(DATA / "caltech60")
        assert report.failed == 0
        records = collection.newest(limit=len(collection))
        labels = np.array([Path(record.path).parent.name for record in records])
        vectors = np.concatenate([collection.vector(record.id) for record in records])
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        yield Caltech(collection, records, labels, vectors)


def test_nine_in_ten_of_the_nearest_are_of_the_same_class(caltech: Caltech) -> None:
    """P@10, every picture a query, itself excepted: at least 0.85."""
    scores = caltech.vectors @ caltech.vectors.T
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argpartition(-scores, 10, axis=1)[:, :10]
    exact = (caltech.labels[nearest] == caltech.labels[:, None]).mean()
    asked = [caltech.collection.more_like(record.id, k=10) for record in caltech.records]
    told = np.mean(
        [
            [Path(hit.path).parent.name == label for hit in hits]
            for hits, label in zip(asked, caltech.labels, strict=True)
        ]
    )
    assert exact >= 0.85
    assert abs(told - exact) < 0.002


@pytest.mark.parametrize("components", [None, 64, 128, 256])
def test_six_in_ten_of_the_nearest_to_a_class_name_are_of_that_class(
    caltech: Caltech, components: int | None
) -> None:
    """P@10, the 60 class names the queries."""
    stored = caltech.vectors
    names = sorted(set(caltech.labels))
    extractor: Any = caltech.collection.recipe.embeddings[0].make_extractor("cpu")
    asked = extractor.encode_text([name.replace("_", " ") for name in names])
    if components:
        projection = Projection.learn(stored, components)
        stored, asked = projection.apply(stored), projection.apply(asked)
        stored = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    nearest = np.argsort(-(asked @ stored.T), axis=1)[:, :10]
    assert (caltech.labels[nearest] == np.array(names)[:, None]).mean() >= 0.65

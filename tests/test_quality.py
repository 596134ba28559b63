from __future__ import annotations

from pathlib import Path

import numpy as np
from samples import DATA, needs_data

import lookalike


@needs_data
def test_nine_in_ten_of_the_nearest_are_of_the_same_class(tmp_path: Path) -> None:
    """P@10 on caltech60, every picture a query, itself excepted: at least 0.85."""
    with lookalike.open(tmp_path / "c") as collection:
        report = collection.add(DATA / "caltech60")
        assert report.failed == 0
        records = collection.newest(limit=len(collection))
        vectors = np.concatenate([collection.vector(record.id) for record in records])
        asked = [collection.more_like(record.id, k=10) for record in records]
    labels = np.array([Path(record.path).parent.name for record in records])

    # By our own arithmetic, exact.
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argpartition(-scores, 10, axis=1)[:, :10]
    exact = (labels[nearest] == labels[:, None]).mean()
    # By what a user is told.
    told = np.mean(
        [
            [Path(hit.path).parent.name == label for hit in hits]
            for hits, label in zip(asked, labels, strict=True)
        ]
    )
    assert exact >= 0.85
    assert abs(told - exact) < 0.002

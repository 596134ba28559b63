"""How far a calibration holds for pictures that it has not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from samples import DATA, needs_data

import lookalike as api
from lookalike.calibrate import calibrate


@needs_data
def test_held_out_pictures_are_confused_no_more_often_than_was_said(tmp_path: Path) -> None:
    """Both are drawn by the same lot, so that the one are as like the stored ones as the others."""
    every = np.random.default_rng(0).permutation(sorted((DATA / "caltech60").glob("*/*.jpg")))
    with api.open(tmp_path / "c", recipe="copies") as collection:
        collection.add(*every[:60])
        found = calibrate(collection, sample=len(collection), false_positives=0.1)
        held_out = every[60:120]
        wrong = sum(bool(collection.search(path, confident=True)) for path in held_out)
        assert wrong / len(held_out) <= found.scorers["verified"].bounds[1]
        by_vector = sum(
            bool(collection.search(path, confident=True, compare=[], k=1)) for path in held_out
        )
        assert by_vector / len(held_out) <= found.scorers["default"].bounds[1]

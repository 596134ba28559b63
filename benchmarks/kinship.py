"""Which of copies, bursts and pictures of one class are called copy, near, similar, or nothing.

    PYTHONPATH=src:tests python benchmarks/kinship.py [--data DIR] [--json FILE]

Copies: every edit of `lookalike make-copies`, of one photograph of each class. Bursts: made of the
same ones by `tests/near_pairs.py`. Class: pairs of five photographs of the class, whose truth
nobody has told. The thresholds were chosen on the first photographs of all classes; `chosen` is
half of these. `told` are the sixth to tenth of the other classes, not looked at before.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter, defaultdict
from pathlib import Path

from measured import machine
from near_pairs import NEAR
from verification import Described, described

from lookalike.compare.kinship import kinship
from lookalike.compare.verified import Verified, VerifiedOptions
from lookalike.edits import EDITS, generator, shared
from lookalike.extract.local import KeypointExtractor, KeypointOptions
from lookalike.picture import jpeg

ANSWERS = ("copy", "near", "similar", "nothing")
QUALITY = 90
"""Of the JPEGs that bursts are saved as."""

Table = dict[str, Counter[str]]


def main() -> None:
    """Two tables, a line for each way in which a pair came about."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/caltech60"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    extractor = KeypointExtractor(KeypointOptions(), "cpu")
    folders = sorted(path for path in given.data.iterdir() if path.is_dir())
    classes = [
        [
            described(extractor, path.read_bytes())
            for path in sorted(folder.iterdir())[five : five + 5]
        ]
        for folder, five in zip(folders, itertools.cycle((0, 5)), strict=False)
    ]
    tables: dict[str, Table] = {"chosen": defaultdict(Counter), "told": defaultdict(Counter)}
    for number, pictures in enumerate(classes):
        background = classes[(number + len(classes) // 2) % len(classes)][2]
        fill(tables["told" if number % 2 else "chosen"], extractor, pictures, background)
    for name, table in tables.items():
        print(f"{name:20} {' '.join(f'{answer:>8}' for answer in ANSWERS)}")
        for made, answers in table.items():
            print(f"  {made:18} {' '.join(f'{answers[answer]:8}' for answer in ANSWERS)}")
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), **tables}, indent=1) + "\n")


def fill(
    table: Table, extractor: KeypointExtractor, pictures: list[Described], background: Described
) -> None:
    """With what is said of one class."""
    original = pictures[0]
    pixels = shared(original.picture.pixels)
    for edit in EDITS.values():
        rng = generator(0, original.picture.sha256, edit.name)
        ground = background.picture.pixels if edit.needs_background else None
        copy = described(extractor, jpeg(edit(pixels, rng, ground), edit.quality))
        table[edit.name][judged(copy, original)] += 1
    for name, change in NEAR.items():
        later = change(pixels, generator(0, original.picture.sha256, name))
        table[name][judged(described(extractor, jpeg(later, QUALITY)), original)] += 1
    for one, other in itertools.combinations(pictures, 2):
        table["class"][judged(other, one)] += 1


def judged(query: Described, candidate: Described) -> str:
    """One of `ANSWERS`."""
    evidence = Verified(VerifiedOptions()).compare(query, [candidate])[0].evidence
    return kinship(evidence, query.picture, candidate.picture) or "nothing"


if __name__ == "__main__":
    main()

"""Edited copies found by the default recipe, and by the hashes that others find them with.

    python benchmarks/peers.py --data FOLDER [--originals 100] [--json FILE]

A set of `lookalike make-copies` (seed 0) of the pictures in FOLDER. Each method describes every
picture of the set and ranks the whole collection for each query. Hashes are compared by the bits
that differ, which is how their libraries do it. recall@1: the share of edited copies whose original
comes first, of equals the last; micro-AP: of all pairs of query and picture in one ranking, queries
without a copy among them. Pictures a second: decoding included, one core for all but lookalike.

imagehash comes with `pip install --group bench`; imagededup brings torch with it. What
is not here, and networks that need weights from a hub, is named with the reason.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measured import machine
from PIL import Image

import lookalike
from lookalike.copies import Wish, make_copies
from lookalike.evaluate import metrics
from lookalike.evaluate import truth as truths
from lookalike.evaluate.harness import evaluate
from lookalike.evaluate.metrics import Judged
from lookalike.evaluate.truth import Resolved

Bits = npt.NDArray[np.bool_]
Hash = Callable[[Path], Bits]
NEED_WEIGHTS = ("CLIP", "DINOv2", "SSCD")
DEDUP_NEEDS = ("imagededup", "torch")


@dataclass(frozen=True, slots=True)
class Row:
    """How well one method finds copies."""

    method: str
    recall_at_1: float
    micro_ap: float
    by_edit: dict[str, float]
    """recall@1."""
    pictures_per_second: float


def main() -> None:
    """Print a table, and one of recall@1 for each edit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--originals", type=int, default=100)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        made = make_copies(given.data, Path(scratch) / "set", Wish(originals=given.originals))
        rows = list(measured(made.path))
    show(rows)
    reasons = dict(missing())
    for name, reason in reasons.items():
        print(f"not compared: {name}: {reason}")
    if given.json:
        content = {"machine": machine(), "rows": list(map(asdict, rows)), "missing": reasons}
        given.json.write_text(json.dumps(content, indent=1) + "\n")


def measured(folder: Path) -> Iterator[Row]:
    """A row for each method that is here."""
    truth = truths.read(folder / "truth.csv", queries=folder / "queries")
    with lookalike.open(folder / "collection.lookalike") as collection:
        rate = collection.add(folder / "collection").pictures_per_second
        resolved = truths.against(truth, collection)
        (judgement,) = evaluate(collection, resolved).judgements
        yield row("lookalike default", list(judgement.answers), resolved, rate)
        places = {record.id: Path(record.path) for record in collection}
    for name, of_file in hashes():
        started = time.perf_counter()
        stored = np.stack([of_file(place) for place in places.values()])
        rate = len(stored) / (time.perf_counter() - started)
        answers = list(ranked(stored, list(places), of_file, resolved))
        yield row(name, answers, resolved, rate)


def hashes() -> Iterator[tuple[str, Hash]]:
    """The hashes whose libraries are installed, by name."""
    import imagehash

    for name in ("phash", "dhash"):
        yield f"imagehash {name}", partial(of_imagehash, getattr(imagehash, name))
    if not all(map(find_spec, DEDUP_NEEDS)):
        return
    from imagededup import methods

    for name in ("PHash", "DHash", "WHash", "AHash"):
        yield f"imagededup {name}", partial(of_imagededup, getattr(methods, name)(verbose=False))


def missing() -> Iterator[tuple[str, str]]:
    """What could not be compared, and why."""
    absent = [name for name in DEDUP_NEEDS if find_spec(name) is None]
    if absent:
        yield "imagededup", f"not installed here: {', '.join(absent)}"
    for name in NEED_WEIGHTS:
        yield name, "its weights are on a hub that is not here"


def of_imagehash(of_picture: Callable[[Image.Image], Any], path: Path) -> Bits:
    """Its array of bits."""
    with Image.open(path) as picture:
        return np.asarray(of_picture(picture).hash, np.bool_).ravel()


def of_imagededup(method: Any, path: Path) -> Bits:
    """The bits of its number in hexadecimal."""
    hexadecimal: str = method.encode_image(path)
    return np.unpackbits(np.frombuffer(bytes.fromhex(hexadecimal), np.uint8)).astype(np.bool_)


def ranked(stored: Bits, ids: list[str], of_file: Hash, truth: Resolved) -> Iterator[Judged]:
    """The answer to each query by the bits that differ; of equals, wrong ones come first."""
    for query in truth.queries:
        scores = -np.count_nonzero(stored != of_file(Path(query.place)), axis=1)
        right = np.array([id in query.relevant for id in ids])
        order = np.lexsort((right, -scores))
        yield query.judge([ids[each] for each in order], scores[order].tolist())


def row(name: str, answers: list[Judged], truth: Resolved, rate: float) -> Row:
    """The measures of these answers."""
    first = metrics.per_query(lambda answer: metrics.recall_at(answer, 1), answers)
    edits = [query.group or "" for query in truth.queries]
    return Row(
        name,
        metrics.mean(first).value,
        metrics.micro_average_precision(answers),
        {edit: mean.value for edit, mean in metrics.mean_of_each_class(first, edits).items()},
        rate,
    )


def show(rows: list[Row]) -> None:
    """As text."""
    print(f"{'':20}{'recall@1':>10}{'micro-AP':>10}{'pictures/s':>12}")
    for each in rows:
        print(
            f"{each.method:20}{each.recall_at_1:10.3f}{each.micro_ap:10.3f}"
            f"{each.pictures_per_second:12,.0f}"
        )
    print("\nrecall@1 by edit" + " " * 9 + "".join(f"{each.method:>20}" for each in rows))
    for edit in rows[0].by_edit:
        print(f"{edit:25}" + "".join(f"{each.by_edit[edit]:20.3f}" for each in rows))
    print()


if __name__ == "__main__":
    main()

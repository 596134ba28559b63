"""Time to verify 50 candidates with stored features, beside OpenCV's own loop, and how far it goes.

    python benchmarks/verification.py [--pictures 300] [--every 5] [--rounds 20] [--json FILE]

The yardstick does the same for one query: `cv2.BFMatcher.knnMatch` and the way back, ratio test,
mutual check, `cv2.findHomography` by MAGSAC++, and all of it again for the query in a mirror. The
rounds of both alternate, so that other work on the machine slows both down. Then, with one in
`--every` of the photographs edited in every way of `lookalike make-copies`: how often the original
has the most inliers, and how many inliers unrelated pairs have.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from measured import machine

from lookalike.compare.matching import MIRRORED_SIFT
from lookalike.compare.verified import Verified, VerifiedOptions
from lookalike.edits import EDITS, generator, shared
from lookalike.extract.local import KeypointExtractor, KeypointOptions
from lookalike.picture import decode, jpeg
from lookalike.types import Limits, LocalFeatures, Picture, Vectors

CANDIDATES, FEATURES = 50, 500
RATIO = VerifiedOptions().ratio


class Described:
    """A picture with its features at hand, as a store gives them."""

    def __init__(self, picture: Picture, features: LocalFeatures) -> None:
        self.picture, self.local_features = picture, features
        self.size = picture.original_size
        self.vectors: dict[str, Vectors] = {}


def main() -> None:
    """Two tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/caltech60"))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    extractor = KeypointExtractor(KeypointOptions(features=FEATURES), "cpu")
    paths = drawn(given.data, given.pictures)
    stored = [described(extractor, path.read_bytes()) for path in paths]
    times = speed(stored, given.rounds)
    print("verification of 50 candidates, median (least) ms, interleaved")
    for name, each in times.items():
        print(f"  {name:10} {np.median(each):7.1f} ({min(each):.1f})")
    print(f"  ratio      {np.median(times['opencv']) / np.median(times['verified']):7.1f}")
    found, unrelated = quality(extractor, stored, [path.parent.name for path in paths], given.every)
    print("\nedit                 queries  first  inliers (median)")
    for edit, answers in found.items():
        first = np.mean([is_first for is_first, _ in answers])
        inliers = np.median([inliers for _, inliers in answers])
        print(f"{edit:20} {len(answers):7} {first:6.3f}  {inliers:.0f}")
    every = [is_first for answers in found.values() for is_first, _ in answers]
    print(f"{'all':20} {len(every):7} {np.mean(every):6.3f}")
    print("\nunrelated pairs and queries with at least so many inliers")
    for least in (4, 5, 6, 8, 10, 12, 15):
        pairs = sum(count for inliers, count in unrelated["pairs"].items() if inliers >= least)
        queries = sum(count for inliers, count in unrelated["queries"].items() if inliers >= least)
        print(
            f"  {least:3} {pairs / unrelated['pairs'].total():.6f} of pairs, "
            f"{queries / unrelated['queries'].total():.4f} of queries by their best"
        )
    if given.json:
        told = {
            "machine": machine(),
            "ms": times,
            "found": found,
            "unrelated": {name: dict(sorted(each.items())) for name, each in unrelated.items()},
        }
        given.json.write_text(json.dumps(told, indent=1) + "\n")


def drawn(folder: Path, count: int) -> list[Path]:
    """As many of each class, by name."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    each = -(-count // len(classes))
    return [path for one in classes for path in sorted(one.iterdir())[:each]][:count]


def described(extractor: KeypointExtractor, data: bytes) -> Described:
    """A decoded picture and its features."""
    picture = decode(data, source="picture", shortest_side=0, limits=Limits())
    return Described(picture, extractor.extract_local([picture])[0])


def speed(stored: list[Described], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each round."""
    full = [each for each in stored if len(each.local_features.xy) >= FEATURES]
    full = (full * CANDIDATES)[: CANDIDATES + 1]
    query, candidates = full[0], full[1:]
    verified = Verified(VerifiedOptions())
    ways: dict[str, Callable[[], Any]] = {
        "verified": lambda: verified.compare(query, candidates),
        "opencv": lambda: [by_opencv(query, candidate) for candidate in candidates],
    }
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 2):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number >= 2:
                times[name].append(1000 * (time.perf_counter() - start))
    return times


def by_opencv(query: Described, candidate: Described) -> int:
    """The inliers of the better of the query and its mirror image, as one would write it."""
    ours, theirs = query.local_features, candidate.local_features
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    best = 0
    for descriptors in (
        ours.descriptors,
        np.ascontiguousarray(ours.descriptors[:, MIRRORED_SIFT]),
    ):
        back = {m.queryIdx: m.trainIdx for m in matcher.match(theirs.descriptors, descriptors)}
        good = [
            (one.queryIdx, one.trainIdx)
            for one, two in matcher.knnMatch(descriptors, theirs.descriptors, k=2)
            if one.distance < RATIO * two.distance and back[one.trainIdx] == one.queryIdx
        ]
        if len(good) >= 4:
            a, b = np.array(good).T
            _, kept = cv2.findHomography(ours.xy[a], theirs.xy[b], cv2.USAC_MAGSAC, 3.0)
            best = max(best, 0 if kept is None else int(kept.sum()))
    return best


def quality(
    extractor: KeypointExtractor, stored: list[Described], classes: list[str], every: int
) -> tuple[dict[str, list[tuple[bool, int]]], dict[str, Counter[int]]]:
    """By edit, whether the original was first and its inliers; and inliers of unrelated pictures.

    Pictures of the query's class are left out of what is unrelated: some show the same thing.
    """
    found: dict[str, list[tuple[bool, int]]] = defaultdict(list)
    unrelated: dict[str, Counter[int]] = {"pairs": Counter(), "queries": Counter()}
    verified = Verified(VerifiedOptions())
    for number in range(0, len(stored), every):
        original = stored[number]
        below = (number + len(stored) // 2 + 2) % len(stored)
        for edit in EDITS.values():
            shown = [number, below] if edit.needs_background else [number]
            ground = stored[below].picture.pixels if edit.needs_background else None
            rng = generator(0, original.picture.sha256, edit.name)
            edited = edit(shared(original.picture.pixels), rng, ground)
            query = described(extractor, jpeg(edited, edit.quality))
            inliers = np.array([each.score for each in verified.compare(query, stored)], int)
            others = np.delete(inliers, shown)
            found[edit.name].append((bool(inliers[number] > others.max()), int(inliers[number])))
            strangers = inliers[~np.isin(classes, [classes[place] for place in shown])]
            unrelated["pairs"].update(strangers.tolist())
            unrelated["queries"][int(strangers.max())] += 1
    return found, unrelated


if __name__ == "__main__":
    main()

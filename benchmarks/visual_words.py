"""Bags of visual words: how well they find, how fast they are, and OpenCV's bare SIFT beside them.

    python benchmarks/visual_words.py --data FOLDER [--rounds 5] [--json FILE]

FOLDER has one folder a class (`caltech60`). macro mAP and P@10: every picture is a query, itself
left out, by cosine; vocabularies are learned from up to 1,000 of the same pictures. Speeds are of
`FeaturePipeline.stream`, JPEG files to vectors on all cores, medians of runs that take turns; by
the clock, and by the time of processors, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt
from default_model import class_retrieval, unit
from measured import machine

from lookalike.decoding import Encoded
from lookalike.errors import MissingPackage
from lookalike.extract.bovw import BagOfVisualWords, BovwOptions
from lookalike.extract.keypoints import Keypoints
from lookalike.features import FeaturePipeline, Features
from lookalike.picture import from_pixels
from lookalike.types import Limits, LocalFeatures, Picture, Vectors

VARIANTS = {
    "SIFT, 200 words": BovwOptions(k=200),
    "SIFT, 1,000 words": BovwOptions(k=1000),
    "SIFT, 5,000 words": BovwOptions(k=5000),
    "SIFT, 1,000 words, counts": BovwOptions(k=1000, encoding="counts"),
    "SIFT without roots, 1,000 words": BovwOptions(k=1000, root_sift=False),
    "SIFT, 1,000 words, 1,000 keypoints": BovwOptions(k=1000, features=1000),
    "SIFT, VLAD of 16 words": BovwOptions(k=16, encoding="vlad"),
    "SIFT, VLAD of 64 words": BovwOptions(k=64, encoding="vlad"),
    "ORB, 1,000 words": BovwOptions(detector="orb", k=1000),
    "ORB, VLAD of 64 words": BovwOptions(detector="orb", k=64, encoding="vlad"),
    "AKAZE, 1,000 words": BovwOptions(detector="akaze", k=1000),
}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    variant: str
    mean_average_precision: float
    precision_at_10: float
    pictures_per_second: float
    pictures_per_core_second: float
    bytes_per_picture: int
    processor_seconds_to_learn: float


@dataclass(frozen=True)
class Taken:
    """Seconds by the clock, and of processors: those are the same however busy the machine is."""

    wall: float
    processor: float

    @classmethod
    def until_now(cls) -> Taken:
        """Of this process and its children that run."""
        children = {
            pid
            for listed in Path("/proc/self/task").glob("*/children")
            for pid in listed.read_text().split()
        }
        ticks = 0
        for pid in children:
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])
        seconds = time.process_time() + ticks / os.sysconf("SC_CLK_TCK")
        return cls(time.perf_counter(), seconds)

    def __sub__(self, before: Taken) -> Taken:
        return Taken(self.wall - before.wall, self.processor - before.processor)


def main() -> None:
    """Print how fast SIFT's words are made, then the table of all variants."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("speed", "table"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    paths = sorted(given.data.glob("*/*.jpg"))
    kept = given.json and given.only and given.json.exists()
    result: dict[str, Any] = json.loads(given.json.read_text()) if kept else {}
    result[f"machine of {given.only or 'all'}"] = machine()
    if given.only != "table":
        result["speed"] = speed(paths, given.rounds)
        print("  ".join(f"{name} {value:.2f}" for name, value in result["speed"].items()))
    if given.only != "speed":
        result["rows"] = [asdict(row) for row in table(paths, given.rounds)]
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


def speed(paths: Sequence[Path], rounds: int) -> dict[str, float]:
    """The whole way on all cores beside one thread of `cv2.SIFT`, on pictures of 500 x 375.

    Both keep every keypoint; the bare one gets grey pixels that are decoded already.
    """
    options = BovwOptions(features=1_000_000, longest_side=0)
    with tempfile.TemporaryDirectory() as folder:
        resized = in_one_size(paths[::20], Path(folder))
        extractor = trained(options, resized)
        grey = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in resized]
        bare, ours = [], []
        for _ in range(rounds):
            bare.append(bare_sift(grey))
            ours.append(piped(extractor, resized)[1])
    cores = os.cpu_count() or 1
    ratios = [b.wall / o.wall / cores for o, b in zip(ours, bare, strict=True)]
    return {
        "pictures": len(grey),
        "bare": len(grey) / statistics.median(each.wall for each in bare),
        "lookalike": len(grey) / statistics.median(each.wall for each in ours),
        "ratio by core": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "ratio of processor time": statistics.median(
            b.processor / o.processor for o, b in zip(ours, bare, strict=True)
        ),
    }


def table(paths: Sequence[Path], rounds: int) -> list[Row]:
    """Every variant over all pictures; their keypoints are found once for all that share them."""
    _, classes = np.unique([path.parent.name for path in paths], return_inverse=True)
    pictures = [
        from_pixels(np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))) for path in paths
    ]
    extractors, quality = {}, {}
    for name, options in VARIANTS.items():
        try:
            extractor = BagOfVisualWords(options, "cpu")
        except MissingPackage as error:
            print(f"{name}: passed over, {error}")
            continue
        bare, extractor._keypoints = extractor._keypoints, Remembered(options)  # type: ignore[assignment]
        samples = extractor.sample(pictures[:: -(-len(pictures) // options.pictures)])
        begun = Taken.until_now()
        extractor.learn(samples, lambda _: None)
        seconds = (Taken.until_now() - begun).processor
        vectors = unit(extractor.extract(pictures))
        quality[name] = (*class_retrieval(vectors @ vectors.T, classes), seconds)
        extractor._keypoints = bare
        extractors[name] = extractor
        print(name, *(f"{each:.3f}" for each in quality[name]), flush=True)
    speeds = in_turns(extractors, paths[::20], rounds)
    print(f"{'':34}   mAP   P@10  pictures/s  by core   bytes  to learn")
    rows = []
    for name, (precision, average, seconds) in quality.items():
        dim, rate = extractors[name].dim, speeds[name]
        row = Row(name, average, precision, rate.wall, rate.processor, 4 * dim, seconds)
        rows.append(row)
        print(
            f"{name:34}  {average:.3f}  {precision:.3f}  {rate.wall:10.1f}  {rate.processor:7.1f}"
            f"  {row.bytes_per_picture:6}  {seconds:6.0f} s"
        )
    return rows


class Remembered:
    """In the place of an extractor's keypoints, to find those of each picture once."""

    _found: ClassVar[dict[tuple[str, int, bytes], LocalFeatures]] = {}

    def __init__(self, options: BovwOptions) -> None:
        self.keypoints = Keypoints(options.detector, options.features, options.longest_side)

    def of(self, picture: Picture) -> LocalFeatures:
        """Those found before, or now."""
        key = (self.keypoints.detector, self.keypoints.features, picture.sha256)
        if key not in self._found:
            self._found[key] = self.keypoints.of(picture)
        return self._found[key]


def in_turns(
    extractors: Mapping[str, BagOfVisualWords], paths: Sequence[Path], rounds: int
) -> dict[str, Taken]:
    """Pictures a second by the clock, and a second of a processor: medians."""
    taken: dict[str, list[Taken]] = {name: [] for name in extractors}
    for _ in range(rounds):
        for name, extractor in extractors.items():
            taken[name].append(piped(extractor, paths)[1])
    return {
        name: Taken(
            len(paths) / statistics.median(each.wall for each in every),
            len(paths) / statistics.median(each.processor for each in every),
        )
        for name, every in taken.items()
    }


def trained(options: BovwOptions, paths: Sequence[Path]) -> BagOfVisualWords:
    """An extractor that has learned from these pictures."""
    extractor = BagOfVisualWords(options, "cpu")
    pictures = (np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)) for path in paths)
    extractor.learn(extractor.sample([from_pixels(each) for each in pictures]), lambda _: None)
    return extractor


def piped(extractor: BagOfVisualWords, paths: Sequence[Path]) -> tuple[Vectors, Taken]:
    """The vectors, float32 [n, dim], and what it took from files to them; all is running before."""
    pairs = [(path, Encoded(str(path), path)) for path in paths]
    pipeline = FeaturePipeline({"v": extractor}, Limits())
    list(pipeline.stream(pairs[:64]))
    begun = Taken.until_now()
    found = [each for batch in pipeline.stream(pairs) for _, each in batch]
    taken = Taken.until_now() - begun
    pipeline.close()
    vectors = [each.vectors["v"] for each in found if isinstance(each, Features)]
    return np.concatenate(vectors), taken


def bare_sift(grey: Sequence[npt.NDArray[Any]]) -> Taken:
    """One thread for keypoints and descriptors of all, and nothing else."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    sift = cv2.SIFT.create()
    begun = Taken.until_now()
    for pixels in grey:
        sift.detectAndCompute(pixels, None)
    taken = Taken.until_now() - begun
    cv2.setNumThreads(threads)
    return taken


def in_one_size(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Copies of 500 x 375 pixels."""
    for number, path in enumerate(paths):
        pixels = np.asarray(cv2.imread(str(path)))
        larger = cv2.resize(pixels, (500, 375), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:04}.jpg"), larger, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return sorted(folder.iterdir())


if __name__ == "__main__":
    main()

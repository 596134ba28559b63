"""Folder to searchable, beside a bare loop that only decodes and runs the model.

    python benchmarks/ingest.py --data FOLDER [--rounds 5] [--json FILE]

Both use all cores, the same model, batches of 16 and one model thread a lane. The bare loop reads,
decodes with OpenCV (shrinking while decoding), resizes and runs; it keeps nothing and trusts every
file. Ours decodes in processes that can be killed, hashes, commits to disk and can be searched.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from measured import machine

import lookalike
from lookalike.extract.onnx_model import Model

BATCH = 16
MODEL = Model.named("efficientnet-lite0-int8")


def main() -> None:
    """Print a line for the pictures as they are, and one for larger ones."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    print(f"{'':44}  bare loop  lookalike  ratio   (pictures/s, medians of {given.rounds})")
    with tempfile.TemporaryDirectory() as folder:
        large = enlarged(sorted(given.data.glob("*/*.jpg"))[::6], Path(folder))
        for name, root in (("as they are", given.data), ("enlarged to 2000 px", large)):
            row = compare(name, root, given.rounds)
            rows.append(row)
            speeds = f"{row['bare']:9.0f}  {row['lookalike']:9.0f}"
            print(f"{row['name']:44}  {speeds}  {row['ratio']:5.2f}", flush=True)
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def compare(name: str, root: Path, rounds: int) -> dict[str, Any]:
    """Interleaved runs of both over one folder: medians, and the median of the paired ratios."""
    paths = sorted(root.rglob("*.jpg"))
    bare, ours = [], []
    for _ in range(rounds):
        bare.append(len(paths) / bare_loop(paths))
        ours.append(len(paths) / lookalike_ingest(root, len(paths)))
    mean = np.mean([np.asarray(cv2.imread(str(path))).shape[:2] for path in paths[::50]], axis=0)
    return {
        "name": f"{len(paths)} JPEGs, {mean[1]:.0f} x {mean[0]:.0f}, {name}",
        "bare": statistics.median(bare),
        "lookalike": statistics.median(ours),
        "ratio": statistics.median(o / b for o, b in zip(ours, bare, strict=True)),
    }


def lookalike_ingest(root: Path, expected: int) -> float:
    """Seconds from an open, empty collection until every picture can be found."""
    with tempfile.TemporaryDirectory() as folder, lookalike.open(Path(folder) / "c") as collection:
        started = time.perf_counter()
        report = collection.add(root)
        collection.search(np.ones(MODEL.dim, np.float32))
        seconds = time.perf_counter() - started
        assert report.stored + report.copies == expected, report
    return seconds


def bare_loop(paths: Sequence[Path]) -> float:
    """Seconds to decode all and run the model on them, a thread a core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        MODEL.path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    cv2.setNumThreads(1)

    def run(batch: Sequence[Path]) -> None:
        session.run([MODEL.output], {MODEL.input: np.stack([decoded(path) for path in batch])})

    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    started = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(run, batches))
    return time.perf_counter() - started


def decoded(path: Path) -> Any:
    """uint8 [224, 224, 3], shrunk while decoding as far as that allows."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    pixels = np.asarray(cv2.imdecode(data, shrinking(data)))
    return cv2.resize(
        pixels, (MODEL.preprocessing.size, MODEL.preprocessing.size), interpolation=cv2.INTER_AREA
    )


def shrinking(data: Any) -> int:
    """OpenCV's flag for the smallest decode whose short side still meets the input's size."""
    short = min(jpeg_size(data.tobytes()))
    for factor, flag in (
        (8, cv2.IMREAD_REDUCED_COLOR_8),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (2, cv2.IMREAD_REDUCED_COLOR_2),
    ):
        if short // factor >= MODEL.preprocessing.size:
            return (flag & ~cv2.IMREAD_COLOR) | cv2.IMREAD_COLOR_RGB
    return int(cv2.IMREAD_COLOR_RGB)


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width, from the frame header."""
    position = 2
    while True:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height = int.from_bytes(data[position + 5 : position + 7])
            return height, int.from_bytes(data[position + 7 : position + 9])
        position += 2 + length


def enlarged(paths: Sequence[Path], folder: Path) -> Path:
    """Copies of some pictures with a long side of 2000 pixels, as a camera's would have."""
    for number, path in enumerate(paths):
        pixels = np.asarray(cv2.imread(str(path)))
        scale = 2000 / max(pixels.shape[:2])
        larger = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number}.jpg"), larger, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return folder


if __name__ == "__main__":
    main()

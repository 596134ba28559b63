"""What an exported network gains on a CPU: ResNet-50 in torch, in ONNX, and in ONNX int8.

    python benchmarks/onnx_vs_torch.py [--recipe resnet50] [--weights FILE] [--json FILE]

Needs the extras `torch` and `export`. Without weights it takes some by chance: they change neither
the time nor the size. Each line is an extractor's whole `extract`, from decoded pictures to
vectors, in batches of 16 on one core, the median of runs that take turns; the default network
stands beside them. Seconds are those of the processor, so that other load on the machine does not
count. `load` is what a fresh process takes from a recipe to its first vector, and the memory that
it then holds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measured import machine

from lookalike import recipe
from lookalike.export_onnx import Closeness, Wish, export
from lookalike.picture import from_pixels
from lookalike.types import Picture

RUNS = 5
BATCH = 16


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    network: str
    pictures_per_second: float
    milliseconds_alone: float
    """Of one picture, not in a batch: what a query waits."""
    load_seconds: float
    load_megabytes: float
    file_megabytes: float
    cosine: Closeness | None


def main() -> None:
    """Export, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", default="resnet50")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        print(json.dumps(load(given.load)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = given.weights or weights_by_chance(given.recipe, folder)
        rows = measure(given.recipe, weights, folder)
    print(f"{'':26}  pictures/s  ms alone  load s  load MB  file MB  cosine: least   mean")
    for row in rows:
        near = f"{row.cosine.least:13.5f}  {row.cosine.mean:.5f}" if row.cosine else ""
        speed = f"{row.pictures_per_second:10.1f}  {row.milliseconds_alone:8.1f}"
        size = f"{row.load_seconds:6.2f}  {row.load_megabytes:7.0f}  {row.file_megabytes:7.1f}"
        print(f"{row.network:26}  {speed}  {size}  {near}")
    if given.json:
        result = {
            "machine": machine() | versions(),
            "weights": str(given.weights or "by chance"),
            "rows": [asdict(row) for row in rows],
        }
        given.json.write_text(json.dumps(result, indent=1) + "\n")


def measure(name: str, weights: Path, folder: Path) -> list[Row]:
    """Every network on the same pictures."""
    with_torch = folder / "torch.toml"
    text = recipe.load(name).text
    with_torch.write_text(text.replace("\nmodel =", f'\nweights = "{weights}"\nmodel ='), "utf-8")
    chosen = recipe.load(str(with_torch))
    whole = export(chosen, folder / "fp32.onnx", Wish())
    narrow = export(chosen, folder / "int8.onnx", Wish(int8=True))
    cases: list[tuple[str, str, Path, Closeness | None]] = [
        (f"{name}, torch", str(with_torch), weights, None),
        (f"{name}, ONNX", f"onnx:{whole.path}", whole.path, whole.closeness["photographs"]),
        (f"{name}, ONNX int8", f"onnx:{narrow.path}", narrow.path, narrow.closeness["photographs"]),
    ]
    bundled = recipe.load("default").embeddings[0].make_extractor("cpu")
    cases.append(("default", "default", bundled.model.path, None))
    extractors = [recipe.load(each).embeddings[0].make_extractor("cpu") for _, each, _, _ in cases]
    pictures = some_pictures()
    batches = taking_turns(extractors, pictures)
    alone = taking_turns(extractors, pictures[:1])
    rows = []
    for (label, of, path, near), batch, one in zip(cases, batches, alone, strict=True):
        seconds, megabytes = json.loads(
            subprocess.run(
                [sys.executable, __file__, "--load", of], capture_output=True, check=True
            ).stdout
        )
        size = path.stat().st_size / 1e6
        rows.append(Row(label, BATCH / batch, 1000 * one, seconds, megabytes, size, near))
    return rows


def taking_turns(extractors: Sequence[Any], pictures: Sequence[Picture]) -> list[float]:
    """Seconds of each, the median, so that other load falls on all alike."""
    seconds: list[list[float]] = [[] for _ in extractors]
    for run in range(RUNS + 1):
        for extractor, taken in zip(extractors, seconds, strict=True):
            started = time.process_time()
            extractor.extract(pictures)
            if run:  # the first one loads
                taken.append(time.process_time() - started)
    return [statistics.median(each) for each in seconds]


def load(name: str) -> tuple[float, float]:
    """Seconds from a recipe to the first vector, and what this process then holds, in MB."""
    pictures = some_pictures()[:1]
    started = time.process_time()
    recipe.load(name).embeddings[0].make_extractor("cpu").extract(pictures)
    seconds = time.process_time() - started
    held = Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]
    return seconds, 1.024 * int(held) / 1e3


def some_pictures() -> list[Picture]:
    """Noise of a usual size, after it was shrunk while it was decoded."""
    rng = np.random.default_rng(0)
    return [from_pixels(rng.integers(0, 256, (256, 341, 3), np.uint8)) for _ in range(BATCH)]


def weights_by_chance(name: str, folder: Path) -> Path:
    """A checkpoint of the recipe's timm model."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    options = recipe.load(name).embeddings[0].extractor.options
    path = folder / "weights.safetensors"
    save_file(timm.create_model(options.model, pretrained=False).state_dict(), path)
    return path


def versions() -> dict[str, str]:
    """Of what this benchmark alone needs."""
    import timm
    import torch

    return {"torch": torch.__version__, "timm": timm.__version__}


if __name__ == "__main__":
    main()

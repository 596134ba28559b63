"""Run every benchmark, print its table, and keep the figures under `benchmarks/results/`.

    python benchmarks --data FOLDER [--only NAME]

FOLDER has JPEGs in one folder a class. What cannot run here (a data set that is not installed) is
named and passed over. Takes about half an hour on 2 cores, most of it the graph of the million.
What takes longer, `growth`, `indexes`, `updates`, `plan`, `service_soak`, runs with `--only` alone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import search_vectors

HERE = Path(__file__).parent
WITH_DATA = (
    "default_model",
    "ingest",
    "batch_search",
    "one_query",
    "concurrent_queries",
    "service",
    "service_soak",
    "words",
    "visual_words",
    "recipes",
    "reranking",
    "growth",
    "peers",
)
WITHOUT = ("search_vectors", "million", "onnx_vs_torch", "indexes", "updates", "plan")
ON_DEMAND = ("growth", "indexes", "updates", "plan", "service_soak")
FASHION = ("search_vectors", "indexes", "updates")
PLOTTED = ("growth", "indexes")
NEEDS = {
    **dict.fromkeys(PLOTTED, ("hnswlib", "usearch", "matplotlib")),
    "peers": ("imagehash",),
}


def main() -> None:
    """One process a benchmark, so that none leaves anything to the next."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=(*WITH_DATA, *WITHOUT))
    given = parser.parse_args()
    for name in (*WITH_DATA, *WITHOUT):
        if name != given.only and (given.only or name in ON_DEMAND):
            continue
        if name in WITH_DATA and not any(given.data.glob("*/*.jpg")):
            print(f"{name}: passed over, {given.data} has no pictures in class folders")
        elif name in FASHION and not search_vectors.FOLDER.is_dir():
            print(f"{name}: passed over, Debian's package dataset-fashion-mnist is not installed")
        elif name == "service" and shutil.which("wrk") is None:
            print(f"{name}: passed over, Debian's package wrk is not installed")
        elif not installed(*NEEDS.get(name, ())):
            print(f"{name}: passed over, it needs `pip install --group bench`")
        elif name == "onnx_vs_torch" and not installed("onnxscript"):
            print(f"{name}: passed over, it needs `pip install 'lookalike[torch,export]'`")
        else:
            run(name, given.data)


def installed(*packages: str) -> bool:
    """Whether all of them can be imported."""
    return all(find_spec(package) for package in packages)


def run(name: str, data: Path) -> None:
    """Run one and keep its figures."""
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    print(f"\n{name}", flush=True)
    arguments = ["--json", f"{results}/{name}.json"]
    if name in WITH_DATA:
        arguments += ["--data", str(data)]
    if name in PLOTTED:
        arguments += ["--plot", f"{results}/{name}.png"]
    subprocess.run([sys.executable, str(HERE / f"{name}.py"), *arguments], check=True)


if __name__ == "__main__":
    main()

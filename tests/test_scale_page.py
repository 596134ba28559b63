"""docs/scale.md says what its formulas and its measurements give, and nothing older."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "scale.md").read_text()
N, COPIES, LINKS, RECORD = 10**9, 2, 4 * 16, 530


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    lines = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0].splitlines()
    table = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def bytes_of(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"GB": 1e9, "TB": 1e12}[unit]


def results(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


@pytest.mark.parametrize("row", rows("Memory, disk, nodes"), ids=" ".join)
def test_memory_disk_shards_and_nodes_are_those_of_the_formulas(row: list[str]) -> None:
    d, kind = int(row[0].partition(",")[0]), row[1].strip("`")
    each = {"hnsw": 4 * d, "int8_hnsw": d + 4, "bbq_hnsw": d / 8 + 14}[kind] + LINKS
    kept = RECORD + each + (0 if kind == "hnsw" else 4 * d)
    memory, disk = N * each * COPIES, N * kept * COPIES
    assert bytes_of(row[2]) == pytest.approx(memory, rel=0.02)
    assert bytes_of(row[3]) == pytest.approx(disk / 0.85, rel=0.02)
    assert int(row[4]) == max(math.ceil(N * kept / 40e9), math.ceil(N / 200e6))
    assert int(row[5]) == math.ceil(memory / (64e9 - 31e9))


def test_the_shard_that_was_measured_is_the_one_in_the_results() -> None:
    measured = results("shard_latency")
    said = {row[0]: row[1] for row in rows("The constants")}
    (search,) = [text for name, text in said.items() if name.startswith("a search of one shard")]
    p50, mean, p99 = re.findall(r"[\d.]+", search)[:3]
    assert (float(p50), float(mean)) == (
        round(measured["p50_ms"], 1),
        round(measured["mean_ms"], 1),
    )
    assert float(p99) == round(measured["p99_ms"])
    (taken,) = [text for name, text in said.items() if name.startswith("taken in by one node")]
    cores = measured["machine"]["cores"]
    assert int(taken.split()[0]) == round(measured["put_per_second"] / cores, -1)


def test_the_tail_is_that_of_the_last_simulation() -> None:
    for row in results("scatter_gather")["rows"]:
        line = next(line for line in PAGE.splitlines() if line.startswith(f"{row['name']}  "))
        figures = [float(each) for each in line.removeprefix(row["name"]).split()]
        expected = [round(row["requests"], 3), *(round(each, 1) for each in row["p99_ms"].values())]
        assert figures == pytest.approx(expected, abs=0.051)

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from samples import lookalike, write

import lookalike as api
from lookalike.doctor import examine
from lookalike.types import Finding


@pytest.fixture
def made(tmp_path: Path) -> Path:
    for number in range(30):
        write(tmp_path / "photos" / f"{number}.png", number)
    with api.open(tmp_path / "c") as collection:
        collection.add(tmp_path / "photos")
    return tmp_path / "c"


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_this_machine_is_sound_and_described() -> None:
    findings = by_name(examine(None, "auto"))
    assert all(finding.sound for finding in findings.values())
    assert "cores" in findings["processor"].text
    assert f"numpy {np.__version__}" in findings["libraries"].text
    assert "threads" in findings["faiss"].text
    assert "efficientnet-lite0-int8" in findings["model"].text
    assert findings["device"].text.startswith("cpu: ")


def test_a_sound_collection_finds_its_pictures_again(made: Path) -> None:
    findings = by_name(examine(made, "auto"))
    assert findings["collection"].text.startswith("30 pictures")
    assert findings["catalogue"].text == "ok"
    assert "100.0% of 30" in findings["default index"].text
    assert "1.000" in findings["default index"].text


def test_what_cannot_be_looked_at_is_a_finding_not_an_error(tmp_path: Path) -> None:
    findings = by_name(examine(tmp_path / "nope", "cuda"))
    assert not findings["collection"].sound
    assert "is not a collection" in findings["collection"].text
    assert not findings["model"].sound or findings["device"].text.startswith("cuda")


def test_an_unknown_device_is_a_finding() -> None:
    findings = by_name(examine(None, "gpu"))
    assert not findings["model"].sound
    assert "there is no device named 'gpu'" in findings["model"].text


def test_the_command_prints_it_and_says_by_its_exit_code_whether_all_is_well(made: Path) -> None:
    done = lookalike("doctor", "-c", made)
    assert (done.returncode, done.stderr) == (0, "")
    assert "catalogue" in done.stdout
    done = lookalike("doctor", "-c", made / "nope", "--json")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert said["collection"]["sound"] is False
    assert said["model"]["sound"] is True

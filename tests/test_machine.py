"""How much memory there is, also inside a container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookalike.machine import memory_bytes

PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /sys/fs/cgroup; `mine` beside it for what the process is in."""
    monkeypatch.setattr("lookalike.machine._GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr("lookalike.machine._MINE", tmp_path / "mine")
    return tmp_path / "cgroup"


def limited(groups: Path, mine: str, limits: dict[str, object] | None = None) -> None:
    (groups.parent / "mine").write_text(mine)
    for group, limit in (limits or {}).items():
        name = "memory.limit_in_bytes" if group.startswith("memory") else "memory.max"
        (groups / group).mkdir(parents=True, exist_ok=True)
        (groups / group / name).write_text(f"{limit}\n")


def test_without_control_groups_it_is_the_machines(groups: Path) -> None:
    assert memory_bytes() == PHYSICAL
    limited(groups, "0::/\n")
    assert memory_bytes() == PHYSICAL


def test_the_tightest_limit_on_the_way_counts(groups: Path) -> None:
    limited(groups, "0::/a/b\n", {".": "max", "a": 300_000, "a/b": 500_000})
    assert memory_bytes() == 300_000
    limited(groups, "0::/a/b\n", {"a/b": 100_000})
    assert memory_bytes() == 100_000
    limited(groups, "0::/a/b\n", {"a": "max", "a/b": "max"})
    assert memory_bytes() == PHYSICAL


def test_the_first_version_counts_as_well(groups: Path) -> None:
    mine = "9:name=systemd:/x\n4:cpu,memory:/docker/1\n3:cpuset:/\n0::/\n"
    limited(groups, mine, {"memory/docker/1": 200_000, "memory": 9223372036854771712})
    assert memory_bytes() == 200_000
    # A container that sees its own group as the root.
    limited(groups, "4:memory:/elsewhere\n", {"memory": 700_000})
    assert memory_bytes() == 700_000


def test_a_limit_above_the_machines_memory_gives_no_more(groups: Path) -> None:
    limited(groups, "0::/a\n", {"a": 2 * PHYSICAL})
    assert memory_bytes() == PHYSICAL


@pytest.mark.parametrize("mine", ["", "0::\n", "nonsense\n", "\x00"])
def test_what_cannot_be_read_limits_nothing(groups: Path, mine: str) -> None:
    limited(groups, mine)
    assert memory_bytes() == PHYSICAL

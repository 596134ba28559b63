"""What this machine lets this process have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_GROUPS = Path("/sys/fs/cgroup")
_MINE = Path("/proc/self/cgroup")


def memory_bytes() -> int:
    """Of memory: the machine's, or less where a control group (a container's) limits it."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits()])


def _limits() -> Iterator[int]:
    """Of this process's control group and those that it is part of, in bytes.

    A container may see its own group as the root, whatever path it is said to have.
    """
    for line in _lines(_MINE):
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers:
            root, name = _GROUPS, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = _GROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        for group in (inside, *inside.parents):
            yield from (int(text) for text in _lines(root / group / name) if text.isdecimal())


def _lines(path: Path) -> list[str]:
    """Of a file of the kernel's; none where there is no such file."""
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return []

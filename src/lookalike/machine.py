"""What this machine has."""

from __future__ import annotations

import os


def memory_bytes() -> int:
    """Of its memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

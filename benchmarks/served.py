"""`lookalike serve` as a process of its own, and the memory that it takes."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_STARTS_WITHIN = 120.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Service:
    """A running one."""

    url: str
    process: int

    def memory_mb(self) -> float:
        """Resident memory of it and of its decoders; what they share counts several times."""
        return sum(map(_resident, (self.process, *_children(self.process)))) / 1e6


@contextlib.contextmanager
def serving(collection: Path, *options: str) -> Iterator[Service]:
    """One of a collection, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "lookalike", "serve", "-c", str(collection), *options]
    process = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + _STARTS_WITHIN
        while not _is_ready(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the service did not start: {' '.join(command)}")
            time.sleep(0.1)
        yield Service(url, process.pid)
    finally:
        process.terminate()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz"):
            return True
    except urllib.error.URLError:
        return False


def _children(process: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        every = Path(f"/proc/{process}/task").glob("*/children")
        return [int(child) for file in every for child in file.read_text().split()]
    return []


def _resident(process: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    return 0

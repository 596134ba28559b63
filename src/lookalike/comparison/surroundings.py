"""What figures were measured with: the machine, and the versions of what does the work."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

from .. import __version__
from ..machine import memory_bytes
from ..quantities import written_bytes

_LIBRARIES = (
    "numpy",
    "faiss-cpu",
    "onnxruntime",
    "onnxruntime-gpu",
    "opencv-contrib-python-headless",
    "pillow",
    "torch",
)


def surroundings() -> dict[str, str]:
    """By name, in the order in which they are told."""
    cores = os.cpu_count() or 1
    return {
        "processor": f"{_processor()}, {cores} {'core' if cores == 1 else 'cores'}",
        "memory": written_bytes(memory_bytes()),
        "system": platform.platform(),
        "lookalike": __version__,
        "python": platform.python_version(),
        **{name: version for name in _LIBRARIES if (version := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

"""Is all well? This machine, the libraries, the model, and a collection if there is one."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from . import picture, recipe
from .collection import open_collection
from .decoding import DecodePool, Encoded
from .errors import LookalikeError
from .types import Finding, Limits

_LIBRARIES = ("numpy", "faiss-cpu", "onnxruntime", "opencv-python-headless", "pillow", "fastapi")
_CPU_FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni")


def examine(collection: Path | None, device: str) -> list[Finding]:
    """Look at everything; a check that fails is a finding, never an error."""
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("machine", _machine),
        ("libraries", _libraries),
        ("decoder", _decoder),
        ("model", lambda: _model(device)),
        ("torch", lambda: _torch(device)),
    ]
    if collection is not None:
        checks.append(("collection", lambda: _collection(collection, device)))
    findings: list[Finding] = []
    for name, check in checks:
        try:
            findings.extend(check())
        except (LookalikeError, OSError, RuntimeError) as error:
            findings.append(Finding(name, sound=False, text=str(error)))
    return findings


def _machine() -> Iterator[Finding]:
    yield Finding("python", sound=True, text=f"{platform.python_version()}, {platform.platform()}")
    flags = _cpu_flags()
    if flags is None:
        yield Finding("processor", sound=True, text=f"{platform.machine()}, {os.cpu_count()} cores")
        return
    have = [name for name in _CPU_FEATURES if name in flags]
    missing = "" if "avx2" in flags else "; without AVX2, search and model are several times slower"
    yield Finding(
        "processor",
        sound="avx2" in flags,
        text=f"{platform.machine()}, {os.cpu_count()} cores, {' '.join(have) or 'no AVX'}{missing}",
    )


def _cpu_flags() -> frozenset[str] | None:
    """What the processor can do, where Linux on x86 says it."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return None
    lines = [line for line in text.splitlines() if line.startswith("flags")]
    return frozenset(lines[0].partition(":")[2].split()) if lines else None


def _libraries() -> Iterator[Finding]:
    import faiss

    versions = []
    for name in _LIBRARIES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} (not installed)")
    yield Finding("libraries", sound=True, text=", ".join(versions))
    yield Finding(
        "faiss",
        sound=True,
        text=f"{faiss.get_compile_options().strip()}, {faiss.omp_get_max_threads()} threads",
    )


def _decoder() -> Iterator[Finding]:
    sample = picture.from_pixels(np.full((64, 64, 3), 127, np.uint8))
    with DecodePool(1, Limits()) as pool:
        started = time.perf_counter()
        pool.decode(Encoded("a test picture", data=picture.thumbnail(sample, 64)), 0)
        seconds = time.perf_counter() - started
    yield Finding("decoder", sound=True, text=f"a worker process starts in {seconds:.2f} s")


def _model(device: str) -> Iterator[Finding]:
    from .extract.onnx import OnnxExtractor

    named = recipe.load("default-fp16" if device.startswith("cuda") else "default")
    extractor = named.embeddings[0].make_extractor(device)
    assert isinstance(extractor, OnnxExtractor)
    sample = picture.from_pixels(np.full((256, 256, 3), 127, np.uint8))
    extractor.extract([sample])
    started = time.perf_counter()
    for _ in range(5):
        extractor.extract([sample])
    seconds = (time.perf_counter() - started) / 5
    model = extractor.model
    size = model.path.stat().st_size / 1e6
    yield Finding("model", sound=True, text=f"{model.name}, {size:.1f} MB, sha256 as expected")
    yield Finding(
        "device",
        sound=True,
        text=f"{extractor.device}: {extractor.why}; {1000 * seconds:.1f} ms a picture",
    )


def _torch(device: str) -> Iterator[Finding]:
    """Where the extra `torch` is installed: a network is run, with values by chance."""
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    from .extract import torch_device

    place = torch_device.place_here(device, "the doctor")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten())
    sample = np.random.default_rng(0).random((4, 3, 32, 32), np.float32)
    expected = network(torch.from_numpy(sample)).detach().numpy()
    agrees = np.allclose(torch_device.Running(network, place, "half")(sample), expected, atol=0.01)
    named = "cpu" if place == "cpu" else f"{place}, {torch.cuda.get_device_name(place)}"
    text = f"{torch.__version__} on {named}: {torch_device.why_there(device, place)}"
    wrong = "" if agrees else "; a convolution there differs from the same on the CPU"
    yield Finding("torch", sound=bool(agrees), text=f"{text}{wrong}")


def _collection(path: Path, device: str) -> Iterator[Finding]:
    with open_collection(path, device=device, create=False) as collection:
        yield Finding("collection", sound=True, text=f"{len(collection):,} pictures in {path}")
        yield from collection.check()

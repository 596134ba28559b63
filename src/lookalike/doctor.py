"""Is all well? This machine, the libraries, the model, and a collection if there is one."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from . import picture, recipe
from .collection import Collection
from .decoding import DecodePool, Encoded
from .engine import extractors_of, restore
from .errors import BadQuery, LookalikeError, NotTrained
from .extract import Extractor
from .opening import open_collection
from .store import home_of
from .types import Finding, Limits

_LIBRARIES = (
    *("numpy", "faiss-cpu", "opencv-contrib-python-headless", "pillow", "pillow-heif"),
    *("fastapi", "uvicorn"),
)
_ONNX_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
_CPU_FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni")


def examine(collection: Path | None, device: str) -> list[Finding]:
    """Look at everything; a check that fails is a finding, never an error."""
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("machine", _machine),
        ("libraries", _libraries),
        ("decoder", _decoder),
        ("model", lambda: _models(collection, device)),
        ("torch", lambda: _torch(device)),
    ]
    if collection is not None:
        checks.append(("collection", lambda: _collection(collection)))
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

    found = {name: _version(name) for name in (*_LIBRARIES, *_ONNX_RUNTIMES)}
    runtimes = [name for name in _ONNX_RUNTIMES if found[name]]
    shown = [*_LIBRARIES, *(runtimes or _ONNX_RUNTIMES[:1])]
    versions = [f"{name} {found[name] or '(not installed)'}" for name in shown]
    versions.append(f"sqlite {sqlite3.sqlite_version}")
    yield Finding("libraries", sound=True, text=", ".join(versions))
    if len(runtimes) > 1:
        yield Finding(
            "onnxruntime",
            sound=False,
            text=f"{' and '.join(runtimes)} are both installed and overwrite each other's files: "
            f"`pip uninstall -y {' '.join(runtimes)}`, then install the one you want",
        )
    yield Finding(
        "faiss",
        sound=True,
        text=f"{faiss.get_compile_options().strip()}, {faiss.omp_get_max_threads()} threads",
    )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _decoder() -> Iterator[Finding]:
    sample = picture.from_pixels(np.full((64, 64, 3), 127, np.uint8))
    with DecodePool(1, Limits()) as pool:
        started = time.perf_counter()
        pool.decode(Encoded("a test picture", data=picture.thumbnail(sample, 64)), 0)
        seconds = time.perf_counter() - started
    yield Finding("decoder", sound=True, text=f"a worker process starts in {seconds:.2f} s")


def _models(collection: Path | None, device: str) -> Iterator[Finding]:
    """The networks of the collection's recipe; where there is none, of a new one's."""
    used = recipe.load("default-fp16" if device.startswith("cuda") else "default")
    learned: dict[str, bytes] = {}
    if collection is not None:
        with contextlib.suppress(LookalikeError):
            kept = home_of(collection).made_with()
            used = recipe.parse(kept.recipe, f"the recipe of {collection}")
            learned = kept.learned
    extractors = extractors_of(used, device)
    restore(extractors, learned)
    for each in used.embeddings:
        prefix = f"{each.name} " if len(used.embeddings) > 1 else ""
        yield from _model(each, extractors[each.name], prefix)


def _model(embedding: recipe.Embedding, extractor: Extractor, prefix: str) -> Iterator[Finding]:
    made = ", ".join(f"{key} {value}" for key, value in asdict(embedding.extractor.options).items())
    described = f"{embedding.extractor.name}: {made or 'as usual'}, {extractor.dim} values"
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    sample = [picture.from_pixels(pixels)]
    try:
        extractor.extract(sample)
    except (BadQuery, NotTrained) as error:  # there is nothing to run, and all is well
        yield Finding(f"{prefix}model", sound=True, text=f"{described}; {error}")
        return
    started = time.perf_counter()
    for _ in range(5):
        extractor.extract(sample)
    seconds = (time.perf_counter() - started) / 5
    place = getattr(extractor, "device", "cpu")
    why = getattr(extractor, "why", "it runs there alone")
    speed = f"{1000 * seconds:.1f} ms a picture"
    yield Finding(f"{prefix}model", sound=True, text=described)
    yield Finding(f"{prefix}device", sound=True, text=f"{place}: {why}; {speed}")


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


def _collection(path: Path) -> Iterator[Finding]:
    with _opened(path) as collection:
        yield Finding(
            "collection", sound=True, text=f"{len(collection):,} pictures in {collection.address}"
        )
        yield from collection.check()
        if isinstance(home_of(path).files, str):
            where = collection.uploads.try_out()
            text = f"can be written, read and deleted in {where}"
            yield Finding("uploads", sound=True, text=text)


def _opened(path: Path) -> Collection:
    """Whatever device is asked for: one that fails must not keep the catalogue from a look."""
    return open_collection(path, device="auto", create=False)

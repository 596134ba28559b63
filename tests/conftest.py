"""Stores, pictures and vectors that several tests need."""

from __future__ import annotations

import hashlib
import os
import signal
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import elastic_node
import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial import distance as scipy_distance

from lookalike import registry
from lookalike.store import Arrival, EmbeddingPlan, Store
from lookalike.store.embedded import EmbeddedStore
from lookalike.types import Place, Vectors

# No test fetches weights: what needs real ones is skipped where they are not in the hub's cache.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # a process for each core: threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell without job control has what runs in its background, and all that this starts, ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

DIM = 8

OpenStore = Callable[..., EmbeddedStore]


def plan(
    index: str = "flat", distance: str = "cosine", fingerprint: str = "a model", dim: int = DIM
) -> EmbeddingPlan:
    """One embedding named `v`."""
    options = registry.load("index", index).Options()
    return EmbeddingPlan("v", dim, fingerprint, distance, index, options)


def sha(content: object) -> bytes:
    """The digest of a picture whose content is this."""
    return hashlib.sha256(repr(content).encode()).digest()


def arrival(content: object, path: str | None = None, **said: Any) -> Arrival:
    """A picture that is to be stored; by default at a place of its own that is not on this disk."""
    place = Place(f"http://pictures/{content}" if path is None else path, **said)
    return Arrival(sha(content), "PNG", 640, 480, 1000, place)


def random_vectors(count: int, dim: int = DIM, seed: int = 0) -> Vectors:
    """Float32 [count, dim], in all directions."""
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def clustered_vectors(count: int, dim: int, clusters: int = 50, seed: int = 0) -> Vectors:
    """Float32 [count, dim] around random centres, as pictures of a few kinds lie."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dim))
    near = centres[rng.integers(0, clusters, count)] + 0.3 * rng.normal(size=(count, dim))
    return near.astype(np.float32)


def distances_between(a: npt.NDArray[Any], b: npt.NDArray[Any], name: str) -> Any:
    """Every distance by its definition, float64 [len(a), len(b)]: SciPy's where it has it."""
    if len(b) == 0:
        return np.empty((len(a), 0))
    if name in ("cosine", "angular"):
        sizes = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
        cosines = np.divide(a @ b.T, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        return 1 - cosines if name == "cosine" else np.arccos(np.clip(cosines, -1, 1)) / np.pi
    if name == "inner_product":
        return -(a @ b.T)
    if name == "centred_euclidean":
        return (a.mean(axis=1)[:, None] - b.mean(axis=1)[None]) ** 2
    if name == "hamming":
        return scipy_distance.cdist(a > 0, b > 0, "hamming") * a.shape[1]
    if name in ("histogram_intersection", "chi_squared"):
        a, b = (each / np.maximum(np.abs(each).sum(axis=1), 1e-300)[:, None] for each in (a, b))
        one, other = a[:, None], b[None]
        if name == "histogram_intersection":
            return 1 - np.minimum(one, other).sum(axis=2)
        both = np.abs(one) + np.abs(other)
        return 0.5 * ((one - other) ** 2 / np.where(both > 0, both, 1)).sum(axis=2)
    metric = {"euclidean": "sqeuclidean", "true_euclidean": "euclidean", "l1": "cityblock"}[name]
    return scipy_distance.cdist(a, b, metric)


def put(store: Store, contents: Sequence[object], vectors: Vectors) -> None:
    """Store one picture for each content, a vector each."""
    store.put([arrival(content) for content in contents], {"v": vectors})


@pytest.fixture(scope="session", autouse=True)
def cores() -> Iterator[None]:
    """A share for each of those that test side by side, or each would start decoders for all."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = max(1, (os.cpu_count() or 1) // workers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: share)
        yield


@pytest.fixture(scope="session")
def elastic() -> Iterator[str]:
    """The URL of an Elasticsearch: the one that runs already, or one of these tests' own."""
    given = os.environ.get("LOOKALIKE_TEST_ELASTIC", "")
    if given.startswith("http"):
        yield given
    else:
        with elastic_node.running() as node:
            yield node.url


@pytest.fixture
def elastic_address(elastic: str) -> Iterator[str]:
    """Of a collection that is not there yet; its indices are deleted at the end."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    yield f"es+{elastic}/{name}?replicas=0&patience=5"
    with urllib.request.urlopen(f"{elastic}/_cat/indices/{name}-*?h=index") as answer:
        there = ",".join(answer.read().decode().split())
    if there:
        request = urllib.request.Request(f"{elastic}/{there}", method="DELETE")
        urllib.request.urlopen(request).close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a collection is to be."""
    return tmp_path / "collection"


@pytest.fixture
def open_store() -> Iterator[OpenStore]:
    """Opens stores, made first if they are not there; they are closed at the end."""
    opened = []

    def open(folder: Path, *plans: EmbeddingPlan) -> EmbeddedStore:
        wanted = plans or (plan(),)
        if not folder.exists():
            EmbeddedStore.create(folder, "", wanted)
        store = EmbeddedStore(folder, wanted)
        opened.append(store)
        return store

    yield open
    for store in opened:
        store.close()


@pytest.fixture
def store(folder: Path, open_store: OpenStore) -> EmbeddedStore:
    """An empty store with one embedding `v` of 8 values, cosine, exact."""
    return open_store(folder)

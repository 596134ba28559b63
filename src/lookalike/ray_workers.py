"""Pictures described by the machines of a Ray cluster, as the lanes of this one would.

Each worker is an actor that reads, decodes and describes a batch by the very `FeaturePipeline`;
pixels never leave it. The process that began the ingest lists, asks the ledger, and alone writes,
so that what it has committed is done, whoever dies. A worker that dies is started again, and only
what it had under way is done again.

These are Ray's actors, not Ray Data. That would read each picture in one process and hand its bytes
to another, and fails or repeats a whole dataset; what is left to do is known to the ledger here,
which goes picture by picture.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from . import recipe as recipes
from .decoding import Encoded
from .engine import Engine, extractors_of, restore
from .errors import (
    BadQuantity,
    BadQuery,
    LookalikeError,
    MissingPackage,
    PictureError,
    WorkersUnusable,
)
from .extract import Extractor
from .features import FeaturePipeline, Features, in_order
from .ingest import Lanes
from .types import Limits

_AT_ONCE = 2
"""Batches that a worker has at work: while one is computed, another is read and decoded."""
_UNDER_WAY = 3
"""Batches for each worker: one more waits there for the next."""
_TRIES = 5
"""How often a batch is given out again whose worker has died."""
_STARTS_WITHIN = 120.0
_ANSWERS_WITHIN = 10.0
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How a client of HTTP/2 begins, which Ray speaks: RFC 9113, 3.4, with empty settings."""
_FRAME_HEAD = 9
"""Bytes; the fourth is the kind of the frame."""
_SETTINGS = 4
"""The kind that a server of HTTP/2 answers with."""

_Item = TypeVar("_Item")
_Batch = list[Encoded | PictureError]
_Described = list[Features | PictureError]


@dataclass(frozen=True, slots=True)
class Workers:
    """Which cluster, and what each worker takes of it."""

    address: str = "auto"
    """Of its head, `HOST:PORT`; `auto` for the one that this machine is part of."""
    gpus: float = 0.0
    """The share of a GPU; each also takes a core."""

    def __post_init__(self) -> None:
        if self.address != "auto" and not re.fullmatch(r"[^\s/]+:[0-9]{1,5}", self.address):
            raise BadQuery(
                f"--ray is auto, or HOST:PORT of the first machine, not {self.address!r}"
            )
        if self.gpus < 0 or (self.gpus > 1 and not float(self.gpus).is_integer()):
            expected = "a share up to 1, such as 0.25, or a whole number"
            raise BadQuantity("--ray-gpus", f"{self.gpus:g}", expected)


@contextlib.contextmanager
def connected(workers: Workers) -> Iterator[None]:
    """Part of the cluster meanwhile; who is part of one already stays in that.

    Raises `WorkersUnusable` for a cluster that is not there, or has not what a worker needs.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingPackage("--ray", "pip install 'lookalike[ray]'") from error
    if ray.is_initialized():
        yield
        return
    try:
        _check_answers(workers.address)
        ray.init(address=workers.address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise WorkersUnusable(
            f"no Ray cluster answers at {workers.address} ({_why(error)}): start one with "
            "`ray start --head`, or leave --ray out"
        ) from error
    try:
        _number(ray.cluster_resources(), workers)
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def lanes_of(engine: Engine, workers: Workers | None) -> Iterator[Lanes]:
    """Who describes pictures for an engine: this machine, or a cluster's workers.

    Raises what `connected` does.
    """
    if workers is None:
        yield engine.pipeline
        return
    with connected(workers):
        import ray

        actor = ray.remote(
            num_cpus=1,
            num_gpus=workers.gpus,
            max_concurrency=_AT_ONCE,
            max_restarts=-1,
            max_task_retries=_TRIES,
        )(_Describer)
        task = _Task.of(engine, workers.gpus)
        number = _number(ray.cluster_resources(), workers)
        crew = _Crew(ray, [_Worker(actor.remote(task)) for _ in range(number)])
        try:
            yield crew
        finally:
            crew.end()


def _check_answers(address: str) -> None:
    """`OSError` if no Ray answers there, which its own client takes many minutes to find out.

    A cluster that was killed leaves its address where `auto` looks.
    """
    if address == "auto":
        left = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")  # noqa: S108
        noted = left.read_text().strip() if left.exists() else ""
        address = os.environ.get("RAY_ADDRESS") or noted
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal()):
        return
    there = (host.strip("[]"), int(port))
    with socket.create_connection(there, _ANSWERS_WITHIN) as connection:
        if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
            return
        connection.sendall(_HELLO)
        with connection.makefile("rb") as answer:
            frame = answer.read(_FRAME_HEAD)
    if frame[3:4] != bytes((_SETTINGS,)):
        raise ConnectionError("something else does")


def _number(there: Mapping[str, float], workers: Workers) -> int:
    """As many as the cluster has cores and GPUs for."""
    number = int(there.get("CPU", 0))
    if workers.gpus:
        number = min(number, int(there.get("GPU", 0) / workers.gpus + 1e-9))
    if number < 1:
        wanted = f"a core and {workers.gpus:g} of a GPU" if workers.gpus else "a core"
        has = f"{there.get('CPU', 0):g} cores and {there.get('GPU', 0):g} GPUs"
        raise WorkersUnusable(f"a worker takes {wanted}, and the Ray cluster has {has}")
    return number


@dataclass(frozen=True, slots=True)
class _Task:
    """What a worker has to know: how pictures are described."""

    recipe: str
    learned: Mapping[str, bytes]
    fingerprints: Mapping[str, str]
    """Of the models, by embedding: the worker's own must be the same."""
    makes_local_features: bool
    device: str
    limits: Limits
    gpus: float = 0.0
    """The share that the worker has: it has to make use of it."""

    @classmethod
    def of(cls, engine: Engine, gpus: float = 0.0) -> _Task:
        return cls(
            engine.recipe.text,
            engine.store.learned(),
            {name: each.fingerprint for name, each in engine.extractors.items()},
            engine.makes_local_features,
            engine.device,
            engine.limits,
            gpus,
        )

    def pipeline(self) -> FeaturePipeline:
        """Made on the worker's machine; `WorkersUnusable` if that has other models, or no GPU."""
        named = recipes.parse(self.recipe, "the recipe of the collection")
        extractors = extractors_of(named, self.device)
        restore(extractors, self.learned)
        others = [
            name for name, each in extractors.items() if each.fingerprint != self.fingerprints[name]
        ]
        if others:
            raise WorkersUnusable(
                f"a machine of the cluster has another model for {', '.join(others)}: install "
                "the same lookalike and the same weights on all of them"
            )
        if self.gpus:
            _check_on_gpu(extractors)
        local = named.local.make_extractor(self.device) if self.makes_local_features else None
        return FeaturePipeline(extractors, self.limits, local)


def _check_on_gpu(extractors: Mapping[str, Extractor]) -> None:
    """`WorkersUnusable` where all compute on the CPU, while GPUs are kept for them."""
    on_cpu = [each for each in extractors.values() if getattr(each, "device", "cpu") == "cpu"]
    if len(on_cpu) == len(extractors):
        why = getattr(on_cpu[0], "why", "it knows no other")
        raise WorkersUnusable(
            f"a worker has no use of the GPU that --ray-gpus keeps for it: it computes on the CPU "
            f"({why}). Leave --ray-gpus out; or take a recipe for GPUs, such as default-fp16, and "
            "on each machine ONNX Runtime's build for them"
        )


class _Describer:
    """The actor. It makes its pipeline when first asked, so that what fails there can be told."""

    def __init__(self, task: _Task) -> None:
        self._task = task
        self._making = threading.Lock()
        self._made: FeaturePipeline | None = None

    def start(self) -> None:
        """Find out whether it can work."""
        self._pipeline()

    def describe(self, batch: _Batch) -> _Described:
        """Encoded pictures -> their features, or why there are none, in order."""
        return self._pipeline().of_batch(batch)

    def _pipeline(self) -> FeaturePipeline:
        with self._making:
            if self._made is None:
                self._made = self._task.pipeline()
            return self._made


@dataclass(slots=True)
class _Worker:
    """An actor, and what was given to it."""

    actor: Any
    started: Future[None] = field(init=False)
    given: list[Future[_Described]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.started = self.actor.start.remote().future()

    def describe(self, batch: _Batch) -> Future[_Described]:
        future: Future[_Described] = self.actor.describe.remote(batch).future()
        self.given = [each for each in self.given if not each.done()]
        self.given.append(future)
        return future

    @property
    def busy(self) -> int:
        """How many batches it has yet to describe."""
        return sum(not each.done() for each in self.given)


class _Crew:
    """The workers of one ingest, as `Lanes`."""

    def __init__(self, ray: Any, workers: Sequence[_Worker]) -> None:
        self._ray = ray
        self._workers = workers

    def stream(
        self, pairs: Iterable[tuple[_Item, Encoded | PictureError]]
    ) -> Iterator[list[tuple[_Item, Features | PictureError]]]:
        """As `FeaturePipeline.stream`: in order, and no more under way than keeps all at work."""
        try:
            yield from in_order(pairs, self._give, _UNDER_WAY * len(self._workers))
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, LookalikeError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            raise WorkersUnusable(
                f"workers of the Ray cluster fail, the same pictures {_TRIES + 1} times "
                f"({_why(error, line=-1)}): see Ray's logs, and run this again to go on"
            ) from error

    def end(self) -> None:
        """Stop all, with what they are at."""
        for each in self._workers:
            self._ray.kill(each.actor)

    def _give(self, batch: _Batch) -> Future[_Described]:
        """To the worker that has the least to do, of those that have started."""
        starting = [each.started for each in self._workers]
        if not wait(starting, _STARTS_WITHIN, FIRST_COMPLETED).done:
            raise WorkersUnusable(
                f"no worker has started within {_STARTS_WITHIN:g} s: is the Ray cluster busy?"
            )
        ready = [each for each in self._workers if each.started.done()]
        for each in ready:
            self._check_started(each)
        return min(ready, key=lambda each: each.busy).describe(batch)

    def _check_started(self, worker: _Worker) -> None:
        """Raises why it cannot work, if it cannot."""
        try:
            worker.started.result()
        except self._ray.exceptions.RayError as error:
            if isinstance(getattr(error, "cause", None), LookalikeError):
                raise
            raise WorkersUnusable(
                f"a worker of the Ray cluster cannot start ({_why(error, line=-1)}): has each "
                "machine the same lookalike, its extras and the same RAY_AUTH_MODE?"
            ) from error


def _why(error: BaseException, line: int = 0) -> str:
    """A line of what is said: Ray's own errors end with their reason, as Python's tracebacks do."""
    lines = [each for each in str(error).splitlines() if each.strip()] or [type(error).__name__]
    return lines[line].strip()[:200].rstrip(".: ")

"""Numbers for Prometheus: `/metrics`, in its text format.

Labels have few values: stages, declared routes, statuses, served collections; never a picture.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from fastapi import APIRouter, Request, Response
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .. import __version__
from ..collection import Collection
from ..errors import LookalikeError
from ..stages import STAGES, Stage
from .health import beside_work
from .observed import Answered

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""The upper bounds of the histograms: from one search in memory to an ingest."""


class Metrics:
    """What has been counted since the service began."""

    def __init__(self, collections: Callable[[], Mapping[str, Collection]]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # series that nobody reads
        self._registry = CollectorRegistry()
        self._stages = Histogram(
            "lookalike_stage_seconds",
            "How long a stage of a search or an ingest took; a batch of an ingest counts once.",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        for name in STAGES:  # there from the beginning, with 0
            self._stages.labels(name)
        self._requests = Counter(
            "lookalike_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._took = Histogram(
            "lookalike_request_seconds",
            "From a request's first byte to the last byte of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._gauges = _Gauges(collections)
        self._registry.register(self._gauges)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def stage(self, name: Stage, began: int, ended: int) -> None:
        """A listener of `stages`."""
        self._stages.labels(name).observe((ended - began) / 1e9)

    def answered(self, request: Answered) -> None:
        """A listener of `Observed`."""
        self._requests.labels(request.method, request.route, str(request.status)).inc()
        self._took.labels(request.route).observe(request.seconds)

    def gauge(self, name: str, about: str, value: Callable[[], float]) -> None:
        """Also tell of a number that is asked for whenever somebody reads."""
        self._gauges.others[name] = (about, value)

    def text(self) -> bytes:
        """All of them as they are now."""
        return generate_latest(self._registry)


class _Gauges(Collector):
    """What is not counted but looked at."""

    def __init__(self, collections: Callable[[], Mapping[str, Collection]]) -> None:
        self._collections = collections
        self.others: dict[str, tuple[str, Callable[[], float]]] = {}

    def describe(self) -> Iterator[Metric]:
        """Nothing is looked at before somebody reads."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client has it."""
        version = GaugeMetricFamily("lookalike_info", "The version.", labels=["version"])
        version.add_metric([__version__], 1)
        yield version
        pictures = GaugeMetricFamily(
            "lookalike_pictures", "Pictures in a collection.", labels=["collection"]
        )
        size = GaugeMetricFamily(
            "lookalike_collection_bytes",
            "The files of a collection, without uploads and thumbnails.",
            labels=["collection"],
        )
        for name, collection in self._collections().items():
            # One that cannot be read has no number; /readyz tells of it.
            with contextlib.suppress(LookalikeError, OSError):
                pictures.add_metric([name], len(collection))
                size.add_metric([name], _bytes_of(collection))
        yield pictures
        yield size
        for name, (about, value) in self.others.items():
            yield GaugeMetricFamily(name, about, value=value())


def _bytes_of(collection: Collection) -> int:
    """Of the catalogue and the index files."""
    parts = (collection.path, *collection.path.glob("index/*/"))
    return sum(file.stat().st_size for part in parts for file in part.iterdir() if file.is_file())


router = APIRouter()
"""Its application keeps the `Metrics` in `state.metrics`."""


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """In Prometheus's text format."""
    counted: Metrics = request.app.state.metrics
    return Response(await beside_work(counted.text), media_type=CONTENT_TYPE)

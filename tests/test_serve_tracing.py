"""Traces, kept by OpenTelemetry's own exporter in memory, and sent to a collector of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from samples import encoded, write_classes

import lookalike
from lookalike import Collection, stages
from lookalike.serve import tracing
from lookalike.serve.app import create_app
from lookalike.serve.server import Server
from lookalike.serve.settings import Settings

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not there")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)
from starlette.testclient import TestClient

V1 = "/v1/collections/samples"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    folder: Path = tmp_path_factory.mktemp("tracing")
    with lookalike.open(folder / "samples") as collection:
        collection.add(write_classes(folder / "pictures", 1))
        yield collection


def spans_of_a_search(collection: Collection, **headers: str) -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    settings = Settings.read(allow_host=("testserver",))
    app = create_app({"samples": collection}, settings, tracing=provider)
    with stages.listening(tracing.StageSpans(provider)):
        client = TestClient(app)
        answer = client.post(f"{V1}/search", files={"image": encoded(1)}, headers=headers)
        assert answer.status_code == 200
    return list(exporter.get_finished_spans())


def test_a_request_is_a_span_and_its_stages_are_inside(collection: Collection) -> None:
    spans = {span.name: span for span in spans_of_a_search(collection)}
    request = spans.pop("POST /v1/collections/{name}/search")
    assert set(spans) == {"queue", "decode", "extract", "search"}
    assert request.attributes is not None
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/collections/{name}/search",
        "http.response.status_code": 200,
    }
    for span in spans.values():
        assert span.parent is not None
        assert span.parent.span_id == request.context.span_id
        assert request.start_time is not None
        assert request.end_time is not None
        assert span.start_time is not None
        assert span.end_time is not None
        assert request.start_time <= span.start_time <= span.end_time <= request.end_time + 10**6


def test_goes_on_with_the_trace_of_its_client(collection: Collection) -> None:
    for span in spans_of_a_search(collection, traceparent=PARENT):
        assert span.context is not None
        assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]


def test_nothing_is_traced_unless_the_environment_says_where_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert tracing.configured() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert tracing.configured() is None


def test_spans_arrive_at_the_collector_that_the_environment_names(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.append((self.path, body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as receiver:
        receiving = threading.Thread(target=receiver.serve_forever)
        receiving.start()
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.server_port}"
        )
        monkeypatch.setenv("OTEL_SERVICE_NAME", "pictures-of-ours")
        server = Server({"samples": collection}, port=0)
        thread = threading.Thread(target=server.answer)
        thread.start()
        httpx.post(f"{server.url}{V1}/search", files={"image": encoded(1)}, timeout=30)
        server.stop()
        thread.join()
        receiver.shutdown()
        receiving.join()
    assert {path for path, _ in arrived} == {"/v1/traces"}
    requests = [ExportTraceServiceRequest.FromString(body) for _, body in arrived]
    every = [each for request in requests for each in request.resource_spans]
    names = {span.name for each in every for scope in each.scope_spans for span in scope.spans}
    assert names == {"POST /v1/collections/{name}/search", "queue", "decode", "extract", "search"}
    resource = {each.key: each.value.string_value for each in every[0].resource.attributes}
    assert resource["service.name"] == "pictures-of-ours"

"""OpenTelemetry, if it is asked for by its own environment: a span a request, and one a stage.

Needs the extra `otel`. Spans hold a method, a route and a status; never what was asked.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import __version__
from ..stages import Stage
from .observed import route_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_log = logging.getLogger(__name__)
_TARGETS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def configured() -> TracerProvider | None:
    """What OTEL_EXPORTER_OTLP_ENDPOINT and its kin ask for; None if they do not.

    The service's name is `lookalike` unless OTEL_SERVICE_NAME says else.
    """
    if not any(map(os.environ.get, _TARGETS)):
        return None
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError:
        _log.warning(
            "an OTEL_ endpoint is set, but no traces go there: pip install lookalike[otel]"
        )
        return None
    name = os.environ.get("OTEL_SERVICE_NAME", "lookalike")
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Traced:
    """Middleware: a span for each request, part of its client's trace if it names one."""

    def __init__(self, app: ASGIApp, provider: TracerProvider) -> None:
        self._app = app
        self._tracer = provider.get_tracer("lookalike", __version__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, Status, StatusCode

        method = scope["method"]
        attributes = {"http.request.method": method}
        with self._tracer.start_as_current_span(
            method, extract(dict(Headers(scope=scope))), SpanKind.SERVER, attributes
        ) as span:

            async def send_told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            await self._app(scope, receive, send_told)
            span.update_name(f"{method} {route_of(scope)}")
            span.set_attribute("http.route", route_of(scope))


class StageSpans:
    """A listener of `stages`: each is a span inside that of its request."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("lookalike", __version__)

    def __call__(self, name: Stage, began: int, ended: int) -> None:
        """As `stages.Listener` has it."""
        span: Any = self._tracer.start_span(name, start_time=began)
        span.end(ended)

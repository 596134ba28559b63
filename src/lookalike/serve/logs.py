"""The log of the service: JSON lines for programs, plain lines on a terminal.

It never holds a key, a query's words or pictures, nor an address with what follows its `?`.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from ..terminal import visible
from .observed import Answered, request_id

Format = Literal["auto", "json", "text"]

_ACCESS = logging.getLogger("lookalike.access")
_FIELDS = "fields"
"""The attribute of a record that holds what else is to be said of it, by name."""


def configure(format: Format = "auto", stream: TextIO | None = None) -> None:
    """Have everything logged go to standard error; for entry points alone.

    `auto`: plain text on a terminal, else JSON.
    """
    stream = stream or sys.stderr
    as_json = format == "json" or (format == "auto" and not stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if as_json else PlainLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("lookalike").setLevel(logging.INFO)
    # They warn of what clients send wrong, and clients are told.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def say(message: str, **fields: Any) -> None:
    """Log an event of the service's own, such as that it has begun."""
    logging.getLogger("lookalike.serve").info(message, extra={_FIELDS: fields})


def access(answered: Answered) -> None:
    """One line for each request."""
    if not _ACCESS.isEnabledFor(logging.INFO):
        return
    fields = {
        "request_id": answered.id,
        "method": answered.method,
        "route": answered.route,
        "status": answered.status,
        "ms": round(1000 * answered.seconds, 1),
        "bytes": answered.bytes,
        "client": answered.client,
        "key": answered.key,
    }
    _ACCESS.info("request", extra={_FIELDS: {k: v for k, v in fields.items() if v is not None}})


class JsonLines(logging.Formatter):
    """A JSON object a line: time, level, logger, message; what else is known; the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        id = request_id.get()
        if id is not None:
            line["request_id"] = id
        line |= getattr(record, _FIELDS, {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class PlainLines(logging.Formatter):
    """For a person: the time of day, what happened, `name=value` of what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or more with a traceback, without its end."""
        fields = getattr(record, _FIELDS, {})
        words = [f"{_time(record).astimezone():%H:%M:%S}"]
        if record.levelno >= logging.WARNING:
            words.append(record.levelname.lower())
        if record.name == _ACCESS.name:
            shown = ("method", "route", "status", "ms", "bytes", "key")
            values = [fields.get(name) for name in shown]
            units = ("", "", "", " ms", " bytes", "")
            words += [f"{v}{u}" for v, u in zip(values, units, strict=True) if v is not None]
        else:
            words += [record.getMessage(), *(f"{name}={value}" for name, value in fields.items())]
        line = visible(" ".join(words))
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)

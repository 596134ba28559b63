"""Where the time of a search or an ingest goes: each stage tells whoever listens how long it took.

While nobody listens, a stage costs a look at an empty tuple.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Literal

Stage = Literal["queue", "decode", "extract", "search", "compare"]
STAGES: tuple[Stage, ...] = ("queue", "decode", "extract", "search", "compare")
"""Waiting for a turn or a free decoder; bytes to pixels; pixels or words to features; features to
candidates; a second look at those."""

Listener = Callable[[Stage, int, int], None]
"""Told of a stage that has ended, and when it began and ended: `time.time_ns`, nanoseconds.

It is called in the thread that did the work, also for a stage that failed.
"""

_listeners: tuple[Listener, ...] = ()
_changing = threading.Lock()
_UNHEARD: AbstractContextManager[None] = contextlib.nullcontext()


def stage(name: Stage) -> AbstractContextManager[None]:
    """A block that is this stage of something."""
    return _heard(name) if _listeners else _UNHEARD


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell `listener` of every stage of this process, for as long as the block lasts."""
    global _listeners
    with _changing:
        _listeners = (*_listeners, listener)
    try:
        yield
    finally:
        with _changing:
            at = _listeners.index(listener)
            _listeners = _listeners[:at] + _listeners[at + 1 :]


@contextlib.contextmanager
def _heard(name: Stage) -> Iterator[None]:
    # The clock that jumps says when, the one that does not says how long.
    began, clock = time.time_ns(), time.perf_counter_ns()
    try:
        yield
    finally:
        ended = began + time.perf_counter_ns() - clock
        for listener in _listeners:
            listener(name, began, ended)

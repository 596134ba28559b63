"""Calls of several threads at once, joined: what waits while the work is busy is done in one go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")
_TRIED = 8
_ROUNDS = 5
_SECONDS = 0.3
_WORTH_IT = 0.75
"""Of the time that calls for each would take. Joining itself costs some, and cores may idle."""


class Joined(Generic[_Given, _Made]):
    """A function of many things, for threads that have one thing each.

    Up to `at_once` calls of it run side by side. Who comes while there are fewer is served at once,
    alone; who comes later waits until one ends, and then all that wait share the next calls, `most`
    in each. No timer holds anybody back, and no thread runs but those of the callers.
    """

    def __init__(
        self, work: Callable[[Sequence[_Given]], Sequence[_Made]], at_once: int, most: int
    ) -> None:
        """`work`: one result for each of what it is given, in order."""
        self._work = work
        self._at_once = at_once
        self._most = most
        self._lock = threading.Lock()
        self._running = 0
        self._waiting: list[_Call[_Given, _Made]] = []

    def __call__(self, given: _Given) -> _Made:
        """The result for one thing; raises what `work` raises for this one."""
        call: _Call[_Given, _Made] = _Call(given)
        with self._lock:
            if self._running < self._at_once:
                self._running += 1
                shared = [call]
            else:
                self._waiting.append(call)
                shared = []
        if not shared:
            shared = call.wait()
        if shared:
            try:
                self._do(shared)
            finally:
                self._pass_on()
        return call.result()

    def _do(self, shared: Sequence[_Call[_Given, _Made]]) -> None:
        try:
            made = self._work([call.given for call in shared])
            for call, one in zip(shared, made, strict=True):
                call.made = one
        except BaseException as error:  # noqa: BLE001 - raised by whose call it is
            if len(shared) == 1:
                shared[0].error = error
                return
            for call in shared:  # which of them it was: the others are to have theirs
                self._do([call])
        finally:
            for call in shared[1:]:
                call.turn.set()

    def _pass_on(self) -> None:
        """Let the first that waits do what all do, or its share of it; it has waited longest."""
        with self._lock:
            if not self._waiting:
                self._running -= 1
                return
            share = min(self._most, -(-len(self._waiting) // self._at_once))
            shared, self._waiting = self._waiting[:share], self._waiting[share:]
        shared[0].shared = shared
        shared[0].turn.set()


def is_faster(work: Callable[[Sequence[_Given]], object], example: _Given) -> bool:
    """Whether one call for several takes much less time than a call for each; tries it."""
    work([example])  # what has to be done once only
    alone, together = _seconds(work, [example]), _seconds(work, [example] * _TRIED)
    return together < _WORTH_IT * _TRIED * alone


def _seconds(work: Callable[[Sequence[_Given]], object], given: Sequence[_Given]) -> float:
    """The shortest of some calls, as whatever disturbs them only makes them longer."""
    began, shortest = time.perf_counter(), float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        work(given)
        ended = time.perf_counter()
        shortest = min(shortest, ended - started)
        if ended - began > _SECONDS:
            break
    return shortest


class _Call(Generic[_Given, _Made]):
    """One that waits: for its result, or for its turn to do what others wait for, too."""

    def __init__(self, given: _Given) -> None:
        self.given = given
        self.turn = threading.Event()
        self.shared: list[_Call[_Given, _Made]] = []
        self.made: _Made | None = None
        self.error: BaseException | None = None

    def wait(self) -> list[_Call[_Given, _Made]]:
        self.turn.wait()
        return self.shared

    def result(self) -> _Made:
        if self.error is not None:
            raise self.error
        return self.made  # type: ignore[return-value]

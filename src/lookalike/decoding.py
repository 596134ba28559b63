"""Decoding in worker processes that can be killed: what a hostile picture costs is one of them.

A worker is `decode_worker` run as a program. Requests go to its standard input, replies come from
its standard output, as small fixed records with a payload; it ends when its input ends. Replies
are checked strictly, since a worker may have been taken over by what it decoded.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from . import decode_worker as wire
from . import objects
from . import picture as decoder
from .errors import CollectionClosed, PictureError, PictureTooSlow
from .stages import stage
from .types import Limits, Picture

_DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Encoded:
    """What is to be decoded: a file, which the worker reads, bytes at hand, or an object."""

    source: str
    """The name used in messages."""
    path: Path | None = None
    data: bytes | None = None
    url: str | None = None
    """Of an object, read by the process that has it decoded, with others of the batch at once."""

    def __post_init__(self) -> None:
        if (self.path, self.data, self.url).count(None) != 2:
            raise ValueError("Encoded takes a path, data or a URL, one of the three")


class DecodePool:
    """Up to `workers` processes that decode, within `limits`, for any number of threads.

    A picture that takes longer than `limits.seconds`, or kills its worker, is refused; the worker
    is replaced. On Linux a worker may take `limits.memory_bytes` of address space on top of what
    it has when idle; macOS enforces no such limit, there only the size and the time are bounded.
    """

    def __init__(self, workers: int, limits: Limits = _DEFAULT_LIMITS) -> None:
        """Starts nothing yet: workers start when they are needed."""
        if workers < 1:
            raise ValueError(f"a pool needs at least one worker, not {workers}")
        self._limits = limits
        self._free = threading.Semaphore(workers)
        self._crew = _Crew()
        self._finalizer = weakref.finalize(self, self._crew.end)

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def warm(self) -> None:
        """Starts one worker, unless there is one, without waiting for it."""
        if self._free.acquire(blocking=False):
            try:
                self._crew.give_back(self._crew.take(self._limits))
            finally:
                self._free.release()

    def decode(self, encoded: Encoded, shortest_side: int) -> Picture:
        """One picture; see `lookalike.picture.decode`. Raises `PictureError`."""
        (result,) = self.decode_batch([encoded], shortest_side)
        if isinstance(result, PictureError):
            raise result
        return result

    def decode_batch(
        self, batch: Sequence[Encoded], shortest_side: int
    ) -> list[Picture | PictureError]:
        """One result for each, in order, all from one worker. Waits until a worker is free."""
        if any(encoded.url is not None for encoded in batch):
            every = at_hand(batch, self._limits.file_bytes)
            readable = [each for each in every if isinstance(each, Encoded)]
            decoded = iter(self._decoded(readable, shortest_side))
            return [next(decoded) if isinstance(each, Encoded) else each for each in every]
        return self._decoded(batch, shortest_side)

    def _decoded(
        self, batch: Sequence[Encoded], shortest_side: int
    ) -> list[Picture | PictureError]:
        results: list[Picture | PictureError] = []
        with self._place(), stage("decode"):
            while len(results) < len(batch):
                worker = self._crew.take(self._limits)
                try:
                    worker.decode(batch, shortest_side, results)
                except _LostError as lost:
                    # Who closes the pool meanwhile gets the rest of the batch refused.
                    upto = len(batch) if self._crew.ended else len(results) + 1
                    results += [
                        lost.kind(encoded.source, lost.reason, retry=lost.retry)
                        for encoded in batch[len(results) : upto]
                    ]
                finally:
                    self._crew.give_back(worker)
        return results

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """One of those that decode at once."""
        with stage("queue"):
            self._free.acquire()
        try:
            yield
        finally:
            self._free.release()

    def close(self) -> None:
        """Ends all workers, also those at work: what they were decoding is refused."""
        self._finalizer()


def at_hand(batch: Sequence[Encoded], most: int) -> list[Encoded | PictureError]:
    """The same, the objects among them read, or why they cannot be; each at most `most` bytes."""
    urls = [each.url for each in batch if each.url is not None]
    contents = iter(objects.read_all(urls, most))
    every: list[Encoded | PictureError] = []
    for each in batch:
        content = each.data if each.url is None else next(contents)
        if isinstance(content, PictureError):
            every.append(content)
        else:
            every.append(each if each.url is None else Encoded(each.source, data=content))
    return every


class _LostError(Exception):
    """The worker is gone, because of the picture it was decoding."""

    def __init__(
        self, reason: str, *, retry: bool, kind: type[PictureError] = PictureError
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry
        self.kind = kind


class _Crew:
    """The workers of one pool: which are idle, which are busy."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self.ended = False

    def take(self, limits: Limits) -> _Worker:
        """The idle worker that was used last, or a new one."""
        with self._lock:
            if self.ended:
                raise CollectionClosed("what decodes for the collection")
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    break
                worker.end()
            else:
                worker = _Worker(limits)
            self._busy.add(worker)
            return worker

    def give_back(self, worker: _Worker) -> None:
        with self._lock:
            self._busy.remove(worker)
            if worker.alive and not self.ended:
                self._idle.append(worker)
                return
        worker.end()

    def end(self) -> None:
        """Busy workers are only killed: the threads that use them see it, and tidy up."""
        if os.getpid() != self._owner:  # a forked child: the workers are its parent's
            return
        with self._lock:
            self.ended = True
            idle, self._idle = self._idle, []
            for worker in self._busy:
                worker.kill()
        for worker in idle:
            worker.end()


_START_SECONDS = 60.0
_PIPE_BYTES = 1 << 20


class _Worker:
    """One decoding process, used by one thread at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-P", "-W", "ignore", "-m", wire.__name__, json.dumps(asdict(limits))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=_environment(),
            start_new_session=True,  # Ctrl-C reaches the parent alone
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin.fileno()
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)
        _enlarge(self._output)
        self._outgoing: deque[memoryview] = deque()
        self._ready = False
        self._replies = select.poll()
        self._replies.register(self._output, select.POLLIN)
        self._both = select.poll()
        self._both.register(self._output, select.POLLIN)
        self._both.register(self._input, select.POLLOUT)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def decode(
        self, batch: Sequence[Encoded], shortest_side: int, results: list[Picture | PictureError]
    ) -> None:
        """Appends one result for each of `batch[len(results):]`; fewer if the worker has ended.

        Raises `_LostError` if it died, or had to be killed, while it decoded the next one.
        """
        waiting = batch[len(results) :]
        try:
            self._await_ready()
            self._outgoing = deque(self._requests(waiting, shortest_side))
            self._send()
            for encoded in waiting:
                deadline = time.monotonic() + self._limits.seconds
                result, last = self._reply(encoded.source, deadline)
                results.append(result)
                if last:
                    self.end()
                    return
        except BaseException:  # whatever interrupts: replies under way would be taken for others
            self.end()
            raise

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """Leaves no process and no descriptor behind. May be called again."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        # A process stuck in the kernel (a dead network drive) cannot be waited for.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)

    def _requests(self, batch: Sequence[Encoded], shortest_side: int) -> Iterator[memoryview]:
        """What to write: many small requests as one piece, since each piece is a system call."""
        piece = bytearray()
        for encoded in batch:
            if encoded.data is None:
                # The worker stays in the folder where it was started; we may have moved on.
                path = os.fsencode(encoded.path.absolute()) if encoded.path else b""
                piece += wire.REQUEST.pack(wire.PATH, shortest_side, len(path)) + path
                continue
            piece += wire.REQUEST.pack(wire.DATA, shortest_side, len(encoded.data))
            if len(encoded.data) <= self._limits.file_bytes:  # else the worker expects no payload
                yield memoryview(bytes(piece))
                yield memoryview(encoded.data)
                piece.clear()
        yield memoryview(piece)

    def _await_ready(self) -> None:
        """Starting counts against no picture's time."""
        if self._ready:
            return
        greeting = bytearray(len(wire.READY))
        try:
            self._receive(memoryview(greeting), time.monotonic() + _START_SECONDS)
        except _LostError as lost:
            if lost.retry:  # killed meanwhile, or the machine is too busy
                raise
            greeting.clear()
        if greeting != wire.READY:
            raise RuntimeError(
                f"the decoding process did not start: try `{sys.executable} -m {__spec__.name}`"
            )
        self._ready = True

    def _reply(self, source: str, deadline: float) -> tuple[Picture | PictureError, bool]:
        """The next reply, and whether the worker ends after it."""
        record = bytearray(wire.REPLY.size)
        self._receive(memoryview(record), deadline)
        kind, form, flags, height, width, full_height, full_width, size, digest = wire.REPLY.unpack(
            record
        )
        last = bool(flags & wire.LAST)
        if kind == wire.REFUSED and height <= wire.REASON_BYTES:
            reason = bytearray(height)
            self._receive(memoryview(reason), deadline)
            # Nothing that a terminal would obey.
            text = "".join(c for c in reason.decode(errors="replace") if c.isprintable())
            retry, recognised = bool(flags & wire.RETRY), bool(flags & wire.RECOGNISED)
            return PictureError(source, text, retry=retry, recognised=recognised), last
        original = full_width * full_height
        if not (
            kind == wire.PICTURE
            and form < len(decoder.FORMATS)
            and 0 < width * height <= original <= self._limits.pixels
            and 0 < size <= self._limits.file_bytes
        ):
            raise _LostError("the decoder answered nonsense", retry=False)
        pixels = np.empty((height, width, 3), np.uint8)
        self._receive(pixels.data.cast("B"), deadline)
        pixels.flags.writeable = False
        return (
            Picture(pixels, digest, decoder.FORMATS[form], (full_width, full_height), size),
            last,
        )

    def _receive(self, into: memoryview, deadline: float) -> None:
        """Fills it. Reads before it looks at the clock: we may be what was asleep."""
        while into:
            try:
                count = os.readv(self._output, [into])
            except BlockingIOError:
                self._wait(deadline)
                continue
            if count == 0:
                raise self._death()
            into = into[count:]

    def _wait(self, deadline: float) -> None:
        """Until there is something to read; writes meanwhile what the worker takes."""
        while True:
            left = max(0.0, deadline - time.monotonic())
            events = (self._both if self._outgoing else self._replies).poll(left * 1000)
            if not events:
                took = f"it took longer than {self._limits.seconds:g} s to decode"
                raise _LostError(took, retry=True, kind=PictureTooSlow)
            if self._outgoing:
                self._send()
            if any(descriptor == self._output for descriptor, _ in events):
                return

    def _send(self) -> None:
        """Writes as much as the pipe takes now."""
        while self._outgoing:
            piece = self._outgoing[0]
            try:
                count = os.write(self._input, piece)
            except BlockingIOError:
                return
            except BrokenPipeError:  # it has ended: reading will tell how
                self._outgoing.clear()
                return
            if count == len(piece):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = piece[count:]

    def _death(self) -> _LostError:
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # it closed its output, which no worker of ours does
            return _LostError("the decoder answered nonsense", retry=False)
        if status in (-signal.SIGKILL, -signal.SIGTERM):
            return _LostError("decoding was stopped from outside, or memory ran out", retry=True)
        return _LostError("the decoder crashed on it", retry=False)


def _environment() -> dict[str, str]:
    """The parent's, with its import path, so that the worker finds the same packages."""
    root = str(Path(__file__).resolve().parents[1])
    paths = [path for path in sys.path if Path(path).is_absolute()]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths if root in paths else [*paths, root]),
        # One thread each; and one heap, as every further one takes 64 MB of address space.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
    }


def _enlarge(pipe: int) -> None:
    """Room for a few pictures, so that the worker need not wait for us. Linux only."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # the system allows no more: slower, not wrong
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

"""Decoding in worker processes that can be killed: what a hostile picture costs is one of them.

A worker is this module run as a program. Requests go to its standard input, replies come from
its standard output, as small fixed records with a payload; it ends when its input ends. Replies
are checked strictly, since a worker may have been taken over by what it decoded.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import stat
import struct
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
from typing import BinaryIO

import numpy as np

from lookalike import picture as decoder
from lookalike.errors import PictureError
from lookalike.types import Limits, Picture

_DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Encoded:
    """What is to be decoded: a file, which the worker reads, or bytes at hand."""

    source: str
    """The name used in messages."""
    path: Path | None = None
    data: bytes | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.data is None):
            raise ValueError("Encoded takes a path or data, one of the two")


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
        results: list[Picture | PictureError] = []
        with self._free:
            while len(results) < len(batch):
                worker = self._crew.take(self._limits)
                try:
                    worker.decode(batch, shortest_side, results)
                except _LostError as lost:
                    # Who closes the pool meanwhile gets the rest of the batch refused.
                    upto = len(batch) if self._crew.ended else len(results) + 1
                    results += [
                        PictureError(encoded.source, lost.reason, retry=lost.retry)
                        for encoded in batch[len(results) : upto]
                    ]
                finally:
                    self._crew.give_back(worker)
        return results

    def close(self) -> None:
        """Ends all workers, also those at work: what they were decoding is refused."""
        self._finalizer()


class _LostError(Exception):
    """The worker is gone, because of the picture it was decoding."""

    def __init__(self, reason: str, *, retry: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry


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
                raise RuntimeError("the decoding pool has been closed")
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


# kind, shortest side, length of the payload: a path, or encoded bytes
_REQUEST = struct.Struct("<BIQ")
_PATH, _DATA = 0, 1

# kind, format, flags, height and width of the pixels, of the original, length and digest of the
# encoded bytes. A picture is followed by its pixels, a refusal by `height` bytes of reason.
_REPLY = struct.Struct("<BBBxIIIIQ32s")
_PICTURE, _REFUSED = 0, 1
_RETRY, _RECOGNISED, _LAST = 1, 2, 4
_REASON_BYTES = 400

_READY = b"ready"
_START_SECONDS = 60.0
_PIPE_BYTES = 1 << 20


class _Worker:
    """One decoding process, used by one thread at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-P", "-W", "ignore", "-m", __spec__.name, json.dumps(asdict(limits))],
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
                piece += _REQUEST.pack(_PATH, shortest_side, len(path)) + path
                continue
            piece += _REQUEST.pack(_DATA, shortest_side, len(encoded.data))
            if len(encoded.data) <= self._limits.file_bytes:  # else the worker expects no payload
                yield memoryview(bytes(piece))
                yield memoryview(encoded.data)
                piece.clear()
        yield memoryview(piece)

    def _await_ready(self) -> None:
        """Starting counts against no picture's time."""
        if self._ready:
            return
        greeting = bytearray(len(_READY))
        try:
            self._receive(memoryview(greeting), time.monotonic() + _START_SECONDS)
        except _LostError as lost:
            if lost.retry:  # killed meanwhile, or the machine is too busy
                raise
            greeting.clear()
        if greeting != _READY:
            raise RuntimeError(
                f"the decoding process did not start: try `{sys.executable} -m {__spec__.name}`"
            )
        self._ready = True

    def _reply(self, source: str, deadline: float) -> tuple[Picture | PictureError, bool]:
        """The next reply, and whether the worker ends after it."""
        record = bytearray(_REPLY.size)
        self._receive(memoryview(record), deadline)
        kind, form, flags, height, width, full_height, full_width, size, digest = _REPLY.unpack(
            record
        )
        last = bool(flags & _LAST)
        if kind == _REFUSED and height <= _REASON_BYTES:
            reason = bytearray(height)
            self._receive(memoryview(reason), deadline)
            # Nothing that a terminal would obey.
            text = "".join(c for c in reason.decode(errors="replace") if c.isprintable())
            retry, recognised = bool(flags & _RETRY), bool(flags & _RECOGNISED)
            return PictureError(source, text, retry=retry, recognised=recognised), last
        original = full_width * full_height
        if not (
            kind == _PICTURE
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
                raise _LostError(took, retry=True)
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


# ---- In the worker ----


def _work() -> None:
    """The worker's life: answers requests until its input ends."""
    limits = Limits(**json.loads(sys.argv[1]))
    # What C libraries print must not get between the replies.
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory(limits.memory_bytes)
    try:
        _write(replies, _READY)
        while _answer(requests, replies, limits):
            pass
    except BrokenPipeError:  # the parent is gone
        return


def _limit_memory(memory_bytes: int) -> None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except FileNotFoundError:  # not Linux
        return
    limit = pages * resource.getpagesize() + memory_bytes
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    if allowed == resource.RLIM_INFINITY or limit < allowed:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _answer(requests: BinaryIO, replies: int, limits: Limits) -> bool:
    """Answers one request; False when there are no more, or memory has run out."""
    request = requests.read(_REQUEST.size)
    if len(request) < _REQUEST.size:
        return False
    kind, shortest_side, length = _REQUEST.unpack(request)
    # The parent kills what takes too long; should it die first, this does.
    signal.setitimer(signal.ITIMER_REAL, limits.seconds + 5)
    try:
        if kind == _PATH:
            data = _read(os.fsdecode(requests.read(length)), limits)
        elif length <= limits.file_bytes:
            data = requests.read(length)
        else:
            raise PictureError("", decoder.too_long(length, limits.file_bytes))
        picture = decoder.decode(data, source="", shortest_side=shortest_side, limits=limits)
        refusal, last = None, False
    except PictureError as error:
        refusal, last = error, error.reason == decoder.too_hungry(limits)
    except MemoryError:
        refusal, last = PictureError("", decoder.too_hungry(limits)), True
    except Exception:  # noqa: BLE001 - hostile bytes may raise anything; the parent must hear of it
        refusal, last = PictureError("", "it could not be decoded"), True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if refusal is None:
        _send_picture(replies, picture)
    else:
        _refuse(replies, refusal, last=last)
    return not last


def _read(path: str, limits: Limits) -> bytes:
    """A regular file whose first bytes are a picture's; of anything else as little as possible."""
    try:
        # Not to wait for the other end of a pipe, nor to become a terminal's owner.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            return _read_picture(descriptor, limits)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:  # a ValueError: a zero byte in the path
        why = error.strerror if isinstance(error, OSError) else "its name is not a path"
        raise PictureError("", f"it cannot be read: {why}", retry=True) from None


def _read_picture(descriptor: int, limits: Limits) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise PictureError("", "not a file", recognised=False)
    head = os.read(descriptor, 1 << 16)
    if head and decoder.sniff(head) is None:
        raise PictureError("", decoder.UNRECOGNISED, recognised=False)
    if status.st_size > limits.file_bytes:
        raise PictureError("", decoder.too_long(status.st_size, limits.file_bytes))
    if len(head) == status.st_size:
        return head
    # One byte more than allowed: a file that grows meanwhile is refused, not cut.
    pieces, left = [head], limits.file_bytes + 1 - len(head)
    while left > 0 and (piece := os.read(descriptor, min(left, 1 << 24))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _refuse(replies: int, error: PictureError, *, last: bool) -> None:
    reason = error.reason.encode()[:_REASON_BYTES]
    flags = _RETRY * error.retry | _RECOGNISED * error.recognised | _LAST * last
    _write(replies, _REPLY.pack(_REFUSED, 0, flags, len(reason), 0, 0, 0, 0, b""), reason)


def _send_picture(replies: int, picture: Picture) -> None:
    height, width, _ = picture.pixels.shape
    full_width, full_height = picture.original_size
    form = decoder.FORMATS.index(picture.format)
    sizes = (height, width, full_height, full_width, picture.byte_size)
    record = _REPLY.pack(_PICTURE, form, 0, *sizes, picture.sha256)
    _write(replies, record, np.ascontiguousarray(picture.pixels).data.cast("B"))


def _write(descriptor: int, *pieces: bytes | memoryview) -> None:
    waiting = [memoryview(piece) for piece in pieces]
    while waiting:
        count = os.writev(descriptor, waiting)
        while waiting and count >= len(waiting[0]):
            count -= len(waiting.pop(0))
        if waiting:
            waiting[0] = waiting[0][count:]


if __name__ == "__main__":
    _work()

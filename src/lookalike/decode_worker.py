"""The program that decodes, one picture at a time, in a process of its own; see `decoding`.

It speaks in small fixed records. Whatever a picture does to it, it harms nobody else: its memory
is limited, its time is the parent's to end, and what C libraries print goes nowhere.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import struct
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lookalike import picture as decoder
from lookalike.errors import PictureError
from lookalike.types import Limits, Picture

# kind, shortest side, length of the payload: a path, or encoded bytes
REQUEST = struct.Struct("<BIQ")
PATH, DATA = 0, 1

# kind, format, flags, height and width of the pixels, of the original, length and digest of the
# encoded bytes. A picture is followed by its pixels, a refusal by `height` bytes of reason.
REPLY = struct.Struct("<BBBxIIIIQ32s")
PICTURE, REFUSED = 0, 1
RETRY, RECOGNISED, LAST = 1, 2, 4
REASON_BYTES = 400

READY = b"ready"


def work() -> None:
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
        _write(replies, READY)
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
    request = requests.read(REQUEST.size)
    if len(request) < REQUEST.size:
        return False
    kind, shortest_side, length = REQUEST.unpack(request)
    # The parent kills what takes too long; should it die first, this does.
    signal.setitimer(signal.ITIMER_REAL, limits.seconds + 5)
    try:
        if kind == PATH:
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
    reason = error.reason.encode()[:REASON_BYTES]
    flags = RETRY * error.retry | RECOGNISED * error.recognised | LAST * last
    _write(replies, REPLY.pack(REFUSED, 0, flags, len(reason), 0, 0, 0, 0, b""), reason)


def _send_picture(replies: int, picture: Picture) -> None:
    height, width, _ = picture.pixels.shape
    full_width, full_height = picture.original_size
    form = decoder.FORMATS.index(picture.format)
    sizes = (height, width, full_height, full_width, picture.byte_size)
    record = REPLY.pack(PICTURE, form, 0, *sizes, picture.sha256)
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
    work()

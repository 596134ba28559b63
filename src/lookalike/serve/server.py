"""Running the service: quiet, ending when it is told to."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from .. import stages
from ..collection import Collection
from ..errors import CannotServe
from . import logs, tracing
from .app import create_app
from .connections import Connection
from .ending import Ending
from .keys import keyring_of
from .settings import Settings

_MARGIN_SECONDS = 1
"""For what does not end even so, and is then left where it is."""
_log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """A server that listens already; `run` ends with Ctrl-C, SIGTERM or `stop`."""

    def __init__(
        self,
        collections: Mapping[str, Collection],
        settings: Settings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        roots: Sequence[Path] = (),
        listening: socket.socket | None = None,
    ) -> None:
        """`settings`, or of them host, port and roots; `listening`: a socket of `listen`.

        Raises `CannotServe`.
        """
        settings = settings or Settings.read(host=host, port=port, root=tuple(roots))
        self.ending = Ending()
        self._grace = settings.shutdown_seconds
        self._deadline: float | None = None
        self._provider = tracing.configured()
        self._socket = listening or listen(settings)
        host, port = self._socket.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{port}"
        self.application = create_app(
            collections, settings, ending=self.ending, tracing=self._provider
        )
        super().__init__(
            uvicorn.Config(
                self.application,
                log_config=None,
                access_log=False,
                server_header=False,
                http=Connection,
                ws="none",
                lifespan="off",
                proxy_headers=bool(settings.trust_proxy),
                forwarded_allow_ips=list(settings.trust_proxy),
                timeout_graceful_shutdown=_MARGIN_SECONDS,
            )
        )

    def answer(self) -> None:
        """Answer requests until told to end."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.closing(self._socket))
            stack.enter_context(contextlib.closing(self.application.state.served))
            stack.enter_context(stages.listening(self.application.state.metrics.stage))
            if self._provider is not None:
                stack.enter_context(stages.listening(tracing.StageSpans(self._provider)))
                stack.callback(self._provider.shutdown)
            self.run(sockets=[self._socket])

    def warm(self) -> None:
        """Load the models; until then it answers, though not as ready."""
        self.application.state.readiness.warm()

    def keep_warm(self) -> None:
        """The same, and try again what fails until the service ends."""
        self.application.state.readiness.keep_warm()

    def stop(self) -> None:
        """End, from any thread, when what runs has ended or the time is up; nothing new begins."""
        self.ending.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came: the first is heeded as `stop` is, a further one ends it at once."""
        if self.ending.is_set():
            super().handle_exit(sig, frame)
        self.stop()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether it is time to go."""
        if self.ending.is_set():
            if self._deadline is None:
                self._deadline = time.monotonic() + self._grace
                logs.say("shutting down", running=self.ending.running)
            if not self.ending.running or time.monotonic() >= self._deadline:
                self.should_exit = True
        return await super().on_tick(counter)


def run(
    collections: Mapping[str, Collection],
    listening: socket.socket,
    settings: Settings,
    on_start: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer at a socket of `listen` until Ctrl-C or SIGTERM, then return, for the process to end.

    `on_start` is told the address. Should the process still be there long after it was to end, it
    is ended.
    """
    server = Server(collections, settings, listening=listening)
    on_start(server.url)
    # Not a daemon: one that is at work in C++ when the interpreter ends would abort it.
    threading.Thread(target=server.keep_warm).start()
    limits = (server.ending, settings.shutdown_seconds)
    threading.Thread(target=_end_for_sure, args=limits, daemon=True).start()
    # uvicorn raises a signal again when it has ended; ours must not kill us before we tidy up.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.answer()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
        signal.signal(signal.SIGTERM, before)
    logs.say("ended")


def _end_for_sure(ending: Ending, seconds: float) -> None:
    """Threads cannot be stopped: what still computes after all is left, as a crash would leave it.

    What was stored is kept, as every commit is whole.
    """
    ending.wait()
    time.sleep(seconds + 2 * _MARGIN_SECONDS)
    _log.warning("something did not end in %g s and was left", seconds)
    os._exit(1)


def listen(settings: Settings) -> socket.socket:
    """A socket that nobody else can have now; port 0 takes a free one.

    Raises `CannotServe`, and `BadKeys` for a file of keys that nobody could be let in by.

    Who calls before there is a `Server` to answer is kept waiting.
    """
    host, port = settings.host, settings.port
    if not (settings.is_local or settings.asks_for_keys or settings.no_auth):
        raise CannotServe(
            f"{host} is not a loopback address, so others could ask: make a key with "
            "`lookalike keys add NAME --file FILE` and serve with --api-key-file FILE, "
            "or say --no-auth to let everybody in who reaches it."
        )
    keyring_of(settings)  # what is wrong with it is said before the work
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError, UnicodeError) as error:
        # Python adds the address to the system's own words, and we name it already.
        number = error.errno if isinstance(error, OSError) else None
        if (
            number is not None and number < 0
        ):  # the resolver's, which Python passes on as an OSError
            reason = "no such host"
        else:
            reason = os.strerror(number) if number else str(error).rstrip(".")
        raise CannotServe(
            f"cannot listen on {host}, port {port}: {reason.lower()}. "
            "Choose another with --port (PORT= for make)."
        ) from error
    # Connections inherit it. Otherwise the end of an answer waits 40 ms for the client's ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening

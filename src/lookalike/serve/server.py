"""Running the service: quiet, ending when it is told to."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from ..collection import Collection
from ..errors import CannotServe
from .app import create_app
from .connections import Connection
from .keys import keyring_of
from .settings import Settings

_GRACE_SECONDS = 5


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
        self._ending = threading.Event()
        self._socket = listening or listen(settings)
        host, port = self._socket.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{port}"
        self._app = app = create_app(collections, settings, ending=self._ending)
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                http=Connection,
                ws="none",
                lifespan="off",
                proxy_headers=bool(settings.trust_proxy),
                forwarded_allow_ips=list(settings.trust_proxy),
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    def answer(self) -> None:
        """Answer requests until told to end."""
        try:
            self.run(sockets=[self._socket])
        finally:
            self._app.state.served.close()
            self._socket.close()

    def warm(self) -> None:
        """Have every collection start and load what its first search would wait for."""
        self._app.state.served.shelf.warm()

    def stop(self) -> None:
        """End, from any thread; what was asked is answered first, within a few seconds."""
        self._ending.set()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came: also end the work that would hold up the end."""
        self._ending.set()
        super().handle_exit(sig, frame)


def run(
    collections: Mapping[str, Collection],
    listening: socket.socket,
    settings: Settings,
    on_start: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer at a socket of `listen` until Ctrl-C or SIGTERM, then return.

    `on_start` is told the address.
    """
    server = Server(collections, settings, listening=listening)
    on_start(server.url)
    # Not a daemon: one that is at work in C++ when the interpreter ends would abort it.
    threading.Thread(target=server.warm).start()
    # uvicorn raises a signal again when it has ended; ours must not kill us before we tidy up.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.answer()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


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

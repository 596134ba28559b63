"""Running the service: quiet, on the loopback interface, ending when it is told to."""

from __future__ import annotations

import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from ..collection import Collection
from ..errors import CannotServe
from .app import LOOPBACK, create_app

_GRACE_SECONDS = 5


class Server(uvicorn.Server):
    """A server that listens already; `run` ends with Ctrl-C, SIGTERM or `stop`."""

    def __init__(
        self,
        collections: Mapping[str, Collection],
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        roots: Sequence[Path] = (),
    ) -> None:
        """`port` 0 takes a free one. Raises `CannotServe`."""
        self._ending = threading.Event()
        self._socket = _listening(host, port)
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self._socket.getsockname()[1]}"
        app = create_app(collections, roots=roots, hosts=(*LOOPBACK, name), ending=self._ending)
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    def answer(self) -> None:
        """Answer requests until told to end."""
        try:
            self.run(sockets=[self._socket])
        finally:
            self._socket.close()

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
    host: str = "127.0.0.1",
    port: int = 8000,
    roots: Sequence[Path] = (),
    on_listening: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer until Ctrl-C or SIGTERM, then return. Raises `CannotServe`.

    `on_listening` is told the address once it can be called.
    """
    server = Server(collections, host=host, port=port, roots=roots)
    on_listening(server.url)
    for collection in collections.values():
        threading.Thread(target=collection.warm, daemon=True).start()
    # uvicorn raises a signal again when it has ended; ours must not kill us before we tidy up.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.answer()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def _listening(host: str, port: int) -> socket.socket:
    if not _is_loopback(host):
        raise CannotServe(
            f"{host} is not a loopback address: this version serves its own machine "
            "alone. Choose 127.0.0.1, ::1 or localhost with --host."
        )
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower().rstrip(".")
        raise CannotServe(
            f"cannot listen on {host}, port {port}: {reason}. Choose another with --port."
        ) from error
    # Connections inherit it. Otherwise the end of an answer waits 40 ms for the client's ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

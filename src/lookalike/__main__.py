"""Where the command begins: importing the rest takes a moment, in which Ctrl-C may come as well."""

from __future__ import annotations

import os
import signal
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; Ctrl-C before it minds that itself is one line and exit code 130.

    A SIGTERM, or a terminal that is closed, is to it what Ctrl-C is: what lies there for a while
    only is cleared away.
    """
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # not where the parent has it ignored
        signal.signal(signal.SIGINT, _stop)
    from .cli import main as run

    signal.signal(signal.SIGINT, usual)
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is signal.SIG_DFL:  # nohup has the second ignored
            signal.signal(each, signal.default_int_handler)
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _stop(*_: object) -> None:
    """End at once: of an exception that comes while it is imported, NumPy makes another one."""
    os.write(2, b"stopped\n")
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    main()

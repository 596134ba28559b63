"""The command line: results on standard output, progress and messages on standard error.

Exit code 0: done. 1: some pictures failed. 2: the command was wrong or nothing could be done.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

from . import __version__, terminal
from .commands import (
    backup,
    confidence,
    duplicates,
    evaluation,
    exchange,
    keys,
    matching,
    pictures,
    recipes,
    search,
    serving,
    state,
)
from .commands.options import NOTHING_DONE
from .errors import LookalikeError

# Newer versions of Typer bring a click of their own: this is the class of whichever is used.
_UsageError: Any = typer.BadParameter.__bases__[0]

app = typer.Typer(
    help="Give it pictures, ask with a picture, get what looks alike.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for each in (
    pictures,
    search,
    matching,
    confidence,
    duplicates,
    serving,
    keys,
    recipes,
    exchange,
    backup,
    state,
    evaluation,
):
    app.add_typer(each.app)

_INTERRUPTED = 130


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"lookalike {__version__}\n")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """What stands before every command."""


def main() -> None:
    """Run the command line: a user's mistake is one line on standard error, never a traceback."""
    logging.basicConfig(format="lookalike: %(message)s", level=logging.WARNING, stream=sys.stderr)
    # It warns of what clients send wrong, and they are told.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    # What its client meets on the way to an answer is no matter; what there is none for, we tell.
    logging.getLogger("elastic_transport").setLevel(logging.CRITICAL)
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except _UsageError as error:
        error.show()
        code = NOTHING_DONE
    except LookalikeError as error:
        terminal.fail(error)
        code = NOTHING_DONE
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        code = 0
        _say_no_more()
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        terminal.note(f"lookalike: {where}{error.strerror or error}")
        code = NOTHING_DONE
        _say_no_more()
    except KeyboardInterrupt:
        terminal.note("stopped; what was stored is kept, running the same again goes on")
        code = _INTERRUPTED
    sys.exit(code)


def _run(arguments: Sequence[str]) -> int:
    """The exit code. Without Typer's own frame, which has other messages for what is raised."""
    try:
        with get_command(app).make_context("lookalike", list(arguments)) as context:
            context.command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


def _say_no_more() -> None:
    """What is still buffered for standard output goes nowhere, also at the interpreter's end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

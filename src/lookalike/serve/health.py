"""What an orchestrator asks: is it up (`/healthz`), and may it be sent requests (`/readyz`)."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import TypeVar

import anyio.to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse

from ..collection import Collection
from ..errors import LookalikeError, NotTrained
from . import answers
from .describing import refusals
from .ending import Ending
from .problems import Refused, problem
from .shelf import Shelf

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_PIECE = bytes(4096)


class Ready(BaseModel):
    """Requests are welcome."""

    status: str = "ready"


class Readiness:
    """Why the service cannot be sent requests yet, or any more."""

    def __init__(self, shelf: Shelf, ending: Ending) -> None:
        self._shelf = shelf
        self._ending = ending
        self._models = dict.fromkeys(shelf.names(), "its model is being loaded")
        """By collection, why its model cannot be used now."""

    def warm(self) -> None:
        """Load every model, for as long as that takes; not ready before they are."""
        for name in list(self._models):
            try:
                with self._shelf.lent(name) as shelved:
                    shelved.collection.warm()
            except Refused:  # it has been deleted
                pass
            except NotTrained:  # it learns when pictures come
                pass
            except (LookalikeError, RuntimeError) as error:
                if self._ending.is_set():  # its collections are being closed
                    return
                _log.warning("%s: the model cannot be used: %s", name, error)
                self._models[name] = "its model cannot be used, the log says why"
                continue
            del self._models[name]

    def reasons(self) -> list[str]:
        """One sentence each, without anything that strangers must not know; none if all is well."""
        if self._ending.is_set():
            return ["the service is shutting down"]
        there = self._shelf.open_now()  # one with a model that cannot be had may have been deleted
        found = [f"{name}: {why}" for name, why in list(self._models.items()) if name in there]
        for name, collection in there.items():
            try:
                len(collection)
            except LookalikeError as error:
                found.append(f"{name}: it cannot be read ({type(error).__name__})")
            else:
                found += [f"{name}: {why}" for why in _write_problems(collection)]
        return found


def _write_problems(collection: Collection) -> Iterator[str]:
    """What keeps a file from being written where the collection's are."""
    try:
        with tempfile.TemporaryFile(dir=collection.path) as file:
            file.write(_PIECE)
    except OSError as error:
        yield f"its folder cannot be written: {os.strerror(error.errno or 0).lower()}"


router = APIRouter()
"""Its application keeps the `Readiness` in `state.readiness`."""


async def beside_work(look: Callable[[], _Result]) -> _Result:
    """In a thread that searches do not wait for, nor it for them: a busy service still answers."""
    return await anyio.to_thread.run_sync(look, limiter=anyio.CapacityLimiter(1))


@router.get("/healthz", summary="Whether the service is up")
@router.head("/healthz", include_in_schema=False)
async def health() -> answers.Health:
    """Up it is, if it answers."""
    return answers.Health()


@router.get(
    "/readyz",
    summary="Whether the service is to be sent requests",
    response_model=Ready,
    responses=refusals(503),
)
async def ready(request: Request) -> Ready | JSONResponse:
    """Whether collections are open, models loaded and disks writable, and it is not ending."""
    readiness: Readiness = request.app.state.readiness
    reasons = await beside_work(readiness.reasons)
    if reasons:
        return problem(503, "; ".join(reasons), kind="not-ready", reasons=reasons)
    return Ready()

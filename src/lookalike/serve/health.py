"""What an orchestrator asks: is it up (`/healthz`), and may it be sent requests (`/readyz`)."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import anyio.to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
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
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
"""Between two tries of what could not be opened or loaded; each pause is twice the one before."""
_LOADING = "its model is being loaded"


class Ready(BaseModel):
    """Requests are welcome."""

    status: Literal["ready"] = "ready"
    reasons: list[str] = Field([], description="What is wrong with some of the collections.")


class State(NamedTuple):
    """Whether the service may be sent requests, and what is wrong with it."""

    is_ready: bool
    reasons: list[str]
    """One sentence each, without anything that strangers must not know; none if all is well."""


class Readiness:
    """Whether the service can be sent requests, and what is done so that it can."""

    def __init__(self, shelf: Shelf, ending: Ending) -> None:
        self._shelf = shelf
        self._ending = ending
        self._has_tried = False
        """Whether each model has been loaded, or could not be."""
        # By collection, not by name: one that is made anew has nothing of the one before it.
        self._models: WeakKeyDictionary[Collection, str] = WeakKeyDictionary()
        """Why a model cannot be used now."""
        self._models.update(dict.fromkeys(shelf.open_now().values(), _LOADING))

    def keep_warm(self) -> None:
        """Load every model, and try again what fails, ever more rarely, until the service ends."""
        self.warm()
        pause = _FIRST_PAUSE_SECONDS
        while self._lacking() and not self._ending.wait(pause):
            self._models.update(dict.fromkeys(self._shelf.open_broken(), _LOADING))
            self.warm()
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def warm(self) -> None:
        """Load every model that is not, for as long as that takes; not ready before they are."""
        for name, collection in self._shelf.open_now().items():
            if collection in self._models and not self._ending.is_set():
                self._load(name, collection)
        self._has_tried = True

    def state(self) -> State:
        """As it is now. One collection that is not well leaves the service ready for others."""
        if self._ending.is_set():
            return State(False, ["the service is shutting down"])
        there = self._shelf.open_now()
        wrong = {name: list(self._problems(each)) for name, each in there.items()}
        for name, error in self._shelf.broken().items():
            wrong[name] = [f"it cannot be opened ({type(error).__name__})"]
        reasons = [f"{name}: {why}" for name, found in wrong.items() for why in found]
        is_loading = not self._has_tried and any(each in self._models for each in there.values())
        return State(not is_loading and (not wrong or not all(wrong.values())), reasons)

    def _problems(self, collection: Collection) -> Iterator[str]:
        why = self._models.get(collection)
        if why is not None:
            yield why
        try:
            len(collection)
        except LookalikeError as error:
            yield f"it cannot be read ({type(error).__name__})"
        else:
            yield from _write_problems(collection)

    def _lacking(self) -> bool:
        return bool(self._shelf.broken()) or any(
            each in self._models for each in self._shelf.open_now().values()
        )

    def _load(self, name: str, collection: Collection) -> None:
        try:
            with self._shelf.lent(name) as shelved:
                shelved.collection.warm()
        except Refused:  # it has been deleted
            pass
        except NotTrained:  # it learns when pictures come
            pass
        except (LookalikeError, RuntimeError) as error:
            if not self._ending.is_set():  # else its collections are being closed
                _log.warning("%s: the model cannot be used: %s", name, error)
                self._models[collection] = "its model cannot be used, the log says why"
            return
        self._models.pop(collection, None)


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
    """Whether models are loaded, at least one collection is well, and it is not ending.

    `reasons` name each collection that cannot be opened, read or written, or has no model.
    """
    readiness: Readiness = request.app.state.readiness
    is_ready, reasons = await beside_work(readiness.state)
    if not is_ready:
        return problem(503, "; ".join(reasons), kind="not-ready", reasons=reasons)
    return Ready(reasons=reasons)

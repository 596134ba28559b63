"""What the routes work on: the collections that are served, by name, and what clients may reach."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from ..collection import Collection
from ..errors import UnknownPicture
from ..types import Record
from .jobs import Jobs
from .shelf import Shelf, Shelved


@dataclass(frozen=True, slots=True)
class Served:
    """What the routes work on; their application keeps it in `state.served`."""

    shelf: Shelf
    jobs: Jobs
    roots: Sequence[Path]
    """Real paths of the folders in which clients may have pictures indexed."""
    fetch: Callable[[str], bytes] | None
    """The bytes behind an address; `RemoteRefused`. None where addresses are not fetched."""
    is_ending: Callable[[], bool]
    """Whether work that can be resumed is to stop."""

    def close(self) -> None:
        """End the jobs, and close the collections that were opened here."""
        self.jobs.close()
        self.shelf.close()


def served(request: Request) -> Served:
    """That of the application which answers this request."""
    found: Served = request.app.state.served
    return found


# Nothing here waits, so none of it is worth a thread of its own.
async def _of_service(request: Request) -> Served:
    return served(request)


async def _borrowed(name: str, served: OfService) -> AsyncIterator[Shelved]:
    with served.shelf.lent(name) as shelved:
        yield shelved


async def _named(shelved: Borrowed) -> Collection:
    return shelved.collection


def record_of(collection: Collection, id: str) -> Record:
    """The record of exactly this id: an address must not change its meaning, as a prefix would."""
    record = collection[id]
    if record.id != id:
        raise UnknownPicture(id)
    return record


OfService = Annotated[Served, Depends(_of_service)]
Borrowed = Annotated[Shelved, Depends(_borrowed)]
"""The collection that the address names, on its shelf, which it does not leave meanwhile."""
Named = Annotated[Collection, Depends(_named)]
"""The same itself."""

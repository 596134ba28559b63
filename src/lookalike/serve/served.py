"""What the routes work on: the collections that are served, by name, and what clients may reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from ..collection import Collection
from ..errors import UnknownPicture
from ..types import Record
from .problems import unknown_collection


@dataclass(frozen=True, slots=True)
class Served:
    """What the routes work on; their application keeps it in `state.served`."""

    collections: Mapping[str, Collection]
    roots: Sequence[Path]
    """Real paths of the folders in which clients may have folders indexed."""
    is_ending: Callable[[], bool]
    """Whether work that can be resumed is to stop."""


def served(request: Request) -> Served:
    """That of the application which answers this request."""
    found: Served = request.app.state.served
    return found


def named(name: str, served: OfService) -> Collection:
    """The collection of this name, for routes that depend on it."""
    if name not in served.collections:
        raise unknown_collection(name)
    return served.collections[name]


def record_of(collection: Collection, id: str) -> Record:
    """The record of exactly this id: an address must not change its meaning, as a prefix would."""
    record = collection[id]
    if record.id != id:
        raise UnknownPicture(id)
    return record


OfService = Annotated[Served, Depends(served)]
Named = Annotated[Collection, Depends(named)]

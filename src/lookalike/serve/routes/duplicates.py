"""Pictures of a collection that show the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from ... import duplicates as looking
from ...collection import Collection
from ...duplicates import KINDS
from ..answers import Problem
from ..describing import PREFIX
from ..jobs import ENDED, Job, Tell
from ..problems import Refused, shutting_down
from ..served import Borrowed, OfService, Served
from ..shelf import KnownDuplicates, Shelved
from .jobs import ShownJob, address

router = APIRouter(prefix=PREFIX, tags=["duplicates"])
_SECONDS_BETWEEN_LOOKS = 0.05


class Member(BaseModel):
    """A picture of a group, at one of its places."""

    id: str
    path: str
    kind: Literal["exact", "copy", "near"] = Field(description="What it is to the one to keep.")
    inliers: int | None
    judged: bool = Field(description="Whether somebody has said so.")
    width: int
    height: int
    bytes: int


class Kept(Member):
    """The picture of a group that is worth keeping."""

    why: str = Field(description="Why this one, for a person.")


class Group(BaseModel):
    """Pictures that show the same as the one to keep."""

    kind: Literal["exact", "copy", "near"] = Field(description="The loosest of its members'.")
    bytes: int = Field(description="Of all but the one to keep.")
    keep: Kept
    others: list[Member]


class Duplicates(BaseModel):
    """Groups of pictures that show the same, those that take most space first."""

    kinds: list[str]
    groups: list[Group]
    total: int = Field(description="Groups in all.")
    others: int = Field(description="Files that are not the one to keep, in all groups.")
    bytes: int = Field(description="Of all of those.")
    pictures: int = Field(description="In the collection.")
    seconds: float = Field(description="That looking took.")
    age: float = Field(description="Seconds since they were found.")
    current: bool = Field(description="Whether the collection is still as it was then.")
    job: ShownJob | None = Field(description="What looks anew, where they are not current.")


@router.get(
    "/{name}/duplicates",
    responses={
        200: {"model": Duplicates},
        202: {"model": ShownJob, "description": "They are still looked for, by this job."},
    },
    response_model=None,
)
async def duplicates(
    response: Response,
    shelved: Borrowed,
    served: OfService,
    kinds: Annotated[
        str, Query(max_length=100, description="Some of exact, copy and near, with commas.")
    ] = ",".join(KINDS),
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    wait: Annotated[
        float, Query(ge=0, le=30, description="Seconds to wait for them, if they are not current.")
    ] = 10,
) -> Duplicates | ShownJob:
    """Groups of pictures that show the same; looked for by a job if that is to be done anew.

    They are current until the collection changes. Who has waited in vain gets those that were found
    last, with their `age` and the job that looks anew; where none were ever found 202 and the job,
    and asks again. Local features are made and kept on the way; nothing else is changed.
    """
    wanted, job = _kinds(kinds), None
    if not await run_in_threadpool(_are_current, shelved, wanted):
        asked = {"kinds": list(wanted)}
        job = await run_in_threadpool(served.jobs.start, shelved, "duplicates", asked)
        await _ended(job, wait, served)
    known = shelved.duplicates.get(wanted)
    if known is not None:
        current = await run_in_threadpool(_are_current, shelved, wanted)
        running = job if job is not None and job.state not in ENDED else None
        return _shown(known, offset, limit, current=current, job=running)
    if job is None or served.is_ending():
        raise shutting_down()
    response.status_code = 202
    response.headers["Location"] = address(job)
    response.headers["Retry-After"] = "2"
    return ShownJob.of(job)


def looked_for(shelved: Shelved, asked: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """The work of a job: all groups of some kinds."""
    kinds, collection = tuple(asked["kinds"]), shelved.collection
    before, compared = collection.store.state(), _compared(collection)

    def on_step(doing: str, done: int | None, total: int | None) -> None:
        tell({"doing": doing, "done": done, "total": total})

    found = looking.find(collection, kinds, on_step=on_step)
    # Keeping local features is a change of its own, which does not make them any older.
    after = collection.store.state()
    state = after if found.described and _compared(collection) == compared else before
    shelved.duplicates[kinds] = KnownDuplicates(found, time.time(), state)
    return {"doing": "done", "groups": len(found.groups), "bytes": found.size}


def _kinds(given: str) -> tuple[str, ...]:
    names = {each.strip() for each in given.split(",")}
    if not names <= set(KINDS):
        raise Refused(400, "bad-query", f"the kinds of duplicates are {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in names)


def _are_current(shelved: Shelved, kinds: tuple[str, ...]) -> bool:
    known = shelved.duplicates.get(kinds)
    return known is not None and known.state is shelved.collection.store.state()


def _compared(collection: Collection) -> tuple[object, ...]:
    """What duplicates hang on: it changes with the pictures, and what was said of pairs."""
    newest = [record.id for record in collection.newest(limit=1)]
    return len(collection), newest, collection.judgements()


async def _ended(job: Job, wait: float, served: Served) -> None:
    """Wait until a job has ended, for so many seconds at most; its problem if it has failed."""
    until = time.monotonic() + wait
    while job.state not in ENDED and time.monotonic() < until and not served.is_ending():
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    if job.state == "failed" and job.problem:
        problem = Problem(**job.problem)
        raise Refused(problem.status, problem.type.rpartition(":")[2], problem.detail)


def _shown(
    known: KnownDuplicates, offset: int, limit: int, *, current: bool, job: Job | None
) -> Duplicates:
    found = known.found
    groups = found.groups[offset : offset + limit]
    return Duplicates(
        kinds=list(found.kinds),
        groups=[Group(**group.to_json()) for group in groups],
        total=len(found.groups),
        others=found.others,
        bytes=found.size,
        pictures=found.pictures,
        seconds=round(found.seconds, 3),
        age=round(max(time.time() - known.at, 0.0), 3),
        current=current,
        job=None if job is None else ShownJob.of(job),
    )

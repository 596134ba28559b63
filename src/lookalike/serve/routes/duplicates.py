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
from ...duplicates import KINDS
from ..answers import Problem
from ..describing import PREFIX
from ..jobs import ENDED, Tell
from ..problems import Refused, shutting_down
from ..served import Borrowed, OfService
from ..shelf import Shelved
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
        float, Query(ge=0, le=30, description="Seconds to wait for them, if they are not known.")
    ] = 10,
) -> Duplicates | ShownJob:
    """Groups of pictures that show the same; looked for by a job if they are not known.

    They are known until the collection changes. Who has waited in vain gets 202 and the job, and
    asks again. Local features are made and kept on the way; nothing else is changed.
    """
    wanted = _kinds(kinds)
    known = await run_in_threadpool(_known, shelved, wanted)
    if known is None:
        job = await run_in_threadpool(
            served.jobs.start, shelved, "duplicates", {"kinds": list(wanted)}
        )
        until = time.monotonic() + wait
        while job.state not in ENDED and time.monotonic() < until and not served.is_ending():
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
        if job.state == "failed" and job.problem:
            problem = Problem(**job.problem)
            raise Refused(problem.status, problem.type.rpartition(":")[2], problem.detail)
        known = shelved.duplicates.get(wanted, (None, None))[1] if job.state == "done" else None
        if known is None and served.is_ending():
            raise shutting_down()
        if known is None:
            response.status_code = 202
            response.headers["Location"] = address(job)
            response.headers["Retry-After"] = "2"
            return ShownJob.of(job)
    return _shown(known, offset, limit)


def looked_for(shelved: Shelved, asked: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """The work of a job: all groups of some kinds."""
    kinds, store = tuple(asked["kinds"]), shelved.collection.store
    before = store.state()

    def on_step(doing: str, done: int | None, total: int | None) -> None:
        tell({"doing": doing, "done": done, "total": total})

    found = looking.find(shelved.collection, kinds, on_step=on_step)
    # Keeping local features is a change of its own; what others change meanwhile is seen next time.
    state = store.state() if found.described else before
    shelved.duplicates = {kinds: (state, found)}
    return {"doing": "done", "groups": len(found.groups), "bytes": found.size}


def _kinds(given: str) -> tuple[str, ...]:
    names = {each.strip() for each in given.split(",")}
    if not names <= set(KINDS):
        raise Refused(400, "bad-query", f"the kinds of duplicates are {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in names)


def _known(shelved: Shelved, kinds: tuple[str, ...]) -> looking.Duplicates | None:
    state, found = shelved.duplicates.get(kinds, (None, None))
    return found if found is not None and state is shelved.collection.store.state() else None


def _shown(found: looking.Duplicates, offset: int, limit: int) -> Duplicates:
    groups = found.groups[offset : offset + limit]
    return Duplicates(
        kinds=list(found.kinds),
        groups=[Group(**group.to_json()) for group in groups],
        total=len(found.groups),
        others=found.others,
        bytes=found.size,
        pictures=found.pictures,
        seconds=round(found.seconds, 3),
    )

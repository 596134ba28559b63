"""Folders taken in by jobs: started, watched, cancelled, resumed; and what they left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from ... import sources
from ...errors import BadSource, LookalikeError
from ...ingest import Report
from ..answers import Problem
from ..describing import PREFIX, body
from ..jobs import ENDED, Job, Kind, State, Tell, Work
from ..questions import Ingest
from ..reach import path_within
from ..reading import json_of
from ..served import Borrowed, Named, OfService
from ..shelf import Shelved

__all__ = ["Kind", "Work", "ingested", "router"]

router = APIRouter(prefix=PREFIX, tags=["jobs"])
_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_BETWEEN_SIGNS = 15.0
"""Of life, while nothing happens."""
_COUNTED_AT_ONCE = 100
"""Files, before a job that counts them looks whether it is to stop."""


class ShownJob(BaseModel):
    """One piece of long work."""

    id: str
    kind: Kind
    state: State
    asked: dict[str, Any]
    progress: dict[str, Any] = Field(description="How far it is; once done, what became of it.")
    problem: Problem | None = Field(description="Why it failed.")
    created: datetime
    started: datetime | None
    ended: datetime | None
    events: str = Field(description="Where its progress is told as server-sent events.")

    @classmethod
    def of(cls, job: Job) -> ShownJob:
        """A job as it is shown."""
        return cls(
            id=job.id,
            kind=job.kind,
            state=job.state,
            asked=dict(job.asked),
            progress=dict(job.progress),
            problem=Problem(**job.problem) if job.problem else None,
            created=datetime.fromtimestamp(job.created, UTC),
            started=_time(job.started),
            ended=_time(job.ended),
            events=f"{address(job)}/events",
        )


class ShownJobs(BaseModel):
    """The jobs of a collection, the last first."""

    jobs: list[ShownJob]


class Failure(BaseModel):
    """A file that gave no picture."""

    path: str
    reason: str
    retry: bool = Field(description="Whether trying again later may help.")


class Failures(BaseModel):
    """Files that gave no picture, and should have."""

    failures: list[Failure]
    more: bool = Field(description="Whether there are others behind these.")


@router.post(
    "/{name}/jobs",
    status_code=202,
    openapi_extra=body(Ingest),
)
def start_job(
    response: Response,
    shelved: Borrowed,
    served: OfService,
    wanted: Annotated[Ingest, Depends(json_of(Ingest))],
) -> ShownJob:
    """Begin to take in a folder of the server; who asks for the same twice gets the same job."""
    path = path_within(wanted.path, served.roots)
    job = served.jobs.start(shelved, "ingest", {**wanted.model_dump(), "path": str(path)})
    response.headers["Location"] = address(job)
    return ShownJob.of(job)


@router.get("/{name}/jobs")
def list_jobs(name: str, served: OfService, _: Named) -> ShownJobs:
    """The jobs of a collection, the last first; the last hundred that have ended are known."""
    return ShownJobs(jobs=[ShownJob.of(job) for job in served.jobs.of(name)])


@router.get("/{name}/jobs/{id}")
def job(name: str, served: OfService, _: Named, id: str) -> ShownJob:
    """One job."""
    return ShownJob.of(served.jobs.get(name, id))


@router.post("/{name}/jobs/{id}/cancel", status_code=202)
def cancel_job(name: str, served: OfService, _: Named, id: str) -> ShownJob:
    """Have a job stop where it can be resumed; what is stored stays."""
    job = served.jobs.get(name, id)
    served.jobs.cancel(job)
    return ShownJob.of(job)


@router.post("/{name}/jobs/{id}/resume", status_code=202)
def resume_job(name: str, served: OfService, _: Named, id: str) -> ShownJob:
    """Go on with a job that was cancelled or interrupted, or has failed.

    What has been taken in is not taken in again.
    """
    job = served.jobs.get(name, id)
    if job.kind == "ingest":
        path_within(str(job.asked["path"]), served.roots)
    return ShownJob.of(served.jobs.resume(job))


@router.get(
    "/{name}/jobs/{id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'event: progress\nid: 7\ndata: {"id": "9f86d081884c7d65", …}\n\n',
                }
            },
            "description": "`progress` with the job as JSON when it has changed, at last `end`.",
        }
    },
)
async def job_events(name: str, served: OfService, id: str) -> StreamingResponse:
    """The progress of a job as server-sent events, until it has ended."""
    job = served.jobs.get(name, id)  # not the collection, which may be deleted meanwhile
    return StreamingResponse(_events(job, served.is_ending), media_type="text/event-stream")


@router.get("/{name}/failures")
def failures(
    collection: Named,
    path: Annotated[
        str, Query(max_length=4096, description="Of these files and folders alone.")
    ] = "",
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Failures:
    """Files that should have given a picture and did not, with the reason."""
    every = (each for each in collection.failures() if _is_below(each.path, path))
    found = list(islice(every, offset, offset + limit + 1))
    return Failures(
        failures=[
            Failure(path=each.path, reason=each.reason or "", retry=each.verdict == "skipped")
            for each in found[:limit]
        ],
        more=len(found) > limit,
    )


def ingested(
    roots: Sequence[Path], shelved: Shelved, asked: Mapping[str, Any], tell: Tell
) -> Mapping[str, Any]:
    """The work of a job: a folder, or a picture, into a collection."""
    path = str(asked["path"])
    if Path(path).resolve() != Path(path):
        raise BadSource(f"{path} has become a link: it leads elsewhere than when it was named")
    total = _counted(path, roots, tell)

    def on_progress(report: Report) -> None:
        tell({"doing": "indexing", "seen": report.seen, "total": total, **report.to_json()})

    def on_learning(what: str, share: float) -> None:
        tell({"doing": f"learning {what}", "share": round(share, 3), "total": total})

    report = shelved.collection.add(
        path,
        prune=bool(asked["prune"]),
        retry=bool(asked["retry"]),
        within=roots,
        on_progress=on_progress,
        on_learning=on_learning,
    )
    return {"doing": "done", "seen": report.seen, "total": total, **report.to_json()}


def address(job: Job) -> str:
    """Where a job is told of."""
    return f"{PREFIX}/{quote(job.collection, safe='')}/jobs/{job.id}"


async def _events(job: Job, is_ending: Callable[[], bool]) -> AsyncIterator[str]:
    told, silent = -1, 0.0
    yield "retry: 2000\n\n"
    while True:
        version, has_ended = job.version, job.state in ENDED
        if version != told:
            told, silent = version, 0.0
            yield _event("end" if has_ended else "progress", job)
        if has_ended or is_ending():
            return
        if silent >= _SECONDS_BETWEEN_SIGNS:
            silent = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
        silent += _SECONDS_BETWEEN_LOOKS


def _event(kind: Literal["progress", "end"], job: Job) -> str:
    return f"event: {kind}\nid: {job.version}\ndata: {ShownJob.of(job).model_dump_json()}\n\n"


def _counted(path: str, roots: Sequence[Path], tell: Tell) -> int | None:
    def on_found(number: int) -> None:
        if number % _COUNTED_AT_ONCE == 0:
            tell({"doing": "counting", "seen": number, "total": None})

    try:
        return sources.count([path], on_found, roots)
    except LookalikeError:  # taking it in says it better
        return None


def _is_below(path: str, top: str) -> bool:
    return not top or path == top or path.startswith((f"{top.rstrip('/')}/", f"{top}!/"))


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

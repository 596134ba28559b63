"""Long work: asked for by one request, watched and cancelled by others, resumed after a restart.

A job is written into its collection's folder when it begins, when it ends and now and then between,
so that a service that was ended, or killed, still knows what it was asked.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import CannotWrite, LookalikeError
from ..uploads import write_whole
from .ending import Ending
from .problems import Refused, of_error
from .shelf import Shelf, Shelved

Kind = Literal["ingest", "duplicates"]
State = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
ENDED: frozenset[State] = frozenset(("done", "failed", "cancelled", "interrupted"))
_FOLDER = "jobs"
_AT_ONCE = 2
_MOST_QUEUED = 100
_KEPT = 100
"""Of each collection, ended ones."""
_SECONDS_BETWEEN_WRITES = 2.0
_log = logging.getLogger(__name__)


class Stopped(Exception):
    """Raised inside work that is to stop."""


@dataclass(slots=True, eq=False)
class Job:
    """One piece of long work."""

    id: str
    kind: Kind
    collection: str
    asked: Mapping[str, Any]
    """What was asked, as JSON."""
    state: State = "queued"
    progress: Mapping[str, Any] = field(default_factory=dict)
    """How far it is, as JSON; once done, what became of it."""
    problem: Mapping[str, Any] | None = None
    """Why it failed, as a problem."""
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    version: int = 0
    """Rises with each change, so that who watches sees it."""
    stop: threading.Event = field(default_factory=threading.Event)

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "id": self.id,
            "kind": self.kind,
            "collection": self.collection,
            "asked": dict(self.asked),
            "state": self.state,
            "progress": dict(self.progress),
            "problem": self.problem,
            "created": self.created,
            "started": self.started,
            "ended": self.ended,
        }


Tell = Callable[[Mapping[str, Any]], None]
"""Told how far the work is; raises `Stopped` if it is to stop."""
Work = Callable[[Shelved, Mapping[str, Any], Tell], Mapping[str, Any]]
"""What a kind of job does with a collection and what was asked: its result as JSON."""


class Jobs:
    """The jobs of all collections; two run at once, others wait in a line of bounded length."""

    def __init__(self, shelf: Shelf, works: Mapping[Kind, Work], ending: Ending) -> None:
        self._shelf = shelf
        self._works = works
        self._ending = ending
        self._changing = threading.Lock()
        self._every: dict[str, Job] = {}
        self._line: queue.Queue[Job | None] = queue.Queue()
        self._workers: list[threading.Thread] = []
        for name in shelf.names():
            with shelf.lent(name) as shelved:
                self._remember(name, shelved.collection.path)

    def of(self, collection: str) -> list[Job]:
        """Those of a collection, the last first."""
        with self._changing:
            found = [job for job in self._every.values() if job.collection == collection]
        return sorted(found, key=lambda job: job.created, reverse=True)

    def get(self, collection: str, id: str) -> Job:
        """One of a collection; 404 if there is none."""
        with self._changing:
            job = self._every.get(id)
        if job is None or job.collection != collection:
            raise Refused(404, "unknown-job", f"{collection} has no job {id!r}")
        return job

    def start(self, shelved: Shelved, kind: Kind, asked: Mapping[str, Any]) -> Job:
        """A new job, at the end of the line. One that is asked for twice at once is one job."""
        with self._changing:
            for job in self._every.values():
                same = (job.collection, job.kind, job.asked) == (shelved.name, kind, asked)
                if same and job.state not in ENDED and not job.stop.is_set():
                    return job
            self._check_room()
            job = Job(secrets.token_hex(8), kind, shelved.name, asked)
            _keep(job, shelved.collection.path)
            self._queue(job)
        return job

    def resume(self, job: Job) -> Job:
        """Go on with one that has not come to its end; 409 if it has, or is under way."""
        with self._changing:
            if job.state not in ENDED or job.state == "done":
                raise Refused(409, "not-resumable", f"the job {job.id} is {job.state}")
            self._check_room()
            job.stop.clear()
            job.state, job.problem, job.ended = "queued", None, None
            self._queue(job)
        return job

    def cancel(self, job: Job) -> None:
        """Have it stop where it can be resumed; what is stored stays. Nothing if it has ended."""
        job.stop.set()
        with self._changing:
            if job.state != "queued":
                return
            self._end(job, "cancelled")
        with contextlib.suppress(Refused), self._shelf.lent(job.collection) as shelved:
            _keep(job, shelved.collection.path)

    def cancel_all(self, collection: str) -> None:
        """Have all jobs of a collection stop, as it is to be deleted."""
        for job in self.of(collection):
            self.cancel(job)

    def forget(self, collection: str) -> None:
        """Forget the jobs of a collection that is gone."""
        with self._changing:
            gone = [id for id, job in self._every.items() if job.collection == collection]
            for id in gone:
                del self._every[id]

    def close(self, patience: float = 5) -> None:
        """Wait until those that run have stopped, as the service ends; 0 workers are left."""
        with self._changing:
            workers, self._workers = self._workers, []
        for _ in workers:
            self._line.put(None)
        until = time.monotonic() + patience
        for worker in workers:
            worker.join(max(0.0, until - time.monotonic()))

    def _check_room(self) -> None:
        if self._line.qsize() >= _MOST_QUEUED:
            raise Refused(503, "too-many-jobs", f"{_MOST_QUEUED} jobs wait already: ask later")

    def _queue(self, job: Job) -> None:
        self._every[job.id] = job
        job.version += 1
        while len(self._workers) < _AT_ONCE:
            worker = threading.Thread(target=self._work, name="job", daemon=True)
            self._workers.append(worker)
            worker.start()
        self._line.put(job)

    def _work(self) -> None:
        while (job := self._line.get()) is not None:
            with self._ending.working():
                if self._claim(job):
                    self._run(job)

    def _claim(self, job: Job) -> bool:
        """Whether it is still to be run, and by nobody else: who was resumed is in line twice."""
        with self._changing:
            if job.state != "queued":
                return False
            job.state, job.started = "running", time.time()
        return True

    def _run(self, job: Job) -> None:
        try:
            with self._shelf.lent(job.collection) as shelved:
                self._run_in(job, shelved)
        except Refused as error:  # the collection is gone, or going
            with self._changing:
                self._end(job, "failed", of_error(error))

    def _run_in(self, job: Job, shelved: Shelved) -> None:
        folder, kept = shelved.collection.path, 0.0

        def tell(progress: Mapping[str, Any]) -> None:
            nonlocal kept
            if job.stop.is_set() or self._ending.is_set():
                raise Stopped
            job.progress = progress
            job.version += 1
            if time.monotonic() - kept > _SECONDS_BETWEEN_WRITES:
                kept = time.monotonic()
                _keep(job, folder)

        try:
            tell(job.progress)
            job.progress = self._works[job.kind](shelved, job.asked, tell)
            state, problem = "done", None
        except Stopped:
            state, problem = "cancelled" if job.stop.is_set() else "interrupted", None
        except (LookalikeError, Refused) as error:
            state, problem = "failed", of_error(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the job has ended
            _log.exception("the job %s failed", job.id)
            state, problem = "failed", of_error(error)
        with self._changing:
            self._end(job, state, problem)  # type: ignore[arg-type]
        _keep(job, folder)
        self._drop_old(job.collection, folder)

    def _end(self, job: Job, state: State, problem: Mapping[str, Any] | None = None) -> None:
        job.state, job.problem, job.ended = state, problem, time.time()
        job.version += 1

    def _drop_old(self, collection: str, folder: Path) -> None:
        ended = [job for job in self.of(collection) if job.state in ENDED]
        for job in ended[_KEPT:]:
            with self._changing:
                self._every.pop(job.id, None)
            _file(job.id, folder).unlink(missing_ok=True)

    def _remember(self, name: str, folder: Path) -> None:
        """Take up what a service before this one has left; what it worked at was interrupted."""
        for path in (folder / _FOLDER).glob("*.json"):
            try:
                said = json.loads(path.read_text("utf-8"))
                job = Job(**{**said, "collection": name})
            except (OSError, ValueError, TypeError) as error:
                _log.warning("cannot read the job %s: %s", path, error)
                continue
            if job.state not in ENDED:
                job.state = "interrupted"
            self._every[job.id] = job


def _file(id: str, folder: Path) -> Path:
    return folder / _FOLDER / f"{id}.json"


def _keep(job: Job, folder: Path) -> None:
    """Write it down; on a full or read-only disk it is only known until the service ends."""
    with contextlib.suppress(CannotWrite):
        write_whole(_file(job.id, folder), json.dumps(job.to_json()).encode())

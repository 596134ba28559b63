"""The API, under /v1: a file a resource.

What blocks (decoding, the network, SQLite) runs in plain functions. Starlette runs those in
threads, so clients are served side by side. What only waits (for a job, for events) is async.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from . import collections, duplicates, files, jobs, machine, match, overview, pictures, search

ROUTERS = (
    collections.router,
    search.router,
    match.router,
    pictures.router,
    files.router,
    jobs.router,
    duplicates.router,
    overview.router,
    machine.router,
)


def works(roots: Sequence[Path]) -> dict[jobs.Kind, jobs.Work]:
    """What each kind of job does; `roots`: out of which no link may lead."""
    return {"ingest": partial(jobs.ingested, roots), "duplicates": duplicates.looked_for}

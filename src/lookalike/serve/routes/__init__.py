"""The API, under /v1: a file a resource.

What blocks (decoding, the network, SQLite) runs in plain functions. Starlette runs those in
threads, so clients are served side by side. What only waits (for a job, for events) is async.
"""

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
WORKS: dict[jobs.Kind, jobs.Work] = {"ingest": jobs.ingested, "duplicates": duplicates.looked_for}
"""What each kind of job does."""

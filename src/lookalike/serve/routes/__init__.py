"""The API, under /v1: a file a resource.

What blocks (decoding, the network, SQLite) runs in plain functions. Starlette runs those in
threads, so clients are served side by side.
"""

from . import collections, files, match, overview, pictures, search

ROUTERS = (
    collections.router,
    search.router,
    match.router,
    pictures.router,
    files.router,
    overview.router,
)

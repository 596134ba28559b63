"""lookalike: a self-hosted image search engine.

with lookalike.open("photos.lookalike") as collection:
    collection.add("~/Pictures")
    hits = collection.search("query.jpg", k=10)
"""

from .collection import Answer, Collection
from .collection import open_collection as open
from .errors import LookalikeError, PictureError
from .ingest import Report
from .types import Hit, Limits, Place, Record

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Collection",
    "Hit",
    "Limits",
    "LookalikeError",
    "PictureError",
    "Place",
    "Record",
    "Report",
    "open",
]

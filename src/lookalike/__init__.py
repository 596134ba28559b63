"""lookalike: a self-hosted image search engine.

    with lookalike.open("photos.lookalike") as collection:
        collection.add("~/Pictures")
        hits = collection.search("query.jpg", k=10)

The names below are loaded when they are first used: importing this package costs next to nothing,
which every decoding process gains by.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .collection import Answer, Collection
    from .errors import LookalikeError, PictureError
    from .ingest import Report
    from .opening import open_collection as open
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

_HOMES = {
    "Answer": ("collection", "Answer"),
    "Collection": ("collection", "Collection"),
    "Hit": ("types", "Hit"),
    "Limits": ("types", "Limits"),
    "LookalikeError": ("errors", "LookalikeError"),
    "PictureError": ("errors", "PictureError"),
    "Place": ("types", "Place"),
    "Record": ("types", "Record"),
    "Report": ("ingest", "Report"),
    "open": ("opening", "open_collection"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(f".{module}", __name__), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

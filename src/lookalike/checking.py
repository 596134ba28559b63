"""Is this picture in the collection already? The same bytes, an edited copy, or the same scene."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from . import ingest, sources
from .collection import Collection
from .confidence import VERIFIED
from .decoding import Encoded
from .errors import BadQuery, PictureError
from .types import Hit, Record

Kind = Literal["exact", "copy", "near"]
KINDS: tuple[Kind, ...] = ("exact", "copy", "near")
"""The same bytes; the same picture, edited; the same scene or burst."""
_LOOKED_AT = 10
"""The best hits, one of which is what is asked for, or none is."""
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored picture that a picture is."""

    record: Record
    kind: Kind
    inliers: int | None = None
    """How many matches agree; None for the same bytes."""
    probability: float | None = None
    """That it is a copy, 0 to 1; None for the same bytes, and where nothing is calibrated."""

    def to_json(self) -> dict[str, Any]:
        """As `lookalike check --json` prints it."""
        return {
            "id": self.record.id,
            "path": self.record.path,
            "kind": self.kind,
            "inliers": self.inliers,
            "probability": None if self.probability is None else round(self.probability, 6),
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """One picture that was asked for."""

    path: str
    stored: Stored | None
    """None where there is no such picture."""
    error: PictureError | None = None
    """Why it cannot be read."""

    def to_json(self) -> dict[str, Any]:
        """As `lookalike check --json` prints it."""
        error = {} if self.error is None else {"error": self.error.reason}
        return {
            "query": self.path,
            "stored": None if self.stored is None else self.stored.to_json(),
            **error,
        }


def check(
    collection: Collection,
    pictures: Sequence[str | os.PathLike[str]],
    kinds: Sequence[str] = ("exact", "copy"),
) -> Iterator[Checked]:
    """Each of these pictures, and of those in folders, lists and archives, in order.

    `kinds`: what counts as being there; the same bytes always do, and take no network. A copy is
    told by geometry (`verified`), whatever the recipe: by the threshold that `calibrate` found, or
    `confidence.USUAL_INLIERS`. `BadQuery` for a kind that there is not.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise BadQuery(f"the kinds are {', '.join(KINDS)}, not {', '.join(unknown) or 'none'}")
    return _checked(collection, pictures, frozenset(kinds))


def _checked(
    collection: Collection, pictures: Sequence[str | os.PathLike[str]], kinds: frozenset[str]
) -> Iterator[Checked]:
    for item in ingest.queried([os.fspath(each) for each in pictures]):
        path = item.place.path
        encoded = ingest.encoded(item)
        try:
            if isinstance(encoded, PictureError):
                raise encoded
            yield Checked(path, _same_bytes(collection, encoded) or _alike(collection, path, kinds))
        except PictureError as error:
            if item.is_meant(error):
                yield Checked(path, None, error)


def _same_bytes(collection: Collection, encoded: Encoded) -> Stored | None:
    record = collection.store.get(_sha256(encoded))
    return None if record is None else Stored(record, "exact")


def _sha256(encoded: Encoded) -> str:
    if encoded.data is not None:
        return hashlib.sha256(encoded.data).hexdigest()
    if encoded.url is not None:
        return _sha256(sources.encoded_at(encoded.url))
    assert encoded.path is not None
    digest = hashlib.sha256()
    try:
        with encoded.path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PictureError(encoded.source, reason, retry=True) from error
    return digest.hexdigest()


def _alike(collection: Collection, path: str, kinds: frozenset[str]) -> Stored | None:
    wanted = [kind for kind in KINDS if kind in kinds and kind != "exact"]
    if not wanted or not len(collection):
        return None
    hits = collection.search(path, k=_LOOKED_AT, compare=VERIFIED)
    for kind in wanted:
        for hit in hits:
            if hit.kinship == kind:
                return Stored(hit.record, kind, _inliers(hit), hit.probability)
    return None


def _inliers(hit: Hit) -> int | None:
    inliers = hit.scores.get(VERIFIED)
    return None if inliers is None else round(inliers)

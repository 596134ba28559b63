"""A record as Elasticsearch keeps it, and back; its vectors beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from ...distances import Distance
from ...errors import BadQuery
from ...places import in_64_bits, plain_text
from ...types import Place, Record, Vectors
from .. import Arrival
from ..writes import metadata_text
from . import conditions
from .mapping import OF_PICTURE

Source = Mapping[str, Any]
OF_RECORD = ("order", "record")
"""Of a document, its record, and where it comes among others."""
LEFT_OUT = ["v", "came"]
"""Of a document, where its vectors are not wanted."""
_LONG_NUMBER = re.compile(r"\d{19}")
"""Of which orjson reads the whole ones in 64 bits alone."""
_LONGEST_PATH = 8000
_ID = 32
"""Bytes of an id."""
_UNIT = 1e-6
"""How far from 1 a length may be that counts as 1."""


class Order:
    """Numbers for pictures as they come, ascending in this process, and apart in all of them."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        """One above all before: nanoseconds since 1970, the last ten bits by chance."""
        with self._lock:
            now = (time.time_ns() & ~0x3FF) | secrets.randbits(10)
            self._last = max(now, self._last + 1)
            return self._last


ORDER = Order()


@dataclass(slots=True)
class Draft:
    """A picture's document as it is to be written."""

    id: str
    about: dict[str, Any]
    """All but its places and its vectors."""
    places: dict[str, dict[str, Any]]
    """By path, in the order in which they came."""
    seen: tuple[int, int] | None = None
    """Sequence number and primary term of what was read; None for one that is new."""
    changed: bool = False
    added: set[str] = field(default_factory=set)
    """Paths that it got."""

    @classmethod
    def of(cls, hit: Source) -> Draft:
        """One that is there, as a search or a get gives it."""
        source = hit["_source"]
        made = ("place", "places", "record", *LEFT_OUT)
        about = {key: each for key, each in source.items() if key not in made}
        places = {
            place["path"]: {name: each for name, each in place.items() if name not in OF_PICTURE}
            for place in places_of(source)
        }
        return cls(hit["_id"], about, places, (hit["_seq_no"], hit["_primary_term"]))

    @classmethod
    def new(cls, arrival: Arrival) -> Draft:
        """One that has not been stored before."""
        about = {
            "id": arrival.sha256.hex(),
            "order": ORDER.next(),
            "added": time.time(),
            "format": arrival.format,
            "width": arrival.width,
            "height": arrival.height,
            "side": max(arrival.width, arrival.height),
            "bytes": arrival.size,
        }
        return cls(arrival.sha256.hex(), about, {}, changed=True)

    def put(self, place: Place) -> None:
        """Have it lie at a place, as is said of that now."""
        self.changed = True
        self.added.add(place.path)
        self.places[place.path] = written(place)

    def drop(self, path: str) -> None:
        """Have it lie there no more."""
        self.changed = True
        self.added.discard(path)
        self.places.pop(path, None)

    def body(self) -> dict[str, Any]:
        """The document, without vectors."""
        places = list(self.places.values())
        asked = {name: self.about[name] for name in OF_PICTURE}
        several = len(places) > 1
        return {
            **self.about,
            "changed": time.time_ns(),
            "lies": len(places),
            # Whichever it is not is said, so that none of before stays.
            "place": None if several else places[0],
            "places": [{**each, **asked} for each in places] if several else None,
            "record": _packed(self.about, places),
        }


def places_of(source: Source) -> list[dict[str, Any]]:
    """Where a picture lies, as its document has it."""
    return source.get("places") or [source["place"]]


def written(place: Place) -> dict[str, Any]:
    """What a place is, what it is found by, and the words in it."""
    path = plain_text(place.path)
    label = None if place.label is None else plain_text(place.label)
    if max(map(_length, (path, label or ""))) > _LONGEST_PATH:
        raise BadQuery(f"paths and labels have at most {_LONGEST_PATH} characters: {path[:80]} …")
    text = metadata_text(place)
    metadata = json.loads(text)
    return {
        "path": path,
        "label": label,
        "metadata": text,
        "size": in_64_bits(place.size),
        "modified_ns": in_64_bits(place.modified_ns),
        "modified": place.modified_ns / 1e9,
        "checked": time.time(),
        "said": conditions.terms_of(metadata),
        "words": [each for each in (label, *metadata.values()) if isinstance(each, str)],
    }


def _length(text: str) -> int:
    """As Java counts, by which the mapping says what is too long to be found by."""
    return len(text.encode("utf-16-le")) // 2


def record(source: Source) -> Record:
    """The record that a document holds."""
    (found,) = _unpacked([source["record"]])
    return found


def records_of(hits: Sequence[Source]) -> list[Record]:
    """Those of hits that have the field `record`, and nothing else of their documents."""
    return _unpacked([hit["fields"]["record"][0] for hit in hits])


def _unpacked(packed: Sequence[str]) -> list[Record]:
    """What `_packed` has made of records."""
    each = [base64.b64decode(one) for one in packed]
    said = orjson.loads(b"[%b]" % b",".join([one[_ID:] for one in each]))
    return [_record(one[:_ID].hex(), *rest) for one, rest in zip(each, said, strict=True)]


def _record(
    id: str, format: str, width: int, height: int, size: int, added: float, places: Sequence[Any]
) -> Record:
    return Record(id, format, width, height, size, added, tuple([_place(*p) for p in places]))


def _place(path: str, label: str | None, said: Any, size: int, modified_ns: int) -> Place:
    metadata = json.loads(said) if isinstance(said, str) else said
    return Place(path, label, metadata, size, modified_ns)


def _packed(about: Mapping[str, Any], places: Sequence[Mapping[str, Any]]) -> str:
    """A record as one value, which a search gives back sooner than the document that it is of.

    Its id, as bytes, and JSON; in base 64, as Elasticsearch takes bytes.
    """
    said = [about[name] for name in ("format", "width", "height", "bytes", "added")]
    lies = [
        [each["path"], each["label"], _inside(each["metadata"]), each["size"], each["modified_ns"]]
        for each in places
    ]
    return base64.b64encode(bytes.fromhex(about["id"]) + orjson.dumps([*said, lies])).decode()


def _inside(metadata: str) -> str | orjson.Fragment:
    """Metadata, as text, inside other JSON: text still where orjson would make a float of it."""
    return metadata if _LONG_NUMBER.search(metadata) else orjson.Fragment(metadata)


def path_id(path: str) -> str:
    """The id of what is known of a path."""
    return hashlib.sha256(plain_text(path).encode()).hexdigest()


def vector_fields(
    names: Mapping[str, tuple[str, Distance]], vectors: Mapping[str, Vectors]
) -> list[dict[str, Any]]:
    """Of each picture, what its document has of its vectors.

    `names`: by embedding, the field's name and the distance; `vectors`: float32 [n, dim] each.
    What is searched is what came, where that suits; where it has to be brought to another length
    first, what came is kept beside it. An all-zero vector has no direction, so it has no field.
    """
    count = len(next(iter(vectors.values())))
    parts: list[dict[str, Any]] = [{"v": {}} for _ in range(count)]
    for embedding, matrix in vectors.items():
        name, distance = names[embedding]
        searched, fits = _searched(matrix, distance)
        for number, part in enumerate(parts):
            if not distance.normalised or searched[number].any():
                part["v"][name] = searched[number]
            if not fits[number]:
                came = matrix[number].astype("<f4").tobytes()
                part.setdefault("came", {})[name] = base64.b64encode(came).decode()
    return parts


def _searched(matrix: Vectors, distance: Distance) -> tuple[Vectors, list[bool]]:
    """Vectors as they are searched; and of each, whether that is how it came."""
    if distance.norm == "none":
        return matrix, [True] * len(matrix)
    prepared = distance.prepared(matrix)
    if distance.normalised:
        sizes = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
        fits = np.abs(sizes - 1) < _UNIT
        return np.where(fits[:, np.newaxis], matrix, prepared), fits.tolist()
    return prepared, (prepared == matrix).all(axis=1).tolist()


def vector_of(source: Source, name: str, dim: int) -> Vectors | None:
    """A picture's vector as it came, float32 [1, dim]; None if the document has none."""
    came = source.get("came", {}).get(name)
    if came is not None:
        return np.frombuffer(base64.b64decode(came), "<f4").reshape(1, dim).astype(np.float32)
    searched = source.get("v", {}).get(name)
    if searched is None:
        return None
    return np.array(searched, np.float32).reshape(1, dim)

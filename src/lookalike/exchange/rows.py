"""The rows of a file of features, checked one by one; none is stored unless all are right."""

from __future__ import annotations

import contextlib
import json
from array import array
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from ..distances import comparable
from ..errors import BadFeatures, BadQuery
from ..places import place_of
from ..store import Arrival
from ..store.writes import metadata_text
from ..types import Place, Vectors
from .reading import FeatureFile, readable

_AT_ONCE = 1024
_LARGEST = 2**63 - 1
_KEYS = ("ids", "paths", "records")


class Block(NamedTuple):
    """Some rows of a file."""

    arrivals: list[Arrival]
    """What is known of each picture; none where only paths are."""
    paths: list[list[str]]
    """Where each picture lies."""
    vectors: dict[str, Vectors]
    """By embedding, float32 [n, dim]."""


def check(features: FeatureFile, dims: Mapping[str, int]) -> int:
    """Read all of it, and raise `BadFeatures` if a row is wrong; how many there are."""
    ids, paths = _Keys("id"), _Keys("path")
    count = 0
    for block in blocks(features, dims):
        ids.add([(each.sha256,) for each in block.arrivals])
        paths.add(block.paths)
        count += len(block.paths)
    for keys in (ids, paths):
        again = keys.repeated()
        if again is not None:
            first, second = again
            raise BadFeatures(features.path, f"rows {first} and {second} have the same {keys.name}")
    return count


def blocks(features: FeatureFile, dims: Mapping[str, int]) -> Generator[Block, None, None]:
    """Its rows; `BadFeatures` names the first that is wrong."""
    vectors = features.named("vectors", next(iter(dims)))
    keys = [name for name in _KEYS if name in features.columns]
    if "paths" not in keys and not {"ids", "records"} <= set(keys):
        raise BadFeatures(features.path, "it has no `paths`, which say where the pictures lie")
    if "records" in keys and "ids" not in keys:
        raise BadFeatures(features.path, "it has `records`, but not the `ids` that they belong to")
    columns = {vectors[name]: _matrices(features, vectors[name], dims[name]) for name in dims}
    columns |= {name: _texts(features, name) for name in keys}
    start = 0
    for parts in _in_step(features, columns):
        texts = {name: parts[name] for name in keys}
        arrivals, paths = _keys(features, texts, start)
        yield Block(arrivals, paths, {name: parts[vectors[name]] for name in dims})
        start += len(paths)


def _in_step(
    features: FeatureFile, columns: Mapping[str, Generator[Any, None, None]]
) -> Iterator[dict[str, Any]]:
    """The same rows of every column; `BadFeatures` if one is shorter than another."""
    done = 0
    with contextlib.ExitStack() as stack:
        for each in columns.values():
            stack.callback(each.close)
        for parts in zip_longest(*columns.values(), fillvalue=()):
            lengths = dict(zip(columns, map(len, parts), strict=True))
            least, most = (f(lengths, key=lengths.__getitem__) for f in (min, max))
            if lengths[least] < lengths[most]:
                rows = done + lengths[least]
                raise BadFeatures(features.path, f"`{least}` has {rows:,} rows, `{most}` has more")
            yield dict(zip(columns, parts, strict=True))
            done += lengths[least]


class _Keys:
    """Sees whether a key comes twice, in 16 bytes each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._hashes, self._rows = array("q"), array("q")
        self._count = 0

    def add(self, rows: Sequence[Sequence[str | bytes]]) -> None:
        """The keys of further rows."""
        for keys in rows:
            self._count += 1
            # Python's own hash has 64 bits, other ones in each process.
            self._hashes.extend(map(hash, keys))
            self._rows.extend([self._count] * len(keys))

    def repeated(self) -> tuple[int, int] | None:
        """Two rows, counted from 1, that have the same key."""
        hashes = np.array(self._hashes)
        order = np.argsort(hashes, kind="stable")
        again = np.flatnonzero(np.diff(hashes[order]) == 0)
        if len(again) == 0:
            return None
        return self._rows[order[again[0]]], self._rows[order[again[0] + 1]]


def _matrices(features: FeatureFile, column: str, dim: int) -> Generator[Any, None, None]:
    with readable(features.path, column):
        shape = features.columns[column].shape
        if len(shape) != 2 or shape[1] != dim:
            raise ValueError(f"its shape is {list(shape)}, expected [n, {dim}]")
        start = 0
        for block in features.columns[column].arrays(_AT_ONCE):
            if block.dtype.kind != "f" or block.dtype.itemsize > 8:
                raise ValueError(f"it is {block.dtype}, expected float32")
            with np.errstate(over="ignore"):
                matrix = np.ascontiguousarray(block, np.float32)
            sound = comparable(matrix)
            if not sound.all():
                row = start + int(np.argmin(sound)) + 1
                raise ValueError(f"row {row} holds NaN, infinity or values too large")
            yield matrix
            start += len(matrix)


def _texts(features: FeatureFile, column: str) -> Generator[Any, None, None]:
    with readable(features.path, column):
        yield from features.columns[column].texts(_AT_ONCE)


def _keys(
    features: FeatureFile, texts: Mapping[str, Sequence[str]], start: int
) -> tuple[list[Arrival], list[list[str]]]:
    """What is said of each picture of a block, and where it lies."""
    arrivals: list[Arrival] = []
    paths: list[list[str]] = []
    try:
        for said in zip(*texts.values(), strict=True):
            by_name = dict(zip(texts, said, strict=True))
            if "records" in by_name:
                arrivals.append(_arrival(_sha256(by_name["ids"]), json.loads(by_name["records"])))
                arrival = arrivals[-1]
                paths.append([each.path for each in (arrival.place, *arrival.others)])
                continue
            place = Place(_written_down(_path(by_name["paths"])))
            if "ids" in by_name:
                arrivals.append(Arrival(_sha256(by_name["ids"]), "UNKNOWN", 0, 0, 0, place))
            paths.append([place.path])
    except (ValueError, TypeError, AttributeError, RecursionError, BadQuery) as error:
        raise BadFeatures(features.path, f"row {start + len(paths) + 1}: {error}") from error
    return arrivals, paths


def _sha256(text: str) -> bytes:
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise ValueError(f"{text[:80]!r} is not the hexadecimal sha256 of a picture")
    return bytes.fromhex(text)


def _written_down(path: str) -> str:
    """A path as it is written down here; what is no path, such as a URL, as it is."""
    return path if "://" in path or path.startswith("upload:") else place_of(path)


def _arrival(sha256: bytes, record: Any) -> Arrival:
    if not isinstance(record, dict):
        raise ValueError("its record is not a JSON object")
    places = record.get("places")
    if not isinstance(places, list) or not places:
        raise ValueError("its record has no `places`")
    first, *others = map(_place, places)
    return Arrival(
        sha256,
        _clean(record.get("format", "UNKNOWN"), "the format"),
        _number(record, "width"),
        _number(record, "height"),
        _number(record, "size"),
        first,
        tuple(others),
    )


def _place(said: Any) -> Place:
    if not isinstance(said, dict):
        raise ValueError("one of its places is not a JSON object")
    label, metadata = said.get("label"), said.get("metadata", {})
    if not isinstance(metadata, dict):
        raise ValueError("the metadata of a place is not a JSON object")
    place = Place(
        _path(said.get("path")),
        None if label is None else _clean(label, "a label"),
        metadata,
        _number(said, "size"),
        _number(said, "modified_ns", -_LARGEST),
    )
    metadata_text(place)  # what cannot be kept is told before anything is
    return place


def _path(text: Any) -> str:
    if text == "":
        raise ValueError("an empty path")
    return _clean(text, "a path")


def _clean(text: Any, what: str) -> str:
    """Text as every store, file system and terminal takes it."""
    if not isinstance(text, str):
        raise ValueError(f"{what} is not text but {text!r:.40}")
    if "\0" in text:
        raise ValueError(f"{what} with a NUL in it: {text!r:.80}")
    text.encode()
    return text


def _number(said: Mapping[str, Any], key: str, least: int = 0) -> int:
    value = said.get(key, 0)
    if type(value) is not int or not least <= value <= _LARGEST:
        raise ValueError(f"`{key}` must be a whole number, not {value!r:.40}")
    return value

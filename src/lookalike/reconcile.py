"""Source, records and vectors against each other: what is lost between them is found, and mended.

Nothing is changed unless it is asked for. After a repair all is looked at anew, so that what is
called repaired has been seen to be.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

from . import archives, ingest, objects, sources
from .collection import Collection
from .decoding import Encoded
from .errors import PictureError, PictureUnreachable
from .extract.ready import ReadyVectors
from .features import Features
from .places import disk_path, in_64_bits, is_object
from .store import LedgerEntry
from .types import Place, Record

Kind = Literal[
    "gone",
    "changed",
    "no-record",
    "claimed-twice",
    "nowhere",
    "no-vector",
    "loose-vector",
    "no-local-features",
    "loose-local-features",
    "upload-lost",
    "upload-unrecorded",
]
_AT_ONCE = 512
_SETTLED_SECONDS = 60.0
"""How old the bytes of an upload are that should have their record by now."""
_TOO_MANY = 0.5
"""Of the files that are looked at: that so many have been deleted is hardly meant."""
_MADE_ELSEWHERE = "its vectors are made elsewhere: add them again, by `lookalike import`"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as the other things say."""

    kind: Kind
    what: str
    """A place, a picture's id, or how many."""
    repaired: bool = False
    why: str | None = None
    """Why it has not been repaired, though that was asked for."""


@dataclass(slots=True)
class Reconciled:
    """What was looked at and found."""

    repair: bool
    pictures: int = 0
    files: int = 0
    """Places on this machine, and members of archives."""
    objects: int = 0
    """Places in object stores."""
    uploads: int = 0
    """Places of pictures that came as bytes."""
    elsewhere: int = 0
    """Places that cannot be looked at from here: `http://…`, a store that does not answer."""
    faults: list[Fault] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Faults that are still there."""
        return sum(not each.repaired for each in self.faults)

    def to_json(self) -> dict[str, Any]:
        """As `lookalike reconcile --json` prints it."""
        return {
            "repair": self.repair,
            "pictures": self.pictures,
            "files": self.files,
            "objects": self.objects,
            "uploads": self.uploads,
            "elsewhere": self.elsewhere,
            "left": self.left,
            "faults": [
                {"kind": each.kind, "what": each.what, "repaired": each.repaired, "why": each.why}
                for each in self.faults
            ],
        }


def reconcile(collection: Collection, *, repair: bool = False) -> Reconciled:
    """Look for all that does not fit together; with `repair`, mend it.

    Files and objects that are gone are forgotten and changed ones taken in again, as by `index`
    with `--prune`; a place that two pictures claim is left to the later one; lost vectors and
    local features are made again of the pictures; what belongs to nothing is deleted; uploads
    without a record are taken in again. Neither files nor objects are forgotten if that would be
    more than half of them. Reads every vector once, and asks for every object.
    `ObjectStoreUnusable` if the store of the uploads cannot be asked.
    """
    found = _examined(collection, repair=repair)
    if not (repair and found.faults):
        return found
    why = _Repair(collection, found).made()
    after = _examined(collection, repair=True)
    left = {(each.kind, each.what) for each in after.faults}
    told = [
        replace(each, repaired=key not in left, why=why.get(key) if key in left else None)
        for each in found.faults
        for key in ((each.kind, each.what),)
    ]
    known = {(each.kind, each.what) for each in found.faults}
    new = [each for each in after.faults if (each.kind, each.what) not in known]
    after.faults = [*told, *new]
    return after


def _examined(collection: Collection, *, repair: bool) -> Reconciled:
    said = Reconciled(repair)
    for records in _blocks(collection):
        said.pictures += len(records)
        said.faults += _of_places(collection, records, said)
        said.faults += _without_vectors(collection, records)
    said.faults += _of_refused(collection, said)
    said.faults += _loose(collection)
    engine, after = collection.engine, -1
    while engine.makes_local_features and (
        lacking := engine.store.lacking_local_features(after, _AT_ONCE)
    ):
        after = lacking[-1][0]
        said.faults += [Fault("no-local-features", record.id) for _, record in lacking]
    kept = collection.uploads.kept(time.time() - _SETTLED_SECONDS)
    said.faults += [Fault("upload-unrecorded", id) for id in kept if id not in collection]
    said.faults = list(dict.fromkeys(said.faults))  # more than two may claim a place
    return said


def _blocks(collection: Collection) -> Iterator[list[Record]]:
    after: str | None = None
    while True:
        records, after = collection.store.page(after, _AT_ONCE)
        yield [record for record in records if record.places]
        if after is None:
            return


def _of_places(
    collection: Collection, records: Sequence[Record], said: Reconciled
) -> Iterator[Fault]:
    uploads = collection.uploads
    lie = [(place.path, record.id) for record in records for place in record.places]
    ours = [path for path, _ in lie if uploads.owns(path)]
    said.uploads += len(ours)
    kept = dict(zip(ours, uploads.has(*map(uploads.id_of, ours)), strict=True))
    entries = collection.store.ledger([path for path, _ in lie if path not in kept])
    looked = _looked(path for path in entries if is_object(path))
    for path, id in lie:
        entry = entries.get(path)
        if path in kept:
            if not kept[path]:
                yield Fault("upload-lost", path)
        elif entry is not None and entry.id != id:
            if _lies_at(collection, id, path):
                yield Fault("claimed-twice", path)
        elif not (_is_here(path) or is_object(path)):
            said.elsewhere += 1
        elif entry is not None:
            yield from _of_entry(entry, looked, said)


def _lies_at(collection: Collection, id: str, path: str) -> bool:
    """Whether a picture is said to lie there by now: others may have changed it meanwhile."""
    return _place_of(collection, id, path) is not None


def _place_of(collection: Collection, id: str, path: str) -> Place | None:
    record = collection.store.get(id)
    places = () if record is None else record.places
    return next((place for place in places if place.path == path), None)


def _of_refused(collection: Collection, said: Reconciled) -> Iterator[Fault]:
    """Of paths that gave no picture: it does not matter any more why, if they are gone."""
    refused = (entry for entry in collection.store.refused() if entry.id is None)
    while entries := list(islice(refused, _AT_ONCE)):
        looked = _looked(entry.path for entry in entries if is_object(entry.path))
        for entry in entries:
            if _is_here(entry.path) or is_object(entry.path):
                yield from _of_entry(entry, looked, said)


_Looked = dict[str, objects.Found | None]


def _looked(urls: Iterable[str]) -> _Looked:
    wanted = list(urls)
    return dict(zip(wanted, objects.look_all(wanted), strict=True))


def _of_entry(entry: LedgerEntry, looked: _Looked, said: Reconciled) -> Iterator[Fault]:
    """What is wrong with a file, or an object that has been looked at."""
    if entry.path not in looked:
        said.files += 1
        if not _is_file(entry):
            yield Fault("gone", entry.path)
        elif _has_changed(entry):
            yield Fault("changed", entry.path)
        return
    found = looked[entry.path]
    if found is not None and isinstance(found.refusal, PictureUnreachable):
        said.elsewhere += 1
        return
    said.objects += 1
    if found is None:
        yield Fault("gone", entry.path)
    elif found.refusal is None and _differs(entry, found.place.size, found.place.modified_ns):
        yield Fault("changed", entry.path)


def _is_file(entry: LedgerEntry) -> bool:
    """Whether something is there; of what was refused, a folder or a link to nowhere is as well."""
    if entry.id is not None or archives.is_member(entry.path):
        return sources.exists(entry.path)
    return os.path.lexists(disk_path(entry.path))


def _without_vectors(collection: Collection, records: Sequence[Record]) -> Iterator[Fault]:
    ids = [record.id for record in records]
    lacking = {
        id
        for name in collection.engine.dims(None)
        for id in set(ids).difference(collection.store.vectors_of(name, ids))
    }
    return (Fault("no-vector", id) for id in ids if id in lacking)


def _loose(collection: Collection) -> Iterator[Fault]:
    found = collection.store.loose()
    counted: list[tuple[Kind, int]] = [
        ("loose-vector", found.vectors),
        ("loose-local-features", found.local_features),
        ("nowhere", found.records),
    ]
    yield from (Fault(kind, f"{count:,}") for kind, count in counted if count)
    yield from (Fault("no-record", path) for path in found.places)


class _Repair:
    """Of what was found in one collection."""

    def __init__(self, collection: Collection, found: Reconciled) -> None:
        self._collection = collection
        self._found = found
        self._why: dict[tuple[Kind, str], str] = {}

    def made(self) -> dict[tuple[Kind, str], str]:
        """Mend what can be; why the rest cannot, by kind and what."""
        engine = self._collection.engine
        if self._of("loose-vector", "loose-local-features", "nowhere", "no-record"):
            engine.store.drop_loose()
        gone = [each.what for each in self._of("gone")]
        lost = [each.what for each in self._of("upload-lost")]
        self._forget("gone", [path for path in gone if _is_here(path)], self._found.files)
        self._forget("gone", [path for path in gone if is_object(path)], self._found.objects)
        self._forget("upload-lost", lost, self._found.uploads)
        self._leave_to_the_later([each.what for each in self._of("claimed-twice")])
        made_elsewhere = ReadyVectors in map(type, engine.extractors.values())
        if made_elsewhere:
            for each in self._of("changed", "no-record", "no-vector", "upload-unrecorded"):
                self._why[each.kind, each.what] = _MADE_ELSEWHERE
        else:
            self._take_in()
            self._describe()
            self._record_uploads()
        self._collection.settle()  # makes the local features that are lacking
        return self._why

    def _of(self, *kinds: Kind) -> list[Fault]:
        return [each for each in self._found.faults if each.kind in kinds]

    def _forget(self, kind: Kind, paths: Sequence[str], of: int) -> None:
        if len(paths) > _TOO_MANY * of:
            for path in paths:
                self._why[kind, path] = (
                    f"{len(paths):,} of {of:,} are gone, is a disk or a bucket not there? If they "
                    "are, `lookalike index --prune FOLDER` forgets them"
                )
        elif paths:
            self._collection.forget(*paths)

    def _leave_to_the_later(self, paths: Sequence[str]) -> None:
        """Say of each once more what is said already: a store that writes of a path mends it."""
        entries = self._collection.store.ledger(paths)
        found = (_place_of(self._collection, e.id, e.path) for e in entries.values() if e.id)
        self._collection.store.describe([place for place in found if place is not None])

    def _take_in(self) -> None:
        """Files and objects whose content has changed, and such as have lost their record."""
        paths = [each.what for each in self._of("changed", "no-record")]
        known = (path for path in paths if _is_here(path) or is_object(path))
        there = (path for path in known if sources.exists(path))
        engine = self._collection.engine
        if paths:
            ingest.ingest(map(sources.named, there), engine.store, engine.pipeline)

    def _describe(self) -> None:
        """Make the vectors that are lost again, of pictures that are as they were."""
        store, pipeline = self._collection.store, self._collection.engine.pipeline
        found = (store.get(each.what) for each in self._of("no-vector"))
        pairs = ((record, self._encoded(record)) for record in found if record is not None)
        for done in pipeline.stream(pairs):
            good: dict[str, Features] = {}
            for record, features in done:
                if isinstance(features, PictureError):
                    self._why["no-vector", record.id] = str(features)
                elif features.sha256.hex() != record.id:
                    changed = f"{record.path} holds another picture by now: index it again"
                    self._why["no-vector", record.id] = changed
                else:
                    good[record.id] = features
            if good:
                store.mend(list(good), ingest.stacked(list(good.values())))

    def _encoded(self, record: Record) -> Encoded | PictureError:
        try:
            return self._collection.original_of(record)
        except PictureError as error:
            return error

    def _record_uploads(self) -> None:
        """Take in bytes that were kept; by what name they came is lost."""
        uploads = self._collection.uploads
        for each in self._of("upload-unrecorded"):
            try:
                data = uploads.read(each.what)
            except PictureError as error:
                self._why[each.kind, each.what] = str(error)
                continue
            where = uploads.where(each.what)
            try:
                if hashlib.sha256(data).hexdigest() == each.what:
                    self._collection.add_bytes(data, "picture")
                else:
                    self._why[each.kind, each.what] = f"its bytes are damaged: delete {where}"
            except PictureError as error:
                self._why[each.kind, each.what] = f"{error.reason}: delete {where}"


def _is_here(path: str) -> bool:
    """Whether a place is on this machine, so that it can be told whether something is there."""
    return path.startswith(("/", "file://"))


def _has_changed(entry: LedgerEntry) -> bool:
    """Whether a file is not what it was; of a member of an archive, that is not asked."""
    if archives.is_member(entry.path):
        return False
    try:
        now = disk_path(entry.path).stat()
    except (OSError, ValueError):
        return False
    return _differs(entry, now.st_size, in_64_bits(now.st_mtime_ns))


def _differs(entry: LedgerEntry, size: int, modified_ns: int) -> bool:
    """From what it was, if that is known."""
    return entry.modified_ns != 0 and (size, modified_ns) != (entry.size, entry.modified_ns)

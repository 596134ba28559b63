"""Files that are not to be kept are moved away, or replaced with hard links; and back again.

Each action is written to a log and made durable before it is done, so that the log is right
wherever it is interrupted. Only plain files on disk are touched, and only while their bytes, and
those of the file that is kept, are what the collection recorded of them.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..collection import Collection
from ..errors import BadUndoLog, CannotWrite, LookalikeError
from ..places import disk_path, place_name
from ..types import Place
from .files import (
    Refused,
    copied_back,
    link_instead,
    move,
    sha256_of,
    sync_folder,
    undo_move,
)
from .values import Group, Member

_FOLDER = "undo"
_VERSION = 1


@dataclass(slots=True)
class Cleared:
    """What became of the files of some groups."""

    log: Path | None = None
    """What `undo` takes all of it back with; None if nothing was done."""
    done: list[str] = field(default_factory=list)
    """Places that were moved, or linked, or restored."""
    unchanged: list[str] = field(default_factory=list)
    """Places where there was nothing to be taken back."""
    left: dict[str, str] = field(default_factory=dict)
    """Places that were left as they are, and why."""
    freed: int = 0
    """Bytes that are no longer where they were."""

    def to_json(self) -> dict[str, Any]:
        """As `lookalike duplicates --json` prints it."""
        return {
            "log": None if self.log is None else str(self.log),
            "done": self.done,
            "unchanged": self.unchanged,
            "left": self.left,
            "freed": self.freed,
        }


@dataclass(frozen=True, slots=True)
class _Action:
    """A line of the log: what is about to be done to one file."""

    action: str
    """`move` or `link`."""
    path: str
    """The file, as a place."""
    to: str
    """Where it goes, or what it becomes a link to; as a place."""
    id: str
    """Sha256 of its bytes."""
    mode: int
    modified_ns: int
    label: str | None
    metadata: dict[str, Any]


def apply(collection: Collection, groups: Sequence[Group], move_to: Path | None) -> Cleared:
    """Move all but the one that each group keeps below a folder, or make hard links of them.

    Moved files keep their paths below the folder that all of them have in common, and their places
    are forgotten. Without `move_to`, only those with the very bytes of the one that is kept become
    links: what differs would be lost. `CannotWrite` if the log cannot be written.
    """
    cleared = Cleared()
    log = _Log(collection)
    top = _common_folder(groups)
    try:
        for group in groups:
            kept = _kept(group, cleared)
            if kept is None:
                continue
            for member in (group.keep, *group.others):
                if member.place is kept.place:
                    continue
                try:
                    path = _plain_file(member)
                    if move_to is None:
                        _link(log, member, path, kept)
                    else:
                        _move(collection, log, member, path, move_to / path.relative_to(top))
                except (Refused, OSError) as why:
                    cleared.left[member.place.path] = _reason(why)
                else:
                    cleared.done.append(member.place.path)
                    cleared.freed += member.size
                    cleared.log = log.path
    finally:
        log.close()
    return cleared


def undo(collection: Collection, log: Path) -> Cleared:
    """Take back what a log says was done, the last first; what cannot be is left, with its reason.

    Never overwrites a file. May be run again. `BadUndoLog` if it is no such log, or of another
    collection.
    """
    cleared = Cleared(log)
    for action in reversed(list(_read(log, collection))):
        path, to = disk_path(action.path), disk_path(action.to)
        try:
            if action.action == "move":
                changed = undo_move(path, to, action.id)
            else:
                changed = copied_back(path, to, action.id, action.mode, action.modified_ns)
            changed |= _take_in_again(collection, action)
        except (Refused, OSError, LookalikeError) as why:
            cleared.left[action.path] = _reason(why)
        else:
            (cleared.done if changed else cleared.unchanged).append(action.path)
    return cleared


def _kept(group: Group, cleared: Cleared) -> Member | None:
    """The one that stays, at a place where it surely is; None leaves the whole group alone."""
    reasons = []
    for member in (group.keep, *group.others):
        if member.record.id != group.keep.record.id:
            continue
        try:
            path = _plain_file(member)
            if sha256_of(path) == member.record.id:
                return member
            reasons.append(f"{member.place.path} holds something else by now")
        except (Refused, OSError) as why:
            reasons.append(f"{member.place.path}: {_reason(why)}")
    for member in group.others:
        cleared.left[member.place.path] = f"the one to keep is not safe: {'; '.join(reasons)}"
    return None


def _plain_file(member: Member) -> Path:
    """Its file, if it is one on this disk and no link."""
    place = member.place.path
    if not place.startswith(("/", "file://")):
        raise Refused("it is not a file on this disk")
    path = disk_path(place)
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        inside = "!/" in place
        raise Refused("it lies in an archive" if inside else "it is no longer there") from None
    if not stat.S_ISREG(mode):
        raise Refused("it is no plain file")
    return path


def _move(collection: Collection, log: _Log, member: Member, path: Path, to: Path) -> None:
    _check_bytes(member, path)
    if os.path.lexists(to):
        raise Refused(f"{to} is there already")
    to.parent.mkdir(parents=True, exist_ok=True)
    log.write(_action("move", member, path, to))
    move(path, to)
    collection.forget(member.place.path)


def _link(log: _Log, member: Member, path: Path, kept: Member) -> None:
    if member.record.id != kept.record.id:
        raise Refused("its bytes are not those of the one to keep: only `move` takes it away")
    original = disk_path(kept.place.path)
    if path.samefile(original):
        raise Refused("it is a link already")
    _check_bytes(member, path)
    log.write(_action("link", member, path, original))
    link_instead(path, original)


def _check_bytes(member: Member, path: Path) -> None:
    if sha256_of(path) != member.record.id:
        raise Refused("it has changed since it was indexed: index it again")


def _action(action: str, member: Member, path: Path, to: Path) -> _Action:
    status, place = path.stat(), member.place
    return _Action(
        action,
        place.path,
        place_name(to),
        member.record.id,
        stat.S_IMODE(status.st_mode),
        status.st_mtime_ns,
        place.label,
        dict(place.metadata),
    )


def _take_in_again(collection: Collection, action: _Action) -> bool:
    """A moved file is back: so is its place, with what was said of it. Whether it was not."""
    if action.action != "move":
        return False
    entry = collection.ledger(action.path)
    if entry is not None and entry.id == action.id:
        return False
    collection.add(disk_path(action.path))
    collection.store.describe([Place(action.path, action.label, action.metadata)])
    return True


def _common_folder(groups: Sequence[Group]) -> Path:
    """The deepest folder that holds all files that may be moved."""
    folders = [
        str(disk_path(member.place.path).parent)
        for group in groups
        for member in (group.keep, *group.others)
        if member.place.path.startswith(("/", "file://")) and "!/" not in member.place.path
    ]
    return Path(os.path.commonpath(folders)) if folders else Path("/")


class _Log:
    """JSON lines in the collection's own folder, each durable once it has been written."""

    def __init__(self, collection: Collection) -> None:
        name = f"{time.strftime('%Y-%m-%d-%H%M%S')}-{secrets.token_hex(3)}.jsonl"
        self.path = collection.path.absolute() / _FOLDER / name
        self._collection = str(collection.path.absolute())
        self._descriptor: int | None = None

    def write(self, action: _Action) -> None:
        """Append a line; `CannotWrite` if it may not last."""
        lines = [asdict(action)]
        try:
            if self._descriptor is None:
                self.path.parent.mkdir(exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
                self._descriptor = os.open(self.path, flags, 0o600)
                sync_folder(self.path.parent)
                lines.insert(0, {"lookalike": _VERSION, "collection": self._collection})
            data = "".join(json.dumps(line) + "\n" for line in lines).encode()
            if os.write(self._descriptor, data) != len(data):
                raise OSError("the disk is full")
            os.fsync(self._descriptor)
        except OSError as error:
            raise CannotWrite(self.path.parent, error.strerror or str(error)) from error

    def close(self) -> None:
        """Nothing more is to be done."""
        if self._descriptor is not None:
            os.close(self._descriptor)


def _read(log: Path, collection: Collection) -> Iterator[_Action]:
    """The actions of a log; a last line that was not written whole was not acted upon."""
    try:
        text = log.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadUndoLog(log, getattr(error, "strerror", None) or "it is not text") from error
    first, *lines = text.split("\n")
    try:
        head = json.loads(first)
        if head["lookalike"] != _VERSION:
            raise BadUndoLog(log, "it was written by another version of lookalike")
        if Path(head["collection"]) != collection.path.absolute():
            raise BadUndoLog(log, f"it is of the collection {head['collection']}: name that by -c")
        yield from (_Action(**json.loads(line)) for line in lines[:-1])
    except (ValueError, KeyError, TypeError) as error:
        raise BadUndoLog(log, "it is no log of `lookalike duplicates --apply`") from error


def _reason(why: Exception) -> str:
    """Of a file that could not be moved it is often another, or a folder, that is in the way."""
    if not isinstance(why, OSError) or why.strerror is None:
        return str(why)
    where = why.filename2 or why.filename
    return why.strerror if where is None else f"{why.strerror}: {where}"

"""Folders of files that are there whole or not at all, and tell when they were damaged.

A folder is written under a temporary name, fsynced and renamed. Its `header.json` has the length of
every file and the checksum of each block, and what else its owner wants to say.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

_HEADER = "header.json"
_BLOCK = 1 << 24


class Unusable(Exception):
    """The folder is missing, of another format or damaged; the text says which."""


class Sealed(NamedTuple):
    """What a folder's header says."""

    said: dict[str, Any]
    """By its owner."""
    files: dict[str, Any]
    """By name, the bytes of each and the checksums of its blocks."""


def write(
    folder: Path, version: int, fill: Callable[[Path], None], said: Mapping[str, Any]
) -> None:
    """Make durable under `folder`, which must not exist yet, what `fill` writes into a folder.

    `version`: of the owner's format. If anything is raised nothing is left there.
    """
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        fill(temporary)
        files = {file.name: _checksums(file) for file in sorted(temporary.iterdir())}
        content: dict[str, Any] = {"version": version, "header": dict(said), "files": files}
        content["crc32"] = _checksum_of(content)
        (temporary / _HEADER).write_text(json.dumps(content))
        for path in (*temporary.iterdir(), temporary):
            _fsync(path)
        temporary.rename(folder)
        _fsync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read(folder: Path, version: int) -> Sealed:
    """The header, if it is whole and of this version; `Unusable` if not."""
    try:
        content = json.loads((folder / _HEADER).read_text())
        if content["version"] != version:
            raise Unusable(f"it has format {content['version']}")
        if content.pop("crc32") != _checksum_of(content):
            raise Unusable("its header is damaged")
        return Sealed(content["header"], content["files"])
    except FileNotFoundError as error:
        raise Unusable("it is missing") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable("its header cannot be read") from error


def check_lengths(folder: Path, files: Mapping[str, Any]) -> None:
    """`Unusable` if a file has another length than the header says; `OSError` if one has gone."""
    for name, expected in files.items():
        size = (folder / name).stat().st_size
        if size != expected["bytes"]:
            raise Unusable(f"{name} has {size} bytes instead of {expected['bytes']}")


def check(folder: Path, files: Mapping[str, Any], go_on: Callable[[], bool] = lambda: True) -> None:
    """Read every block of these files; `Unusable` names the first that differs.

    Ends early, without a verdict, once `go_on` says no.
    """
    for name, expected in files.items():
        _compare(folder / name, expected, go_on)


def publish(made: Path, target: Path) -> None:
    """Give what is made, a file or a folder, its name, and let that outlast a power cut."""
    os.sync()
    made.rename(target)
    _fsync(target.parent)


def _compare(path: Path, expected: Mapping[str, Any], go_on: Callable[[], bool]) -> None:
    try:
        pairs = zip_longest(_block_checksums(path), expected["crc32"])
        for number, (found, wanted) in enumerate(pairs):
            if found != wanted:
                raise Unusable(f"{path.name} is damaged in block {number}")
            if not go_on():
                return
    except OSError as error:
        raise Unusable(f"{path.name} cannot be read ({error})") from error


def _checksums(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "crc32": list(_block_checksums(path))}


def _checksum_of(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _block_checksums(path: Path) -> Iterable[int]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield zlib.crc32(block)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Fills the folder of a copy-detection set, a picture at a time."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import sources
from ..decoding import DecodePool
from ..edits import LONGEST_SIDE, Edit, generator, shared
from ..errors import PictureError
from ..picture import jpeg
from ..places import disk_path
from ..types import Pixels
from .casting import Cast, Known
from .layout import COLLECTION, QUERIES, Row


@dataclass(slots=True)
class Done:
    """What one picture gave."""

    rows: list[Row] = field(default_factory=list)
    failures: list[PictureError] = field(default_factory=list)
    bytes: int = 0
    copied: bool = False


class Maker:
    """Copies the collection's pictures as they are, and writes the queries edited."""

    def __init__(
        self, folder: Path, roles: Cast, edits: Sequence[Edit], seed: int, decoder: DecodePool
    ) -> None:
        self._folder = folder
        self._roles = roles
        self._edits = edits
        self._seed = seed
        self._decoder = decoder

    def copied(self, picture: Known) -> Done:
        """A picture of the collection, byte for byte."""
        try:
            self._copy(picture)
        except PictureError as error:
            return Done(failures=[error])
        return Done(bytes=picture.byte_size, copied=True)

    def found(self, picture: Known) -> Done:
        """A picture of the collection, and its edited copies."""
        done = self.copied(picture)
        if done.copied:  # else its queries would have nothing to find
            self._ask(picture, f"{COLLECTION}/{_file_name(picture)}", done)
        return done

    def missed(self, picture: Known) -> Done:
        """What is asked with a picture that is kept out."""
        done = Done()
        self._ask(picture, "", done)
        return done

    def _ask(self, picture: Known, original: str, done: Done) -> None:
        """Every edit of a picture, as a query."""
        try:
            pixels = self._decoded(picture)
            for edit in self._edits:
                name = f"{QUERIES}/{picture.key}-{edit.name}.jpg"
                data = jpeg(self._by(edit, picture, pixels), edit.quality)
                (self._folder / name).write_bytes(data)
                done.rows.append(Row(name, original, edit.name))
                done.bytes += len(data)
        except PictureError as error:
            done.failures.append(error)

    def _by(self, edit: Edit, picture: Known, pixels: Pixels) -> Pixels:
        rng = generator(self._seed, picture.sha256, edit.name)
        if not edit.needs_background:
            return edit(pixels, rng)
        others = [each for each in self._roles.kept_out if each is not picture]
        dice = generator(self._seed, picture.sha256, "background")
        return edit(pixels, rng, self._decoded(others[dice.integers(len(others))]))

    def _decoded(self, picture: Known) -> Pixels:
        """As it is passed on; decoded no larger than that takes."""
        width, height = picture.original_size
        side = math.ceil(LONGEST_SIDE * min(width, height) / max(width, height))
        decoded = self._decoder.decode(sources.encoded_at(picture.place), side)
        if decoded.sha256 != picture.sha256:
            raise PictureError(picture.place, _CHANGED, retry=True)
        return shared(decoded.pixels)

    def _copy(self, picture: Known) -> None:
        copy = self._folder / COLLECTION / _file_name(picture)
        digest = hashlib.sha256()
        with copy.open("wb") as file:
            for piece in _pieces(picture.place):
                digest.update(piece)
                file.write(piece)
        if digest.digest() != picture.sha256:
            copy.unlink()
            raise PictureError(picture.place, _CHANGED, retry=True)


_CHANGED = "it has changed or gone since it was read"
_PIECE = 1 << 20
_ENDINGS = {"JPEG": "jpg", "TIFF": "tif", "HEIF": "heic"}


def _pieces(place: str) -> Iterator[bytes]:
    """The content of a file; less of it if it cannot be read any more, which its hash tells."""
    with contextlib.suppress(OSError), disk_path(place).open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _file_name(picture: Known) -> str:
    """By content and format, not by its own name, which may hold anything."""
    return f"{picture.key}.{_ENDINGS.get(picture.format, picture.format.lower())}"

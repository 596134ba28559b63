"""The files behind records: where they are now, those that came as uploads, and thumbnails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from pathlib import Path

from . import objects, picture, sources
from .decoding import DecodePool, Encoded
from .errors import PictureError
from .places import is_object
from .types import Record
from .uploads import Thumbnails, Uploads


class Originals:
    """Of one collection."""

    def __init__(self, files: Path | str) -> None:
        """`files`: the folder for what is kept, or the URL of one in an object store."""
        self.uploads = Uploads.among(files)
        self._thumbnails = Thumbnails.among(files)

    def of(self, record: Record) -> Encoded:
        """A stored picture as it was; `PictureError` if none of its places is there any more.

        Files come first. An only object is not looked at before it is read, as that is the same
        question: who reads many has them read at once, and is told of those that have gone.
        """
        places = [place.path for place in record.places]
        every = [self._encoded(each) for each in places]
        for place, encoded in zip(places, every, strict=True):
            if encoded is None and sources.exists(place):
                with contextlib.suppress(PictureError):
                    return sources.encoded_at(place)
            elif encoded is not None and encoded.path is not None and encoded.path.is_file():
                return encoded
        distant = [each for each in every if each is not None and each.url is not None]
        for each in distant:
            if len(distant) == 1 or objects.exists(str(each.url)):
                return each
        raise PictureError(record.path, "it is no longer where it was", retry=True)

    def _encoded(self, place: str) -> Encoded | None:
        """Of an upload or an object; None for any other place, whose file is to be looked for."""
        if self.uploads.owns(place):
            return self.uploads.encoded(place)
        return Encoded(place, url=place) if is_object(place) else None

    def thumbnail(self, record: Record, side: int, decoder: Callable[[], DecodePool]) -> bytes:
        """A JPEG, its long side at most `side` pixels; kept once made."""
        content = self._thumbnails.get(record.id, side)
        if content is None:
            decoded = decoder().decode(self.of(record), side)
            if decoded.sha256.hex() != record.id:
                reason = "its file holds another picture by now: index it again"
                raise PictureError(record.path, reason, retry=True)
            content = picture.thumbnail(decoded, side)
            self._thumbnails.keep(record.id, side, content)
        return content

    def drop(self, record: Record, forgotten: Collection[str]) -> None:
        """Delete what is kept for the sake of these places alone, which are to be forgotten."""
        left = [place.path for place in record.places if place.path not in forgotten]
        if not any(map(self.uploads.owns, left)) and any(map(self.uploads.owns, forgotten)):
            self.uploads.drop(record.id)
        if not left:
            self._thumbnails.drop(record.id)

    def drop_thumbnails_unless(self, is_stored: Callable[[str], bool]) -> None:
        """Delete those of pictures that are stored no more."""
        self._thumbnails.drop_unless(is_stored)

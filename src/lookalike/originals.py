"""The files behind records: where they are now, those that came as uploads, and thumbnails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import picture, sources
from .decoding import DecodePool, Encoded
from .errors import PictureError
from .types import Record
from .uploads import Thumbnails, Uploads


class Originals:
    """Of one collection, in its folder."""

    def __init__(self, folder: Path) -> None:
        self._uploads = Uploads(folder / "uploads")
        self._thumbnails = Thumbnails(folder / "thumbnails")

    def of(self, record: Record) -> Encoded:
        """A stored picture as it was; `PictureError` if none of its places is there any more."""
        for place in record.places:
            try:
                if self._uploads.owns(place.path):
                    return self._uploads.encoded(place.path)
                if sources.exists(place.path):
                    return sources.encoded_at(place.path)
            except PictureError:
                continue
        raise PictureError(record.path, "it is no longer where it was", retry=True)

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

    def place(self, sha256: bytes, name: str) -> str:
        """What an upload of this name is called as a place."""
        return self._uploads.place(sha256, name)

    def keep(self, sha256: bytes, data: bytes) -> None:
        """Keep the bytes of an upload."""
        self._uploads.keep(sha256, data)

    def drop(self, id: str) -> None:
        """Delete what is kept of a picture that is forgotten."""
        self._uploads.drop(id)
        self._thumbnails.drop(id)

    def drop_thumbnails_unless(self, is_stored: Callable[[str], bool]) -> None:
        """Delete those of pictures that are stored no more."""
        self._thumbnails.drop_unless(is_stored)

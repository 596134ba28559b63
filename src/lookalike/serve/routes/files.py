"""The bytes of stored pictures: as they came, and as thumbnails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import PurePosixPath
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from ...collection import Collection
from ...decoding import at_hand
from ...errors import PictureError, PictureUnreachable
from ...picture import HEAD_BYTES, sniff
from ...types import Record
from ..describing import PREFIX
from ..problems import Refused
from ..served import Named, record_of

router = APIRouter(prefix=PREFIX, tags=["pictures"])
_FOR_A_YEAR = "private, max-age=31536000, immutable"
_SIDES = (64, 128, 256, 384, 512, 768, 1024)
"""The sizes that are made. Each is kept, so not every size that somebody asks for can be one."""
_SHOWN = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
}
"""Formats that browsers show, by what `sniff` calls them; all others are saved as files."""
_SAVED = {"TIFF": "image/tiff", "HEIF": "image/heif"}
_PIECE = 1 << 20
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Not changed."}}


@router.get(
    "/{name}/pictures/{id}/thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": _BINARY}}, **_UNCHANGED},
)
def thumbnail(
    request: Request,
    collection: Named,
    id: str,
    side: Annotated[
        int, Query(ge=_SIDES[0], le=_SIDES[-1], description=f"Pixels, or the next of {_SIDES}.")
    ] = 256,
) -> Response:
    """A JPEG of a stored picture, `side` pixels long or the next size; never enlarged."""
    side = next(each for each in _SIDES if each >= side)
    headers = _kept_for_a_year(f"{record_of(collection, id).id}-{side}")
    if _has(request, headers):
        return Response(status_code=304, headers=headers)
    return Response(_thumbnail(collection, id, side), 200, headers, "image/jpeg")


@router.get(
    "/{name}/pictures/{id}/original",
    response_class=Response,
    responses={
        200: {"content": dict.fromkeys((*_SHOWN.values(), *_SAVED.values()), _BINARY)},
        **_UNCHANGED,
    },
)
def original(request: Request, collection: Named, id: str) -> Response:
    """A stored picture as it came, byte for byte.

    Its type goes by its bytes; what browsers do not show is saved as a file.
    """
    record = record_of(collection, id)
    headers = _kept_for_a_year(record.id)
    if _has(request, headers):
        return Response(status_code=304, headers=headers)
    file, length, head = _opened(collection, record)
    kind = sniff(head) or ""
    how = "inline" if kind in _SHOWN else "attachment"
    headers["Content-Disposition"] = f"{how}; filename*=UTF-8''{_file_name(record)}"
    headers["Content-Length"] = str(length)
    media_type = _SHOWN.get(kind) or _SAVED.get(kind, "application/octet-stream")
    return StreamingResponse(_pieces(file), 200, headers, media_type)


def _kept_for_a_year(tag: str) -> dict[str, str]:
    return {"ETag": f'"{tag}"', "Cache-Control": _FOR_A_YEAR}


def _has(request: Request, headers: dict[str, str]) -> bool:
    """Whether who asks has it already."""
    return headers["ETag"] in request.headers.get("if-none-match", "")


def _opened(collection: Collection, record: Record) -> tuple[BinaryIO, int, bytes]:
    """The file, at its beginning, its length and its head; 404 if it is another one by now."""
    try:
        (encoded,) = at_hand([collection.original_of(record)], collection.limits.file_bytes)
        if isinstance(encoded, PictureError):
            raise encoded
        file = encoded.path.open("rb") if encoded.path else BytesIO(encoded.data or b"")
    except PictureUnreachable:
        raise
    except (PictureError, OSError) as error:
        raise _gone("it is no longer where it was") from error
    digest, length, head = hashlib.sha256(), 0, b""
    try:
        for piece in iter(lambda: file.read(_PIECE), b""):
            head = head or piece[: max(HEAD_BYTES, 4096)]
            length += len(piece)
            if length > collection.limits.file_bytes:
                raise _gone("its file holds another picture by now")
            digest.update(piece)
        if digest.hexdigest() != record.id:
            raise _gone("its file holds another picture by now")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file, length, head


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


def _file_name(record: Record) -> str:
    name = PurePosixPath(record.path).name
    return quote(name if PurePosixPath(name).suffix else f"{name}.{record.format.lower()}", safe="")


def _gone(why: str) -> Refused:
    return Refused(404, "no-original", f"the picture cannot be had: {why}")


def _thumbnail(collection: Collection, id: str, side: int) -> bytes:
    try:
        return collection.thumbnail(id, side)
    except PictureError as error:
        is_busy = error.retry and not error.recognised
        if is_busy or isinstance(error, PictureUnreachable):
            raise
        raise Refused(404, "no-thumbnail", str(error)) from error

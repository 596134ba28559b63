"""Untrusted bytes -> `Picture`, within limits: the only place where pictures are decoded.

These functions run in the calling process and can hang or crash on hostile bytes;
`lookalike.decoding` runs them in processes that can be killed.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from lookalike.errors import BadQuery, PictureError
from lookalike.types import Limits, Picture, Pixels

if TYPE_CHECKING:
    from PIL import ImageCms

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF")
"""The formats that are read, by the names that `Picture.format` uses."""

HEAD_BYTES = 32
"""How many first bytes `sniff` needs."""

UNRECOGNISED = "not a picture in a format we read (JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC, AVIF)"
EMPTY = "an empty file"


def sniff(head: bytes) -> str | None:
    """The format of a file, one of `FORMATS`, by its first bytes (32 or more of them).

    None: nothing that we read. The name's ending plays no part.
    """
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    # Two letters alone would take every text that begins with "BMW": the length of the second
    # header, which stands next to them, is 12 to 124 in all known versions.
    if head[:2] == b"BM" and len(head) >= 18 and int.from_bytes(head[14:18], "little") < 4096:
        return "BMP"
    if head[4:8] == b"ftyp":
        return _brand(head)
    return None


def decode(data: bytes, *, source: str, shortest_side: int, limits: Limits) -> Picture:
    """The picture in these encoded bytes: upright, sRGB, without transparency, first frame only.

    It is shrunk by a whole number as far as its short side keeps at least `shortest_side` pixels,
    a JPEG while it decodes; 0 keeps the full size. `source` is the name used in messages.

    Raises `PictureError` for everything that is not a whole picture within `limits`.
    """
    if not data:
        raise PictureError(source, EMPTY, recognised=False)
    kind = sniff(data[:4096])
    if kind is None:
        raise PictureError(source, UNRECOGNISED, recognised=False)
    if len(data) > limits.file_bytes:
        raise PictureError(source, too_long(len(data), limits.file_bytes))
    with _refusals(source, kind, limits):
        if kind == "WEBP":
            # Its decoder allocates two canvases as soon as it is made.
            _check_size(source, _webp_size(data), limits)
        image = _open(kind, data)
        _check_size(source, image.size, limits)
        width, height = image.size
        if shortest_side and kind == "JPEG":
            image.draft(None, (shortest_side, shortest_side))
        upright, turned = _upright(image)
        pixels = _array(_shrunk(_flat(upright), shortest_side))
    return Picture(
        pixels=pixels,
        sha256=hashlib.sha256(data).digest(),
        format=kind,
        original_size=(height, width) if turned else (width, height),
        byte_size=len(data),
    )


def thumbnail(picture: Picture, side: int) -> bytes:
    """A JPEG of the picture whose long side has at most `side` pixels; never enlarged."""
    image = Image.fromarray(picture.pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _jpeg(image, 85)


def jpeg(pixels: Pixels, quality: int) -> bytes:
    """The pixels, uint8 [h, w, 3], as a JPEG of this quality, 1 to 100, without EXIF."""
    return _jpeg(Image.fromarray(pixels), quality)


def png(pixels: Pixels, software: str) -> bytes:
    """The pixels, uint8 [h, w, 3], as a PNG that says what made it."""
    said = PngInfo()
    said.add_text("Software", software)
    encoded = BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", pnginfo=said)
    return encoded.getvalue()


def from_pixels(pixels: npt.NDArray[Any]) -> Picture:
    """A picture of ready pixels: uint8 [h, w, 3] RGB, [h, w] grey, or [h, w, 4] with alpha.

    Grey becomes RGB, transparent pixels become white, and equal results have equal `sha256`
    (of shape and bytes). The array is copied. Raises `BadQuery` for anything else.
    """
    array = np.asarray(pixels)
    if array.dtype != np.uint8:
        raise BadQuery(
            f"pixels must be uint8, 0 to 255, but these are {array.dtype}; "
            "scale them and convert them with `.astype('uint8')`."
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise BadQuery(
            "pixels must have the shape [height, width, 3], or [height, width] for grey, "
            f"or [height, width, 4] with alpha, but these have {list(array.shape)}."
        )
    if array.size == 0:
        raise BadQuery(f"there are no pixels in an array of shape {list(array.shape)}.")
    if array.ndim == 3 and array.shape[2] == 3:
        flat = np.array(array, order="C", copy=True)
        flat.flags.writeable = False
    else:
        flat = _array(_flat(Image.fromarray(np.ascontiguousarray(array))))
    shape = struct.pack("<3q", *flat.shape)
    return Picture(
        pixels=flat,
        sha256=hashlib.sha256(shape + flat.tobytes()).digest(),
        format="ARRAY",
        original_size=(flat.shape[1], flat.shape[0]),
        byte_size=array.nbytes,
    )


def from_pil(image: Image.Image) -> Picture:
    """A picture of a Pillow image, made upright and flattened the way `decode` does.

    Raises `BadQuery` if it has no pixels, `PictureError` if its file cannot be decoded.
    """
    if 0 in image.size:
        raise BadQuery("there are no pixels in this image.")
    with _refusals("the given image", image.format or "picture", Limits()):
        upright, _ = _upright(image)
        pixels = _array(_flat(upright))
    return from_pixels(pixels)


def too_long(size: int, limit: int) -> str:
    """The reason for refusing a file of `size` bytes."""
    return f"{_tenths_up(size)} MB, over the limit of {limit / 1e6:g}"


def too_hungry(limits: Limits) -> str:
    """The reason for refusing what does not fit into `limits.memory_bytes`."""
    return f"decoding needed more than {limits.memory_bytes / 1e9:g} GB"


_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)

_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)


def _brand(head: bytes) -> str | None:
    """HEIF, AVIF or None (a film, say) from the brands of an ISO base media file."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    compatible = {head[at : at + 4] for at in range(16, length - 3, 4)}
    major = head[8:12]
    if major in _AVIF_BRANDS:
        return "AVIF"
    if major not in _HEIF_BRANDS:
        return None
    generic = major in (b"mif1", b"msf1")
    return "AVIF" if generic and compatible & _AVIF_BRANDS else "HEIF"


_CLASSES = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
}


def _open(kind: str, data: bytes) -> ImageFile.ImageFile:
    """The image with its header read.

    By its class, not by `Image.open`: no other format can be tried, no JPEG is taken for a
    series, and the limit of pixels is ours alone.
    """
    return _opener(kind)(BytesIO(data))


@cache
def _opener(kind: str) -> Callable[[BytesIO], ImageFile.ImageFile]:
    module_name, class_name = _CLASSES[kind]
    module = importlib.import_module(module_name)
    # One thread: more would take address space of their own, and the pool has a process a core.
    if kind == "AVIF":
        module.DEFAULT_MAX_THREADS = 1  # type: ignore[attr-defined]
    elif kind == "HEIF":
        module.options.DECODE_THREADS = 1
        # Side images are never looked at: what is not parsed cannot do harm.
        module.options.THUMBNAILS = False
        module.options.DEPTH_IMAGES = False
        module.options.AUX_IMAGES = False
    return cast(Callable[[BytesIO], ImageFile.ImageFile], getattr(module, class_name))


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas. See RFC 9649, sections 2.5 to 2.7."""
    chunk, body = data[12:16], data[20:30]
    if chunk == b"VP8X":
        return (
            int.from_bytes(body[4:7], "little") + 1,
            int.from_bytes(body[7:10], "little") + 1,
        )
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", body[6:10])
    return width & 0x3FFF, height & 0x3FFF


def _check_size(source: str, size: tuple[int, int], limits: Limits) -> None:
    pixels = size[0] * size[1]
    if pixels > limits.pixels:
        reason = f"{_tenths_up(pixels)} megapixels, over the limit of {limits.pixels / 1e6:g}"
        raise PictureError(source, reason)


def _tenths_up(count: int) -> str:
    """Millions, rounded up so that what is over a limit also reads as over it."""
    return f"{math.ceil(count / 1e5) / 10:,.1f}"


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image: Image.Image) -> tuple[Image.Image, bool]:
    """The image, loaded and turned as its EXIF says; and whether width and height changed places.

    Loaded first: some formats turn themselves while they load, or carry EXIF behind the pixels.
    """
    image.load()
    try:
        orientation = image.getexif().get(0x0112)
    except _RAISED:  # broken EXIF does not make a broken picture
        orientation = None
    if orientation not in _TURNS:
        return image, False
    return image.transpose(_TURNS[orientation]), orientation >= 5


def _shrunk(image: Image.Image, shortest_side: int) -> Image.Image:
    """Averaged over squares, so that what leaves a worker stays small."""
    factor = min(image.size) // shortest_side if shortest_side else 1
    return image.reduce(factor) if factor > 1 else image


def _flat(image: Image.Image) -> Image.Image:
    """The image as 8-bit RGB in sRGB, on white where it is transparent."""
    profile = image.info.get("icc_profile")
    if image.mode[0] in "IF":
        image = _eight_bit(image)
    elif image.has_transparency_data:
        image = _on_white(image)
    if profile and (transform := _to_srgb(profile, image.mode)):
        image = transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image)
    return flat


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or floating point, as 8 bits.

    16-bit values lose their low byte. Wider ones are taken as they are up to 255 (floats up to 1:
    times 255), else as 16-bit values, else as parts of the largest. NaN is black.
    """
    values = np.asarray(image)
    if values.dtype.itemsize == 2:
        grey = (values >> 8).astype(np.uint8)
    else:
        wide = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        largest = float(wide.max())
        if largest <= 1 and image.mode == "F":
            top = 1.0
        else:
            top = next((top for top in (255.0, 65535.0) if largest <= top), largest)
        grey = np.clip(np.rint(wide * (255 / top)), 0, 255).astype(np.uint8)
    if isinstance(transparent := image.info.get("transparency"), int):
        grey[values == transparent] = 255
    return Image.fromarray(grey)


@lru_cache(maxsize=8)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What turns `mode` (L, RGB, CMYK) with this ICC profile into sRGB.

    None where nothing needs doing or the profile is broken or of another colour space. Cached,
    because the pictures of one camera share one profile.
    """
    from PIL import ImageCms

    space = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}.get(mode)
    try:
        given = ImageCms.ImageCmsProfile(BytesIO(profile))
        if given.profile.xcolor_space.strip() != space:
            return None
        if "srgb" in (given.profile.profile_description or "").lower():
            return None
        return ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, ImageCms.PyCMSError, ValueError, TypeError):
        return None


def _jpeg(image: Image.Image, quality: int) -> bytes:
    encoded = BytesIO()
    image.save(encoded, "JPEG", quality=quality, optimize=True)
    return encoded.getvalue()


def _array(image: Image.Image) -> Pixels:
    """uint8 [h, w, 3], read-only: a picture is a value."""
    array: Pixels = np.asarray(image)
    array.flags.writeable = False
    return array


# What Pillow's parsers are known to raise on hostile bytes, beside what they document.
_RAISED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

# Pillow says in English what is wrong; the first of these found in it decides what we say.
_REASONS = (
    ("memory", ""),
    ("truncated", "the file ends too early (truncated)"),
    ("end of file", "the file ends too early (truncated)"),
    ("eof", "the file ends too early (truncated)"),
    ("requires a buffer", "the file ends too early (truncated)"),
    ("incomplete", "the file ends too early (truncated)"),
    ("decompressed data too large", "its text or colour profile unpacks to too much"),
    ("too many text chunks", "its text or colour profile unpacks to too much"),
    ("text memory", "its text or colour profile unpacks to too much"),
    ("exceeds limit", "larger than the decoder allows"),
    ("unsupported", "a kind of {format} that we do not read"),
    ("not supported", "a kind of {format} that we do not read"),
    ("cannot handle", "a kind of {format} that we do not read"),
    ("unknown pixel mode", "a kind of {format} that we do not read"),
    ("unknown data organization", "a kind of {format} that we do not read"),
)


@contextmanager
def _refusals(source: str, kind: str, limits: Limits) -> Iterator[None]:
    """Turns all that decoding raises into `PictureError`, and keeps its warnings in."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MemoryError:
        raise PictureError(source, too_hungry(limits)) from None
    except _RAISED as error:
        raise PictureError(source, _reason(str(error), kind, limits)) from None


def _reason(said: str, kind: str, limits: Limits) -> str:
    name = {"WEBP": "WebP", "HEIF": "HEIC"}.get(kind, kind)
    for words, reason in _REASONS:
        if words in said.lower():
            return reason.format(format=name) or too_hungry(limits)
    return f"a damaged {name}"

"""What untrusted bytes become, against values that are known by construction."""

from __future__ import annotations

import hashlib
import struct
import zlib
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from lookalike.errors import BadQuery, PictureError
from lookalike.picture import FORMATS, decode, from_pil, from_pixels, sniff, thumbnail
from lookalike.types import Limits, Picture

pillow_heif.register_heif_opener()  # so that Pillow can write it
WHITE = (255, 255, 255)
RED = (200, 30, 40)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    made = BytesIO()
    image.save(made, format, **options)
    return made.getvalue()


def decoded(data: bytes, shortest_side: int = 0, limits: Limits | None = None) -> Picture:
    return decode(data, source="a.file", shortest_side=shortest_side, limits=limits or Limits())


def reason(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(PictureError) as caught:
        decoded(data, limits=limits)
    assert caught.value.source == "a.file"
    return caught.value.reason


def colours(picture: Picture) -> npt.NDArray[np.float64]:
    """The mean colour, rounded: enough for a picture of one colour."""
    return np.rint(np.mean(picture.pixels, axis=(0, 1), dtype=np.float64))


def quarters() -> Image.Image:
    """32 x 16 pixels: red, green over blue, grey; no two of its eight orientations are equal."""
    image = Image.new("RGB", (32, 16), RED)
    image.paste((20, 160, 40), (16, 0, 32, 8))
    image.paste((10, 20, 180), (0, 8, 16, 16))
    image.paste((128, 128, 128), (16, 8, 32, 16))
    return image


def noise(width: int, height: int) -> Image.Image:
    """Noise that is coarse enough for JPEG to keep."""
    pixels = np.random.default_rng(7).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


@cache
def large(format: str) -> bytes:
    """1,604 x 1,203 of it."""
    return encoded(noise(1604, 1203), format)


def png_chunk(name: bytes, body: bytes) -> bytes:
    check = zlib.crc32(name + body)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + b"".join(chunks)


# ---- Formats ----


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_read_and_named(format: str) -> None:
    data = encoded(Image.new("RGB", (40, 24), RED), format)
    picture = decoded(data)
    assert picture.format == format == sniff(data[:32])
    assert picture.pixels.shape == (24, 40, 3)
    assert picture.pixels.dtype == np.uint8
    assert picture.original_size == (40, 24)
    assert picture.byte_size == len(data)
    assert picture.sha256 == hashlib.sha256(data).digest()
    assert np.abs(colours(picture) - RED).max() <= 4


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_keep_every_pixel(format: str) -> None:
    image = noise(48, 32)
    assert np.array_equal(decoded(encoded(image, format)).pixels, np.asarray(image))


def test_lossless_webp_keeps_every_pixel() -> None:
    image = noise(48, 32)
    picture = decoded(encoded(image, "WEBP", lossless=True))
    assert np.array_equal(picture.pixels, np.asarray(image))


@pytest.mark.parametrize(
    "compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd"]
)
def test_compressed_tiff_is_read(compression: str) -> None:
    picture = decoded(encoded(Image.new("RGB", (40, 24), RED), "TIFF", compression=compression))
    assert np.abs(colours(picture) - RED).max() <= 4


def test_a_photo_of_several_pictures_is_its_first() -> None:
    second = Image.new("RGB", (32, 16), "blue")
    data = encoded(Image.new("RGB", (32, 16), RED), "MPO", save_all=True, append_images=[second])
    picture = decoded(data)
    assert picture.format == "JPEG"
    assert np.abs(colours(picture) - RED).max() <= 4


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_an_animation_is_its_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (32, 16), colour) for colour in ("blue", "lime")]
    data = encoded(Image.new("RGB", (32, 16), RED), format, save_all=True, append_images=frames)
    assert np.abs(colours(decoded(data)) - RED).max() <= 4


@pytest.mark.parametrize(
    "head",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"\xc5\xd0\xd3\xc6" + bytes(40),
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"\xd7\xcd\xc6\x9a" + bytes(40),
        b"\0\0\0\x18ftypisom\0\0\2\0isommp42" + bytes(40),
        b"RIFF\x24\0\0\0WAVEfmt " + bytes(40),
        b"BMW and other makes of cars, in a text of some length",
        b"P6 2 2 255\n" + bytes(40),
        b"8BPS\0\1" + bytes(40),
        b"\0" * 64,
        b"\xff\xd8",
    ],
)
def test_what_is_no_picture_of_ours_is_not_recognised(head: bytes) -> None:
    assert sniff(head) is None
    with pytest.raises(PictureError, match="not a picture in a format we read") as caught:
        decoded(head)
    assert not caught.value.recognised
    assert not caught.value.retry


def test_avif_under_a_generic_brand_is_told_by_its_compatible_brands() -> None:
    data = encoded(noise(32, 32), "AVIF")
    assert data[8:12] == b"avif"
    generic = data[:8] + b"mif1" + data[12:]
    assert sniff(generic[:32]) == "AVIF"
    assert sniff(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic") == "HEIF"


# ---- Orientation ----


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(format: str, orientation: int) -> None:
    upright = np.asarray(quarters()).astype(int)
    stored = {  # what a camera holding it so would have stored, by EXIF 2.3, 4.6.4 A
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
    options |= {"lossless": True} if format == "WEBP" else {}
    image = Image.fromarray(np.ascontiguousarray(stored).astype(np.uint8))
    picture = decoded(encoded(image, format, exif=exif, **options))
    assert picture.original_size == (32, 16)
    assert picture.pixels.shape == (16, 32, 3)
    assert np.abs(picture.pixels.astype(int) - upright).max() <= 6


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientation_is_applied_once_where_the_container_turns_too(
    format: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}.get(
        orientation, Image.Transpose.ROTATE_270
    )
    image = quarters().resize((128, 64), Image.Resampling.NEAREST)
    picture = decoded(encoded(image.transpose(turned), format, quality=95, exif=exif.tobytes()))
    assert picture.original_size == (128, 64)
    difference = picture.pixels.astype(int) - np.asarray(image)
    assert np.abs(difference)[8:24, 8:24].max() <= 12
    assert np.abs(difference)[40:56, 104:120].max() <= 12


def test_the_original_size_is_upright_and_before_shrinking() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decoded(encoded(noise(1600, 1200), "JPEG", exif=exif), shortest_side=150)
    assert picture.original_size == (1200, 1600)
    assert picture.pixels.shape == (200, 150, 3)


def test_broken_exif_does_not_refuse_the_picture() -> None:
    data = encoded(Image.new("RGB", (32, 16), RED), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.abs(colours(decoded(data)) - RED).max() <= 4


# ---- Shrinking ----


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("shortest_side", [50, 100, 150, 151, 224, 299, 300, 599, 601, 1300])
def test_a_picture_is_shrunk_but_never_below_the_shortest_side(
    form: str, shortest_side: int
) -> None:
    picture = decoded(large(form), shortest_side)
    height, width, _ = picture.pixels.shape
    assert height >= min(shortest_side, 1203)
    assert height < 2 * shortest_side or height == 1203
    assert picture.original_size == (1604, 1203)
    assert abs(width / height - 1604 / 1203) < 0.02


def test_a_shrunk_jpeg_shows_the_same_picture() -> None:
    image = noise(800, 640)
    picture = decoded(encoded(image, "JPEG", quality=95), shortest_side=150)
    assert picture.pixels.shape == (160, 200, 3)
    expected = np.asarray(image.resize((200, 160), Image.Resampling.BOX)).astype(int)
    assert np.abs(picture.pixels - expected).mean() < 3


def test_zero_keeps_the_full_size() -> None:
    assert decoded(encoded(noise(800, 640), "JPEG")).pixels.shape == (640, 800, 3)


# ---- Colours ----


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_transparent_pixels_become_white(format: str) -> None:
    image = Image.new("RGBA", (32, 16), (*RED, 0))
    image.paste((*RED, 255), (0, 0, 16, 16))
    pixels = decoded(encoded(image, format, quality=100)).pixels
    assert np.abs(pixels[4, 4].astype(int) - RED).max() <= 6
    assert np.abs(pixels[4, 28].astype(int) - WHITE).max() <= 3


def test_half_transparent_pixels_are_half_white() -> None:
    picture = decoded(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "PNG"))
    assert (picture.pixels == 127).all()


def test_grey_with_alpha_is_flattened() -> None:
    image = Image.new("LA", (8, 8), (50, 0))
    image.paste((50, 255), (0, 0, 4, 8))
    pixels = decoded(encoded(image, "PNG")).pixels
    assert (pixels[:, :4] == 50).all()
    assert (pixels[:, 4:] == 255).all()


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_transparent_palette_entry_becomes_white(format: str) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, *RED, 0, 0, 255])
    image.paste(2, (4, 0, 8, 8))
    pixels = decoded(encoded(image, format, transparency=2)).pixels
    assert (pixels[:, :4] == RED).all()
    assert (pixels[:, 4:] == 255).all()


def test_a_transparent_colour_of_a_png_becomes_white() -> None:
    image = Image.new("RGB", (8, 8), RED)
    image.paste((1, 2, 3), (4, 0, 8, 8))
    pixels = decoded(encoded(image, "PNG", transparency=(1, 2, 3))).pixels
    assert (pixels[:, :4] == RED).all()
    assert (pixels[:, 4:] == 255).all()


def test_one_bit_is_black_and_white() -> None:
    image = Image.new("1", (8, 8), 0)
    image.paste(1, (4, 0, 8, 8))
    for format in ("PNG", "TIFF", "BMP"):
        pixels = decoded(encoded(image, format)).pixels
        assert (pixels[:, :4] == 0).all()
        assert (pixels[:, 4:] == 255).all()


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_high_byte(format: str) -> None:
    values = np.array([[0, 255, 256, 0x1234, 0x8000, 0xFFFF]], np.uint16)
    pixels = decoded(encoded(Image.fromarray(values), format)).pixels
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 0x12, 0x80, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[-5, 32768, 65535]], np.int32), [0, 128, 255]),
        (np.array([[0, 1 << 30, 1 << 30]], np.int32), [0, 255, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[0.0, 32768.0, 65535.0]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, np.inf, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[np.nan, np.nan, np.nan]], np.float32), [0, 0, 0]),
    ],
)
def test_wide_grey_is_scaled_to_eight_bits(values: Any, expected: list[int]) -> None:
    pixels = decoded(encoded(Image.fromarray(values), "TIFF")).pixels
    assert pixels[0, :, 0].tolist() == expected
    assert (pixels[:, :, 0] == pixels[:, :, 2]).all()


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(format: str) -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    assert np.abs(colours(decoded(encoded(cyan, format))) - (0, 255, 255)).max() <= 4


@pytest.mark.parametrize("mode", ["LAB", "YCbCr"])
def test_other_colour_spaces_become_rgb(mode: str) -> None:
    grey = Image.new(mode, (16, 16), (128, 128, 128))
    red, green, blue = colours(decoded(encoded(grey, "TIFF")))
    assert abs(red - green) <= 3
    assert abs(green - blue) <= 3
    assert 100 < green < 150


def wide_gamut() -> bytes:
    """A profile of which pure green lies far from sRGB's: sRGB with red and green swapped."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", profile, 128)[0]
    places = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    for words in (b"sRGB", "sRGB".encode("utf-16-be")):
        profile = profile.replace(words, words.swapcase().replace(b"s", b"S").replace(b"S", b"X"))
    return bytes(profile)


def test_a_colour_profile_is_applied() -> None:
    data = encoded(Image.new("RGB", (8, 8), (0, 255, 0)), "PNG", icc_profile=wide_gamut())
    assert np.abs(colours(decoded(data)) - (255, 0, 0)).max() <= 2


def test_an_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = noise(32, 32)
    data = encoded(image, "PNG", icc_profile=profile)
    assert np.array_equal(decoded(data).pixels, np.asarray(image))


@pytest.mark.parametrize("profile", [b"nonsense", b"", bytes(200)])
def test_a_broken_colour_profile_is_ignored(profile: bytes) -> None:
    image = noise(32, 32)
    data = encoded(image, "PNG", icc_profile=profile)
    assert np.array_equal(decoded(data).pixels, np.asarray(image))


def test_a_profile_of_another_colour_space_is_ignored() -> None:
    data = encoded(Image.new("L", (8, 8), 90), "PNG", icc_profile=wide_gamut())
    assert (decoded(data).pixels == 90).all()


# ---- Refusals ----


def test_an_empty_file_is_refused() -> None:
    assert reason(b"") == "an empty file"


@pytest.mark.parametrize("format", FORMATS)
def test_a_truncated_file_is_refused(format: str) -> None:
    data = encoded(noise(160, 120), format)
    for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9):
        said = reason(data[: max(33, int(len(data) * share))])
        assert "truncated" in said or "damaged" in said


def test_a_truncated_photo_is_said_to_be_truncated() -> None:
    for format in ("JPEG", "PNG", "BMP", "TIFF"):
        data = encoded(noise(160, 120), format)
        assert reason(data[: len(data) * 3 // 4]) == "the file ends too early (truncated)"


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_bytes_are_decoded_or_refused_with_a_reason(format: str) -> None:
    data = encoded(noise(64, 48), format)
    random = np.random.default_rng(3)
    for _ in range(60):
        hurt = np.frombuffer(data, np.uint8).copy()
        hurt[random.integers(0, len(hurt), 4)] = random.integers(0, 256, 4)
        try:
            assert decoded(hurt.tobytes()).pixels.ndim == 3
        except PictureError as error:
            assert_is_for_a_person(error.reason)


def assert_is_for_a_person(said: str) -> None:
    assert 5 < len(said) < 120
    for word in ("Error", "Traceback", "0x", "None", "<", "object", "__"):
        assert word not in said


def test_too_many_pixels_are_refused_from_the_header() -> None:
    said = reason(png(100_000, 100_000, png_chunk(b"IDAT", zlib.compress(b"\0"))))
    assert said == "10,000.0 megapixels, over the limit of 50"


@pytest.mark.parametrize(
    "data",
    [
        png(8000, 7813, png_chunk(b"IDAT", zlib.compress(b"\0"))),
        b"GIF89a" + struct.pack("<HHBBB", 8000, 7813, 0, 0, 0) + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 8000, 7813, 1, 24, *[0] * 6),
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + b"\0" * 4 + b"\x3f\x1f\0\x84\x1e\0",
    ],
    ids=["PNG", "GIF", "BMP", "WEBP"],
)
def test_the_limit_of_pixels_holds_in_every_format(data: bytes) -> None:
    assert reason(data) == "62.6 megapixels, over the limit of 50"


def test_the_limit_of_pixels_can_be_set() -> None:
    data = encoded(noise(1200, 1000), "JPEG")
    assert reason(data, Limits(pixels=1_000_000)) == "1.2 megapixels, over the limit of 1"
    assert decoded(data, limits=Limits(pixels=1_200_000)).original_size == (1200, 1000)


def test_what_is_just_over_the_limit_also_reads_so() -> None:
    said = reason(encoded(noise(1008, 1000), "PNG"), Limits(pixels=1_000_000))
    assert said == "1.1 megapixels, over the limit of 1"


def test_a_limit_beyond_pillows_own_is_ours_to_set() -> None:
    black = Image.new("L", (19_000, 10_000))
    data = encoded(black, "JPEG", quality=1)
    picture = decoded(data, shortest_side=1250, limits=Limits(pixels=200_000_000))
    assert picture.pixels.shape == (1250, 2375, 3)


def test_a_file_that_is_too_long_is_refused() -> None:
    data = encoded(noise(320, 320), "BMP")
    assert reason(data, Limits(file_bytes=300_000)) == "0.4 MB, over the limit of 0.3"


def test_text_that_unpacks_to_too_much_is_refused() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "a" * 3_000_000, zip=True)
    data = encoded(noise(32, 32), "PNG", pnginfo=text)
    assert reason(data) == "its text or colour profile unpacks to too much"


def test_a_tiff_whose_directory_points_to_itself_ends() -> None:
    data = bytearray(encoded(Image.new("RGB", (16, 16), RED), "TIFF"))
    first = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    assert (colours(decoded(bytes(data))) == RED).all()


def test_warnings_do_not_get_out(recwarn: pytest.WarningsRecorder) -> None:
    data = encoded(Image.new("P", (12_000, 9_000)), "PNG")  # over Pillow's own mark
    assert "megapixels" in reason(data)
    assert not recwarn.list


# ---- Pictures that do not come from files ----


def test_a_thumbnail_is_a_small_jpeg() -> None:
    picture = from_pixels(np.asarray(noise(640, 320)))
    small = decoded(thumbnail(picture, 200))
    assert small.format == "JPEG"
    assert small.original_size == (200, 100)


def test_a_thumbnail_is_never_enlarged_and_never_empty() -> None:
    assert decoded(thumbnail(from_pixels(np.zeros((3, 5, 3), np.uint8)), 200)).original_size == (
        5,
        3,
    )
    strip = from_pixels(np.zeros((1, 4000, 3), np.uint8))
    assert decoded(thumbnail(strip, 100)).original_size == (100, 1)


def test_ready_pixels_are_taken_as_they_are() -> None:
    pixels = np.asarray(noise(48, 32)).copy()
    picture = from_pixels(pixels)
    pixels[:] = 0
    assert np.array_equal(picture.pixels, np.asarray(noise(48, 32)))
    assert (picture.format, picture.original_size) == ("ARRAY", (48, 32))
    assert picture.byte_size == 48 * 32 * 3


def test_grey_and_transparent_pixels_are_flattened() -> None:
    grey = from_pixels(np.full((4, 6), 7, np.uint8))
    assert grey.pixels.shape == (4, 6, 3)
    assert (grey.pixels == 7).all()
    assert (from_pixels(np.zeros((4, 6, 4), np.uint8)).pixels == 255).all()


def test_equal_pixels_have_equal_identities() -> None:
    grey = np.full((4, 6), 7, np.uint8)
    colour = np.full((4, 6, 3), 7, np.uint8)
    assert from_pixels(grey).sha256 == from_pixels(colour).sha256
    assert from_pixels(np.asfortranarray(colour)).sha256 == from_pixels(colour).sha256
    assert from_pixels(colour.reshape(6, 4, 3)).sha256 != from_pixels(colour).sha256


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((4, 4, 3)), "float64"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4), bool), "bool"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.zeros((4, 4, 2), np.uint8), r"\[4, 4, 2\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"\[2, 4, 4, 3\]"),
        (np.zeros(9, np.uint8), r"\[9\]"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 0), np.uint8), "no pixels"),
    ],
)
def test_other_arrays_are_refused_with_a_sentence(pixels: Any, words: str) -> None:
    with pytest.raises(BadQuery, match=words):
        from_pixels(pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
def test_a_pillow_image_of_any_mode_is_a_picture(mode: str) -> None:
    picture = from_pil(Image.new(mode, (9, 5)))
    assert picture.pixels.shape == (5, 9, 3)
    assert picture.format == "ARRAY"


def test_a_pillow_image_looks_as_its_file_does(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    noise(64, 32).save(path, exif=exif)
    with Image.open(path) as image:
        assert np.array_equal(from_pil(image).pixels, decoded(path.read_bytes()).pixels)


def test_a_pillow_image_without_pixels_is_refused() -> None:
    with pytest.raises(BadQuery, match="no pixels"):
        from_pil(Image.new("RGB", (0, 4)))


def test_a_pillow_image_of_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(noise(160, 120), "JPEG")[:1500])
    with Image.open(path) as image, pytest.raises(PictureError, match="truncated"):
        from_pil(image)


def test_pixels_cannot_be_changed() -> None:
    for picture in (
        decoded(encoded(noise(32, 32), "PNG")),
        from_pixels(np.zeros((4, 4, 3), np.uint8)),
        from_pixels(np.zeros((4, 4), np.uint8)),
    ):
        assert not picture.pixels.flags.writeable

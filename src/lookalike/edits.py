"""What people do to a picture before it comes back: crops, captions, filters and the like.

Every edit is a pure function `(pixels, rng) -> pixels`, uint8 [h, w, 3] both, listed in `EDITS`.
Sizes are parts of the picture's own, so an edit is as strong on a small one. No result is empty,
however small the picture.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .errors import UnknownName
from .types import Pixels

LONGEST_SIDE = 1600
"""Pixels: larger pictures are shrunk to it before they are edited, as messengers do."""
QUALITY = 90
"""Of the JPEG that an edited picture is saved as."""

_T = TypeVar("_T")

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
_SURFACES = (BLACK, WHITE, (92, 74, 58), (128, 128, 128), (198, 190, 178))
"""What a print may lie on."""
_VIVID = ((230, 30, 45), (255, 205, 0), (20, 120, 230), (30, 170, 80), (240, 100, 10), BLACK, WHITE)
_CAPTIONS = (
    "when the weekend finally starts",
    "SUMMER SALE: 50% OFF",
    "Happy birthday, Anna!",
    "nobody: me on a Monday morning",
    "Greetings from the seaside",
    "BREAKING NEWS",
    "wait for it...",
    "photo: www.example.com",
)
_LABELS = ("NEW", "SALE", "LOL", "50%", "#1", "WOW", "?!")
_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
"""RGB -> brightness and two axes of colour (NTSC)."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One way to edit a picture."""

    name: str
    what: str
    """What it does, in a line for a person."""
    function: Callable[..., Pixels]
    parameters: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What `function` takes by name."""
    needs_background: bool = False
    """Whether it puts the picture over another one."""
    quality: int = QUALITY
    """Of the JPEG that the result is to be saved as, 1 to 100."""

    def __call__(
        self, pixels: Pixels, rng: np.random.Generator, background: Pixels | None = None
    ) -> Pixels:
        """The edited picture, uint8 [h', w', 3]; `pixels`, uint8 [h, w, 3], stays as it is.

        `background`: uint8 [any, any, 3], the picture below, for edits that need one.
        """
        if self.needs_background:
            return self.function(pixels, rng, background, **self.parameters)
        return self.function(pixels, rng, **self.parameters)


def chosen(names: Iterable[str]) -> list[Edit]:
    """The edits of these names, each once, in the order of `EDITS`; `UnknownName` for others."""
    wanted = set(names)
    for name in sorted(wanted - EDITS.keys()):
        raise UnknownName("edit", name, EDITS)
    return [edit for name, edit in EDITS.items() if name in wanted]


def generator(seed: int, sha256: bytes, purpose: str) -> np.random.Generator:
    """What chance gives a picture for a purpose, such as an edit: the same wherever it is drawn."""
    return np.random.default_rng(int.from_bytes(drawn(seed, sha256, purpose)))


def drawn(seed: int, sha256: bytes, purpose: str) -> bytes:
    """32 bytes that say as much about the picture as dice would."""
    return hashlib.sha256(f"{seed}\0{purpose}\0".encode() + sha256).digest()


def shared(pixels: Pixels) -> Pixels:
    """The picture as it is passed on: no side longer than `LONGEST_SIDE`."""
    height, width, _ = pixels.shape
    scale = LONGEST_SIDE / max(height, width)
    return pixels if scale >= 1 else _resized(pixels, width * scale, height * scale)


def unedited(pixels: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG001
    """The picture itself."""
    return pixels


def crop(pixels: Pixels, rng: np.random.Generator, *, area: float, stretch: float) -> Pixels:
    """A part of `area` (0 to 1), anywhere; its aspect times at most `stretch`, or a part of it."""
    height, width, _ = pixels.shape
    stretched = math.exp(rng.uniform(-1, 1) * math.log(stretch))
    w = min(max(1, round(width * math.sqrt(area * stretched))), width)
    h = min(max(1, round(height * width * area / w)), height)
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    return pixels[top : top + h, left : left + w].copy()


def turn(pixels: Pixels, rng: np.random.Generator, *, degrees: float) -> Pixels:
    """Turned to one side or the other, all of it kept, on a plain ground."""
    height, width, _ = pixels.shape
    angle = degrees * rng.choice((-1, 1))
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    size = math.ceil(width * cos + height * sin), math.ceil(width * sin + height * cos)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), float(angle), 1.0)
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    ground = _one_of(rng, (BLACK, WHITE))
    return _pixels(
        cv2.warpAffine(
            pixels, matrix, size, None, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT, borderValue=ground
        )
    )


def turn_square(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Turned by 90 degrees, to the left or to the right."""
    return np.ascontiguousarray(np.rot90(pixels, rng.choice((1, -1))))


def flip(pixels: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG001
    """Left and right exchanged."""
    return np.ascontiguousarray(pixels[:, ::-1])


def narrow(pixels: Pixels, rng: np.random.Generator, *, width: int) -> Pixels:  # noqa: ARG001
    """Shrunk to so many pixels of width; one that is narrower stays as it is."""
    height, own, _ = pixels.shape
    return pixels.copy() if own <= width else _resized(pixels, width, height * width / own)


def text_and_boxes(
    pixels: Pixels,
    rng: np.random.Generator,
    *,
    text_height: tuple[float, float],
    boxes: int,
    box_side: tuple[float, float],
) -> Pixels:
    """A caption above or below, outlined or on a band, and filled boxes, one with a word in it.

    `text_height`: least and most of a line, as a part of the height; `box_side`: of a box's
    width and height, as parts of the picture's.
    """
    height, width, _ = pixels.shape
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for number in range(boxes):
        w, h = (max(1, round(rng.uniform(*box_side) * side)) for side in (width, height))
        left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
        fill = _one_of(rng, _VIVID)
        draw.rectangle((left, top, left + w - 1, top + h - 1), fill=fill)
        if number == boxes - 1:  # no later one covers it
            label = _one_of(rng, _LABELS)
            _write(draw, label, (left + w / 2, top + h / 2), 0.9 * w, 0.7 * h, _readable_on(fill))
    line = rng.uniform(*text_height) * height
    caption, at_top = _one_of(rng, _CAPTIONS), rng.random() < 0.5
    middle = (width / 2, line if at_top else height - line)
    if rng.random() < 0.5:
        band = _one_of(rng, (BLACK, WHITE))
        edges = (0, 2 * line) if at_top else (height - 2 * line, height)
        draw.rectangle((0, edges[0], width, edges[1]), fill=band)
        _write(draw, caption, middle, 0.94 * width, line, _readable_on(band))
    else:
        _write(draw, caption, middle, 0.94 * width, line, WHITE, outlined=True)
    return np.array(image)


def letterbox(pixels: Pixels, rng: np.random.Generator, *, share: tuple[float, float]) -> Pixels:
    """Two bars of one size: above and below a wide picture, left and right of a tall one.

    `share`: least and most that both together take of the result.
    """
    height, width, _ = pixels.shape
    taken = rng.uniform(*share)
    fill = _one_of(rng, (BLACK, WHITE))
    wide = width >= height
    bar = max(1, round((height if wide else width) * taken / (1 - taken) / 2))
    across, along = (0, bar) if wide else (bar, 0)
    made = cv2.copyMakeBorder(pixels, along, along, across, across, cv2.BORDER_CONSTANT, value=fill)
    return _pixels(made)


def colour(
    pixels: Pixels,
    rng: np.random.Generator,
    *,
    gamma: tuple[float, float],
    saturation: tuple[float, float],
    hue: tuple[float, float],
) -> Pixels:
    """A strong filter: a gamma for each channel, one down, one up, one between; hue; saturation.

    `gamma`, `saturation`, `hue`: least and most; `hue` in degrees, to one side or the other.
    """
    low, high = np.log(gamma)
    powers = np.exp(rng.permutation([low, rng.uniform(low, high) / 2, high]))
    table = (255 * (np.arange(256)[:, None] / 255) ** powers).astype(np.float32)[None]
    turned = math.radians(rng.uniform(*hue) * rng.choice((-1, 1)))
    cos, sin = rng.uniform(*saturation) * np.array([math.cos(turned), math.sin(turned)])
    chroma = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    matrix = np.linalg.inv(_YIQ) @ chroma @ _YIQ
    toned = np.asarray(cv2.transform(cv2.LUT(pixels, table), matrix.astype(np.float32)))
    return _pixels(np.clip(np.rint(toned, out=toned), 0, 255, out=toned))


def grey(pixels: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG001
    """Without colour, still three channels."""
    return _pixels(cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def blur(pixels: Pixels, rng: np.random.Generator, *, sigma: tuple[float, float]) -> Pixels:
    """Out of focus: a Gaussian; `sigma`: least and most, as parts of the longer side."""
    width = rng.uniform(*sigma) * max(pixels.shape[:2])
    return _pixels(cv2.GaussianBlur(pixels, (0, 0), max(width, 0.3)))


def perspective(
    pixels: Pixels,
    rng: np.random.Generator,
    *,
    recedes: tuple[float, float],
    jitter: float,
) -> Pixels:
    """As if photographed from one side, all of it kept, on a plain ground.

    `recedes`: least and most by which the far side is shorter; `jitter`: the most by which each
    corner then moves inwards, as a part of the sides.
    """
    height, width, _ = pixels.shape
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    moved = rng.uniform(0, jitter, (4, 2))
    far, short = rng.integers(4), rng.uniform(*recedes)
    along = far % 2  # sides 0 and 2 lie along x, 1 and 3 along y
    for corner in (far, (far + 1) % 4):
        moved[corner, along] += short / 2
        moved[corner, 1 - along] += short / 3  # what is far is also lower
    inwards = np.where(corners == 0, 1, -1)
    edges = np.array([width, height])
    shown = (corners + inwards * moved) * edges - 0.5
    matrix = cv2.getPerspectiveTransform(
        (corners * edges - 0.5).astype(np.float32), shown.astype(np.float32)
    )
    ground = _one_of(rng, _SURFACES)
    return _pixels(
        cv2.warpPerspective(
            pixels,
            matrix,
            (width, height),
            None,
            cv2.INTER_LINEAR,
            cv2.BORDER_CONSTANT,
            borderValue=ground,
        )
    )


def picture_in_picture(
    pixels: Pixels, rng: np.random.Generator, background: Pixels, *, width: float
) -> Pixels:
    """Anywhere over another picture, with this part of its width.

    The result is as wide as the picture was, so that how small it gets does not hang on the
    background; that is cropped, around its middle, where it is too low or more than twice as high
    as wide.
    """
    height, own, _ = pixels.shape
    w = max(1, round(width * own))
    h = max(1, round(height * w / own))
    below_height, below_width, _ = background.shape
    least = math.ceil(h / 0.9)
    full = max(least, min(round(own * below_height / below_width), 2 * own))
    kept_width = max(1, min(below_width, round(below_height * own / full)))
    kept_height = max(1, min(below_height, round(below_width * full / own)))
    top, left = (below_height - kept_height) // 2, (below_width - kept_width) // 2
    kept = background[top : top + kept_height, left : left + kept_width]
    result = _resized(kept, own, full)
    top, left = rng.integers(full - h + 1), rng.integers(own - w + 1)
    result[top : top + h, left : left + w] = _resized(pixels, w, h)
    return result


_EVERY: Sequence[Edit] = (
    Edit("unedited", "saved again", unedited),
    *(
        Edit(
            f"crop-{percent}",
            f"{percent}% of the area, anywhere",
            crop,
            {"area": percent / 100, "stretch": 1.15},
        )
        for percent in (50, 25, 10)
    ),
    Edit("turn-15", "turned by 15 degrees", turn, {"degrees": 15}),
    Edit("turn-90", "turned by 90 degrees", turn_square),
    Edit("flip", "left and right exchanged", flip),
    Edit("width-96", "shrunk to 96 pixels of width", narrow, {"width": 96}),
    Edit(
        "text-and-boxes",
        "a caption, and boxes over it",
        text_and_boxes,
        {"text_height": (0.08, 0.12), "boxes": 2, "box_side": (0.18, 0.3)},
    ),
    Edit("letterbox", "bars on two sides", letterbox, {"share": (0.2, 0.5)}),
    Edit(
        "colour",
        "a strong filter",
        colour,
        {"gamma": (0.75, 1.35), "saturation": (1.2, 1.8), "hue": (15, 60)},
    ),
    Edit("grey", "without colour", grey),
    Edit("blur", "out of focus", blur, {"sigma": (0.005, 0.01)}),
    Edit(
        "perspective",
        "photographed from one side",
        perspective,
        {"recedes": (0.2, 0.4), "jitter": 0.05},
    ),
    Edit(
        "picture-in-picture",
        "45% of the width of another picture",
        picture_in_picture,
        {"width": 0.45},
        needs_background=True,
    ),
    Edit("jpeg-10", "saved as JPEG of quality 10", unedited, quality=10),
)
EDITS: Mapping[str, Edit] = MappingProxyType({edit.name: edit for edit in _EVERY})
"""Every edit by its name."""


def _write(
    draw: ImageDraw.ImageDraw,
    text: str,
    middle: tuple[float, float],
    width: float,
    height: float,
    colour: tuple[int, ...],
    *,
    outlined: bool = False,
) -> None:
    """One line around `middle`, of this height unless it would be wider than `width`."""
    size = max(1.0, height)
    size *= min(1.0, width / max(1.0, ImageFont.load_default(size).getlength(text)))
    draw.text(
        middle,
        text,
        fill=colour,
        font=ImageFont.load_default(max(1.0, size)),
        anchor="mm",
        stroke_width=max(1, round(size / 14)) if outlined else 0,
        stroke_fill=BLACK,
    )


def _readable_on(fill: tuple[int, ...]) -> tuple[int, int, int]:
    return BLACK if np.dot(fill, (0.299, 0.587, 0.114)) > 128 else WHITE


def _one_of(rng: np.random.Generator, every: Sequence[_T]) -> _T:
    return every[int(rng.integers(len(every)))]


def _resized(pixels: Pixels, width: float, height: float) -> Pixels:
    """To this size, rounded, at least one pixel each way; averaged where it shrinks."""
    size = max(1, round(width)), max(1, round(height))
    shrinks = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return _pixels(cv2.resize(pixels, size, interpolation=way))


def _pixels(made: Any) -> Pixels:
    return np.asarray(made, np.uint8)

"""Two pictures side by side, with what they have in common: a picture for people.

Left the query, right the candidate: every keypoint faintly, those that agree joined by lines, and
the outline of the query where it lies in the candidate, or of the candidate where it lies in the
query.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from .errors import CannotPlot, PictureError
from .pairs import Pair
from .picture import png
from .types import Evidence, LocalFeatures, Picture, Pixels

_SIGNED = "lookalike match"
HEIGHT = 480
"""Pixels of the panel that a picture is shown in, at most; nothing is enlarged more than twice."""
_WIDTH = 640
_GAP = 16
_LINES = 80
"""More of them hide the pictures: the ones drawn are spread over the query."""
_FINE = 4
"""Places are given to OpenCV in parts of a pixel, 1/16."""

_PAPER = (250, 249, 246)
_INK = (38, 38, 42)
_QUIET = (122, 122, 128)
_KEYPOINT = (255, 255, 255)
_OUTLINE = (255, 196, 0)
_HUES = (20, 160)
"""Degrees over 2, OpenCV's: lines from the query's left to its right go from orange to violet."""

_Points = npt.NDArray[np.float64]


def write(pair: Pair, names: Sequence[str], path: Path) -> None:
    """Draw a pair to a .png; `CannotPlot` for another name, and for somebody else's file."""
    if path.suffix.lower() != ".png":
        raise CannotPlot(path, "its name does not end in .png", "-o")
    try:
        if path.exists() and _SIGNED.encode() not in path.read_bytes()[:1000]:
            raise CannotPlot(path, "another file is there, which is not a drawing of ours", "-o")
        path.write_bytes(drawn(pair, names))
    except OSError as error:
        raise CannotPlot(path, (error.strerror or str(error)).lower(), "-o") from error


def drawn(pair: Pair, names: Sequence[str]) -> bytes:
    """A PNG of a pair, captioned; `PictureError` if one of its files has gone."""
    features = None
    with contextlib.suppress(PictureError):
        features = pair.local_features
    pixels = side_by_side(
        *pair.pictures,
        pair.evidence,
        features,
        [text for text in (_said(pair), " | ".join(names)) if text],
    )
    return png(pixels, _SIGNED)


def _said(pair: Pair) -> str:
    if pair.evidence is not None:
        found = f"{pair.evidence.inliers:,} of {pair.evidence.matches:,} matches agree"
        return f"{pair.kinship}: {found}" if pair.kinship else found
    if pair.kinship is not None:
        return f"{pair.kinship}: the same pixels"
    if pair.nothing_found:
        return "nothing in common was found"
    return ", ".join(
        f"{name} {score:.3g}" for name, score in pair.scores.items() if score is not None
    )


def side_by_side(
    query: Picture,
    candidate: Picture,
    evidence: Evidence | None,
    features: tuple[LocalFeatures, LocalFeatures] | None = None,
    caption: Sequence[str] = (),
) -> Pixels:
    """The drawing, uint8 [h, w, 3].

    `features`: of both pictures, drawn faintly. `caption`: lines below, the first one stronger.
    """
    left, right = _panel(query), _panel(candidate)
    height = max(left.shape[0], right.shape[0])
    width = left.shape[1] + _GAP + right.shape[1]
    lines = [_line(text, number == 0, width) for number, text in enumerate(caption)]
    below = sum(line.shape[0] for line in lines)
    canvas = np.full((_GAP * 2 + height + below, width + 2 * _GAP, 3), _PAPER, np.uint8)
    ours = _place(canvas, left, _GAP, height)
    theirs = _place(canvas, right, 2 * _GAP + left.shape[1], height)
    to_left, to_right = _scale(query, left, ours), _scale(candidate, right, theirs)
    if features is not None:
        canvas = _keypoints(canvas, to_left(features[0].xy), to_right(features[1].xy))
    if evidence is not None:
        canvas = _agreeing(canvas, to_left(evidence.query_xy), to_right(evidence.candidate_xy))
        within = _within_query(evidence, candidate)
        if within is not None:
            _outline(canvas, to_left(within), left, ours)
        elif evidence.region is not None:
            _outline(canvas, to_right(evidence.region), right, theirs)
    top = _GAP + height + _GAP // 2
    for line in lines:
        canvas[top : top + line.shape[0], _GAP : _GAP + line.shape[1]] = line
        top += line.shape[0]
    return canvas


def _panel(picture: Picture) -> Pixels:
    """The picture in the size in which it is shown."""
    height, width, _ = picture.pixels.shape
    share = min(HEIGHT / height, _WIDTH / width, 2.0)
    size = max(1, round(width * share)), max(1, round(height * share))
    way = cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture.pixels, size, interpolation=way), np.uint8)


def _place(canvas: Pixels, panel: Pixels, left: int, height: int) -> tuple[int, int]:
    """Put it there, in the middle of the height; x and y of its upper left."""
    top = _GAP + (height - panel.shape[0]) // 2
    canvas[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
    return left, top


def _scale(picture: Picture, panel: Pixels, corner: tuple[int, int]) -> Any:
    """What turns places in the original, [n, 2], into places on the canvas."""
    factors = np.array(panel.shape[1::-1]) / picture.original_size

    def placed(xy: npt.NDArray[Any]) -> _Points:
        return np.asarray((xy + 0.5) * factors - 0.5 + corner, np.float64)

    return placed


def _keypoints(canvas: Pixels, *places: _Points) -> Pixels:
    over = canvas.copy()
    for x, y in np.concatenate(places).tolist():
        cv2.circle(over, _fine(x, y), 2 << _FINE, _KEYPOINT, 1, cv2.LINE_AA, _FINE)
    return _mixed(canvas, over, 0.35)


def _agreeing(canvas: Pixels, starts: _Points, ends: _Points) -> Pixels:
    colours = _colours(starts)
    over = canvas.copy()
    for line in _spread(starts):
        start, end = _fine(*starts[line]), _fine(*ends[line])
        cv2.line(over, start, end, colours[line], 1, cv2.LINE_AA, _FINE)
    canvas = _mixed(canvas, over, 0.6)
    for line in range(len(starts)):
        for place in (starts[line], ends[line]):
            cv2.circle(canvas, _fine(*place), 3 << _FINE, colours[line], -1, cv2.LINE_AA, _FINE)
    return canvas


def _within_query(evidence: Evidence, candidate: Picture) -> _Points | None:
    """The candidate's corners in the query, [4, 2], if that shows more than the candidate has."""
    if evidence.homography is None:
        return None
    width, height = candidate.original_size
    if evidence.region is not None and cv2.contourArea(evidence.region) <= width * height:
        return None
    corners = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)], float)
    there = (corners - (0.5, 0.5, 0)) @ np.linalg.inv(evidence.homography).T
    places = there[:, :2] / there[:, 2:]
    return np.asarray(places, np.float64) if np.isfinite(places).all() else None


def _outline(canvas: Pixels, region: _Points, panel: Pixels, corner: tuple[int, int]) -> None:
    """The one picture's outline, cut off at the other's edge; a dot at its upper left."""
    left, top = corner
    height, width, _ = panel.shape
    inside = canvas[top : top + height, left : left + width]
    # Farther away than any picture is wide, OpenCV's whole numbers would overflow.
    corners = np.clip(region - corner, -20_000, 20_000)
    shape = [np.rint(corners * (1 << _FINE)).astype(np.int32)]
    cv2.polylines(inside, shape, True, _INK, 5, cv2.LINE_AA, _FINE)
    cv2.polylines(inside, shape, True, _OUTLINE, 2, cv2.LINE_AA, _FINE)
    cv2.circle(inside, _fine(*corners[0]), 6 << _FINE, _INK, -1, cv2.LINE_AA, _FINE)
    cv2.circle(inside, _fine(*corners[0]), 5 << _FINE, _OUTLINE, -1, cv2.LINE_AA, _FINE)


def _spread(places: _Points) -> npt.NDArray[np.int64]:
    """Positions of `_LINES` at most, far from each other: each next is farthest from all before."""
    if len(places) <= _LINES:
        return np.arange(len(places))
    chosen = [int(places.sum(axis=1).argmin())]
    away = np.full(len(places), np.inf)
    for _ in range(_LINES - 1):
        away = np.minimum(away, np.linalg.norm(places - places[chosen[-1]], axis=1))
        chosen.append(int(away.argmax()))
    return np.array(chosen)


def _colours(places: _Points) -> list[tuple[int, int, int]]:
    """By how far right they lie, so that a mirror and a turn are seen at a glance."""
    across = places[:, 0] - places[:, 0].min()
    hues = _HUES[0] + across / max(1.0, across.max()) * (_HUES[1] - _HUES[0])
    hsv = np.stack([hues, np.full(len(hues), 190), np.full(len(hues), 255)], axis=1)
    rgb = cv2.cvtColor(np.rint(hsv).astype(np.uint8)[None], cv2.COLOR_HSV2RGB)[0]
    return [(int(r), int(g), int(b)) for r, g, b in rgb]


def _line(text: str, strong: bool, width: int) -> Pixels:
    """A line of text, as wide as there is room."""
    size = 16 if strong else 13
    image = Image.new("RGB", (width, round(size * 1.5)), _PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    if draw.textlength(text, font) > width:
        while text and draw.textlength(f"{text}…", font) > width:
            text = text[:-1]
        text = f"{text}…"
    draw.text((0, size * 1.2), text, fill=_INK if strong else _QUIET, font=font, anchor="ls")
    return np.asarray(image)


def _mixed(below: Pixels, above: Pixels, share: float) -> Pixels:
    return np.asarray(cv2.addWeighted(below, 1 - share, above, share, 0), np.uint8)


def _fine(x: float, y: float) -> tuple[int, int]:
    return round(x * (1 << _FINE)), round(y * (1 << _FINE))

"""Two pictures laid over each other, and compared block by block: what agrees, what has moved.

Blocks are compared by zero-mean normalised correlation of brightness, which colour filters,
contrast and exposure hardly change. Both are blurred alike first, which takes away what JPEG,
another size or bad focus could have changed. Each block is also looked for around its place: what
was pasted over is found nowhere, what moved in the scene is found beside.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..types import Pixels

_SIDE = 256
"""Pixels of the longer side of what both have in common, at most."""
_BLOCK = 20
"""Pixels of a block's side."""
_REACH = 5
"""Pixels that a block is looked for around its place, each way."""
_BLUR = 1.2
"""Pixels, the deviation of the Gaussian."""
_PLAIN = 3.0
"""Grey levels of deviation up to which a block has nothing in it to compare."""
_FOUND = 0.8
"""Correlation, -1 to 1, from which a block is found."""
_CLEARLY = 0.1
"""How much more it correlates beside, where it has moved."""
_LEAST_BLOCKS = 6
"""With something in them; fewer tell nothing."""

_Array = npt.NDArray[np.float64]
_Grey = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Alignment:
    """What the part that two pictures share says of them."""

    blocks: int
    """How many have something in them, in either picture."""
    same: float
    """Their share, 0 to 1, that is found where it belongs."""
    moved: float
    """Their share, 0 to 1, that is found clearly better beside."""
    correlation: float
    """Of those found where they belong, the median."""


def aligned(query: Pixels, candidate: Pixels, homography: _Array) -> Alignment | None:
    """How well they agree under a map from the query's pixels to the candidate's, [3, 3].

    None where too little of one lies over the other, or nothing is to be seen in it.
    """
    laid = _laid(query, candidate, homography)
    if laid is None:
        return None
    ours, theirs, both = laid
    corners = _corners(ours, theirs, both)
    if len(corners) < _LEAST_BLOCKS:
        return None
    around = np.pad(theirs, _REACH, mode="edge")
    responses = np.stack([_response(ours, around, corner) for corner in corners])
    return _judged(corners, responses)


def _laid(
    query: Pixels, candidate: Pixels, homography: _Array
) -> tuple[_Grey, _Grey, npt.NDArray[np.bool_]] | None:
    """Both as the query shows them, cut to what they share; and where both are."""
    height, width = query.shape[:2]
    inside = _warped(np.ones(candidate.shape[:2], np.float32), homography, (width, height)) > 0.99
    if inside.sum() < _LEAST_BLOCKS * _BLOCK**2 // 4:
        return None
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    left, top = columns[0], rows[0]
    wide, high = columns[-1] + 1 - left, rows[-1] + 1 - top
    middle = np.array([left + wide / 2, top + high / 2])
    growth = _growth(homography, middle)
    # Neither is enlarged: the coarser of them decides.
    share = min(1.0, _SIDE / max(wide, high), growth)
    size = max(1, round(wide * share)), max(1, round(high * share))
    # From the common frame to the query: a pixel's middle is a whole number in both.
    frame = np.array(
        [
            [1 / share, 0, left + 0.5 / share - 0.5],
            [0, 1 / share, top + 0.5 / share - 0.5],
            [0, 0, 1],
        ]
    )
    ours = _warped(_blurred(query, 1 / share), frame, size)
    theirs = _warped(_blurred(candidate, growth / share), homography @ frame, size)
    # What the blur has carried over the edge of what is shared, such as a bar, does not count.
    both = cv2.erode(
        inside.astype(np.float32), np.ones((3, 3)), iterations=round(2 * _BLUR / share)
    )
    return ours, theirs, _warped(np.asarray(both, np.float32), frame, size) > 0.99


def _corners(ours: _Grey, theirs: _Grey, both: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Upper left of every block that is in both and has something in one: int64 [n, 2], x and y."""
    height, width = ours.shape
    found = [
        (left, top)
        for top in range(0, height - _BLOCK + 1, _BLOCK)
        for left in range(0, width - _BLOCK + 1, _BLOCK)
        if both[block := _block(left, top)].all()
        and max(_contrast(ours[block]), _contrast(theirs[block])) > _PLAIN
    ]
    return np.array(found, np.int64).reshape(-1, 2)


def _response(ours: _Grey, around: _Grey, corner: npt.NDArray[np.int64]) -> _Grey:
    """Correlations of our block with theirs, float32 [11, 11]; where it belongs is the middle.

    `around`: theirs, with `_REACH` pixels more on every side.
    """
    left, top = corner
    side = _BLOCK + 2 * _REACH
    window = around[top : top + side, left : left + side]
    block = ours[_block(left, top)]
    if min(_contrast(block), _contrast(window)) < 0.1:  # a correlation with nothing is none
        return np.zeros((2 * _REACH + 1,) * 2, np.float32)
    response = cv2.matchTemplate(window, block, cv2.TM_CCOEFF_NORMED)
    return np.where(np.isfinite(response), response, np.float32(0))


def _judged(corners: npt.NDArray[np.int64], responses: _Grey) -> Alignment:
    """By the best correlation of each block, and that within a pixel of where it belongs.

    Where that is, the found blocks say together: the map came from keypoints, and is off by a pixel
    or two where the picture is small or blurred.
    """
    side = 2 * _REACH + 1
    flat = responses.reshape(len(responses), -1)
    best = flat.max(axis=1)
    beside = np.column_stack(np.unravel_index(flat.argmax(axis=1), (side, side))[::-1]) - _REACH
    found = best >= _FOUND
    middles = np.asarray(corners + _BLOCK / 2, np.float64)
    belongs = _smooth(middles, beside.astype(np.float64), found)
    y, x = np.ogrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1]
    near = (np.abs(x - belongs[:, 0, None, None]) <= 1) & (
        np.abs(y - belongs[:, 1, None, None]) <= 1
    )
    there = np.where(near, responses, -1).max(axis=(1, 2))
    moved = found & (there < best - _CLEARLY)
    same = (there >= _FOUND) & ~moved
    return Alignment(
        blocks=len(corners),
        same=float(same.mean()),
        moved=float(moved.mean()),
        correlation=float(np.median(there[same])) if same.any() else 0.0,
    )


def _smooth(middles: _Array, beside: _Array, found: npt.NDArray[np.bool_]) -> _Array:
    """Where blocks belong, [n, 2]: an affine map of how far most of the found ones lie beside."""
    nowhere = np.zeros_like(beside)
    if found.sum() < _LEAST_BLOCKS:
        return nowhere
    mapped, _ = cv2.estimateAffine2D(
        middles[found], (middles + beside)[found], method=cv2.LMEDS, maxIters=200
    )
    if mapped is None or not np.isfinite(mapped).all():
        return nowhere
    belongs = middles @ mapped[:, :2].T + mapped[:, 2] - middles
    return belongs if np.abs(belongs).max() <= _REACH - 1 else nowhere


def _contrast(grey: _Grey) -> float:
    """The standard deviation."""
    return float(cv2.meanStdDev(grey)[1][0, 0])


def _growth(homography: _Array, place: _Array) -> float:
    """How much larger things are in the candidate than in the query, at a place of the query."""
    depth = float(homography[2, :2] @ place + homography[2, 2])
    there = (homography[:2, :2] @ place + homography[:2, 2]) / depth
    jacobian = (homography[:2, :2] - np.outer(there, homography[2, :2])) / depth
    return float(np.clip(np.sqrt(abs(np.linalg.det(jacobian))), 0.02, 50))


def _blurred(pixels: Pixels, shrink: float) -> _Grey:
    """Grey, blurred so that a pixel in `shrink` of it, each way, has seen all of them."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), max(0.3, _BLUR * shrink)), np.float32)


def _warped(grey: _Grey, back: _Array, size: tuple[int, int]) -> _Grey:
    """What `back`, [3, 3], finds in `grey` for each pixel of a picture of this size; 0 outside."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(grey, back, size, flags=flags), np.float32)


def _block(left: int, top: int) -> tuple[slice, slice]:
    return slice(top, top + _BLOCK), slice(left, left + _BLOCK)

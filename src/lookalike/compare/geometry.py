"""Whether matches agree on where one picture lies in another.

Every match of two keypoints with scale and direction is by itself a guess at how the whole picture
has moved, grown and turned (Philbin et al., "Object retrieval with large vocabularies and fast
spatial matching", 2007). The guess with which most others agree is refined to the simplest map that
explains them: similarity, affine map or homography, by MAGSAC++ (Barath et al., 2020) as OpenCV has
it. A match agrees when its place fits, and also its scale and its direction.

Places are in working pixels: those of a picture shrunk until its longest side has `WORKING_SIDE`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..types import Evidence, LocalFeatures
from .matching import Matches, in_mirror

WORKING_SIDE = 480
"""What keypoints are found in, so an error of a pixel there is the usual one."""
LEAST = 4
"""Fewer that agree are chance, and no evidence."""

_TOLERANCE = 3.0
"""Working pixels between where a keypoint lies and where the map puts it."""
_LOOSE = 0.12
"""As much more for a guess by one match, as a part of the way from that match."""
_SCALE = np.log(1.6)
"""How much a keypoint may be larger or smaller than the map makes it."""
_TURN = np.radians(30.0)
"""How far its direction may be from where the map turns it."""
_GUESSES = 64
"""So many matches are tried as guesses, the most distinct ones."""
_MOST_GROWTH = 25.0
"""Times larger or smaller: beyond, the map has collapsed."""
_MOST_STRETCH = 4.0
"""Times more one way than the other."""
_SIMPLER = 0.95
"""The simplest map counts that explains this part of what the most general one does, or"""
_BUT = 1
"""but so many matches."""
_ROUNDS = 4
"""Of fitting at most."""
_LEAST_IN_DEPTH = 20
"""Matches that may be called one scene in depth: lines let much more pass than places."""
_LEAST_EXTENT = 8.0
"""Working pixels from the first to the last of what agrees, across or down."""

_Array = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]
_Map = _Array
"""float64 [3, 3], query to candidate."""
_Fit = Callable[[_Array, _Array], _Map | None]
"""Places in the query and in the candidate -> map."""


@dataclass(frozen=True, slots=True, eq=False)
class Keypoints:
    """Matched keypoints of one picture, in working pixels."""

    xy: _Array
    """float64 [n, 2]."""
    size: _Array
    """float64 [n], the logarithm of the scale."""
    angle: _Array
    """float64 [n], radians."""

    def __getitem__(self, lines: Any) -> Keypoints:
        return Keypoints(self.xy[lines], self.size[lines], self.angle[lines])


def located(
    query: LocalFeatures,
    query_size: tuple[int, int],
    candidate: LocalFeatures,
    candidate_size: tuple[int, int],
    matches: Matches,
) -> Evidence | None:
    """Where the query lies in the candidate; None where too few agree on any place.

    Not in a mirror: mirrored features are to be given as such, and `unmirrored` turns the answer
    back. The same input gives the same answer.
    """
    if len(matches) < LEAST:
        return None
    shrink_query, shrink_candidate = _shrink(query_size), _shrink(candidate_size)
    ours = _keypoints(query, matches.query, shrink_query)
    theirs = _keypoints(candidate, matches.candidate, shrink_candidate)
    found = _agreed(ours, theirs, np.argsort(matches.distance / matches.second))
    if found is None:
        return None
    kept, mapped = found
    homography = None
    if mapped is not None:
        homography = _scaling(1 / shrink_candidate) @ mapped @ _scaling(shrink_query)
        homography = homography / homography[2, 2]
    return Evidence(
        query_xy=query.xy[matches.query[kept]],
        candidate_xy=candidate.xy[matches.candidate[kept]],
        matches=len(matches),
        homography=homography,
        region=None if homography is None else region(homography, query_size),
        mirrored=False,
    )


def unmirrored(found: Evidence, query_size: tuple[int, int]) -> Evidence:
    """The evidence of a query in a mirror as evidence of the query itself."""
    width = query_size[0]
    mirror = np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])
    homography = None if found.homography is None else found.homography @ mirror
    return Evidence(
        query_xy=in_mirror(found.query_xy, width),
        candidate_xy=found.candidate_xy,
        matches=found.matches,
        homography=homography,
        region=None if homography is None else region(homography, query_size),
        mirrored=True,
    )


def region(homography: _Map, size: tuple[int, int]) -> npt.NDArray[np.float32] | None:
    """The corners of a picture of this size, mapped: float32 [4, 2], clockwise from upper left.

    None where a corner lies at or behind the horizon.
    """
    width, height = size
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)]) - 0.5
    depth = _depth(homography, corners)
    if depth.min() <= 0.05 * depth.max():
        return None
    return np.asarray(_mapped(homography, corners), np.float32)


def _agreed(
    query: Keypoints, candidate: Keypoints, order: npt.NDArray[np.int64]
) -> tuple[_Mask, _Map | None] | None:
    """Which matches agree, [n], and on which map; `order`: the most distinct matches first."""
    has_frames = bool(np.ptp(query.size) or np.ptp(query.angle) or np.ptp(candidate.size))
    if has_frames:
        rough = _by_one_match(query, candidate, order[:_GUESSES])
    else:  # patches of a grid, all of one size, tell places only
        rough = np.ones(len(order), bool)
    if not _spread(query.xy[rough], candidate.xy[rough]):
        return None
    best = _simplest(query, candidate, rough, has_frames)
    if best is None:
        return None
    mapped, agree = best
    if rough.sum() >= _LEAST_IN_DEPTH and 2 * agree.sum() < rough.sum():
        in_depth = _in_depth(query, candidate, rough)
        if in_depth.sum() >= 2 * agree.sum():
            return in_depth, None
    return agree, mapped


def _by_one_match(query: Keypoints, candidate: Keypoints, guesses: npt.NDArray[np.int64]) -> _Mask:
    """What agrees loosely with the best of the guesses, [n]."""
    size = candidate.size - query.size
    angle = candidate.angle - query.angle
    cos, sin = (np.exp(size) * f(angle) for f in (np.cos, np.sin))
    turn = (cos + 1j * sin)[guesses, None]
    ours, theirs = query.xy @ (1, 1j), candidate.xy @ (1, 1j)
    away = ours - ours[guesses, None]
    off = np.abs(theirs - theirs[guesses, None] - turn * away)
    reach = np.abs(turn * away)
    grown = np.maximum(np.abs(turn), 1)
    agree = (
        (off < _TOLERANCE * grown + _LOOSE * reach)
        & (np.abs(size - size[guesses, None]) < _SCALE)
        & (np.abs(_half_turn(angle - angle[guesses, None])) < _TURN)
    )
    return np.asarray(agree[agree.sum(axis=1).argmax()])


def _simplest(
    query: Keypoints, candidate: Keypoints, rough: _Mask, has_frames: bool
) -> tuple[_Map, _Mask] | None:
    """The simplest map that explains nearly as much as any, and what it explains."""
    found: list[tuple[_Map, _Mask]] = []
    for fit, least in _FITS.items():
        if rough.sum() >= least:
            refined = _refined(fit, query, candidate, rough, has_frames)
            if refined is not None and refined[1].sum() >= least:
                found.append(refined)
    most = max((agree.sum() for _, agree in found), default=0)
    return next(
        (
            (mapped, agree)
            for mapped, agree in found
            if agree.sum() >= min(_SIMPLER * most, most - _BUT)
        ),
        None,
    )


def _refined(
    fit: _Fit, query: Keypoints, candidate: Keypoints, rough: _Mask, has_frames: bool
) -> tuple[_Map, _Mask] | None:
    """A map fitted to the rough ones, then to all that agree with it, while these become more."""
    agree, best = rough, None
    for _ in range(_ROUNDS):
        mapped = fit(query.xy[agree], candidate.xy[agree])
        if mapped is None or not _sound(mapped, query.xy[agree]):
            break
        agree = _agree(mapped, query, candidate, has_frames)
        if not _spread(query.xy[agree], candidate.xy[agree]):
            break
        if best is not None and agree.sum() <= best[1].sum():
            break
        best = mapped, agree
    return best


def _agree(mapped: _Map, query: Keypoints, candidate: Keypoints, has_frames: bool) -> _Mask:
    """Whose place, scale and direction are where the map puts them."""
    depth = _depth(mapped, query.xy)
    with np.errstate(divide="ignore", invalid="ignore"):
        places = _mapped(mapped, query.xy)
        jacobians = (mapped[:2, :2] - places[:, :, None] * mapped[2, :2]) / depth[:, None, None]
        growth = np.sqrt(np.abs(np.linalg.det(jacobians)))
        off = np.linalg.norm(places - candidate.xy, axis=1)
        agree = (depth > 0) & (off < _TOLERANCE * np.maximum(growth, 1))
        if has_frames:
            ahead = np.stack([np.cos(query.angle), np.sin(query.angle)], axis=1)
            turned = np.einsum("nij,nj->ni", jacobians, ahead)
            angle = np.arctan2(turned[:, 1], turned[:, 0])
            agree &= np.abs(candidate.size - query.size - np.log(growth)) < _SCALE
            agree &= np.abs(_half_turn(candidate.angle - angle)) < _TURN
    return np.asarray(agree)


def _similarity(query: _Array, candidate: _Array) -> _Map | None:
    """Least squares: moved, grown, turned."""
    ours, theirs = query @ (1, 1j), candidate @ (1, 1j)
    from_middle = ours - ours.mean()
    spread = np.vdot(from_middle, from_middle).real
    if not spread:
        return None
    turn = np.vdot(from_middle, theirs) / spread
    move = theirs.mean() - turn * ours.mean()
    return np.array(
        [[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag], [0, 0, 1]]
    )


def _affine(query: _Array, candidate: _Array) -> _Map | None:
    """Least squares."""
    ours = np.column_stack([query, np.ones(len(query))])
    solved, _, rank, _ = np.linalg.lstsq(ours, candidate, rcond=1e-6)
    return np.vstack([solved.T, [0, 0, 1]]) if rank == 3 else None


def _homography(query: _Array, candidate: _Array) -> _Map | None:
    mapped, _ = cv2.findHomography(query, candidate, _magsac())
    return None if mapped is None else np.asarray(mapped, np.float64)


_FITS: dict[_Fit, int] = {_similarity: LEAST, _affine: 6, _homography: 8}
"""The simplest first, and how many matches it takes to tell such a map from noise."""


def _in_depth(query: Keypoints, candidate: Keypoints, rough: _Mask) -> _Mask:
    """What one scene, seen from two places, explains: each place lies on a line in the other."""
    _, kept = cv2.findFundamentalMat(query.xy[rough], candidate.xy[rough], _magsac())
    agree = np.zeros(len(rough), bool)
    if kept is not None:
        agree[rough] = kept.ravel().astype(bool)
    return agree


def _magsac() -> Any:
    params = cv2.UsacParams()
    params.score = cv2.SCORE_METHOD_MAGSAC
    params.loMethod = cv2.LOCAL_OPTIM_SIGMA
    params.threshold = _TOLERANCE
    params.maxIterations = 300
    params.randomGeneratorState = 0
    return params


def _sound(mapped: _Map, places: _Array) -> bool:
    """Whether a map is one that a picture can have gone through, where there are matches."""
    if not np.isfinite(mapped).all() or not _depth(mapped, places).min() > 0:
        return False
    middle = places.mean(axis=0)
    corners = np.array([places.min(axis=0), middle, places.max(axis=0)])
    for corner in corners:
        depth = _depth(mapped, corner[None])
        if not depth[0] > 0:
            return False
        there = _mapped(mapped, corner[None])[0]
        jacobian = (mapped[:2, :2] - np.outer(there, mapped[2, :2])) / depth[0]
        largest, smallest = np.linalg.svd(jacobian, compute_uv=False)
        if np.linalg.det(jacobian) <= 0 or largest > _MOST_STRETCH * smallest:
            return False
        if largest > _MOST_GROWTH or smallest < 1 / _MOST_GROWTH:
            return False
    return True


def _spread(query: _Array, candidate: _Array) -> bool:
    """Whether these lie at places enough, in both pictures; several may lie at one."""
    return len(query) >= LEAST and all(
        np.ptp(xy, axis=0).max() >= _LEAST_EXTENT and len(set((xy // 2) @ (1, 1j))) >= LEAST
        for xy in (query, candidate)
    )


def _keypoints(features: LocalFeatures, lines: npt.NDArray[np.int64], shrink: float) -> Keypoints:
    return Keypoints(
        features.xy[lines].astype(np.float64) * shrink,
        np.log(np.maximum(features.scale[lines].astype(np.float64) * shrink, 1e-3)),
        np.radians(features.angle[lines].astype(np.float64)),
    )


def _shrink(size: tuple[int, int]) -> float:
    return min(1.0, WORKING_SIDE / max(size))


def _scaling(by: float) -> _Map:
    return np.diag([by, by, 1.0])


def _depth(mapped: _Map, places: _Array) -> _Array:
    return np.asarray(places @ mapped[2, :2] + mapped[2, 2])


def _mapped(mapped: _Map, places: _Array) -> _Array:
    return np.asarray((places @ mapped[:2, :2].T + mapped[:2, 2]) / _depth(mapped, places)[:, None])


def _half_turn(angle: _Array) -> _Array:
    """The same angle, from minus to plus half a turn."""
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)

"""What a candidate is to the query: the same picture, the same scene, or only alike.

A copy agrees with its original wherever nothing was pasted over it, and keypoints under a paste
match nothing. In another picture of the same scene something has moved: blocks are found beside
where they belong, and keypoints match that the map does not explain.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..types import Evidence, Kinship, Picture
from .alignment import Alignment, aligned

# Chosen on the edits of 60 photographs and on made bursts of them, and told for 30 others:
# `benchmarks/kinship.py`.
_MOST_MOVED = 0.05
"""Of a copy's blocks, but one always may: JPEG and blur displace some."""
_SAME = 0.88
"""Of its blocks that a copy shares with the original, at the least."""
_SAME_BESIDE_PASTES = 0.35
"""The same, where something was pasted over it,"""
_MOST_MOVED_BESIDE_PASTES = 0.06
"""and some of that looks like what lies beside;"""
_EXPLAINED = 0.94
"""then its map explains this part of its matches."""
_EXPLAINED_ALONE = 0.9
"""The same, where there are no pixels to look at."""
_SURE = 8
"""Inliers from which there is no doubt that the pictures share something."""
_OF_A_SCENE = 16
"""Inliers of two pictures of one scene, at the least: those of two such things, as of planes with
one airline's sign, have been seen to share 9."""
_SAME_SCENE = 0.2
"""Of its blocks that another picture of the same scene has where they belong, or beside."""


def kinship(
    evidence: Evidence | None, query: Picture | None, candidate: Picture | None
) -> Kinship | None:
    """`copy`, `near`, or `similar` where something agrees that is neither; None without evidence.

    Without the pictures it knows only how many matches agree, and takes more for bursts. Of two
    exposures in which nothing has moved it says `copy`.
    """
    if evidence is None:
        return None
    explained = evidence.inliers / max(1, evidence.matches)
    laid = _alignment(evidence, query, candidate)
    if laid is None:
        if evidence.inliers < _SURE:
            return "similar"
        alone = evidence.homography is not None and explained >= _EXPLAINED_ALONE
        return "copy" if alone else "near"
    moved = laid.moved * laid.blocks
    whole = laid.same >= _SAME and moved <= max(1.0, _MOST_MOVED * laid.blocks)
    pasted = laid.same >= _SAME_BESIDE_PASTES and laid.moved <= _MOST_MOVED_BESIDE_PASTES
    if whole or (pasted and explained >= _EXPLAINED):
        return "copy"
    is_scene = evidence.inliers >= _OF_A_SCENE and laid.same + laid.moved >= _SAME_SCENE
    return "near" if is_scene else "similar"


def _alignment(
    evidence: Evidence, query: Picture | None, candidate: Picture | None
) -> Alignment | None:
    if evidence.homography is None or query is None or candidate is None:
        return None
    shown = _shown(candidate) @ evidence.homography @ np.linalg.inv(_shown(query))
    return aligned(query.pixels, candidate.pixels, shown)


def _shown(picture: Picture) -> npt.NDArray[np.float64]:
    """From pixels of the original to those at hand, [3, 3]."""
    height, width, _ = picture.pixels.shape
    across, down = width / picture.original_size[0], height / picture.original_size[1]
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])

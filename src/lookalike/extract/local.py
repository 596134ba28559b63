"""Local features by keypoints: what is matched one by one, and kept beside the vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ..types import LocalFeatures, Picture
from .keypoints import Detector, Keypoints, root_sift


@dataclass(frozen=True, slots=True)
class KeypointOptions:
    """Which keypoints, and how many."""

    detector: Detector = "sift"
    features: int = 500
    """At most so many of a picture, the strongest."""
    longest_side: int = 480
    """A larger picture is shrunk to this many pixels first."""
    contrast: float = 0.01
    """How faint a keypoint of SIFT may be. Where there are enough, the strongest are as before;
    a smooth crop, which has next to none at OpenCV's 0.04, has some dozens."""

    def __post_init__(self) -> None:
        for name, bound in {"features": 1, "longest_side": 32}.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name} must be {bound} or more, not {getattr(self, name)}")
        if not 0 < self.contrast < 1:
            raise ValueError(f"contrast must be between 0 and 1, not {self.contrast}")


class KeypointExtractor:
    """RootSIFT, ORB or AKAZE. One thread a call: callers run several calls at once."""

    Options: ClassVar = KeypointOptions

    def __init__(self, options: KeypointOptions, device: str) -> None:  # noqa: ARG002
        # The long side is at least as long as the short one, so this never shrinks below the cap.
        self.shortest_side = options.longest_side
        self.fingerprint = hashlib.sha256(f"keypoints 2 {options}".encode()).hexdigest()
        self._is_sift = options.detector == "sift"
        self._keypoints = Keypoints(
            options.detector, options.features, options.longest_side, options.contrast
        )

    def extract_local(self, pictures: Sequence[Picture]) -> list[LocalFeatures]:
        """The keypoints of each: descriptors float32 [n, 128] for SIFT, else uint8 with bits."""
        every = map(self._keypoints.of, pictures)
        if not self._is_sift:
            return list(every)
        return [replace(each, descriptors=root_sift(each.descriptors)) for each in every]

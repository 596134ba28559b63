"""Keypoints and their descriptors, by OpenCV: SIFT, ORB or AKAZE.

SIFT: Lowe, "Distinctive image features from scale-invariant keypoints", 2004. ORB: Rublee et al.,
2011. AKAZE: Alcantarilla et al., 2013. RootSIFT: Arandjelović and Zisserman, "Three things everyone
should know to improve object retrieval", 2012.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import MissingPackage
from ..types import LocalFeatures, Picture, Pixels, Vectors

Detector = Literal["sift", "orb", "akaze"]

WIDTHS: dict[Detector, int] = {"sift": 128, "orb": 32, "akaze": 61}
"""Bytes of one descriptor; those of ORB and AKAZE are bits."""

# No detector finds anything in less, and some of OpenCV's fail on it: ORB's smallest level of a
# line of pixels is empty, AKAZE asks for 2^64 bytes.
_SMALLEST_SIDE = 8

_INSTALL_AKAZE = (
    "`pip uninstall -y opencv-python-headless` and "
    "`pip install --force-reinstall opencv-contrib-python-headless`, as another package has put an "
    "OpenCV without it in the place of ours"
)


@dataclass(frozen=True, slots=True)
class Keypoints:
    """Finds what stands out. Safe to use from several threads at once."""

    detector: Detector
    features: int
    """At most so many of each picture, the strongest."""
    longest_side: int
    """A larger picture is shrunk to this many pixels first; 0 = never."""
    contrast: float = 0.04
    """SIFT's alone: how faint a keypoint may be. OpenCV's own value; less finds more in haze."""

    def __post_init__(self) -> None:
        if self.detector == "akaze":  # said before anything is made with it
            _new_akaze()

    def of(self, picture: Picture) -> LocalFeatures:
        """The strongest keypoints first; descriptors uint8 [n, WIDTHS], SIFT's as OpenCV has them.

        A picture without keypoints gives arrays of length 0.
        """
        grey = self._grey(picture.pixels)
        if min(grey.shape) < _SMALLEST_SIDE:
            return self._features((), None, 1.0, 1.0)
        # A detector of its own for each call: they keep state, and a new one costs 1 µs.
        keypoints, descriptors = self._new_detector().detectAndCompute(grey, None)
        width, height = picture.original_size
        return self._features(keypoints, descriptors, width / grey.shape[1], height / grey.shape[0])

    def _grey(self, pixels: Pixels) -> npt.NDArray[np.uint8]:
        """uint8 [h, w]. By ourselves: OpenCV's detectors would take red for blue."""
        import cv2

        height, width = pixels.shape[:2]
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        if self.longest_side and max(height, width) > self.longest_side:
            share = self.longest_side / max(height, width)
            size = (max(1, round(width * share)), max(1, round(height * share)))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        return np.asarray(grey, np.uint8)

    def _new_detector(self) -> Any:
        import cv2

        if self.detector == "sift":
            # OpenCV's own values but for contrast; the last asks for bytes, which its floats hold.
            return cv2.SIFT.create(
                self.features, 3, self.contrast, 10, 1.6, descriptorType=cv2.CV_8U
            )
        if self.detector == "orb":
            return cv2.ORB.create(nfeatures=self.features)
        return _new_akaze()

    def _features(
        self, keypoints: Any, descriptors: Any, across: float, down: float
    ) -> LocalFeatures:
        """OpenCV's keypoints as arrays. `across`, `down`: original pixels for one of theirs."""
        if not keypoints:
            none = np.empty(0, np.float32)
            return LocalFeatures(
                none.reshape(0, 2), none, none, np.empty((0, WIDTHS[self.detector]), np.uint8)
            )
        import cv2

        count = len(keypoints)
        # OpenCV turns places alone into an array; the rest takes 0.2 ms for 3,600 keypoints each.
        response = np.fromiter((each.response for each in keypoints), np.float32, count)
        size = np.fromiter((each.size for each in keypoints), np.float32, count)
        angle = np.fromiter((each.angle for each in keypoints), np.float32, count)
        # Two angles at one place are equally strong, and OpenCV gives them in any order.
        best = np.lexsort((angle, size, -response))[: self.features]
        # A pixel's middle is a whole number on both scales.
        factors = np.array([across, down], np.float32)
        places = np.asarray(cv2.KeyPoint.convert(keypoints), np.float32).reshape(-1, 2)
        xy = (places[best] + 0.5) * factors - 0.5
        return LocalFeatures(
            xy=np.asarray(xy, np.float32),
            scale=size[best] * np.float32((across * down) ** 0.5),
            angle=np.maximum(angle[best], 0),  # -1 stands for unknown
            descriptors=np.ascontiguousarray(descriptors[best]),
        )


def root_sift(descriptors: npt.NDArray[np.uint8]) -> Vectors:
    """SIFT's uint8 [n, 128] -> float32 [n, 128], the roots of what sums to 1; all zero stays so."""
    values = descriptors.astype(np.float32)
    values /= np.maximum(values.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.sqrt(values, out=values), np.float32)


def _new_akaze() -> Any:
    import cv2

    # OpenCV 5 has moved it to the contributed modules, which its usual packages leave out.
    for module in (cv2, getattr(cv2, "xfeatures2d", None)):
        create = getattr(module, "AKAZE_create", None)
        if create:
            return create()
    raise MissingPackage("the detector akaze", _INSTALL_AKAZE)

"""Pictures of the same scene a moment later, made of one: what a burst is, without being a copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lookalike.types import Pixels

Floats = npt.NDArray[np.float32]


def parallax(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """From a step aside: what is nearer, an ellipse and a slope to below, has moved farther."""
    height, width, _ = pixels.shape
    x, y = _grid(pixels)
    nearness = y / height * rng.uniform(0.3, 0.7)
    for _ in range(3):
        middle = rng.uniform((0.2, 0.2), (0.8, 0.8)) * (width, height)
        radius = rng.uniform(0.1, 0.25) * max(width, height)
        inside = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 < radius**2
        nearness = np.where(inside, rng.uniform(0.6, 1.2), nearness)
    step = rng.uniform(0.04, 0.08) * width * rng.choice((-1, 1))
    return _exposed(_warped(pixels, x + step * cv2.GaussianBlur(nearness, (0, 0), 1.5), y), rng)


def smile(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A few places have bent softly, as a face does."""
    height, width, _ = pixels.shape
    x, y = _grid(pixels)
    side = max(height, width)
    across, down = x.copy(), y.copy()
    for _ in range(3):
        middle = rng.uniform((0.2, 0.2), (0.8, 0.8)) * (width, height)
        radius = rng.uniform(0.06, 0.1) * side
        bump = np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / (2 * radius**2))
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.035) * side
        across += np.float32(reach * np.cos(angle)) * bump
        down += np.float32(reach * np.sin(angle)) * bump
    return _exposed(_warped(pixels, across, down), rng)


def moved(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Something has walked on; where it was, the ground is seen."""
    height, width, _ = pixels.shape
    side = max(height, width)
    middle = (rng.uniform((0.3, 0.3), (0.7, 0.7)) * (width, height)).astype(int)
    mask = np.zeros((height, width), np.uint8)
    axes = (int(rng.uniform(0.08, 0.14) * side), int(rng.uniform(0.12, 0.2) * side))
    cv2.ellipse(mask, middle.tolist(), axes, 0, 0, 360, 255, -1)
    step = np.array([[1.0, 0, rng.uniform(0.04, 0.15) * side * rng.choice((-1, 1))], [0, 1, 0]])
    ground = cv2.inpaint(pixels, mask, 3, cv2.INPAINT_TELEA)
    there = cv2.warpAffine(pixels, step, (width, height))
    soft = cv2.GaussianBlur(cv2.warpAffine(mask, step, (width, height)), (0, 0), 1.5)
    share = soft[..., None].astype(np.float32) / 255
    return _exposed(np.asarray(share * there + (1 - share) * ground, np.uint8), rng)


def second_exposure(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Nothing moved but the hand, a little; other light, other noise."""
    return _exposed(pixels, rng)


NEAR: dict[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "parallax": parallax,
    "smile": smile,
    "moved": moved,
    "second exposure": second_exposure,
}


def _exposed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Turned and moved by a hand, brighter or darker, with noise of its own."""
    height, width, _ = pixels.shape
    middle, degrees = (width / 2, height / 2), float(rng.normal(0, 0.4))
    turn = np.asarray(cv2.getRotationMatrix2D(middle, degrees, 1.0), np.float64)
    turn[:, 2] += rng.uniform(-2.5, 2.5, 2)
    held = cv2.warpAffine(
        pixels, turn, (width, height), None, cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101
    )
    light = 255 * (held / 255) ** rng.uniform(0.8, 1.25) * rng.uniform(0.9, 1.1)
    noise = rng.normal(0, rng.uniform(2, 6), held.shape)
    return np.asarray(np.clip(light + noise, 0, 255), np.uint8)


def _grid(pixels: Pixels) -> tuple[Floats, Floats]:
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32)
    return x, y


def _warped(pixels: Pixels, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Pixels:
    mapped = cv2.remap(
        pixels,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_CUBIC,
        None,
        cv2.BORDER_REFLECT_101,
    )
    return np.asarray(mapped, np.uint8)

"""Pictures for tests, made from a number, and the sample photographs of scikit-image."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import skimage
from PIL import Image

from lookalike.cli import main
from lookalike.picture import from_pixels
from lookalike.types import Picture, Pixels

DATA = Path(__file__).parents[2] / "shared" / "data"
PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
SOURCE = Path(__file__).parents[1] / "src"

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the test data is not at {DATA}")


def pixels(number: int, width: int = 96, height: int = 72) -> Pixels:
    """Soft blobs of colour, different for each number."""
    small = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def encoded(number: int, format: str = "PNG") -> bytes:
    """The same as a file's bytes."""
    stream = io.BytesIO()
    Image.fromarray(pixels(number)).save(stream, format)
    return stream.getvalue()


CLASSES = ("ants", "boats", "cups")


def write(path: Path, number: int, format: str = "PNG") -> Path:
    """The same as a file, its folder made when it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(number, format))
    return path


def write_classes(folder: Path, each: int) -> Path:
    """Pictures that are nothing but different, so many for each of CLASSES, in folders of these."""
    for number in range(len(CLASSES) * each):
        write(folder / CLASSES[number % len(CLASSES)] / f"{number}.png", number)
    return folder


def environment(**more: str) -> dict[str, str]:
    """What a child needs to find this source."""
    return os.environ | {"PYTHONPATH": str(SOURCE)} | more


def command(*arguments: str | Path) -> list[str]:
    """The command line as a list for `subprocess`."""
    return [sys.executable, "-m", "lookalike", *map(str, arguments)]


def lookalike(
    *arguments: str | Path, env: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would, and wait for it."""
    return subprocess.run(
        command(*arguments),
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def called(
    *arguments: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same in this process, where only what it says counts: starting one takes long."""
    given = ["lookalike", *map(str, arguments)]
    output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    with (
        patch.object(sys, "argv", given),
        patch.dict(os.environ, env or {}),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    said = []
    for stream in (output, errors):
        stream.seek(0)
        said.append(stream.read())
    code = ended.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(given, code, *said)


def photographs() -> list[Picture]:
    """Real pictures, those that come with scikit-image; only to be read."""
    return list(_photographs())


@cache
def _photographs() -> tuple[Picture, ...]:
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "page.png")
    pictures = []
    for name in names:
        with Image.open(PHOTOGRAPHS / name) as image:
            pictures.append(from_pixels(np.asarray(image.convert("RGB"))))
    return tuple(pictures)


def cosine(a: Any, b: Any) -> Any:
    """Of each pair of rows."""
    a, b = np.atleast_2d(a).astype(float), np.atleast_2d(b).astype(float)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

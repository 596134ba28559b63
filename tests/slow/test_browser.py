"""The page as a person uses it, in a real Chromium over the real service."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import skimage

import lookalike
from lookalike.serve.server import Server

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser  # noqa: E402 - after the skip

CHROMIUM = shutil.which("chromium")
CALTECH = Path(__file__).parents[3] / "shared" / "data" / "caltech60"
SAMPLES = Path(skimage.__file__).parent / "data"
HAS_LABELS = CALTECH.is_dir()
PICTURE = CALTECH / "dalmatian" / "image_0001.jpg" if HAS_LABELS else SAMPLES / "chelsea.png"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("browser")
    with (
        lookalike.open(folder / "pictures") as pictures,
        lookalike.open(folder / "empty") as empty,
    ):
        pictures.add(CALTECH if HAS_LABELS else SAMPLES)
        server = Server({"pictures": pictures}, port=0)
        bare = Server({"empty": empty}, port=0)
        threads = [threading.Thread(target=each.answer) for each in (server, bare)]
        for thread in threads:
            thread.start()
        os.environ["LOOKALIKE_EMPTY"] = bare.url
        yield server.url
        for each in (server, bare):
            each.stop()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
            ],
        )
        yield browser
        browser.close()

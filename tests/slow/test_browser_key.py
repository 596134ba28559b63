"""The page of a service that asks for a key, in a real Chromium."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_browser import CHROMIUM, FLAGS, SAMPLES, Shoot, assert_accessible, shoot, tiles

import lookalike
from lookalike.serve import keys
from lookalike.serve.server import Server
from lookalike.serve.settings import Settings

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Page, expect, sync_playwright

__all__ = ["shoot"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys"


@pytest.fixture(scope="module")
def key(ring: Path) -> str:
    return keys.add(ring, "reader", "read")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, ring: Path, key: str) -> Iterator[str]:
    assert key
    with lookalike.open(tmp_path_factory.mktemp("collections") / "few") as collection:
        collection.add(*sorted(SAMPLES.glob("c*.png")))
        server = Server({"few": collection}, Settings.read(port=0, api_key_file=ring))
        thread = threading.Thread(target=server.answer)
        thread.start()
        yield server.url
        server.stop()
        thread.join()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        yield page
        browser.close()


def all_pictures_are_there(page: Page) -> None:
    expect(tiles(page).first).to_be_visible()
    pictures = "[...document.querySelectorAll('#grid img')]"
    for _ in range(100):
        if page.evaluate(f"{pictures}.every((image) => image.naturalWidth > 0)"):
            return
        page.wait_for_timeout(200)
    raise AssertionError("some pictures of the grid are not shown")


def test_a_key_is_asked_for_until_it_opens_and_no_more(page: Page, key: str, shoot: Shoot) -> None:
    dialog = page.get_by_role("dialog", name="This service asks for a key")
    expect(dialog).to_be_visible()
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    assert tiles(page).count() == 0
    for wrong in ("nonsense", "schlüssel"):
        page.get_by_label("Key", exact=True).fill(wrong)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert").filter(has_text="opens nothing")).to_be_visible()
    assert_accessible(page)
    shoot(page, "key")
    page.get_by_label("Key", exact=True).fill(f" {key} ")
    page.get_by_role("button", name="Open").click()
    expect(dialog).to_be_hidden()
    all_pictures_are_there(page)
    page.reload()
    all_pictures_are_there(page)
    expect(dialog).to_be_hidden()


def test_a_session_that_has_ended_is_begun_anew_without_asking(page: Page) -> None:
    all_pictures_are_there(page)
    page.context.clear_cookies()
    tiles(page).first.click()
    expect(page.locator("#query")).to_be_visible()
    all_pictures_are_there(page)
    assert page.get_by_role("dialog").count() == 0
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert page.evaluate("document.cookie") == ""


def test_a_key_that_may_only_read_is_told_so_when_it_adds(page: Page) -> None:
    page.goto(page.url.partition("#")[0] + "#view=add")
    page.set_input_files("#add-files", str(SAMPLES / "astronaut.png"))
    page.get_by_role("button", name="Add").click()
    page.get_by_text("What was refused, and why").click()
    expect(page.get_by_text("may read, and this needs one that may write").first).to_be_visible()
    assert key_is_not_shown(page)


def key_is_not_shown(page: Page) -> bool:
    return "lk_" not in page.content() and "lk_" not in page.url

"""The page as a person uses it, in a real Chromium over the real service.

`LOOKALIKE_SCREENSHOTS=FOLDER` keeps what it looked like.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import skimage
from PIL import Image

import lookalike
from lookalike.serve.server import Server
from lookalike.serve.settings import Settings

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
AXE = Path(__file__).parents[2] / "page" / "node_modules" / "axe-core" / "axe.min.js"
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
CALTECH = Path(__file__).parents[3] / "shared" / "data" / "caltech60"
SAMPLES = Path(skimage.__file__).parent / "data"
PICTURES = CALTECH if CALTECH.is_dir() else SAMPLES
QUERY = CALTECH / "starfish" / "image_0002.jpg" if CALTECH.is_dir() else SAMPLES / "chelsea.png"
LABEL = QUERY.parent.name

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}

Shoot = Callable[[Page, str], None]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
expect.set_options(timeout=30_000)  # a busy machine draws late


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Of a service with pictures, and of one without."""
    folder = tmp_path_factory.mktemp("collections")
    with (
        lookalike.open(folder / "full") as full,
        lookalike.open(folder / "flat") as flat,
        lookalike.open(folder / "growing") as growing,
        lookalike.open(folder / "empty") as empty,
    ):
        full.add(PICTURES)
        flat.add(*SAMPLES.glob("*.png"))
        servers = [
            Server(
                {PICTURES.name: full, "flat": flat, "growing": growing, "another": empty}, port=0
            ),
            Server({"empty": empty}, port=0),
        ]
        threads = [threading.Thread(target=server.answer) for server in servers]
        for thread in threads:
            thread.start()
        yield servers[0].url, servers[1].url
        for server, thread in zip(servers, threads, strict=True):
            server.stop()
            thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=["desktop"])
def page(
    browser: Browser, addresses: tuple[str, str], request: pytest.FixtureRequest
) -> Iterator[Page]:
    """The page, just opened. It must end without an error in the console or a CSP violation."""
    settings = {
        "desktop": {"viewport": {"width": 1280, "height": 800}},
        "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
        "still": {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"},
        "phone": PHONE,
        "small": {**PHONE, "viewport": {"width": 360, "height": 640}},
    }[request.param]
    context = browser.new_context(**settings)  # type: ignore[arg-type]
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.goto(addresses[0])
    expect(tiles(page).first).to_be_visible()
    yield page
    context.close()
    # A refusal of the service is told in the console by the browser itself.
    assert [each for each in wrong if "Failed to load resource" not in each] == []


@pytest.fixture(scope="module")
def shoot(tmp_path_factory: pytest.TempPathFactory) -> Shoot:
    wanted = os.environ.get("LOOKALIKE_SCREENSHOTS")
    folder = Path(wanted) if wanted else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)

    def shoot(page: Page, name: str) -> None:
        page.wait_for_timeout(700)  # pictures fade in
        page.screenshot(path=folder / f"{name}.png")

    return shoot


def tiles(page: Page) -> Locator:
    return page.locator("#grid .tile:not(.waiting) a.frame")


def choose(page: Page, *pictures: Path) -> None:
    page.set_input_files("#file", list(pictures))
    expect(page.locator("#query")).to_be_visible()


def filter_by(page: Page, where: str) -> None:
    page.get_by_label("Filter").fill(where)
    page.get_by_label("Filter").press("Enter")


def tab_to(page: Page, selector: str, most: int = 60) -> None:
    """Press Tab until what matches has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by Tab")


def ask(page: Page, *pictures: Path) -> None:
    """Choose pictures and wait for the hits."""
    choose(page, *pictures)
    expect(page.locator(".score").first).to_have_text("1.00")


def assert_accessible(page: Page) -> None:
    """Nothing that axe finds, nor anything wider than the window."""
    if not AXE.is_file():
        pytest.skip("axe-core is not there: make page-check installs it")
    page.wait_for_timeout(400)  # what fades in has too little contrast until it is there
    page.evaluate(AXE.read_text("utf-8") + ";0")
    found = page.evaluate(
        """async (standards) => {
            const { violations, passes } = await axe.run(document, { runOnly: standards });
            return [passes.length, violations.map(({ id, impact, nodes }) =>
                `${impact}: ${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join("; ")}`)];
        }""",
        STANDARDS,
    )
    assert found[0] > 10
    assert found[1] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def drop(page: Page, name: str, content: bytes) -> None:
    """Drag a file in over the page, and let it go."""
    data = page.evaluate_handle(
        """([name, content]) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name));
            return data;
        }""",
        [name, base64.b64encode(content).decode()],
    )
    page.dispatch_event("main", "dragenter", {"dataTransfer": data})
    expect(page.get_by_text("Drop to search")).to_be_visible()
    page.dispatch_event("main", "drop", {"dataTransfer": data})
    expect(page.get_by_text("Drop to search")).to_be_hidden()


@pytest.mark.parametrize("page", ["desktop", "dark", "phone"], indirect=True)
def test_invites_and_offers_pictures_to_start_from(
    page: Page, shoot: Shoot, request: pytest.FixtureRequest
) -> None:
    expect(page.get_by_role("heading", name="What looks like this?")).to_be_visible()
    expect(page.get_by_role("heading", name="Start from one of these")).to_be_visible()
    assert tiles(page).count() >= 20
    shoot(page, f"start-{request.node.callspec.params['page']}")


@pytest.mark.parametrize("page", ["desktop", "dark", "phone", "still"], indirect=True)
def test_a_chosen_picture_is_found_first(
    page: Page, shoot: Shoot, request: pytest.FixtureRequest
) -> None:
    choose(page, QUERY)
    expect(tiles(page).first).to_have_attribute("title", re.compile(re.escape(QUERY.name) + "$"))
    expect(page.locator(".score").first).to_have_text("1.00")
    expect(page.locator("#query-pictures img")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shoot(page, f"results-{request.node.callspec.params['page']}")


def test_a_click_asks_for_more_like_this_and_back_returns(page: Page, shoot: Shoot) -> None:
    choose(page, QUERY)
    expect(tiles(page).first).to_have_attribute("title", re.compile(re.escape(QUERY.name) + "$"))
    asked = tiles(page).nth(2).get_attribute("data-id")
    tiles(page).nth(2).click()
    expect(page).to_have_url(re.compile(f"#like={asked}$"))
    expect(page.locator(f"#grid [data-id='{asked}']")).to_have_count(0)
    shoot(page, "more-like-this")
    page.go_back()
    expect(page.locator("#query-title")).to_have_text(QUERY.name)
    expect(tiles(page).first).to_have_attribute("title", re.compile(re.escape(QUERY.name) + "$"))
    page.go_back()
    expect(page.locator("#ask")).to_be_visible()


def follow_the_last(page: Page) -> int:
    """Scroll down, click, and say where the page was: Playwright itself may scroll to click."""
    page.get_by_role("button", name="Show more").scroll_into_view_if_needed()
    page.evaluate("addEventListener('click', () => (window.clickedAt = scrollY), true)")
    tiles(page).last.click()
    clicked_at: int = page.evaluate("clickedAt")
    assert clicked_at > 100
    return clicked_at


def hold(page: Page, pattern: str) -> Callable[[], None]:
    """Let requests wait, until the first of them is released by what this returns."""
    held: list[Route] = []
    page.route(pattern, lambda route: held.append(route))

    def release() -> None:
        while not held:
            page.wait_for_timeout(20)
        held[0].continue_()

    return release


def test_back_returns_to_where_the_page_was_scrolled(page: Page) -> None:
    choose(page, QUERY)
    before = follow_the_last(page)
    expect(page).to_have_url(re.compile("#like="))
    page.wait_for_function("() => scrollY === 0")
    page.go_back()
    page.wait_for_function(f"() => Math.abs(scrollY - {before}) < 5")


def test_back_returns_there_from_a_slow_search_as_well(page: Page) -> None:
    choose(page, QUERY)
    release = hold(page, "**/similar?**")
    before = follow_the_last(page)
    expect(page.locator("#grid .waiting").first).to_be_visible()
    release()
    expect(page).to_have_url(re.compile("#like="))
    page.go_back()
    page.wait_for_function(f"() => Math.abs(scrollY - {before}) < 5")


def test_forward_from_a_view_that_is_still_awaited_shows_what_was_there(page: Page) -> None:
    for number in (1, 2):
        tiles(page).first.click()
        page.wait_for_function(f"() => history.state?.depth === {number}")
        expect(page.locator("#query")).to_be_visible()
    page.reload()  # the page remembers nothing of the earlier views
    expect(page.locator("#query")).to_be_visible()
    title = page.locator("#query-title").text_content() or ""
    hold(page, "**/similar?**")
    page.go_back()
    expect(page.locator("#grid .waiting").first).to_be_visible()
    page.go_forward()
    expect(tiles(page).first).to_be_visible()
    page.wait_for_load_state("networkidle")
    expect(page.locator("#query-title")).to_have_text(title)
    expect(page.locator("#ask")).to_be_hidden()


def test_a_link_can_be_shared(page: Page, browser: Browser) -> None:
    tiles(page).first.click()
    expect(page).to_have_url(re.compile("#like="))
    expect(page.locator("#query-title")).not_to_be_empty()
    seen = tiles(page).nth(0).get_attribute("data-id")
    other = browser.new_page()
    other.goto(page.url)
    expect(tiles(other).first).to_have_attribute("data-id", seen or "")
    other.close()


def test_shows_more_when_asked(page: Page) -> None:
    choose(page, QUERY)
    expect(tiles(page).first).to_have_attribute("title", re.compile(re.escape(QUERY.name) + "$"))
    before = tiles(page).count()
    page.get_by_role("button", name="Show more").click()
    page.wait_for_function(f"() => document.querySelectorAll('#grid a.frame').length > {before}")
    ids = [tile.get_attribute("data-id") for tile in tiles(page).all()]
    assert len(ids) == len(set(ids))


def test_filters(page: Page) -> None:
    choose(page, QUERY)
    filter_by(page, f"label={LABEL} and width > 1")
    expect(page.locator("#status")).to_contain_text("pictures")
    expect(page.locator(".label", has_not_text=LABEL)).to_have_count(0)
    filter_by(page, "label=nothing-is-called-so")
    expect(page.get_by_role("heading", name="No picture passes this filter")).to_be_visible()
    page.get_by_label("Filter").fill("")
    expect(tiles(page).first).to_be_visible()


def test_shows_what_is_wrong_with_a_filter_and_keeps_the_results(page: Page, shoot: Shoot) -> None:
    choose(page, QUERY)
    expect(tiles(page).first).to_have_attribute("title", re.compile(re.escape(QUERY.name) + "$"))
    filter_by(page, "label =")
    expect(page.locator("#filter-problem")).to_contain_text("expected a value")
    expect(page.get_by_label("Filter")).to_have_value("label =")
    expect(tiles(page).first).to_be_visible()
    shoot(page, "bad-filter")
    expect(page.locator("#banner")).to_be_hidden()  # it is said once


def test_what_went_wrong_is_not_told_any_more_where_something_else_is_shown(page: Page) -> None:
    shown = page.url
    page.evaluate("location.hash = 'in=no-such-collection&view=map'")
    expect(page.locator("#banner")).to_contain_text("No collection named no-such-collection")
    page.goto(f"{shown.partition('#')[0]}#view=statistics")
    expect(page.get_by_text("What it takes on disk")).to_be_visible()
    expect(page.locator("#banner")).to_be_hidden()


def test_a_mistake_in_a_filter_takes_the_place_of_what_the_last_one_said(page: Page) -> None:
    choose(page, QUERY)
    filter_by(page, "label=nothing-is-called-so")
    nothing = page.get_by_role("heading", name="No picture passes this filter")
    expect(nothing).to_be_visible()
    filter_by(page, "label =")
    expect(page.locator("#filter-problem")).to_contain_text("expected a value")
    expect(nothing).to_be_hidden()
    filter_by(page, "label=nothing-is-called-so")
    expect(page.locator("#filter-problem")).to_be_hidden()
    expect(nothing).to_be_visible()


def test_a_shared_link_with_a_bad_filter_still_shows_its_query(page: Page) -> None:
    id = tiles(page).first.get_attribute("data-id")
    page.evaluate("(id) => (location.hash = `like=${id}&where=label+%3D`)", id)
    expect(page.locator("#filter-problem")).to_contain_text("expected a value")
    expect(tiles(page).first).to_be_visible()


def test_takes_a_dropped_picture(page: Page) -> None:
    drop(page, "mine.jpg", QUERY.read_bytes())
    expect(page.locator("#query-title")).to_have_text("mine.jpg")
    expect(page.locator(".score").first).to_have_text("1.00")


def test_a_picture_that_the_browser_cannot_draw_has_a_stand_in(
    page: Page, shoot: Shoot, tmp_path: Path
) -> None:
    with Image.open(QUERY) as image:
        image.save(tmp_path / "mine.tif")
    choose(page, tmp_path / "mine.tif")
    expect(page.locator("#query-pictures")).to_have_text("no preview")
    expect(tiles(page).first).to_have_attribute("title", re.compile(re.escape(QUERY.name) + "$"))
    shoot(page, "no-preview")


def test_takes_a_pasted_picture(page: Page) -> None:
    page.evaluate(
        """(content) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([bytes], "image.png"));
            window.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        }""",
        base64.b64encode(QUERY.read_bytes()).decode(),
    )
    expect(page.locator("#query-title")).to_have_text("image.png")


def test_says_what_is_wrong_with_a_dropped_file(page: Page, shoot: Shoot) -> None:
    drop(page, "notes.txt", b"these are notes")
    expect(page.get_by_role("alert")).to_contain_text("Not a picture in a format we read")
    expect(page.locator("#ask")).to_be_visible()
    shoot(page, "not-a-picture")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator("#banner")).to_be_hidden()


def test_refuses_a_large_file_without_sending_it(page: Page, tmp_path: Path) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    (tmp_path / "large.png").write_bytes(bytes(21_000_000))
    page.set_input_files("#file", tmp_path / "large.png")
    expect(page.get_by_role("alert")).to_contain_text("the most is 20 MB")
    assert "POST" not in sent


def test_several_pictures_are_one_query(page: Page) -> None:
    choose(page, QUERY, SAMPLES / "coffee.png")
    expect(page.locator("#query-title")).to_have_text("2 pictures as one")
    expect(page.locator("#query-pictures img")).to_have_count(2)


def test_finds_pictures_by_words_and_a_link_to_that_can_be_shared(page: Page) -> None:
    field = page.get_by_label("or say in words what to find")
    field.fill("electric guitar")
    field.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("electric guitar")
    expect(tiles(page).first).to_have_attribute("title", re.compile("electric_guitar"))
    expect(page).to_have_url(re.compile(r"#text=electric\+guitar$"))
    page.get_by_label("Filter").fill("label=wrench")
    page.get_by_label("Filter").press("Enter")
    expect(tiles(page).first).to_have_attribute("title", re.compile("wrench"))
    page.reload()
    expect(tiles(page).first).to_have_attribute("title", re.compile("wrench"))
    page.go_back()
    expect(tiles(page).first).to_have_attribute("title", re.compile("electric_guitar"))
    page.keyboard.press("Escape")
    expect(page.locator("#ask")).to_be_visible()
    expect(field).to_have_value("")


def test_can_be_used_by_keyboard(page: Page) -> None:
    tab_to(page, "#grid a")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#like="))
    page.keyboard.press("Escape")
    expect(page.locator("#ask")).to_be_visible()


def test_escape_pressed_before_the_results_are_drawn_leads_back(page: Page) -> None:
    page.evaluate(
        """async () => {
            document.querySelector("#grid a").click();
            const soon = new MessageChannel(); // sooner than the next frame
            const turn = () => new Promise((go) => {
                soon.port1.onmessage = go;
                soon.port2.postMessage(0);
            });
            while (!location.hash.startsWith("#like=")) await turn();
            document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
        }"""
    )
    expect(page).not_to_have_url(re.compile("#like="))
    expect(page.locator("#ask")).to_be_visible()
    expect(page.locator("#query")).to_be_hidden()


def test_says_when_the_service_is_gone(page: Page) -> None:
    page.route("**/v1/**", lambda route: route.fulfill(status=503, body="busy"))
    tiles(page).first.click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(tiles(page).first).to_be_visible()
    page.unroute("**/v1/**")


def test_an_unknown_picture_in_the_address_leads_to_the_start(page: Page) -> None:
    page.evaluate("() => (location.hash = 'like=' + '0'.repeat(64))")
    expect(page.get_by_role("alert")).to_contain_text("No stored picture has the id")
    expect(page.locator("#ask")).to_be_visible()


def test_pictures_of_one_folder_are_told_apart_by_their_names(page: Page, shoot: Shoot) -> None:
    page.get_by_label("Collection").select_option("flat")
    expect(page.locator("#grid .file").first).to_be_visible()
    expect(page.locator("#grid .label")).to_have_count(0)
    shoot(page, "flat-start")
    tile = page.locator("#grid .tile", has_text="chelsea.png")
    tile.locator("a").click()
    expect(page.locator("#query-title")).to_have_text("chelsea.png")
    expect(page.locator("#grid .label")).to_have_count(0)
    expect(page.locator("#status")).to_contain_text("best ")
    shoot(page, "flat-results")


def test_can_change_to_another_collection(page: Page) -> None:
    page.get_by_label("Collection").select_option("another")
    expect(page.get_by_role("heading", name="Nothing is in here yet")).to_be_visible()
    expect(page).to_have_url(re.compile("#in=another$"))
    page.go_back()
    expect(tiles(page).first).to_be_visible()


def test_an_empty_collection_says_how_to_fill_it(
    browser: Browser, addresses: tuple[str, str], shoot: Shoot
) -> None:
    page = browser.new_page()
    page.goto(addresses[1])
    expect(page.get_by_text("lookalike index ~/Pictures -c ")).to_be_visible()
    shoot(page, "empty")
    page.close()


EVERY_LOOK = ["desktop", "dark", "small"]


@pytest.mark.parametrize("page", EVERY_LOOK, indirect=True)
def test_the_start_and_the_hits_are_accessible(page: Page) -> None:
    assert_accessible(page)
    choose(page, QUERY)
    expect(page.locator(".facet").first).to_be_attached()
    assert_accessible(page)


@pytest.mark.parametrize("page", EVERY_LOOK, indirect=True)
@pytest.mark.parametrize("view", ["map", "statistics", "add"])
def test_the_other_views_are_accessible(page: Page, view: str) -> None:
    page.evaluate("(view) => (location.hash = `view=${view}`)", view)
    expect(page.locator(f"section.{view}")).to_be_visible()
    expect(page.get_by_text("Drawing the map")).to_have_count(0)
    expect(page.get_by_text("Counting")).to_have_count(0)
    assert_accessible(page)


def test_facets_narrow_the_hits_and_a_link_to_that_can_be_shared(page: Page) -> None:
    tiles(page).first.click()
    facet = page.get_by_role("group", name="Labels")
    show_all = facet.get_by_role("button", name="Show all")
    expect(facet).to_be_visible()
    if show_all.count():
        show_all.click()
    facet.get_by_role("checkbox", name=re.compile(rf"^{LABEL} ")).check()
    expect(page).to_have_url(re.compile(f"label={LABEL}"))
    page.reload()
    expect(facet.get_by_role("checkbox", name=re.compile(rf"^{LABEL} "))).to_be_checked()
    expect(tiles(page).first).to_be_visible()
    titles = [tile.get_attribute("title") or "" for tile in tiles(page).all()]
    assert titles
    assert all(f"/{LABEL}/" in title for title in titles)


def test_comparators_look_again_in_the_order_in_which_they_were_chosen(page: Page) -> None:
    ask(page, QUERY)
    for name in ("histogram", "phash"):
        page.get_by_role("checkbox", name=name).check()
        expect(page.locator(".compared").first).to_contain_text(name)
    page.get_by_role("button", name="phash earlier").click()
    expect(page.get_by_role("button", name="histogram earlier")).to_be_visible()
    page.get_by_label("Ordered by").select_option("fused")
    expect(page.locator(".compared").first).to_contain_text("phash")
    page.get_by_role("checkbox", name="histogram").uncheck()
    expect(page.locator(".compared").first).not_to_contain_text("histogram")


def test_nearly_identical_hits_are_shown_as_one_when_asked(page: Page) -> None:
    tiles(page).first.click()
    switch = page.get_by_role("switch", name="Nearly identical hits as one")
    with page.expect_request("**/similar?*collapse=true*"):
        switch.check()
    expect(page).to_have_url(re.compile("collapse=1"))
    page.reload()
    expect(switch).to_be_checked()


def test_not_like_this_is_asked_for_and_taken_back(page: Page) -> None:
    tiles(page).first.click()
    expect(page.locator("#status")).to_contain_text("best ")
    unlike = tiles(page).nth(1).get_attribute("data-id") or ""
    page.locator("#grid .tile").nth(1).get_by_role("button", name="Not like").click()
    expect(page).to_have_url(re.compile(f"unlike={unlike}"))
    assert tiles(page).first.get_attribute("data-id") != unlike
    page.reload()
    page.get_by_role("button", name="Allow pictures like this again").click()
    expect(page).not_to_have_url(re.compile("unlike"))


def test_a_part_of_the_query_is_searched_with_by_dragging_a_box(page: Page) -> None:
    ask(page, QUERY)
    page.get_by_role("button", name="Part").click()
    stage = page.locator(".crop-stage img")
    expect(stage).to_be_visible()
    place = stage.bounding_box()
    assert place is not None
    left, top, width, height = (place[key] for key in ("x", "y", "width", "height"))
    page.mouse.move(left + width * 0.25, top + height * 0.25)
    page.mouse.down()
    page.mouse.move(left + width * 0.75, top + height * 0.5, steps=4)
    page.mouse.up()
    with Image.open(QUERY) as image:
        wide, high = image.size
    assert float(page.get_by_label("Width").input_value()) == pytest.approx(wide / 2, abs=3)
    assert float(page.get_by_label("Top").input_value()) == pytest.approx(high / 4, abs=3)
    page.get_by_role("button", name="Search this part").click()
    expect(page.locator("#query")).to_contain_text("A part of it")


def test_a_part_of_a_stored_picture_is_given_by_numbers_and_kept_in_the_address(page: Page) -> None:
    tiles(page).first.click()
    expect(page.locator("#status")).to_contain_text("best ")
    page.locator("#part").focus()
    page.keyboard.press("Enter")
    for field, value in (("Left", "10"), ("Top", "20"), ("Width", "90"), ("Height", "80")):
        page.get_by_label(field).fill(value)
    page.get_by_label("Height").press("Enter")
    expect(page).to_have_url(re.compile("crop=10%2C20%2C90%2C80"))
    own = re.search("like=([0-9a-f]+)", page.url)
    assert own is not None
    expect(page.locator(f"#grid [data-id='{own[1]}']")).to_have_count(0)
    page.get_by_role("button", name="Part").click()
    expect(page.get_by_label("Height")).to_have_value("80")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator("#query")).to_contain_text("A part of it")
    page.get_by_role("button", name="Part").click()
    assert_accessible(page)
    page.get_by_role("button", name="Whole picture").click()
    expect(page).not_to_have_url(re.compile("crop"))


@pytest.mark.parametrize("page", ["desktop", "small", "still"], indirect=True)
def test_the_query_is_compared_with_a_hit_side_by_side(
    page: Page, shoot: Shoot, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with Image.open(QUERY) as image:
        whole = image.convert("RGB")
    wide, high = whole.size
    part = whole.crop((wide // 8, high // 8, wide, high)).rotate(
        8, resample=Image.Resampling.BICUBIC
    )
    part.save(tmp_path / "part.png")
    choose(page, tmp_path / "part.png")
    expect(page.locator("#status")).to_contain_text("best ")
    page.get_by_role("button", name="Side by side with").first.click()
    expect(page.locator("#beside")).to_contain_text("the frame shows where the query lies")
    expect(page.locator("svg .region")).to_be_attached()
    assert page.locator("svg .line").count() > 10
    shoot(page, f"side-by-side-{request.node.callspec.params['page']}")
    assert_accessible(page)
    page.get_by_label("Slider").check()
    slider = page.get_by_label("How much of the query is shown")
    slider.focus()
    page.keyboard.press("Home")
    expect(page.locator(".overlay-first")).to_have_css("clip-path", "inset(0px 100% 0px 0px)")
    assert "matrix3d" in (page.locator(".warped").get_attribute("style") or "")
    assert_accessible(page)
    page.get_by_label("Flicker").check()
    is_still = page.evaluate("matchMedia('(prefers-reduced-motion: reduce)').matches")
    expect(page.get_by_role("button", name="Play" if is_still else "Pause")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#query-title")).to_have_text("part.png")


def test_a_link_to_two_pictures_side_by_side_can_be_shared(page: Page) -> None:
    tiles(page).first.click()
    expect(page.locator("#status")).to_contain_text("best ")
    page.get_by_role("button", name="Side by side with").first.click()
    expect(page.locator("#beside")).to_be_visible()
    page.reload()
    expect(page.locator("#beside svg image")).to_have_count(2)
    page.get_by_role("link", name="Back to the hits").click()
    expect(page.locator("#query")).to_be_visible()


def test_the_map_is_walked_by_keyboard_and_leads_to_a_search(page: Page, shoot: Shoot) -> None:
    page.get_by_role("link", name="Map").click()
    chart = page.get_by_role("application", name="Map of")
    expect(chart).to_be_visible()
    shoot(page, "map")
    chart.focus()
    for key in ("ArrowRight", "+", "+", "ArrowDown", "+"):
        page.keyboard.press(key)
    expect(page.locator(".chart-card img")).to_be_visible()
    expect(page.locator(".chart [role=status], .map .unseen-status")).not_to_be_empty()
    shoot(page, "map-zoomed")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#like="))
    expect(tiles(page).first).to_be_visible()


def test_a_point_of_the_map_is_opened_by_a_click_and_not_by_a_drag(page: Page) -> None:
    page.get_by_role("link", name="Map").click()
    chart = page.get_by_role("application", name="Map of")
    place = chart.bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=4)
    page.mouse.up()
    page.wait_for_timeout(200)
    expect(page).to_have_url(re.compile("view=map"))
    card = page.locator(".chart-card")
    for step in range(200):  # along lines across the map, until there is a picture
        page.mouse.move(x - 200 + 20 * (step % 20), y - 100 + 20 * (step // 20))
        if card.count():
            break
    page.mouse.down()
    page.mouse.up()
    expect(page).to_have_url(re.compile("#like="))


def test_the_statistics_agree_with_the_collection(page: Page, shoot: Shoot) -> None:
    count = page.locator(".count").text_content() or ""
    page.get_by_role("link", name="Statistics").click()
    figure = page.locator(".figures div", has_text="pictures")
    expect(figure.locator("dd")).to_have_text(count.removesuffix(" pictures"))
    expect(page.locator(".bars .bar-value").first).not_to_be_empty()
    shoot(page, "statistics")


def test_pictures_are_added_with_progress_and_found_at_once(
    page: Page, shoot: Shoot, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.evaluate("() => (location.hash = 'view=add&in=growing')")
    files = [*sorted(QUERY.parent.glob("*.*g"))[:5], tmp_path / "broken.png"]
    page.set_input_files("#add-files", files)
    page.get_by_label("Label for all of them").fill("mine")
    shoot(page, "add")
    page.get_by_role("button", name="Add 6 pictures").click()
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    expect(page.locator(".progress [role=status]")).to_have_text("6 of 6")
    page.get_by_text("What was refused, and why").click()
    expect(page.locator(".refusals")).to_contain_text("broken.png")
    assert_accessible(page)
    expect(page.locator(".count")).to_have_text("5 pictures")
    page.get_by_role("link", name="See the collection").click()
    expect(tiles(page)).to_have_count(5)
    page.get_by_role("link", name="Add").click()
    page.set_input_files("#add-files", files[:2])
    page.get_by_role("button", name="Add 2 pictures").click()
    expect(page.locator(".scores div", has_text="there already").locator("dd")).to_have_text("2")


def test_a_folder_is_added_with_its_name_as_label(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "holiday" / "beach"
    folder.mkdir(parents=True)
    Image.effect_noise((64, 48), 90).save(folder / "sand.png")
    (folder / "notes.txt").write_text("no picture")
    page.evaluate("() => (location.hash = 'view=add&in=growing')")
    page.set_input_files("#add-folder", tmp_path / "holiday")
    expect(page.get_by_role("switch", name="Label each by its folder (beach)")).to_be_checked()
    page.get_by_role("button", name="Add 1 picture").click()
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    page.get_by_role("link", name="See the collection").click()
    expect(page.locator("#grid .tile", has_text="beach").first).to_be_visible()


def test_every_way_is_reached_by_keyboard_from_search_to_side_by_side(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, "#grid a")
    page.keyboard.press("Enter")
    expect(page.locator("#query-title")).to_be_focused()
    tab_to(page, "[aria-label^='Side by side']", most=90)
    expect(page.locator(".tile:focus-within .tools")).to_have_css("opacity", "1")
    page.keyboard.press("Enter")
    expect(page.locator("#beside-title")).to_be_focused()
    tab_to(page, "[name=way]")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Slider")).to_be_checked()
    page.keyboard.press("Escape")
    expect(page.locator("#query")).to_be_visible()


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_on_a_phone_a_photograph_can_be_taken_and_the_refinements_unfold(
    page: Page, shoot: Shoot
) -> None:
    expect(page.get_by_role("button", name="Take a photo")).to_be_visible()
    assert page.locator("#camera").get_attribute("capture") == "environment"
    page.set_input_files("#camera", QUERY)
    expect(page.locator(".score").first).to_have_text("1.00")
    expect(page.get_by_role("checkbox", name="histogram")).to_be_hidden()
    page.get_by_role("button", name="Refine").click()
    expect(page.get_by_role("checkbox", name="histogram")).to_be_visible()
    shoot(page, "refine-phone")
    assert_accessible(page)


def test_duplicates_are_shown_once_the_service_has_found_them(page: Page, shoot: Shoot) -> None:
    ids = [tile.get_attribute("data-id") for tile in tiles(page).all()[:3]]
    pictures = [
        {"id": id, "path": f"/pictures/{n}.jpg", "width": 300, "height": 200, "bytes": 9_000 - n}
        for n, id in enumerate(ids)
    ]
    group = {"kind": "copy", "bytes": 17_997, "others": pictures[1:]}
    found = {
        "groups": [{**group, "keep": {**pictures[0], "why": "largest"}}],
        "bytes": 17_997,
        "total": 1,
        "age": 0.5,
        "current": True,
    }
    waited: list[Route] = []

    def answer(route: Route) -> None:
        """First that they are still looked for, as of a large collection."""
        waited.append(route)
        route.fulfill(status=202 if len(waited) == 1 else 200, json=found if waited[1:] else {})

    page.route("**/duplicates?*", answer)
    page.get_by_role("link", name="Duplicates").click()
    expect(page.locator(".duplicates [role=status]")).to_contain_text("1 group")
    expect(page.locator(".duplicates a.frame")).to_have_count(3)
    shoot(page, "duplicates")
    assert_accessible(page)
    page.get_by_role("link", name="1.jpg").click()
    expect(page.locator("#beside svg image")).to_have_count(2)


@pytest.mark.parametrize("page", ["desktop", "dark", "phone"], indirect=True)
def test_duplicates_that_were_found_before_a_change_say_how_old_they_are_until_there_are_new_ones(
    page: Page, shoot: Shoot, request: pytest.FixtureRequest
) -> None:
    ids = [tile.get_attribute("data-id") for tile in tiles(page).all()[:3]]
    pictures = [
        {"id": id, "path": f"/pictures/{n}.jpg", "width": 300, "height": 200, "bytes": 9_000}
        for n, id in enumerate(ids)
    ]
    group = {"kind": "near", "bytes": 9_000, "keep": {**pictures[0], "why": "largest"}}
    old = {"groups": [{**group, "others": pictures[1:2]}], "bytes": 9_000, "total": 1}
    new = {"groups": [{**group, "others": pictures[1:]}], "bytes": 18_000, "total": 1}
    asked: list[str] = []

    def answer(route: Route) -> None:
        """What was found last, at once; then, to who waits, what was found anew."""
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(json={**old, "age": 3 * 60 + 59.0, "current": False})
        else:
            waiting.append(route)

    waiting: list[Route] = []
    page.route("**/duplicates?*", answer)
    page.get_by_role("link", name="Duplicates").click()
    age = page.locator(".duplicates .age")
    expect(age).to_have_text("Found 3 minutes ago, before the collection changed. Looking anew …")
    expect(page.locator(".duplicates a.frame")).to_have_count(2)
    assert "wait=0&" in asked[0]
    shoot(page, f"duplicates-old-{request.node.callspec.params['page']}")
    assert_accessible(page)
    while not waiting:
        page.wait_for_timeout(20)
    waiting[0].fulfill(json={**new, "age": 0.1, "current": True})
    expect(page.locator(".duplicates a.frame")).to_have_count(3)
    expect(age).to_have_count(0)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"viewport": {"width": 1440, "height": 900}}, "desktop"),
        ({"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"}, "dark"),
        (PHONE, "phone"),
        ({**PHONE, "color_scheme": "dark"}, "phone-dark"),
    ],
)
def test_collections_that_cannot_be_opened_are_named_with_the_reason(
    browser: Browser, tmp_path: Path, shoot: Shoot, settings: dict[str, object], name: str
) -> None:
    with lookalike.open(tmp_path / "well") as well:
        well.add(SAMPLES / "coffee.png", SAMPLES / "chelsea.png")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "catalogue.sqlite").write_bytes(b"no database" * 1000)
    server = Server({}, Settings.read(collections=tmp_path, port=0))
    thread = threading.Thread(target=server.answer)
    thread.start()
    context = browser.new_context(**settings)  # type: ignore[arg-type]
    try:
        page = context.new_page()
        page.goto(server.url)
        expect(tiles(page).first).to_be_visible()
        summary = page.get_by_text("old cannot be opened")
        expect(summary).to_be_visible()
        shoot(page, f"broken-{name}")
        assert_accessible(page)
        expect(page.locator(".unopened dd")).to_be_hidden()
        summary.click()
        expect(page.locator(".unopened dd")).to_contain_text("file is not a database")
        shoot(page, f"broken-why-{name}")
        assert_accessible(page)
        page.goto(f"{server.url}/#in=old")
        expect(page.get_by_role("alert")).to_contain_text("Old cannot be opened")
        page.evaluate("location.hash = 'in=old&view=map'")
        expect(page.get_by_role("alert")).to_contain_text("The collection old cannot be opened")
    finally:
        context.close()
        server.stop()
        thread.join()

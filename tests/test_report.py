"""The report as a file, as HTML, and as figures that must be those of the comparison."""

from __future__ import annotations

import html
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from made_comparison import comparison, cost, resolved, result, worst
from samples import write

from lookalike.comparison import Found, NotRun, RecipeComparison, WorstQuery
from lookalike.errors import CannotWritePage
from lookalike.evaluate.truth import Box
from lookalike.report import check
from lookalike.report import write as write_report
from lookalike.report.charts import Line, Point, Row, bars, line_chart, pareto_front, scatter
from lookalike.report.groups import chosen
from lookalike.report.labels import Box as Place
from lookalike.report.labels import placed
from lookalike.report.page import page
from lookalike.report.scales import around, written

HOSTILE = '<script>alert(\'&"x")</script>'
VOID = {"meta", "img"}


class Page(HTMLParser):
    """What is on a page: every element is closed in the order in which it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.opened: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.opened == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.opened.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = set(self.opened)
        if not inside & {"style"}:
            self.text += data
        if inside & {"td", "th"}:
            self.tables[-1][-1][-1] += data

    def table(self, heading: str) -> list[list[str]]:
        """The only table with this heading, without its head."""
        (found,) = (rows for rows in self.tables if heading in rows[0])
        return found[1:]


@pytest.fixture(scope="module")
def made() -> RecipeComparison:
    truth = resolved(["ants", "boats", "cups"], 10)
    skills = {"good": 0.3, "quick": 0.298, "poor": 0.1}
    results = [
        result(name, truth, skill, cost(milliseconds, 5_000 + milliseconds))
        for (name, skill), milliseconds in zip(skills.items(), (80, 8, 4), strict=True)
    ]
    return comparison(
        results, (NotRun("vgg16", "no weights: `lookalike models fetch vgg16`", False),)
    )


@pytest.fixture(scope="module")
def shown(made: RecipeComparison) -> Page:
    return Page(page(made))


def test_the_verdict_stands_first(made: RecipeComparison, shown: Page) -> None:
    assert made.verdict.sentence in shown.text
    tags = [tag for tag, _ in shown.elements]
    assert tags.count("h1") == 1
    assert tags.index("h1") < tags.index("table")
    assert "quick" in made.verdict.sentence


def test_the_table_has_the_figures(made: RecipeComparison, shown: Page) -> None:
    rows = shown.table("mAP")
    assert [row[0] for row in rows] == [each.name for each in made.results]
    for row, each in zip(rows, made.results, strict=True):
        values = each.values[~np.isnan(each.values)]
        assert row[1] == f"{values.mean():.3f}"
        low, high = row[2].split(" to ")
        assert float(low) <= float(row[1]) <= float(high)
        assert row[4:9] == [
            f"{each.pictures_per_second:.1f}",
            f"{each.cost.rate:.1f}",
            f"{1e3 * each.cost.p50:.1f}",
            f"{1e3 * each.cost.p99:.1f}",
            f"{each.cost.bytes_a_picture / 1e3:.1f} kB",
        ]
    assert rows[0][9] == "best"
    assert rows[-1][9].startswith("worse, \N{MINUS SIGN}0.")


def test_thresholds_have_nine_digits_and_what_they_give(
    made: RecipeComparison, shown: Page
) -> None:
    for row, each in zip(shown.table("threshold"), made.results, strict=True):
        assert np.float32(row[1]) == np.float32(each.threshold.threshold)
        assert len(row[1].lstrip("0.").replace(".", "")) >= 8
        assert row[2] == f"{100 * each.threshold.false_positive_rate:.2f}%"
        low, high = each.threshold.interval
        assert row[3] == f"{100 * low:.2f}% to {100 * high:.2f}%"
        assert row[4] == f"{each.threshold.recall:.3f}"


def test_bars_and_the_best_and_worst_are_the_means_of_groups(
    made: RecipeComparison, shown: Page
) -> None:
    best = made.results[0]
    for name, mean in best.groups.items():
        values = [v for v, q in zip(best.values, best.queries, strict=True) if q.startswith(name)]
        assert mean.value == pytest.approx(np.mean(values))
        assert f"{name}, {best.name}: {mean.value:.3f}" in shown.text
    (first, *_) = shown.table("worst")
    low = min(best.groups.items(), key=lambda item: item[1].value)
    assert first[1] == f"{low[0]} {low[1].value:.2f}"


def test_what_could_not_be_run_is_told(shown: Page) -> None:
    assert shown.table("why") == [["vgg16", "no weights: lookalike models fetch vgg16"]]


def test_nothing_is_fetched_and_nothing_runs(made: RecipeComparison) -> None:
    text = page(made)
    found = Page(text)
    assert not {tag for tag, _ in found.elements} & {"script", "link", "iframe", "object", "use"}
    for tag, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert "href" not in attributes
        if "src" in attributes:
            assert tag == "img"
            assert str(attributes["src"]).startswith("data:image/jpeg;base64,")
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert "@import" not in text


def test_every_chart_has_a_title_and_every_table_a_caption(shown: Page) -> None:
    tags = [tag for tag, _ in shown.elements]
    charts = [
        at
        for at, (tag, given) in enumerate(shown.elements)
        if tag == "svg" and given.get("role") == "img"
    ]
    assert len(charts) >= 7
    for at in charts:
        assert tags[at + 1] == "title"
        assert shown.elements[at][1]["aria-label"]
    assert tags.count("caption") == tags.count("table") >= 4
    assert all(given.get("scope") for tag, given in shown.elements if tag == "th")


def test_names_are_text_wherever_they_stand(tmp_path: Path) -> None:
    truth = resolved([HOSTILE, "b"], 4)
    picture = write(tmp_path / "<i>" / "<b onload=x>&.png", 1)
    asked = worst([picture], 2)
    base = result("a", truth, 0.2, cost(3, 3))
    evil = replace(
        result(HOSTILE, truth, 0.3, cost(5, 5), worst=asked, notes=(HOSTILE,)), summary=HOSTILE
    )
    text = page(
        replace(
            comparison([evil, base], (NotRun(HOSTILE, HOSTILE, True),), tmp_path / HOSTILE),
            notes=(HOSTILE,),
            layout=HOSTILE,
        )
    )
    found = Page(text)
    assert HOSTILE not in text
    assert html.escape(HOSTILE) in text
    assert not {"script", "b", "i"} & {tag for tag, _ in found.elements} - {"b"}
    assert "<b onload" not in text
    assert "<i>/<b onload=x>&.png" in found.text


def test_what_no_page_may_hold_is_replaced(tmp_path: Path) -> None:
    name = "a\x00b\x1b[31m\ud800"
    found = comparison([result(name, resolved(["x", "y"], 2), 0.3, cost(1, 1))])
    write_report(found, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert not [each for each in text if not each.isprintable() and each != "\n"]


def test_the_worst_queries_show_their_pictures(tmp_path: Path) -> None:
    pictures = [write(tmp_path / "ants" / f"{n}.png", n) for n in range(7)]
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    boxed = WorstQuery(
        "boxed",
        str(pictures[0]),
        Box(1, 1, 20, 10),
        None,
        0.1,
        1,
        None,
        (Found(str(bad), False, 0.5),),
    )
    truth = resolved(["a"], 4)
    one = result("one", truth, 0.3, cost(1, 1), worst=[*worst(pictures, 3), boxed])
    text = page(comparison([one]))
    found = Page(text)
    assert text.count("data:image/jpeg;base64,") == 3 * 6 + 1
    assert found.text.count("\N{CHECK MARK} right") == 3
    assert found.text.count("\N{MULTIPLICATION X} wrong") == 3 * 4 + 1
    assert "ants: 5 pictures are right, nothing right was found" in found.text
    assert "ants: 5 pictures are right, the first of them is at rank 3" in found.text
    assert "1 picture is right, nothing right was found" in found.text
    assert text.count('<div class="none">') == 1
    assert len(text) < 500_000


def test_a_page_of_little(tmp_path: Path) -> None:
    one_query = comparison([result("alone", resolved(["a"], 1), 0.3, cost(1, 1))])
    truth = resolved(["a"], 5)
    alike = [result(name, truth, 0.3, cost(1, 1)) for name in ("one", "other")]
    without = result("none", resolved(["a"], 3, relevant=0), 0.3, cost(1, 1))
    for number, given in enumerate(
        (one_query, comparison(alike), comparison([without]), comparison([]))
    ):
        write_report(given, tmp_path / f"{number}.html")
        text = (tmp_path / f"{number}.html").read_text()
        assert given.verdict.sentence in Page(text).text
        assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).lower()


def test_scores_that_are_all_the_same_can_be_drawn() -> None:
    truth = resolved(["a"], 5)
    one = result("one", truth, 0.3, cost(1, 1))
    flat = one.curve._replace(
        threshold=np.array([0.5], np.float32),
        false_positive_rate=np.array([1.0]),
        recall=np.array([1.0]),
    )
    Page(page(comparison([replace(one, curve=flat)])))


class TestFile:
    """Where the page goes."""

    def test_one_of_ours_is_replaced_whole_and_no_other(
        self, made: RecipeComparison, tmp_path: Path
    ) -> None:
        path = tmp_path / "page.html"
        write_report(made, path)
        write_report(made, path)
        assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
        assert [each.name for each in tmp_path.iterdir()] == ["page.html"]
        path.write_text("<html>my diary</html>")
        with pytest.raises(CannotWritePage, match="no such page of ours"):
            write_report(made, path)
        assert path.read_text() == "<html>my diary</html>"

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("page.txt", r"does not end in \.html"),
            ("nowhere/page.html", "its folder is not there"),
            ("folder.html", "it is a folder"),
        ],
    )
    def test_a_place_that_will_not_do_is_told_before_the_work(
        self, name: str, why: str, tmp_path: Path
    ) -> None:
        (tmp_path / "folder.html").mkdir()
        with pytest.raises(CannotWritePage, match=why):
            check(tmp_path / name)


class TestCharts:
    """Lines, points and bars."""

    def test_the_pareto_front_is_that_of_brute_force(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(20):
            points = [Point(f"{n}", "s1", *map(float, rng.integers(1, 8, 2))) for n in range(12)]
            front = pareto_front(points)
            for each in points:
                beaten = any(
                    other.x <= each.x
                    and other.y >= each.y
                    and (other.x, other.y) != (each.x, each.y)
                    for other in points
                )
                assert ((each.x, each.y) in {(f.x, f.y) for f in front}) == (not beaten)

    def test_they_are_well_formed_and_lie_inside(self) -> None:
        line = Line("a & b", "s1", [0.0, 0.5, 1.0], [1.0, float("nan"), 0.0])
        points = [Point(f"recipe {n}", "s1", 10.0**n, 0.1 * n) for n in range(6)]
        row = Row(
            "a class with a very long name indeed", [("a", "s1", 0.5), ("b", "s2", float("nan"))]
        )
        for drawn in (
            line_chart("t", [line], ("x", "y"), mark=(0.99, "here")),
            scatter("t", points, ("x", "y")),
            scatter("t", points[:1], ("x", "y")),
            bars("t", [row]),
        ):
            root = ElementTree.fromstring(drawn)
            _, _, width, height = map(float, root.attrib["viewBox"].split())
            for each in root.iter():
                for name, value in each.attrib.items():
                    if name in ("x", "cx", "x1", "x2"):
                        assert 0 <= float(value) <= width
                    if name in ("y", "cy", "y1", "y2"):
                        assert 0 <= float(value) <= height

    def test_a_point_lies_where_its_value_is(self) -> None:
        root = ElementTree.fromstring(
            line_chart("t", [Line("a", "s1", [0.0, 1.0], [0.0, 1.0])], ("x", "y"))
        )
        (drawn,) = (each for each in root.iter() if each.tag == "polyline")
        (left, bottom), (right, top) = (
            map(float, each.split(",")) for each in drawn.attrib["points"].split()
        )
        axis = next(each for each in root.iter() if each.attrib.get("class") == "axis")
        assert (left, right) == (float(axis.attrib["x1"]), float(axis.attrib["x2"]))
        assert bottom == float(axis.attrib["y1"])
        assert top < bottom

    def test_ticks_are_round_and_in_range(self) -> None:
        for low, high in ((0.412, 0.958), (12, 300), (2_300, 35_000), (0.93, 0.93), (5, 5.01)):
            for log in (False, True):
                scale = around([low, high], 0, 100, log=log)
                ticks = scale.ticks()
                assert 2 <= len(ticks) <= 9
                assert all(-1e-6 <= scale(tick) <= 100 + 1e-6 for tick in ticks)
        assert [written(each) for each in (0.25, 20, 3_000, 1.5e6)] == ["0.25", "20", "3k", "1.5M"]

    def test_no_name_covers_another_or_a_point(self) -> None:
        rng = np.random.default_rng(0)
        spots = [(float(x), float(y)) for x, y in rng.uniform((50, 40), (400, 260), (14, 2))]
        frame = Place(40, 20, 420, 270)
        found = placed([f"recipe-{n}" for n in range(14)], spots, frame)
        boxes = [each for each in found if each is not None]
        assert len(boxes) >= 12
        for number, box in enumerate(boxes):
            assert box.inside(frame)
            assert not any(box.covers(other) for other in boxes[:number])
            assert not any(box.left < x < box.right and box.top < y < box.bottom for x, y in spots)

    def test_points_in_one_place_are_all_named_with_a_line_to_what_is_far(self) -> None:
        spots = [Point(f"recipe-{n}", f"s{n}", 3_000, 0.5) for n in range(1, 4)]
        drawn = scatter("all", [*spots, Point("other", "s4", 9_000, 0.9)], ("bytes", "mAP"))
        root = ElementTree.fromstring(drawn)
        names = {each.text for each in root.iter() if "name" in each.attrib.get("class", "")}
        assert names == {"recipe-1", "recipe-2", "recipe-3", "other"}
        at = [each.attrib for each in root.iter("circle") if each.attrib["class"] != "dot s4"]
        assert len({(each["cx"], each["cy"]) for each in at}) == 1
        largest_first = [float(each["r"]) for each in at]
        assert largest_first == sorted(largest_first, reverse=True)
        leaders = [each for each in root.iter() if each.attrib.get("class") == "leader"]
        assert {(each.attrib["x1"], each.attrib["y1"]) for each in leaders} <= {
            (at[0]["cx"], at[0]["cy"])
        }


def test_of_many_groups_those_are_shown_that_differ_most() -> None:
    truth = resolved([f"g{n:02}" for n in range(24)], 3)
    made = comparison([result(n, truth, s, cost(1, 1)) for n, s in (("a", 0.3), ("b", 0.1))])
    shown = chosen(made)
    spread = {
        name: made.results[0].groups[name].value - made.results[1].groups[name].value
        for name in made.results[0].groups
    }
    assert len(shown) == 10
    assert {*shown} == {*sorted(spread, key=lambda name: -abs(spread[name]))[:10]}
    of_best = [made.results[0].groups[name].value for name in shown]
    assert of_best == sorted(of_best)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

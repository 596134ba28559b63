"""Recipes side by side: what is measured, who is worse by more than chance, which to take."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import made_comparison
import numpy as np
import pytest
from made_comparison import cost, resolved, result
from samples import called, command, environment, write, write_classes
from tiny_onnx import WEIGHTS, write_network

import lookalike as api
from lookalike.comparison import RecipeComparison, RecipeResult, compare
from lookalike.comparison.distilling import thinned
from lookalike.comparison.judging import against_best, ordered, verdict
from lookalike.errors import BadSource, BadTruth, UnknownName
from lookalike.evaluate import truth as truths
from lookalike.evaluate.harness import evaluate
from lookalike.evaluate.metrics import Mean
from lookalike.evaluate.thresholds import threshold_curve, threshold_for
from lookalike.tables import comparison as table

EACH = 4


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classes(tmp_path_factory.mktemp("comparison") / "pictures", EACH)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Recipes of two networks, and of one that is broken."""
    folder = tmp_path_factory.mktemp("networks")
    write_network(folder / "one.onnx")
    write_network(folder / "other.onnx", weights=WEIGHTS[::-1] ** 3)
    (folder / "broken.onnx").write_bytes((folder / "one.onnx").read_bytes()[:200])
    (folder / "broken.toml").write_bytes((folder / "one.toml").read_bytes())
    return [f"onnx:{folder / name}.onnx" for name in ("one", "broken", "other")]


@pytest.fixture(scope="module")
def compared(pictures: Path, networks: Sequence[str]) -> RecipeComparison:
    return compare(str(pictures), networks, false_positives=0.25)


def named(comparison: RecipeComparison, name: str) -> RecipeResult:
    (found,) = (each for each in comparison.results if each.name == name)
    return found


def test_the_figures_are_those_of_an_evaluation_by_itself(
    compared: RecipeComparison, pictures: Path, networks: Sequence[str], tmp_path: Path
) -> None:
    with api.open(tmp_path / "made", recipe=networks[2]) as made:
        made.add(pictures)
        found = evaluate(made, truths.against(truths.read(pictures), made))
    (judgement,) = found.judgements
    other = named(compared, "other")
    assert other.measures == judgement.measures
    assert other.values.tolist() == judgement.values["map"].tolist()
    assert other.groups == judgement.groups
    assert other.threshold == threshold_for(judgement.answers, 0.25)
    assert (compared.measure, compared.setup, compared.pictures) == ("map", "all", 12)
    values = judgement.values["map"]
    assert other.worst[0].value == values.min()
    assert [each.value for each in other.worst] == sorted(values[values < 1].tolist())
    for worst in other.worst:
        label = Path(worst.place).parent.name
        assert worst.place not in [hit.place for hit in worst.found]
        right = [Path(hit.place).parent.name == label for hit in worst.found]
        assert [hit.right for hit in worst.found] == right
        assert worst.relevant == EACH - 1
        if any(right):
            assert worst.first_right == right.index(True) + 1


def test_one_that_fails_is_told_of_and_stops_no_other(compared: RecipeComparison) -> None:
    assert {each.name for each in compared.results} == {"one", "other"}
    (failed,) = compared.not_run
    assert failed.name == "broken"
    assert "broken.onnx" in failed.reason
    assert failed.asked_for


def test_each_is_compared_with_the_best_on_the_same_queries(compared: RecipeComparison) -> None:
    best, other = compared.results
    assert best.quality.value >= other.quality.value
    assert compared.verdict.best == best.name
    difference = (other.values - best.values).mean()
    assert compared.against[other.name].difference == pytest.approx(difference)
    assert compared.tied(best.name)


def test_json_holds_all_of_it(compared: RecipeComparison) -> None:
    told = json.loads(json.dumps(compared.to_json(), allow_nan=False))
    assert [each["recipe"] for each in told["recipes"]] == [each.name for each in compared.results]
    assert told["recipes"][0]["setups"]["all"]["measures"]["map"]["value"] == pytest.approx(
        compared.results[0].quality.value
    )
    assert told["not_run"][0]["recipe"] == "broken"
    assert told["verdict"]["take"] == compared.verdict.take
    assert told["recipes"][0]["threshold"]["wanted_false_positive_rate"] == 0.25
    assert told["recipes"][0]["cost"]["p99_ms"] == 1e3 * compared.results[0].cost.p99
    assert "peak_memory_bytes" not in told["recipes"][0]["cost"]


def test_nothing_is_left_after_it_or_after_ctrl_c(
    pictures: Path, networks: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def interrupt(doing: str, *_: object) -> None:
        if "asking" in doing:
            assert any(tmp_path.iterdir())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(str(pictures), networks[:1], on_step=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_kept_collections_are_used_again_and_follow_the_folder(
    networks: Sequence[str], tmp_path: Path
) -> None:
    folder, keep = write_classes(tmp_path / "pictures", EACH), tmp_path / "keep"
    steps: list[str] = []

    def interrupt(doing: str, *_: object) -> None:
        steps.append(doing)
        if doing == "other: asking":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(str(folder), networks, keep=keep, on_step=interrupt)
    assert len(list(keep.iterdir())) == 2  # none of the broken one
    kept = {path.name: path.stat().st_ino for path in keep.iterdir()}
    again = compare(str(folder), networks[:1], keep=keep)
    (rate,) = (json.loads(path.read_text()) for path in keep.glob("one-*/indexed.json"))
    assert again.results[0].pictures_per_second == rate["pictures_per_second"]
    assert {path.name: path.stat().st_ino for path in keep.iterdir()} == kept
    (folder / "ants" / "0.png").unlink()
    write(folder / "boats" / "new.png", 99)
    write(folder / "boats" / "newer.png", 98)
    assert compare(str(folder), networks[:1], keep=keep).pictures == 13


def test_a_set_of_copies_brings_its_own_truth(networks: Sequence[str], tmp_path: Path) -> None:
    lines = ["query_id,reference_id,group"]
    for number in range(6):
        write(tmp_path / "collection" / f"{number}.png", number)
        write(tmp_path / "queries" / f"{number}-edit.jpg", number, "JPEG")
        lines.append(f"queries/{number}-edit.jpg,collection/{number}.png,jpeg")
    for number, shown in ((20, 20), (21, 0)):  # the second looks as if it had a copy
        write(tmp_path / "queries" / f"{number}-edit.jpg", shown, "JPEG")
        lines.append(f"queries/{number}-edit.jpg,,jpeg")
    (tmp_path / "truth.csv").write_text("\n".join(lines) + "\n")
    found = compare(str(tmp_path), [networks[0], networks[2]])
    assert (found.measure, found.pooled, found.pictures) == ("micro_ap", True, 6)
    best, other = found.results
    assert len(best.queries) == 8
    assert len(best.values) == 2_000
    against = found.against[other.name]
    assert against.difference == pytest.approx(other.quality.value - best.quality.value)
    assert against.low <= against.high
    # Each query with a copy finds it first, and only among the answers of all are wrong ones.
    assert best.measures["map"].value == 1
    assert best.precision[-1] <= 6 / 7
    assert (np.diff(best.precision) <= 0).all()


def test_a_picture_that_cannot_be_read_is_left_out_and_told_of(
    networks: Sequence[str], tmp_path: Path
) -> None:
    write_classes(tmp_path, EACH)
    (tmp_path / "ants" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    found = compare(str(tmp_path), networks[:1])
    assert len(found.results[0].queries) == 12
    (note,) = (note for note in found.notes if "cannot be read" in note)
    assert "bad.png" in note


def test_a_mistake_is_told_before_anything_is_made(
    pictures: Path, networks: Sequence[str], tmp_path: Path
) -> None:
    keep = tmp_path / "keep"
    with pytest.raises(UnknownName, match="resnet50"):
        compare(str(pictures), [networks[0], "resnet5"], keep=keep)
    with pytest.raises(BadSource, match="not a folder"):
        compare(str(tmp_path / "nowhere"), networks, keep=keep)
    with pytest.raises(BadTruth, match="one class"):
        compare(str(pictures), networks, truth=str(pictures / ".."), keep=keep)
    assert not keep.exists()


def test_a_truth_of_other_pictures_ends_it_at_the_first_recipe(
    pictures: Path, networks: Sequence[str], tmp_path: Path
) -> None:
    (tmp_path / "truth.csv").write_text("query,relevant\n0.png,nowhere.png\n")
    steps: list[str] = []
    with pytest.raises(BadTruth, match=r"line 2: `nowhere\.png`"):
        compare(
            str(pictures),
            [networks[0], networks[2]],
            truth=str(tmp_path / "truth.csv"),
            on_step=lambda doing, *_: steps.append(doing),
        )
    assert not any(step.startswith("other") for step in steps)


def test_the_points_of_a_thinned_curve_lie_on_it() -> None:
    truth = resolved(["a"], 60)
    answers = made_comparison.answers(truth, 0.2)
    whole = threshold_curve(answers)
    thin = thinned(whole)
    assert 50 < len(thin.threshold) <= 200 < len(whole.threshold)
    known = {float(score): n for n, score in enumerate(whole.threshold)}
    for score, rate, recall in zip(*thin, strict=True):
        number = known[float(score)]
        assert (rate, recall) == (whole.false_positive_rate[number], whole.recall[number])
    assert thin.threshold[0] == whole.threshold[0]
    assert thin.false_positive_rate[-1] >= 0.99


class TestVerdict:
    """Which recipe to take."""

    truth = resolved(["a", "b"], 20)

    def of(self, *results: RecipeResult) -> RecipeComparison:
        return made_comparison.comparison(results)

    def shifted(self, base: RecipeResult, name: str, less: float, **changed: float) -> RecipeResult:
        """The same with other quality and cost."""
        quality = replace(base.quality, value=base.quality.value - less)
        return replace(
            base,
            name=name,
            values=base.values - less,
            measures={**base.measures, "map": quality},
            cost=replace(base.cost, **changed),  # type: ignore[arg-type]
        )

    def test_the_fastest_within_a_point_is_taken(self) -> None:
        best = result("best", self.truth, 0.3, cost(100, 5_000))
        near = self.shifted(best, "near", 0.009, p50=0.02)
        far = self.shifted(best, "far", 0.011, p50=0.001, bytes_a_picture=10.0)
        found = self.of(far, near, best).verdict
        assert (found.take, found.best, found.fast, found.small) == ("near", "best", "near", "best")
        assert (
            found.sentence
            == "Take near: within 0.9 points of the best, best, and 5.0 times as fast."
        )
        assert "Smallest of all: far, 10 bytes, at a loss of 1.1 points." in found.reasons[2]

    def test_a_speed_that_hardly_differs_is_no_reason(self) -> None:
        best = result("best", self.truth, 0.3, cost(100, 5_000))
        found = self.of(best, self.shifted(best, "near", 0.005, p50=0.095)).verdict
        assert found.take == "best"

    def test_equals_are_not_worse_and_the_faster_is_first(self) -> None:
        slow = result("slow", self.truth, 0.3, cost(100, 5_000))
        found = self.of(slow, self.shifted(slow, "quick", 0, p50=0.01))
        assert [each.name for each in found.results] == ["quick", "slow"]
        assert found.against["slow"].p_value == 1
        assert found.tied("slow")
        assert "Not significantly worse: slow." in found.verdict.reasons[0]

    def test_one_that_is_always_a_little_worse_is_significantly_so(self) -> None:
        best = result("best", self.truth, 0.3, cost(100, 5_000))
        found = self.of(best, self.shifted(best, "near", 0.005, p50=0.01))
        assert found.against["near"].is_worse
        assert "0.5 points less, which is significant" in found.verdict.reasons[1]

    def test_p_values_are_corrected_for_their_number(self) -> None:
        best = result("best", self.truth, 0.3, cost(100, 5_000))
        rng = np.random.default_rng(0)
        noisy = best.values - 0.01 + 0.08 * rng.normal(size=len(best.values))
        one = replace(self.shifted(best, "one", 0.01), values=noisy)
        alone = against_best([best, one], pooled=False)["one"].p_value
        assert 0.02 < alone < 0.5
        several = [replace(one, name=f"{n}") for n in range(3)]
        among = against_best([best, *several], pooled=False)
        assert {each.p_value for each in among.values()} == {min(1.0, 3 * alone)}

    def test_without_quality_there_is_no_advice(self) -> None:
        base = result("one", resolved(["a"], 3, relevant=0), 0.3, cost(1, 1))
        assert math.isnan(base.quality.value)
        assert verdict([base], {}).take is None
        assert "No recipe can be advised" in verdict([base], {}).sentence
        assert "none could be run" in verdict([], {}).sentence

    def test_one_without_quality_stands_last(self) -> None:
        none = result("none", resolved(["a"], 3, relevant=0), 0.3, cost(1, 1))
        good = result("good", resolved(["a"], 3), 0.3, cost(1, 1))
        assert [each.name for each in ordered([none, good])] == ["good", "none"]

    def test_one_alone_and_one_query(self) -> None:
        alone = result("alone", resolved(["a"], 1), 0.3, cost(1, 1))
        found = self.of(alone)
        assert found.verdict.take == "alone"
        assert found.against == {}
        assert alone.groups == {"a": Mean(alone.quality.value, 1, 0)}
        two = self.of(alone, replace(alone, name="two"))
        assert math.isnan(two.against["two"].p_value)


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_every_figure_is_whole_on_a_terminal_of_any_width(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    truth = resolved(["a", "b"], 10)
    names = ("default", "default-pca", "sift-bovw-lsh", "a-recipe-of-somebody-with-a-long-name")
    made = [result(name, truth, 0.3 - 0.05 * n, cost(9, 40_000)) for n, name in enumerate(names)]
    comparison = made_comparison.comparison(made)
    table._show_frame(comparison)
    lines = capsys.readouterr().out.splitlines()
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines[0]) <= columns
    assert not any("\N{HORIZONTAL ELLIPSIS}" in line for line in lines[1:])
    for each in comparison.results:
        name, *figures = table.cells(comparison, each)
        told = [
            line for line in lines if line.startswith(f"\N{BOX DRAWINGS LIGHT VERTICAL} {name[:8]}")
        ]
        assert all(any(figure in line for line in told) for figure in figures)


class TestCommand:
    """`lookalike compare-recipes`."""

    def test_prints_a_table_and_writes_a_report(
        self, pictures: Path, networks: Sequence[str], tmp_path: Path
    ) -> None:
        page, names = tmp_path / "page.html", ",".join(networks)
        done = called("compare-recipes", pictures, "--recipes", names, "-o", page)
        assert done.returncode == 1  # one of those named is broken
        assert "Traceback" not in done.stderr
        heading, *lines = done.stdout.splitlines()
        assert heading.split("\t")[:2] == ["recipe", "mAP"]
        assert {line.split("\t")[0] for line in lines[:2]} == {"one", "other"}
        assert any(line.startswith("not run: broken: ") for line in lines)
        assert any("Holm's correction" in line for line in lines)
        assert page.read_text().count("<table>") >= 3

    @pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_whatever_stops_it_leaves_nothing_behind(
        self, sent: signal.Signals, pictures: Path, tmp_path: Path
    ) -> None:
        process = subprocess.Popen(
            command("compare-recipes", pictures, "--recipes", "default,default-fp16"),
            env=environment(TMPDIR=str(tmp_path)),
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            # Under nohup it would inherit that SIGHUP is to be ignored.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        while process.poll() is None and not any(tmp_path.glob("lookalike-*/collection")):
            time.sleep(0.01)
        process.send_signal(sent)
        _, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (130, "stopped; nothing was kept\n")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            (["--recipes", "defualt"], "Did you mean default"),
            (["--false-positives", "1.5"], "--false-positives must be above 0 and at most 1"),
            (["-o", "page.txt"], "does not end in .html"),
            (["-o", "nowhere/page.html"], "its folder is not there"),
        ],
    )
    def test_what_makes_no_sense_is_one_line(
        self,
        given: list[str],
        why: str,
        pictures: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        done = called("compare-recipes", pictures, *given)
        assert done.returncode == 2
        assert why in done.stderr
        assert done.stderr.count("\n") == 1
        assert list(tmp_path.iterdir()) == []

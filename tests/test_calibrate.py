"""What scores mean in a collection of real pictures, and answers that go by it."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from samples import PHOTOGRAPHS, called, write

import lookalike as api
from lookalike.calibrate import JudgedPair, calibrate, read_pairs
from lookalike.calibrate.asking import Asked
from lookalike.calibrate.fitting import fitted_scorer
from lookalike.calibration import Calibration, Scorer
from lookalike.collection import Collection
from lookalike.edits import EDITS
from lookalike.errors import BadQuantity, BadQuery, CannotCalibrate, NotCalibrated, UnknownName

NAMES = (
    *("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "page.png"),
    *("brick.png", "coins.png", "grass.png", "gravel.png", "moon.png", "text.png", "color.png"),
)
KEPT_OUT = ("clock_motion.png", "ihc.png", "hubble_deep_field.jpg", "horse.png")


def photographs(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in NAMES:
        if (PHOTOGRAPHS / name).exists():
            shutil.copy(PHOTOGRAPHS / name, folder)
    return folder


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of real pictures under the recipe copies, not calibrated; to be copied."""
    folder = tmp_path_factory.mktemp("filled")
    with api.open(folder / "c", recipe="copies") as collection:
        collection.add(photographs(folder / "photographs"))
    return folder / "c"


@pytest.fixture
def collection(filled: Path, tmp_path: Path) -> Iterator[Collection]:
    shutil.copytree(filled, tmp_path / "c")
    with api.open(tmp_path / "c") as opened:
        yield opened


@pytest.fixture(scope="module")
def measured(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """The same, calibrated; only to be read."""
    folder = tmp_path_factory.mktemp("measured") / "c"
    shutil.copytree(filled, folder)
    with api.open(folder) as opened:
        calibrate(opened, sample=26, false_positives=0.1)
        yield opened


def edited(name: str, edit: str, seed: int = 5) -> Any:
    with Image.open(PHOTOGRAPHS / name) as image:
        pixels = np.asarray(image.convert("RGB"))
    return EDITS[edit](pixels, np.random.default_rng(seed))


class TestScorers:
    """Thresholds and rates against brute force over every score that occurs."""

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("wanted", [0.02, 0.1, 0.5])
    def test_no_threshold_finds_more_copies_with_as_few_false_positives(
        self, measured: Collection, seed: int, wanted: float
    ) -> None:
        rng = np.random.default_rng(seed)
        asked = [
            Asked(str(i), "flip", {"default": r}, {"default": w}, True)
            for i, (r, w) in enumerate(rng.normal((0.7, 0.3), 0.2, (50, 2)).tolist())
        ]
        found = fitted_scorer("default", measured, asked, [], wanted)
        assert isinstance(found, Scorer)
        right = np.array([each.right["default"] for each in asked])
        wrong = np.array([each.wrong["default"] for each in asked])
        best = max(
            (right >= at).mean()
            for at in np.r_[right, wrong + 1e-6]
            if (wrong >= at).mean() <= wanted
        )
        assert found.recall == pytest.approx(best)
        assert (wrong >= found.threshold).mean() <= wanted
        assert (wrong >= found.threshold).mean() <= found.bounds[1]
        better = (right[:, None] > wrong[None]).mean() + (right[:, None] == wrong[None]).mean() / 2
        assert found.auc == pytest.approx(better)

    def test_a_copy_that_was_not_found_counts_as_missed(self, measured: Collection) -> None:
        asked = [Asked("a", "flip", {"default": 0.9}, {"default": 0.1}, True)]
        asked += [Asked("b", "grey", {}, {"default": 0.2}, True)]
        found = fitted_scorer("default", measured, asked, [], 0.01)
        assert isinstance(found, Scorer)
        assert (found.recall, found.auc) == (0.5, 0.5)
        assert found.edits["grey"] == (1, 0)

    def test_several_edits_of_a_picture_are_one_query(self, measured: Collection) -> None:
        asked = [Asked("a", "flip", {"default": 0.9}, {"default": 0.1}, i == 0) for i in range(9)]
        found = fitted_scorer("default", measured, asked, [], 0.01)
        assert isinstance(found, Scorer)
        assert found.non_matches == 1
        assert found.edits["flip"].asked == 9

    def test_a_threshold_between_counts_is_a_count(self, measured: Collection) -> None:
        asked = [Asked("a", "flip", {"verified": 30.0}, {"verified": 4.0}, True)]
        found = fitted_scorer("verified", measured, asked, [], 0.01)
        assert isinstance(found, Scorer)
        assert found.threshold == round(found.threshold)
        assert 4 < found.threshold <= 30

    def test_a_threshold_of_a_few_counts_far_apart_lies_nearer_to_the_lower(
        self, measured: Collection
    ) -> None:
        asked = [
            Asked(str(n), "flip", {"verified": 852.0 + n}, {"verified": 6.0}, True)
            for n in range(10)
        ]
        found = fitted_scorer("verified", measured, asked, [], 0.01)
        assert isinstance(found, Scorer)
        assert found.threshold == math.ceil(math.sqrt(7 * 853) - 1)

    def test_what_has_no_score_is_told_why(self, measured: Collection) -> None:
        asked = [Asked("a", "flip", {}, {"default": 0.1}, True)]
        assert "no copy was found" in str(fitted_scorer("default", measured, asked, [], 0.01))


class TestCalibrate:
    def test_every_score_of_the_recipe_is_calibrated(self, measured: Collection) -> None:
        found = measured.calibration
        assert found is not None
        assert set(found.scorers) == {"default", "verified"}
        assert found.sample == len(measured)
        for each in found.scorers.values():
            assert each.recall > 0.6
            assert each.auc > 0.8
            assert math.isfinite(each.threshold)
            assert each.non_matches == len(measured)
        assert not found.enough  # a dozen pictures cannot tell

    @pytest.mark.slow
    def test_the_same_seed_gives_the_same(self, collection: Collection) -> None:
        first, second = (calibrate(collection, sample=4, seed=3) for _ in range(2))
        assert first.scorers == second.scorers

    def test_another_process_sees_it_and_so_do_stats(self, measured: Collection) -> None:
        done = called("stats", "-c", measured.path)
        assert "verified copies" in done.stdout
        said = json.loads(called("stats", "-c", measured.path, "--json").stdout)
        assert Calibration.from_json(said["calibration"]) == measured.calibration

    def test_an_open_collection_sees_what_another_one_measured(
        self, collection: Collection
    ) -> None:
        assert collection.calibration is None
        with api.open(collection.path) as other:
            calibrate(other, sample=3)
        assert collection.calibration is not None

    @pytest.mark.slow
    def test_one_comparator_after_another_is_calibrated(self, collection: Collection) -> None:
        before = calibrate(collection, sample=5, compare=["phash"])
        after = calibrate(collection, sample=5, compare=["ssim"])
        assert set(after.scorers) == {"default", "ssim"}
        kept = collection.calibration
        assert kept is not None
        assert kept.scorers == {**after.scorers, "phash": before.scorers["phash"]}

    def test_that_of_another_model_or_comparator_is_not_used(self, collection: Collection) -> None:
        calibrate(collection, sample=3)
        with sqlite3.connect(collection.path / "catalogue.sqlite") as catalogue:
            ((text,),) = catalogue.execute("SELECT value FROM about WHERE name = 'calibration'")
            said = json.loads(text)
            said["scorers"]["verified"]["made_for"] = "another"
            catalogue.execute(
                "UPDATE about SET value = ? WHERE name = 'calibration'", (json.dumps(said),)
            )
        found = collection.calibration
        assert found is not None
        assert set(found.scorers) == {"default"}
        with pytest.raises(NotCalibrated, match="lookalike calibrate"):
            collection.search(PHOTOGRAPHS / "coffee.png", confident=True)

    @pytest.mark.slow
    def test_a_picture_that_lies_there_twice_is_no_false_positive(
        self, collection: Collection, tmp_path: Path
    ) -> None:
        for name in ("coffee.png", "chelsea.png", "astronaut.png"):
            with Image.open(PHOTOGRAPHS / name) as image:
                image.convert("RGB").save(tmp_path / f"{name}.jpg", quality=80)
        collection.add(*tmp_path.glob("*.jpg"))
        found = calibrate(collection, sample=20, false_positives=0.01)
        assert found.twins >= 3
        assert found.scorers["verified"].threshold < 50

    def test_files_that_are_gone_are_passed_over_and_counted(self, tmp_path: Path) -> None:
        with api.open(tmp_path / "d", recipe="copies") as collection:
            folder = photographs(tmp_path / "photographs")
            for path in sorted(folder.iterdir())[8:]:
                path.unlink()
            collection.add(folder)
            for path in sorted(folder.iterdir())[:4]:
                path.unlink()
            found = calibrate(collection, sample=13)
            assert (found.unreadable, found.sample) == (4, len(collection) - 4)
            shutil.rmtree(folder)
            with pytest.raises(CannotCalibrate, match="index them again"):
                calibrate(collection, sample=13)

    @pytest.mark.parametrize("count", [0, 1])
    def test_too_few_pictures_are_told_so(self, tmp_path: Path, count: int) -> None:
        with api.open(tmp_path / "c") as collection:
            for number in range(count):
                collection.add(write(tmp_path / f"{number}.png", number))
            with pytest.raises(CannotCalibrate, match="lookalike index"):
                calibrate(collection)

    def test_numbers_and_names_that_make_no_sense_are_refused(self, collection: Collection) -> None:
        for rate in (0.0, 1.0, math.nan, -1.0):
            with pytest.raises(BadQuantity, match="false-positives"):
                calibrate(collection, false_positives=rate)
        with pytest.raises(BadQuantity, match="sample"):
            calibrate(collection, sample=0)
        with pytest.raises(UnknownName, match="verified"):
            calibrate(collection, compare=["verifed"])

    def test_pictures_without_anything_in_them_do_no_harm(self, tmp_path: Path) -> None:
        for number, colour in enumerate(((0, 0, 0), (255, 0, 0), (0, 0, 255))):
            Image.new("RGB", (1 + 40 * number, 1 + 30 * number), colour).save(
                tmp_path / f"{number}.png"
            )
        with api.open(tmp_path / "c", recipe="copies") as collection:
            collection.add(tmp_path)
            found = calibrate(collection, sample=6)
            json.dumps(found.to_json(), allow_nan=False)


class TestPairs:
    @pytest.mark.slow
    def test_a_pair_that_is_different_raises_the_threshold(
        self, collection: Collection, tmp_path: Path
    ) -> None:
        """A crop of a picture that the user says is another one."""
        Image.fromarray(edited("coffee.png", "grey")).save(tmp_path / "other.png")
        before = calibrate(collection, sample=6)
        coffee = self._id(collection, "coffee.png")
        (tmp_path / "pairs.csv").write_text(f"a,b,verdict\nother.png,{coffee},different\n")
        after = calibrate(collection, sample=6, pairs=tmp_path / "pairs.csv")
        assert after.judged == 1
        assert after.scorers["verified"].threshold > before.scorers["verified"].threshold

    def test_judgements_that_the_collection_keeps_join_in(self, collection: Collection) -> None:
        one, other = (self._id(collection, name) for name in ("coffee.png", "chelsea.png"))
        collection.judge(one, other, True)
        found = calibrate(collection, sample=3)
        assert found.judged == 1
        assert found.scorers["verified"].edits["pairs"] == (1, 0)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("a.jpg,b.jpg", "line 1"),
            ("a,b,verdict\na.jpg,b.jpg,perhaps", "line 2"),
            (",b.jpg,same", "line 1"),
        ],
    )
    def test_lines_that_cannot_be_read_are_named(self, tmp_path: Path, text: str, why: str) -> None:
        path = tmp_path / "pairs.csv"
        path.write_text(text)
        with pytest.raises(CannotCalibrate, match=why):
            read_pairs(path)

    def test_files_that_cannot_be_read_are_told_of(
        self, collection: Collection, tmp_path: Path
    ) -> None:
        with pytest.raises(CannotCalibrate, match="No such file"):
            read_pairs(tmp_path / "none.csv")
        (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00\x80")
        with pytest.raises(CannotCalibrate, match="UTF-8"):
            read_pairs(tmp_path / "bytes.csv")
        with pytest.raises(CannotCalibrate, match=r"gone\.jpg"):
            calibrate(collection, sample=2, pairs=[JudgedPair("gone.jpg", "gone2.jpg", same=True)])

    def _id(self, collection: Collection, name: str) -> str:
        return next(record.id for record in collection if record.path.endswith(name))


class TestConfident:
    def test_an_unrelated_picture_is_nothing_like_it_here(self, measured: Collection) -> None:
        there = [PHOTOGRAPHS / name for name in KEPT_OUT if (PHOTOGRAPHS / name).exists()]
        assert there
        for path in there:
            assert measured.search(path, confident=True) == []
            assert measured.search(path)

    def test_an_edited_copy_is_there_and_says_how_sure(self, measured: Collection) -> None:
        for edit in ("crop-50", "flip", "colour"):
            first, *others = measured.search(edited("coffee.png", edit), confident=True)
            assert first.path.endswith("coffee.png")
            assert first.kinship == "copy"
            assert first.probability is not None
            assert first.probability > 0.8
            assert others == []

    def test_vectors_alone_go_by_their_own_threshold(self, measured: Collection) -> None:
        hits = measured.search(PHOTOGRAPHS / "coffee.png", compare=[], confident=True)
        found = measured.calibration
        assert found is not None
        assert hits[0].path.endswith("coffee.png")
        least = found.scorers["default"].threshold
        assert all((hit.scores["default"] or 0) >= least for hit in hits)

    def test_probabilities_fall_with_the_order(self, measured: Collection) -> None:
        hits = measured.search(edited("chelsea.png", "crop-25"), k=None)
        known = [hit.probability for hit in hits if hit.probability is not None]
        assert known == sorted(known, reverse=True)
        assert len(known) == len(hits)

    def test_pages_agree(self, measured: Collection) -> None:
        query = PHOTOGRAPHS / "coffee.png"
        every = measured.search(query, compare=[], confident=True, k=5)
        rest = measured.search(query, compare=[], confident=True, k=5, offset=1)
        assert [hit.id for hit in rest] == [hit.id for hit in every[1:]]

    def test_what_is_not_calibrated_says_what_to_do(self, collection: Collection) -> None:
        query = PHOTOGRAPHS / "coffee.png"
        with pytest.raises(NotCalibrated, match="lookalike calibrate -c"):
            collection.search(query, confident=True)
        hits = collection.search(query)
        assert [hit.probability for hit in hits] == [None] * len(hits)
        assert hits[0].kinship == "copy"  # by the usual number of inliers

    def test_words_and_several_pictures_are_refused(self, measured: Collection) -> None:
        one, other = PHOTOGRAPHS / "coffee.png", PHOTOGRAPHS / "chelsea.png"
        with pytest.raises(BadQuery, match="one picture"):
            measured.search(one, other, confident=True, compare=[])
        with pytest.raises(BadQuery, match="one picture"):
            measured.search(text="coffee", confident=True, compare=[])

    def test_the_command_line_prints_it(self, measured: Collection) -> None:
        query = PHOTOGRAPHS / "coffee.png"
        done = called("search", query, "-c", measured.path, "--confident", "--json")
        (hit,) = json.loads(done.stdout)["hits"]
        assert 0.8 < hit["probability"] <= 1

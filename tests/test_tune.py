from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import clustered_vectors, distances_between, random_vectors, sha
from samples import called, environment, lookalike

import lookalike as api
from lookalike import Collection, curve, tune
from lookalike import recipe as recipes
from lookalike.engine import extractors_of, plans_for
from lookalike.errors import BadQuery, CannotPlot, MissingPackage, UnknownName
from lookalike.types import Effort, Trial, Tuning, Vectors

DIM = 16
RECIPE = """
name = "made"
[embeddings.v]
distance = "{distance}"
extractor = {{ name = "vectors", dim = {dim}, made_by = "chance" }}
index = {{ {index} }}
"""


def recipe(folder: Path, index: str, distance: str = "euclidean", dim: int = DIM) -> str:
    """The path of a recipe with this index."""
    path = folder / f"{sha(index + distance).hex()[:8]}.toml"
    path.write_text(RECIPE.format(index=index, distance=distance, dim=dim))
    return str(path)


def fill(collection: Collection, vectors: Vectors, start: int = 0) -> None:
    """A picture for each, numbered from `start` on."""
    numbers = range(start, start + len(vectors))
    places = [api.Place(f"/chance/{number}.png") for number in numbers]
    collection.add_vectors(vectors, [sha(number) for number in numbers], places)
    collection.settle()


def made(folder: Path, index: str, vectors: Vectors, distance: str = "euclidean") -> api.Collection:
    """A collection of these vectors, open."""
    wanted = recipe(folder, index, distance, vectors.shape[1])
    collection = api.open(folder / "c", recipe=wanted)
    if len(vectors):
        fill(collection, vectors)
    return collection


def reindex(collection: Collection, name: str) -> None:
    """Give it another recipe for the same vectors, as a reindex does."""
    chosen = recipes.load(name)
    plans = plans_for(chosen, extractors_of(chosen, "cpu"))
    collection.store.coming.begin(chosen.text, plans, {})
    assert collection.store.coming.swap([])
    collection.take_up_recipe()
    collection.settle()


def state(collection: Collection) -> dict[str, Any] | None:
    """What `stats` says of tuning."""
    said: dict[str, Any] | None = collection.stats()["embeddings"]["v"]["tuning"]
    return said


def true_recall(collection: Collection, vectors: Vectors, distance: str, k: int) -> float:
    """The share of the nearest by NumPy and SciPy that a user is told, each picture a query."""
    every = distances_between(vectors.astype(float), vectors.astype(float), distance)
    np.fill_diagonal(every, math.inf)
    last = np.sort(every, axis=1)[:, k - 1] * (1 + 1e-5) + 1e-5
    right = 0
    for number, vector in enumerate(vectors):
        hits = collection.search(vector, k=k + 1)
        others = [int(Path(hit.path).stem) for hit in hits if hit.id != sha(number).hex()][:k]
        right += int((every[number, others] <= last[number]).sum())
    return right / (k * len(vectors))


HARD = random_vectors(800, DIM)


@pytest.mark.parametrize(
    ("index", "distance"),
    [
        ('name = "hnsw", m = 4, ef_construction = 8, ef_search = 1', "euclidean"),
        ('name = "ivf", clusters = 30, probes = 1', "euclidean"),
        ('name = "ivf", clusters = 30, probes = 1', "l1"),
        ('name = "ivfsq", clusters = 8, probes = 1, refine = 1', "cosine"),
        ('name = "rabitq", clusters = 4, probes = 1, refine = 1', "euclidean"),
        ('name = "lsh", hash_size = 8, num_hashtables = 2, probes = 1', "cosine"),
    ],
    ids=lambda value: value.split('"')[1] if '"' in value else value,
)
def test_what_is_chosen_reaches_the_recall_by_our_own_arithmetic(
    index: str, distance: str, tmp_path: Path
) -> None:
    vectors = HARD[:250]
    with made(tmp_path, index, vectors, distance) as collection:
        (tuned,) = tune.tune(collection, recall=0.97, sample=len(vectors))
        chosen = tuned.tuning.chosen
        assert tuned.tuning.reached
        assert tuned.advice is None
        assert chosen.recall >= 0.97
        assert abs(true_recall(collection, vectors, distance, 10) - chosen.recall) < 0.002
        reaching = [trial for trial in tuned.trials if trial.recall >= 0.97]
        assert chosen.median_ms == min(trial.median_ms for trial in reaching)
        assert all(0 < trial.median_ms <= trial.p99_ms for trial in tuned.trials)
        assert len({trial.effort for trial in tuned.trials}) == len(tuned.trials)


@pytest.mark.slow
def test_hash_tables_always_reach_everything(tmp_path: Path) -> None:
    index = 'name = "lsh", hash_size = 16, num_hashtables = 1, probes = 1'
    with made(tmp_path, index, HARD) as collection:
        (tuned,) = tune.tune(collection, recall=1.0, sample=200)
    assert tuned.tuning.chosen.recall == 1.0
    assert Effort(probes="all") in [trial.effort for trial in tuned.trials]


@pytest.mark.parametrize("index", ["ivf", "hnsw", "ivfsq"])
def test_a_recall_of_one_is_reached_where_everything_can_be_looked_at(
    index: str, tmp_path: Path
) -> None:
    with made(tmp_path, f'name = "{index}"', HARD) as collection:
        (tuned,) = tune.tune(collection, recall=1.0, sample=100)
        assert tuned.tuning.chosen.recall == 1.0


def test_equals_are_as_right_as_each_other(tmp_path: Path) -> None:
    vectors = np.repeat(random_vectors(20, DIM), 30, axis=0)
    with made(tmp_path, 'name = "ivf", clusters = 20', vectors) as collection:
        (tuned,) = tune.tune(collection, recall=1.0, k=5)
        assert tuned.trials[0].recall == 1.0


def test_exact_search_has_nothing_to_tune(tmp_path: Path) -> None:
    with made(tmp_path, 'name = "flat"', HARD) as collection:
        (tuned,) = tune.tune(collection, sample=20)
        assert [(each.effort, each.recall) for each in tuned.trials] == [(Effort(), 1.0)]
        said = state(collection)
        assert said is not None
        assert (said["recall"], said["effort"]) == (1.0, {})


def neighbours(collection: Collection) -> list[list[str]]:
    return [[hit.id for hit in collection.search(vector, k=10)] for vector in HARD[:50]]


IVF = 'name = "ivf", clusters = 30, probes = 1'


@pytest.mark.slow
def test_others_that_have_it_open_and_later_ones_use_it(tmp_path: Path) -> None:
    with made(tmp_path, IVF, HARD) as collection:
        exact = [[hit.id for hit in collection.search(v, k=10, probes="all")] for v in HARD[:50]]
        with api.open(tmp_path / "c") as other:
            assert neighbours(other) != exact
            tune.tune(collection, recall=1.0, sample=800)
            assert neighbours(other) == exact
            assert state(other) == state(collection)
    with api.open(tmp_path / "c") as again:
        assert neighbours(again) == exact
        assert state(again) is not None
    asked = "import sys, lookalike, numpy as np\n"
    asked += "with lookalike.open(sys.argv[1]) as c:\n"
    asked += "  print([[h.id for h in c.search(v, k=10)] for v in np.load(sys.argv[2])])"
    np.save(tmp_path / "v.npy", HARD[:50])
    done = subprocess.run(
        [sys.executable, "-c", asked, str(tmp_path / "c"), str(tmp_path / "v.npy")],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.replace("'", '"')) == exact


def test_a_search_that_says_its_effort_has_it(tmp_path: Path) -> None:
    with made(tmp_path, IVF, HARD) as collection:
        before = neighbours(collection)
        tune.tune(collection, recall=1.0)
        said = [[hit.id for hit in collection.search(v, k=10, probes=1)] for v in HARD[:50]]
        assert said == before != neighbours(collection)


def test_what_a_search_does_not_say_is_as_tuned() -> None:
    usual = Effort(probes=4, refine=30)
    assert Effort(probes="all").or_else(usual) == Effort(probes="all", refine=30)
    assert Effort(ef_search=9).or_else(None) == Effort(ef_search=9)


def test_another_recipe_makes_it_void_and_back_again_too(tmp_path: Path) -> None:
    with made(tmp_path, IVF, HARD) as collection:
        tune.tune(collection, sample=50)
        with api.open(tmp_path / "c") as other:
            reindex(collection, recipe(tmp_path, 'name = "hnsw"'))
            for each in (collection, other):
                each.search(HARD[0])
                assert state(each) is None
        reindex(collection, recipe(tmp_path, IVF))
        assert state(collection) is None
    with sqlite3.connect(tmp_path / "c" / "catalogue.sqlite") as sqlite:
        assert not sqlite.execute("SELECT * FROM about WHERE name LIKE 'tuning%'").fetchall()
    sqlite.close()


def test_a_structure_of_another_kind_makes_it_void(tmp_path: Path) -> None:
    with made(tmp_path, 'name = "auto", flat_below = 600', HARD[:500]) as collection:
        tune.tune(collection, sample=50)
        said = state(collection)
        assert said is not None
        assert said["structure"] == "flat"
        fill(collection, HARD[500:], 500)
        assert collection.stats()["embeddings"]["v"]["structure"] == "hnsw"
        assert state(collection) is None
        tune.tune(collection, sample=50)
        said = state(collection)
        assert said is not None
        assert list(said["effort"]) == ["ef_search"]


def test_a_recipe_that_was_named_with_other_options_is_heeded(tmp_path: Path) -> None:
    with made(tmp_path, IVF, HARD) as collection:
        before = neighbours(collection)
        tune.tune(collection, recall=1.0)
    named = recipe(tmp_path, 'name = "ivf", clusters = 30, probes = 2')
    with api.open(tmp_path / "c", recipe=named) as collection:
        assert state(collection) is None
    with api.open(tmp_path / "c") as collection:
        assert state(collection) is not None
        assert neighbours(collection) != before


def test_what_cannot_be_read_of_it_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with made(tmp_path, IVF, HARD) as collection:
        tune.tune(collection, sample=50)
    with sqlite3.connect(tmp_path / "c" / "catalogue.sqlite") as sqlite:
        sqlite.execute("UPDATE about SET value = '{\"k\": 1}' WHERE name LIKE 'tuning%'")
    sqlite.close()
    with api.open(tmp_path / "c") as collection:
        assert len(collection.search(HARD[0])) == 10
        assert state(collection) is None
    assert "run it again" in caplog.text


def test_pictures_that_come_and_go_leave_it_as_it_is(tmp_path: Path) -> None:
    with made(tmp_path, IVF, HARD[:600]) as collection:
        tune.tune(collection, sample=50)
        before = state(collection)
        fill(collection, HARD[600:], 600)
        collection.remove(*(sha(number).hex() for number in range(100)))
        assert state(collection) == before
        (tuned,) = tune.tune(collection, sample=5_000)
        assert (tuned.tuning.vectors, tuned.tuning.sample) == (700, 700)


@pytest.mark.parametrize("recall", [0, -1, 1.5, math.nan, math.inf])
def test_a_recall_that_is_none(recall: float, tmp_path: Path) -> None:
    with made(tmp_path, IVF, HARD[:50]) as collection, pytest.raises(BadQuery, match="recall"):
        tune.tune(collection, recall=recall)


def test_numbers_and_names_that_make_no_sense(tmp_path: Path) -> None:
    with made(tmp_path, IVF, HARD[:50]) as collection:
        for k, sample in ((0, 10), (10, 0), (-1, -1)):
            with pytest.raises(BadQuery, match="1 or more"):
                tune.tune(collection, k=k, sample=sample)
        with pytest.raises(UnknownName, match=r"Did you mean|Known: v"):
            tune.tune(collection, embedding="w")
        assert state(collection) is None


@pytest.mark.parametrize("count", [0, 1])
def test_there_must_be_two_pictures(count: int, tmp_path: Path) -> None:
    with made(tmp_path, IVF, HARD[:count]) as collection, pytest.raises(BadQuery, match="2 or"):
        tune.tune(collection)


@pytest.mark.parametrize("index", ["ivf", "hnsw", "lsh", "ivfsq", "flat"])
def test_more_are_wanted_than_there_are(index: str, tmp_path: Path) -> None:
    with made(tmp_path, f'name = "{index}"', HARD[:20]) as collection:
        (tuned,) = tune.tune(collection, recall=1.0, k=1_000)
        assert tuned.tuning.chosen.recall == 1.0


def test_where_nothing_reaches_it_the_best_is_used_and_it_says_what_would_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "_MOST_EF_SEARCH", 24)
    index = 'name = "hnsw", m = 2, ef_construction = 1'
    with made(tmp_path, index, HARD) as collection:
        (tuned,) = tune.tune(collection, recall=1.0, k=3)
        assert [trial.effort.ef_search for trial in tuned.trials] == [16, 24]
        assert tuned.tuning.chosen.recall == max(trial.recall for trial in tuned.trials) < 1
        assert tuned.advice is not None
        assert "larger m" in tuned.advice
        assert state(collection) == tuned.tuning.to_json()


def test_several_embeddings_are_tuned_each(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text(
        "".join(
            f'[embeddings.{name}.extractor]\nname = "vectors"\ndim = {DIM}\nmade_by = "{name}"\n'
            f'[embeddings.{name}.index]\nname = "{index}"\n'
            for name, index in (("a", "ivf"), ("b", "hnsw"))
        )
    )
    numbers = range(len(HARD))
    with api.open(tmp_path / "c", recipe=str(path)) as collection:
        collection.add_vectors(
            {"a": HARD, "b": clustered_vectors(len(HARD), DIM)},
            [sha(number) for number in numbers],
            [api.Place(f"/chance/{number}.png") for number in numbers],
        )
        assert [each.embedding for each in tune.tune(collection, embedding="b")] == ["b"]
        assert [each.embedding for each in tune.tune(collection)] == ["a", "b"]
        said = collection.stats()["embeddings"]
        assert [list(said[name]["tuning"]["effort"]) for name in "ab"] == [
            ["probes"],
            ["ef_search"],
        ]


def test_the_steps_double_with_one_between() -> None:
    assert [*tune._rising(1, 50)] == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]
    assert [*tune._rising(16, 64)] == [16, 24, 32, 48, 64]


class TestCommand:
    def test_prints_rows_and_json_and_stats_show_it(self, tmp_path: Path) -> None:
        made(tmp_path, IVF, HARD).close()
        done = called("stats", "-c", tmp_path / "c")
        assert "not measured" in done.stdout
        done = called("tune", "-c", tmp_path / "c", "--recall", "0.9", "-k", "5")
        assert (done.returncode, done.stderr) == (0, "")
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        assert [row[1] for row in rows].count("*") == 1
        assert rows[0][:3] == ["v", "", "probes 1"]
        done = called("tune", "-c", tmp_path / "c", "--sample", "80", "--json")
        said = json.loads(done.stdout)["v"]
        assert (said["k"], said["wanted"], said["sample"], said["reached"]) == (10, 0.99, 80, True)
        assert said["effort"] in [trial["effort"] for trial in said["trials"]]
        done = called("stats", "-c", tmp_path / "c")
        assert f"{said['recall']:.4f} at 10 (probes " in done.stdout
        assert "bytes a vector" in done.stdout

    def test_exit_code_1_where_nothing_reaches_it(self, tmp_path: Path) -> None:
        index = 'name = "hnsw", m = 2, ef_construction = 1'
        made(tmp_path, index, random_vectors(4_500, DIM)).close()
        done = called("tune", "-c", tmp_path / "c", "--recall", "1", "--sample", "30")
        assert done.returncode == 1
        assert "no effort reaches recall 1" in done.stderr
        assert "\t*\t" in done.stdout

    @pytest.mark.parametrize("given", [["--recall", "nan"], ["--plot", "curve.jpg"]])
    def test_what_makes_no_sense_is_one_line(self, given: list[str], tmp_path: Path) -> None:
        made(tmp_path, IVF, HARD[:20]).close()
        done = called("tune", "-c", tmp_path / "c", *given)
        assert done.returncode == 2
        assert done.stderr.startswith("lookalike: ")
        assert done.stderr.count("\n") == 1

    @pytest.mark.slow
    def test_draws_the_curve(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        made(tmp_path, IVF, HARD).close()
        png = tmp_path / "curve.png"
        for _ in range(2):
            done = lookalike("tune", "-c", tmp_path / "c", "--plot", png)
            assert (done.returncode, done.stderr) == (0, f"wrote {png}\n")
        assert png.read_bytes().startswith(b"\x89PNG")


class TestCurve:
    def tuned(self, *trials: Trial) -> tune.Tuned:
        return tune.Tuned("v", Tuning("ivf", 1_000, 0.99, 10, 500, 0.0, trials[-1]), trials)

    def test_one_trial_all_or_nothing_and_several_embeddings(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        none = Trial(Effort(probes=1), 0.0, 0.1, 0.2, 9_000)
        every = Trial(Effort(probes="all"), 1.0, 0.1, 0.2, 9_000)
        panels = [self.tuned(none), self.tuned(every), self.tuned(none, every)]
        curve.draw(panels, tmp_path / "curve.png")
        assert (tmp_path / "curve.png").stat().st_size > 10_000

    def test_never_over_a_file_that_is_not_ours(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        (tmp_path / "cat.png").write_bytes(b"\x89PNG a cat")
        for name in ("cat.png", "nowhere/curve.png", "curve.svg"):
            with pytest.raises(CannotPlot, match=name):
                curve.check(tmp_path / name)

    def test_without_matplotlib_it_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("matplotlib", "matplotlib.figure"):
            monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingPackage, match=r"lookalike\[plots\]"):
            curve.check(Path("curve.png"))

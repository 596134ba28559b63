from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import clustered_vectors
from samples import called, lookalike

import lookalike as api
from lookalike import forecast, plan, quantities, recipe, trial
from lookalike.distances import distance_named
from lookalike.engine import extractors_of, plans_for
from lookalike.errors import BadQuantity
from lookalike.index.auto import Auto, AutoOptions, graph_bytes
from lookalike.plan import Choice, Wish
from lookalike.store import EmbeddingPlan, sizes
from lookalike.tables.plan import show_plan

SCAN = 100e-6
PLACE = "/home/me/pictures/of/a/long/holiday/{:07}.jpg"
RECIPE = """
[embeddings.v]
pca = {pca}
extractor = {{ name = "vectors", dim = {dim}, made_by = "a test" }}
index = {{ {index} }}
"""


@pytest.fixture(autouse=True)
def a_quick_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "scan_seconds", lambda: SCAN)
    monkeypatch.setattr(trial, "of_pictures", lambda _: trial.Trial(50.0, 0.5, 0.02))


def of_vectors(dim: int, index: str = 'name = "auto"', pca: int = 0) -> recipe.Recipe:
    return recipe.parse(RECIPE.format(dim=dim, index=index, pca=pca), "a test")


def two_embeddings() -> recipe.Recipe:
    text = of_vectors(64).text
    return recipe.parse(text + text.replace("embeddings.v", "embeddings.w"), "a test")


@pytest.mark.parametrize(
    ("text", "count"),
    [("5e6", 5_000_000), ("5_000_000", 5_000_000), ("5M", 5_000_000), ("20k", 20_000), ("7", 7)],
)
def test_counts_are_read_as_people_write_them(text: str, count: int) -> None:
    assert quantities.count_of("--pictures", text) == count


@pytest.mark.parametrize(
    ("text", "bytes"), [("8GB", 8e9), ("500MB", 5e8), ("8GiB", 2**33), ("1.5 gb", 1.5e9)]
)
def test_sizes_are_read_as_people_write_them(text: str, bytes: float) -> None:
    assert quantities.bytes_of("--memory", text) == bytes


@pytest.mark.parametrize(("text", "seconds"), [("20ms", 0.02), ("0.02s", 0.02), ("500us", 5e-4)])
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert quantities.seconds_of("--latency", text) == pytest.approx(seconds)


def test_sizes_and_times_are_written_with_their_units() -> None:
    assert quantities.written_bytes(999) == "999 bytes"
    assert quantities.written_bytes(1_600_000_000) == "1.6 GB"
    assert quantities.written_time(0.0025) == "2.5 ms"
    assert quantities.written_time(60_000) == "16.7 hours"


@pytest.mark.parametrize("text", ["", "many", "0", "-5", "1.5", "5Q", "1e99", "nan", "5 6"])
def test_a_count_that_is_none_is_told_in_one_line(text: str) -> None:
    with pytest.raises(BadQuantity, match="--pictures must be") as raised:
        quantities.count_of("--pictures", text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["8", "8 apples", "GB", "-1GB", "0GB"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadQuantity, match="such as 8GB"):
        quantities.bytes_of("--memory", text)


@pytest.mark.parametrize("text", ["20", "fast", "0ms"])
def test_a_time_without_a_unit_is_refused(text: str) -> None:
    with pytest.raises(BadQuantity, match="such as 20ms"):
        quantities.seconds_of("--latency", text)


@pytest.mark.parametrize("dim", [4, 128, 384, 512, 1000, 1024, 1280, 2048, 4096])
def test_bytes_of_a_vector_in_sqlite(dim: int, tmp_path: Path) -> None:
    with api.open(tmp_path / "c", recipe=written(tmp_path, of_vectors(dim, 'name = "flat"'))) as c:
        stored(c, np.ones((1000, dim), np.float32))
    expected = 1000 * (sizes.RECORD + sizes.vector_bytes(dim))
    assert (tmp_path / "c" / "catalogue.sqlite").stat().st_size == pytest.approx(expected, rel=0.25)


# The file in which the compressed kinds collect vectors is closed when it is forgotten.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("index", "pca"),
    [
        *((f'name = "{kind}"', 0) for kind in ("hnsw", "ivf", "ivfsq", "rabitq", "lsh")),
        ('name = "hnsw", m = 8', 0),
        ('name = "hnsw"', 16),
        ('name = "ivf", clusters = 10', 0),
    ],
)
def test_bytes_are_those_that_are_stored(index: str, pca: int, tmp_path: Path) -> None:
    made = of_vectors(64, index, pca)
    with api.open(tmp_path / "c", recipe=written(tmp_path, made)) as collection:
        stored(collection, clustered_vectors(3000, 64))
        collection.settle()
        said = collection.stats()
    (embedding,) = plans_for(made, extractors_of(made, "auto"))
    footprint = sizes.index_footprint(embedding, 3000)
    assert footprint.disk == pytest.approx(said["embeddings"]["v"]["cache_bytes"], rel=0.25)


@pytest.mark.parametrize("kind", ["ivf", "ivfsq", "ivfpq", "rabitq"])
def test_the_bytes_of_a_picture_come_out_within_a_few_percent(kind: str, tmp_path: Path) -> None:
    count = 8_000
    made = of_vectors(64, f'name = "{kind}"')
    with api.open(tmp_path / "c", recipe=written(tmp_path, made)) as collection:
        stored(collection, clustered_vectors(count, 64))
        collection.settle()
        said = collection.stats()["embeddings"]["v"]
    (embedding,) = plans_for(made, extractors_of(made, "auto"))
    index = sizes.index_footprint(embedding, count)
    files = [file for file in (tmp_path / "c" / "index").rglob("*") if file.is_file()]
    assert index.disk == pytest.approx(sum(file.stat().st_size for file in files), rel=0.05)
    rows = 8 * count  # their numbers, which lie beside the structure
    assert index.memory == pytest.approx(said["memory_bytes"] + rows, rel=0.05)
    record = sizes.RECORD - 2 * (51 - len(PLACE.format(0)))
    predicted = record + sizes.vector_bytes(64) + index.disk / count
    taken = sum(file.stat().st_size for file in (tmp_path / "c").rglob("*") if file.is_file())
    assert predicted == pytest.approx(taken / count, rel=0.05)


@pytest.mark.parametrize(
    ("dim", "pictures"),
    [(64, 1_000_000), (384, 3_000_000), (1280, 1_000_000), (64, 10_000_000), (384, 10_000_000)],
)
def test_what_fits_into_memory_as_a_graph_is_one_also_by_auto(
    dim: int, pictures: int, tmp_path: Path
) -> None:
    """Both by the same memory; `plan` counts the program and what waits beside it, too.

    As long as a walk takes less than anybody notices.
    """
    graph = graph_bytes(dim, 24, pictures)
    for memory in (0.5 * graph, 0.99 * graph, 2 * graph, 10 * graph):
        options = AutoOptions(memory_gb=memory / 1e9)
        chosen = Auto.create(dim, distance_named("cosine"), options, pictures, tmp_path).kind
        made = plan.make(of_vectors(dim), Wish(pictures, int(memory)))
        if memory > graph:
            assert made.scheme is not None
            assert made.scheme.choices[0].way.index == chosen == "hnsw"
        else:
            assert chosen == "ivfpq"
            if made.scheme is not None:
                assert "refine" in made.scheme.choices[0].way.knobs  # compressed as well


def test_an_exact_index_of_few_vectors_has_no_file(tmp_path: Path) -> None:
    made = of_vectors(16, 'name = "flat"')
    with api.open(tmp_path / "c", recipe=written(tmp_path, made)) as collection:
        stored(collection, clustered_vectors(1000, 16))
        collection.settle()
        assert collection.stats()["embeddings"]["v"]["cache_bytes"] == 0
    (embedding,) = plans_for(made, extractors_of(made, "auto"))
    assert sizes.index_footprint(embedding, 1000).disk == 0


@pytest.mark.parametrize("pictures", [200_000, 5_000_000, 50_000_000])
def test_more_memory_never_gives_a_slower_plan(pictures: int) -> None:
    latencies = []
    for gigabytes in (1, 2, 4, 8, 16, 64, 256):
        made = plan.make(of_vectors(384), Wish(pictures, gigabytes * 10**9))
        latencies.append(made.scheme.seconds if made.scheme else np.inf)
    assert latencies == sorted(latencies, reverse=True)
    assert latencies[-1] < np.inf


def test_a_few_pictures_are_searched_exactly_and_many_by_a_graph_while_memory_allows() -> None:
    def index(pictures: int, memory: float) -> str:
        made = plan.make(of_vectors(384), Wish(pictures, int(memory)))
        assert made.scheme is not None
        return made.scheme.choices[0].way.index

    assert index(2000, 8e9) == "flat"
    assert index(2_000_000, 16e9) == "hnsw"
    assert index(5_000_000, 4e9) in ("rabitq", "ivfpq")


@pytest.mark.parametrize("wanted", [0.8, 0.9, 0.95, 0.99])
def test_the_wishes_are_kept(wanted: float) -> None:
    made = plan.make(of_vectors(384), Wish(1_000_000, 4 * 10**9, 0.02, wanted))
    assert made.scheme is not None
    assert made.scheme.recall >= wanted
    assert made.scheme.seconds <= 0.02
    assert made.scheme.memory_filling <= 4e9


def test_an_impossible_wish_is_told_with_what_would_do() -> None:
    made = plan.make(of_vectors(384), Wish(5_000_000, 3 * 10**9, 1e-9))
    assert made.scheme is None
    assert made.instead["latency"].memory_filling <= 3e9
    made = plan.make(of_vectors(384), Wish(5_000_000, 10**6))
    assert made.scheme is None
    assert set(made.instead) == {"memory"}


def test_when_two_wishes_are_impossible_what_takes_least_is_told() -> None:
    made = plan.make(of_vectors(384), Wish(5_000_000, 1, 1e-9))
    assert list(made.instead) == ["memory and latency"]


def test_components_make_the_index_smaller() -> None:
    whole, main = (plan.make(of_vectors(384, pca=pca), Wish(10**6, 10**11)) for pca in (0, 64))
    assert whole.scheme is not None
    assert main.scheme is not None
    assert main.scheme.memory < whole.scheme.memory
    assert main.picture.vectors == whole.picture.vectors


def test_every_embedding_has_its_index_and_its_bytes() -> None:
    one, two = (plan.make(each, Wish(10**6, 10**11)) for each in (of_vectors(64), two_embeddings()))
    assert two.scheme is not None
    assert [each.embedding for each in two.scheme.choices] == ["v", "w"]
    assert two.picture.vectors == 2 * one.picture.vectors
    assert one.scheme is not None
    assert two.scheme.seconds > 2 * one.scheme.seconds  # each gives 200 candidates


@pytest.mark.parametrize("pictures", [1000, 100_000, 10_000_000])
@pytest.mark.parametrize("made", [of_vectors(64), two_embeddings()])
def test_the_fragment_is_a_part_of_a_recipe(pictures: int, made: recipe.Recipe) -> None:
    planned = plan.make(made, Wish(pictures, 16 * 10**9))
    assert planned.scheme is not None
    extractors = "".join(
        f'[embeddings.{each.name}.extractor]\nname = "vectors"\ndim = 64\nmade_by = "a test"\n'
        for each in made.embeddings
    )
    read = recipe.parse(planned.scheme.fragment + extractors, "the fragment")
    for embedding, choice in zip(read.embeddings, planned.scheme.choices, strict=True):
        assert embedding.index.name == choice.way.index
        for name, value in choice.way.knobs.items():
            assert getattr(embedding.index.options, name) == value


def test_more_effort_finds_more_and_takes_longer() -> None:
    graphs = [way for way in forecast.ways(384, 10**6, SCAN) if way.index == "hnsw"]
    assert [way.recall for way in graphs] == sorted(way.recall for way in graphs)
    assert [way.seconds for way in graphs] == sorted(way.seconds for way in graphs)


def test_every_kind_that_is_weighed_has_bytes_and_knobs() -> None:
    for way in forecast.ways(384, 10**6, SCAN):
        options = api.registry.load("index", way.index).Options(**way.knobs)
        embedding = EmbeddingPlan("v", 384, "", "cosine", way.index, options)
        assert sizes.index_footprint(embedding, 10**6).memory > 0
        assert 0 <= way.recall <= 1


def test_the_best_is_none_where_there_is_nothing() -> None:
    nothing: list[list[Choice]] = [[]]
    assert plan.best(nothing, Wish(1)) is None


def test_a_terminal_gets_a_frame_with_the_choice_or_with_what_would_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")  # so without colours
    show_plan(plan.make(of_vectors(384), Wish(5_000_000, 8 * 10**9)), as_json=False)
    shown = capsys.readouterr().out
    for word in ("5,000,000 pictures", "recall@10", "thumbnail", "[embeddings.v.index]"):
        assert word in shown
    show_plan(plan.make(of_vectors(384), Wish(5_000_000, 1)), as_json=False)
    shown = capsys.readouterr().out
    assert "nothing fits" in shown
    assert "more memory" in shown


def test_where_memory_is_short_the_second_look_reads_from_disk() -> None:
    tight, roomy = (
        plan.make(of_vectors(384), Wish(5_000_000, int(memory))) for memory in (2.5e9, 7.5e9)
    )
    assert tight.scheme is not None
    assert roomy.scheme is not None
    assert tight.scheme.choices[0].cold > 0.5
    assert roomy.scheme.choices[0].cold == 0
    assert roomy.scheme.seconds < tight.scheme.seconds


class TestCommand:
    def test_it_prints_a_plan_and_a_fragment(self) -> None:
        done = called("plan", "--pictures", "5M", "--memory", "8GB", "--latency", "200ms")
        assert (done.returncode, done.stderr) == (0, "")
        for word in ("5,000,000 pictures", "[embeddings.default.index]", "recall@10", "pictures/s"):
            assert word in done.stdout

    def test_json_has_it_all_and_the_exit_code_says_whether_it_fits(self, tmp_path: Path) -> None:
        made = written(tmp_path, of_vectors(64))
        asked = ("plan", "--pictures", "1e6", "--recipe", made, "--json")
        done = lookalike(*asked)
        said = json.loads(done.stdout)
        assert done.returncode == 0
        assert said["fits"]
        assert said["bytes_per_picture"].keys() == {
            *("record", "vectors", "index", "local_features", "thumbnail", "stored", "total")
        }
        assert said["bytes_per_picture"]["local_features"] == 0
        assert said["plan"].keys() == {
            *("embeddings", "recipe_fragment", "memory_bytes", "memory_bytes_filling"),
            *("recall_at_10", "latency_seconds"),
        }
        assert said["ingest"]["hours"] is None
        assert "made elsewhere" in said["ingest"]["why_not"]
        done = lookalike(*asked, "--memory", "1MB")
        assert done.returncode == 1
        said = json.loads(done.stdout)
        assert not said["fits"]
        assert said["plan"] is None
        assert said["instead"]["memory"]["memory_bytes"] > 1e6

    @pytest.mark.parametrize(
        ("option", "value"), [("--memory", "8"), ("--latency", "20"), ("--recall", "1.5")]
    )
    def test_a_bad_wish_is_one_line(self, option: str, value: str) -> None:
        done = called("plan", "--pictures", "1e6", option, value)
        assert done.returncode == 2
        assert done.stderr.startswith(f"lookalike: {option} must be ")
        assert done.stderr.count("\n") == 1


def written(folder: Path, made: recipe.Recipe) -> str:
    path = folder / "recipe.toml"
    path.write_text(made.text)
    return str(path)


def stored(collection: api.Collection, vectors: np.typing.NDArray[np.float32]) -> None:
    for start in range(0, len(vectors), 1000):
        block = vectors[start : start + 1000]
        numbers = range(start, start + len(block))
        collection.add_vectors(
            block,
            [hashlib.sha256(str(number).encode()).digest() for number in numbers],
            [api.Place(PLACE.format(number), label="holiday") for number in numbers],
        )

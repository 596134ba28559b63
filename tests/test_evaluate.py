"""Every query asked of a collection and judged: against brute force, on pictures and parts."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import CLASSES, called, write, write_classes
from tiny_onnx import write_network

import lookalike as api
from lookalike import Collection
from lookalike.evaluate import truth as truths
from lookalike.evaluate.asking import ask, cost
from lookalike.evaluate.harness import evaluate

EACH = 6


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classes(tmp_path_factory.mktemp("evaluate") / "pictures", EACH)


@pytest.fixture(scope="module")
def made(pictures: Path) -> Iterator[Collection]:
    network = write_network(pictures.parent / "net.onnx")
    with api.open(pictures.parent / "made", recipe=f"onnx:{network}") as collection:
        collection.add(pictures)
        yield collection


def brute_force(collection: Collection) -> dict[str, float]:
    """The average precision of each picture as a query for its class, by the definition."""
    records = list(collection)
    vectors = np.concatenate([collection.vector(each.id) for each in records]).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = {}
    for number, record in enumerate(records):
        cosines = vectors @ vectors[number]
        others = [n for n in np.argsort(-cosines) if n != number]
        right = [records[n].label == record.label for n in others]
        precisions = [
            sum(right[: rank + 1]) / (rank + 1) for rank, is_right in enumerate(right) if is_right
        ]
        found[record.path] = sum(precisions) / len(precisions)
    return found


def test_map_is_that_of_brute_force_over_the_stored_vectors(
    made: Collection, pictures: Path
) -> None:
    resolved = truths.against(truths.read(pictures), made)
    told: list[tuple[int, int]] = []
    found = evaluate(made, resolved, on_query=lambda *done: told.append(done))
    expected = brute_force(made)
    (judgement,) = found.judgements
    values = dict(
        zip((each.query.place for each in found.asked), judgement.values["map"], strict=True)
    )
    assert values == pytest.approx(expected)
    assert judgement.measures["map"].value == pytest.approx(np.mean(list(expected.values())))
    for name in CLASSES:
        of_class = [value for path, value in expected.items() if f"/{name}/" in path]
        assert judgement.groups[name].value == pytest.approx(np.mean(of_class))
        assert judgement.groups[name].counted == EACH
    assert told == [(n, 18) for n in range(1, 19)]
    assert found.depth == found.pictures == 18
    assert found.cost.p50 <= found.cost.p95 <= found.cost.p99
    assert found.cost.bytes_a_picture * 18 == pytest.approx(made.stats()["catalogue_bytes"])


def test_what_lies_beyond_the_depth_counts_as_not_found(made: Collection, pictures: Path) -> None:
    resolved = truths.against(truths.read(pictures), made)
    whole, few = evaluate(made, resolved), evaluate(made, resolved, depth=4)
    for one, other in zip(whole.judgements[0].answers, few.judgements[0].answers, strict=True):
        assert len(one.relevant) == 17  # without the query itself
        assert other.relevant.tolist() == one.relevant[:3].tolist()
        assert other.total == one.total == EACH - 1
    assert few.judgements[0].measures["map"].value < whole.judgements[0].measures["map"].value


def test_a_query_that_cannot_be_read_has_found_nothing_and_is_told_of(
    made: Collection, pictures: Path, tmp_path: Path
) -> None:
    write(tmp_path / "ants" / "good.png", 100)
    (tmp_path / "ants" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    resolved = truths.against(truths.read(pictures, queries=tmp_path), made)
    found = evaluate(made, resolved)
    found_by_name = {
        Path(each.query.place).name: (len(answer.relevant), each.error)
        for each, answer in zip(found.asked, found.judgements[0].answers, strict=True)
    }
    assert found_by_name["good.png"] == (18, None)
    count, error = found_by_name["bad.png"]
    assert count == 0
    assert error
    values = found.judgements[0].values["map"].tolist()
    assert sorted(values)[0] == 0
    assert found.judgements[0].measures["map"].queries == 2
    assert any("count as having found nothing: 1" in note for note in found.notes)
    assert any("bad.png" in note for note in found.notes)
    assert np.isfinite(cost(made, resolved.queries).p50)


@pytest.fixture(scope="module")
def buildings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Collection, Path]]:
    """A collection of the pictures of a tiny ROxford, and its pickle."""
    folder = tmp_path_factory.mktemp("oxford")
    names = [f"all_souls_00000{number}" for number in range(7)]
    for number, name in enumerate(names):
        write(folder / "jpg" / f"{name}.png", number)
    gnd = [{"bbx": [6.5, 4.0, 48.5, 66.0], "easy": [0, 1], "hard": [2], "junk": [3]}]
    contents = {"imlist": names[:6], "qimlist": names[6:], "gnd": gnd}
    (folder / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(contents))
    with api.open(folder / "made", recipe=f"onnx:{write_network(folder / 'net.onnx')}") as made:
        made.add(folder / "jpg")
        yield made, folder


def test_a_boxed_query_is_answered_as_its_crop_is(buildings: tuple[Collection, Path]) -> None:
    made, folder = buildings
    resolved = truths.against(truths.read(folder / "gnd_roxford5k.pkl"), made)
    (ranking,) = ask(made, resolved, 7)
    with Image.open(folder / "jpg" / "all_souls_000006.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    expected = made.search(pixels[4:66, 6:48], k=7)
    assert ranking.ids == tuple(hit.id for hit in expected)
    assert ranking.scores == pytest.approx([hit.score for hit in expected])
    whole = [hit.score for hit in made.search(pixels, k=7)]
    assert ranking.scores != pytest.approx(whole, abs=1e-3)


def test_easy_medium_and_hard_are_judged_each(buildings: tuple[Collection, Path]) -> None:
    made, folder = buildings
    resolved = truths.against(truths.read(folder / "gnd_roxford5k.pkl"), made)
    found, (ranking,) = evaluate(made, resolved), ask(made, resolved, 7)
    assert [each.setup for each in found.judgements] == ["easy", "medium", "hard"]
    assert [each.answers[0].total for each in found.judgements] == [2, 3, 1]
    names = {made[id].path.rpartition("_00000")[2][0]: rank for rank, id in enumerate(ranking.ids)}
    for judgement, right, junk in zip(
        found.judgements, ("01", "012", "2"), ("236", "36", "0136"), strict=True
    ):
        order = sorted((name for name in names if name not in junk), key=names.__getitem__)
        assert judgement.answers[0].relevant.tolist() == [name in right for name in order]
        assert list(judgement.measures)[:4] == ["map", "mp@1", "mp@5", "mp@10"]
    # Shown is what medium counts: neither the junk nor the picture that is asked with.
    shown = [(made[each.id].path[-5], each.right) for each in found.asked[0].first]
    assert shown == [(name, name in "012") for name in names if name not in "36"]


class TestCommand:
    """`lookalike evaluate`."""

    def test_prints_lines_and_json(self, made: Collection, pictures: Path) -> None:
        done = called("evaluate", "-c", made.path, "--truth", pictures)
        assert done.returncode == 0, done.stderr
        expected = np.mean(list(brute_force(made).values()))
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("mAP ")]
        assert line.split()[1] == f"{expected:.3f}"
        done = called("evaluate", "-c", made.path, "--truth", pictures, "--depth", "5", "--json")
        told = json.loads(done.stdout)
        assert (told["queries"], told["depth"], told["layout"]) == (18, 5, "class-folders")
        assert told["setups"]["all"]["measures"]["map"]["value"] < expected

    def test_what_has_no_value_is_a_dash_and_is_not_among_the_worst(
        self, made: Collection, pictures: Path
    ) -> None:
        ants, boats = (sorted((pictures / name).iterdir()) for name in ("ants", "boats"))
        rows = [
            f"{ants[0]},{ants[0]},found",
            f"{ants[1]},{boats[1]},lost",
            f"{boats[0]},,neither",
        ]
        truth = pictures.parent / "copies.csv"
        truth.write_text("\n".join(["query_id,reference_id,group", *rows]))
        done = called("evaluate", "-c", made.path, "--truth", truth)
        (worst,) = [line for line in done.stdout.splitlines() if line.startswith("worst ")]
        assert worst.split()[1:] == ["lost", worst.split()[2], "found", "1.000,", "of", "2"]
        truth.write_text("\n".join(["query_id,reference_id,group", rows[0]]))
        done = called("evaluate", "-c", made.path, "--truth", truth)
        assert "1 query of disc21, 18 pictures" in done.stdout
        assert "mAP         1.000 (95% of the time: \N{EN DASH})" in done.stdout
        assert "nan" not in done.stdout

    def test_exit_code_1_where_a_query_cannot_be_read(
        self, made: Collection, pictures: Path, tmp_path: Path
    ) -> None:
        write(tmp_path / "ants" / "good.png", 100)
        (tmp_path / "ants" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        done = called("evaluate", "-c", made.path, "--truth", pictures, "--queries", tmp_path)
        assert done.returncode == 1
        assert "bad.png" in done.stderr

    def test_bad_truth_is_told_with_its_lines(self, made: Collection, tmp_path: Path) -> None:
        (tmp_path / "truth.csv").write_text("query,relevant\n1.png,nowhere.png\n,2.png\n")
        done = called("evaluate", "-c", made.path, "--truth", tmp_path / "truth.csv")
        assert done.returncode == 2
        assert "line 3: it names no query" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""

"""What people say of pairs: kept by content, both ways, handed on, and used as a ground truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import called, lookalike, write

import lookalike as api
from lookalike.collection import Collection
from lookalike.duplicates import sharing
from lookalike.errors import BadQuery, BadSource, UnknownPicture


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / "pictures" / f"{number}.png", number) for number in range(4)]


@pytest.fixture
def collection(tmp_path: Path, pictures: list[Path]) -> Iterator[Collection]:
    with api.open(tmp_path / "c.lookalike") as collection:
        collection.add(*pictures)
        yield collection


def test_a_judgement_goes_both_ways_and_the_last_one_counts(
    collection: Collection, pictures: list[Path]
) -> None:
    a, b = map(str, pictures[:2])
    collection.judge(a, b, same=True, by="Ann")
    collection.judge(b, a, same=False, by="Ben")
    (said,) = collection.judgements()
    ids = sorted(collection.meant(each).id for each in (a, b))
    assert [said.a, said.b] == ids
    assert (said.same, said.judge) == (False, "Ben")


def test_it_is_kept_when_the_collection_is_opened_again_or_its_pictures_forgotten(
    tmp_path: Path, collection: Collection, pictures: list[Path]
) -> None:
    said = collection.judge(str(pictures[0]), str(pictures[1]), same=True)
    collection.remove(*(each.id for each in list(collection)))
    collection.close()
    with api.open(tmp_path / "c.lookalike") as again:
        assert again.judgements() == [said]


def test_it_can_be_taken_back(collection: Collection, pictures: list[Path]) -> None:
    a, b = map(str, pictures[:2])
    collection.judge(a, b, same=True)
    assert collection.judge(b, a, same=None) is None
    assert collection.judgements() == []


def test_only_two_stored_pictures_can_be_judged(
    collection: Collection, pictures: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(BadQuery, match="same content"):
        collection.judge(str(pictures[0]), str(pictures[0]), same=True)
    for unknown in ("0" * 64, str(tmp_path / "nothing.png"), ""):
        with pytest.raises(UnknownPicture):
            collection.judge(str(pictures[0]), unknown, same=True)


def test_two_processes_see_each_others(collection: Collection, pictures: list[Path]) -> None:
    done = lookalike("judge", *pictures[:2], "--different", "-c", collection.path)
    assert done.returncode == 0, done.stderr
    (said,) = collection.judgements()
    assert not said.same


def test_they_are_handed_on_to_another_collection(
    tmp_path: Path, collection: Collection, pictures: list[Path]
) -> None:
    collection.judge(str(pictures[0]), str(pictures[1]), same=True, by="Zoë")
    collection.judge(str(pictures[2]), str(pictures[3]), same=False)
    printed = called("judgements", "-c", collection.path, "--json")
    file = tmp_path / "said.jsonl"
    file.write_text(printed.stdout)
    with api.open(tmp_path / "other.lookalike") as other:
        assert sharing.take_in(other, file) == 2
        assert other.judgements() == collection.judgements()


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{",
        '{"a": "x", "b": "y", "same": true, "judged": 1, "judge": "z"}',
        json.dumps({"a": "0" * 64, "b": "0" * 64, "same": True, "judged": 1, "judge": "z"}),
        json.dumps({"a": "0" * 64, "b": "1" * 64, "same": "yes", "judged": 1, "judge": "z"}),
        f'{{"a": "{"0" * 64}", "b": "{"1" * 64}", "same": true, "judged": NaN, "judge": "z"}}',
    ],
)
def test_a_line_that_is_wrong_is_named_and_nothing_is_kept(
    tmp_path: Path, collection: Collection, line: str
) -> None:
    good = {"a": "2" * 64, "b": "1" * 64, "same": True, "judged": 1.0, "judge": "z"}
    file = tmp_path / "said.jsonl"
    file.write_text(f"{json.dumps(good)}\n{line}\n")
    with pytest.raises(BadSource, match="line 2"):
        sharing.take_in(collection, file)
    assert collection.judgements() == []


def test_accepted_pairs_are_a_ground_truth(
    tmp_path: Path, collection: Collection, pictures: list[Path]
) -> None:
    collection.judge(str(pictures[0]), str(pictures[1]), same=True)
    collection.judge(str(pictures[0]), str(pictures[2]), same=False)
    printed = called("judgements", "-c", collection.path, "--csv")
    truth = tmp_path / "truth.csv"
    truth.write_text(printed.stdout)
    assert len(printed.stdout.splitlines()) == 3
    done = called("evaluate", "-c", collection.path, "--truth", truth, "--json")
    assert done.returncode == 0, done.stderr


def test_of_none_there_is_the_header_of_a_ground_truth(collection: Collection) -> None:
    assert called("judgements", "-c", collection.path, "--csv").stdout == "query,relevant\n"


def test_a_path_that_is_not_stored_is_named_with_what_to_do(
    collection: Collection, pictures: list[Path], tmp_path: Path
) -> None:
    wrong = tmp_path / "nothing.png"
    done = called("judge", pictures[0], wrong, "--same", "-c", collection.path)
    assert done.returncode == 2
    assert str(wrong) in done.stderr
    assert "lookalike index" in done.stderr


def test_the_command_line_wants_one_verdict(collection: Collection, pictures: list[Path]) -> None:
    for verdicts in ((), ("--same", "--undecided")):
        done = called("judge", *pictures[:2], *verdicts, "-c", collection.path)
        assert done.returncode == 2
    assert collection.judgements() == []

"""Who listens is told of every stage; a search and an ingest go through those that they say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from samples import encoded, write_classes

import lookalike
from lookalike import stages


def test_tells_when_a_stage_began_and_how_long_it_took() -> None:
    heard = []
    before = time.time_ns()
    with stages.listening(lambda *said: heard.append(said)), stages.stage("search"):
        time.sleep(0.01)
    after = time.time_ns()
    ((name, began, ended),) = heard
    assert name == "search"
    assert before <= began <= ended <= after + 1_000_000
    assert ended - began >= 10_000_000


def test_tells_of_a_stage_that_failed_as_well() -> None:
    heard = []
    with (
        stages.listening(lambda name, *_: heard.append(name)),
        pytest.raises(ZeroDivisionError),
        stages.stage("extract"),
    ):
        raise ZeroDivisionError
    assert heard == ["extract"]


def test_nobody_is_told_before_or_after_listening() -> None:
    heard = []
    with stages.stage("decode"):
        pass
    with stages.listening(lambda name, *_: heard.append(name)):
        pass
    with stages.stage("decode"):
        pass
    assert heard == []


def test_two_who_listen_are_both_told_and_end_on_their_own() -> None:
    first, second = [], []
    with stages.listening(lambda name, *_: first.append(name)):
        with stages.listening(lambda name, *_: second.append(name)), stages.stage("decode"):
            pass
        with stages.stage("search"):
            pass
    assert (first, second) == (["decode", "search"], ["decode"])


def test_an_ingest_and_a_search_go_through_their_stages(tmp_path: Path) -> None:
    pictures = write_classes(tmp_path / "pictures", 2)
    with lookalike.open(tmp_path / "c") as collection:
        ingest: list[str] = []
        with stages.listening(lambda name, *_: ingest.append(name)):
            collection.add(pictures)
        assert set(ingest) == {"queue", "decode", "extract"}
        search: list[str] = []
        with stages.listening(lambda name, *_: search.append(name)):
            collection.search(encoded(1), k=2)
        assert search == ["queue", "decode", "extract", "search"]
        looked_again: list[str] = []
        with stages.listening(lambda name, *_: looked_again.append(name)):
            collection.search(encoded(1), k=2, compare="phash")
        assert looked_again[:4] == ["queue", "decode", "extract", "search"]
        assert "compare" in looked_again

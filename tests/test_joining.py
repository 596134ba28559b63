"""Calls of several threads at once, done together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import skimage

import lookalike
from lookalike.joining import Joined, is_faster


class Doubling:
    """Work that can be held up, and says what it was given each time."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.may_go_on = threading.Event()
        self.begun = threading.Semaphore(0)

    def __call__(self, given: Sequence[int]) -> list[int]:
        self.calls.append(list(given))
        self.begun.release()
        assert self.may_go_on.wait(30)
        if 13 in given:
            raise ValueError("13")
        return [2 * each for each in given]


def waiting(joined: Joined[int, int], count: int) -> None:
    """Until so many are held up."""
    until = time.monotonic() + 30
    while len(joined._waiting) < count:
        assert time.monotonic() < until
        time.sleep(0.001)


def ask_while_busy(
    work: Doubling, numbers: Sequence[int], most: int, threads: ThreadPoolExecutor
) -> list[Future[int]]:
    """One call of 0 that is held up, then one of each of these numbers; then all go on."""
    joined: Joined[int, int] = Joined(work, at_once=1, most=most)
    asked = [threads.submit(joined, 0)]
    assert work.begun.acquire(timeout=30)
    for count, number in enumerate(numbers, start=1):
        asked.append(threads.submit(joined, number))
        waiting(joined, count)
    work.may_go_on.set()
    return asked


@pytest.fixture
def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(20)


def test_a_lone_call_is_done_at_once_by_itself() -> None:
    work = Doubling()
    work.may_go_on.set()
    joined: Joined[int, int] = Joined(work, at_once=2, most=16)
    assert [joined(number) for number in (1, 2, 3)] == [2, 4, 6]
    assert work.calls == [[1], [2], [3]]


def test_as_many_calls_as_are_allowed_run_side_by_side(threads: ThreadPoolExecutor) -> None:
    work = Doubling()
    joined: Joined[int, int] = Joined(work, at_once=3, most=16)
    asked = [threads.submit(joined, number) for number in range(4)]
    for _ in range(3):
        assert work.begun.acquire(timeout=30)
    waiting(joined, 1)
    assert len(work.calls) == 3
    work.may_go_on.set()
    assert [each.result(30) for each in asked] == [0, 2, 4, 6]


def test_what_waits_while_the_work_is_busy_is_done_in_one_go(threads: ThreadPoolExecutor) -> None:
    work = Doubling()
    asked = ask_while_busy(work, range(1, 6), 16, threads)
    assert [each.result(30) for each in asked] == [0, 2, 4, 6, 8, 10]
    assert work.calls == [[0], [1, 2, 3, 4, 5]]


def test_who_has_waited_longest_comes_first_and_no_call_has_too_many(
    threads: ThreadPoolExecutor,
) -> None:
    work = Doubling()
    asked = ask_while_busy(work, range(1, 6), 2, threads)
    assert [each.result(30) for each in asked] == [0, 2, 4, 6, 8, 10]
    assert work.calls == [[0], [1, 2], [3, 4], [5]]


def test_an_error_is_told_to_the_one_whose_thing_it_is(threads: ThreadPoolExecutor) -> None:
    asked = ask_while_busy(Doubling(), (1, 13, 3), 16, threads)
    with pytest.raises(ValueError, match="13"):
        asked[2].result(30)
    assert [asked[place].result(30) for place in (0, 1, 3)] == [0, 2, 6]


def test_after_an_error_all_goes_on(threads: ThreadPoolExecutor) -> None:
    work = Doubling()
    work.may_go_on.set()
    joined: Joined[int, int] = Joined(work, at_once=1, most=16)
    for _ in range(3):
        with pytest.raises(ValueError, match="13"):
            joined(13)
    assert threads.submit(joined, 4).result(30) == 8


def test_everybody_gets_their_own_result_however_many_ask(threads: ThreadPoolExecutor) -> None:
    def slowly(given: Sequence[int]) -> list[int]:
        time.sleep(0.0005)
        return [2 * each for each in given]

    joined: Joined[int, int] = Joined(slowly, at_once=2, most=4)
    assert list(threads.map(joined, range(2000))) == [2 * number for number in range(2000)]


@pytest.mark.parametrize(
    ("once", "each", "faster"), [(0.02, 0.0, True), (0.0, 0.02, False), (0.001, 0.009, False)]
)
def test_it_is_faster_where_one_call_for_many_takes_much_less_than_a_call_for_each(
    monkeypatch: pytest.MonkeyPatch, once: float, each: float, faster: bool
) -> None:
    now = 0.0

    def work(given: Sequence[int]) -> None:
        nonlocal now
        now += once + each * len(given)

    monkeypatch.setattr("lookalike.joining.time.perf_counter", lambda: now)
    assert is_faster(work, 1) is faster


def test_joined_queries_find_what_single_ones_do(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    samples = sorted((Path(skimage.__file__).parent / "data").glob("*.png"))[:12]
    with lookalike.open(tmp_path / "c") as collection:
        collection.add(*samples)
        pipeline = collection.engine.pipeline
        search: Callable[[Path], list[lookalike.Hit]] = collection.search
        alone = [search(path) for path in samples]
        pipeline.joined = Joined(pipeline.of_pictures, at_once=1, most=16)
        together = list(threads.map(search, samples))
    for before, after in zip(alone, together, strict=True):
        assert [hit.id for hit in before] == [hit.id for hit in after]
        scores = [hit.score for hit in before]
        np.testing.assert_allclose([hit.score for hit in after], scores, atol=1e-5)


def test_a_picture_that_cannot_be_decoded_is_refused_to_its_own_thread_alone(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    good = (Path(skimage.__file__).parent / "data" / "chelsea.png").read_bytes()
    with lookalike.open(tmp_path / "c") as collection:
        collection.add_bytes(good, "good.png")
        pipeline = collection.engine.pipeline
        pipeline.joined = Joined(pipeline.of_pictures, at_once=1, most=16)
        asked = [
            threads.submit(collection.search, data) for data in (good, b"none", good[:900], good)
        ]
        for place in (1, 2):
            with pytest.raises(lookalike.PictureError):
                asked[place].result(60)
        assert all(len(asked[place].result(60)) == 1 for place in (0, 3))

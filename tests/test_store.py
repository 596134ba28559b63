"""The embedded store when things go wrong: kills, other processes, damage, disks, threads."""

from __future__ import annotations

import fcntl
import logging
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DIM, OpenStore, arrival, plan, put, random_vectors, sha

from lookalike import filters
from lookalike.errors import (
    BadQuery,
    CannotWrite,
    CollectionClosed,
    CollectionDamaged,
    CollectionTooNew,
    LookalikeError,
    ModelMismatch,
    NotACollection,
)
from lookalike.index.auto import AutoOptions
from lookalike.index.segments import SegmentedIndex
from lookalike.store import Look
from lookalike.store.catalogue import FILE, Catalogue
from lookalike.store.embedded import EmbeddedStore
from lookalike.types import Rows, Vectors

MANY = 10_500
"""Enough for an index file."""

ROOT = Path(__file__).parents[1]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


def found(store: EmbeddedStore, vectors: Vectors, k: int = 1) -> list[list[str]]:
    return [[record.id for record, _ in hits] for hits in store.nearest("v", vectors, k)]


def in_another_process(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Run a script that may import this folder's conftest; it prints what it has done."""
    paths = [str(ROOT / "src"), str(ROOT / "tests"), *sys.path]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(paths)},
        **options,
    )


def output_of(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return out


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store of MANY pictures with an index file; copy it before you change it."""
    folder = tmp_path_factory.mktemp("indexed") / "collection"
    EmbeddedStore.create(folder, "", [plan()])
    store = EmbeddedStore(folder, [plan()])
    put(store, range(MANY), random_vectors(MANY))
    store.settle()
    assert store.stats()["embeddings"]["v"]["fresh"] == 0
    store.close()
    return folder


@pytest.fixture
def copied(indexed: Path, folder: Path) -> Path:
    shutil.copytree(indexed, folder)
    return folder


def assert_all_found(store: EmbeddedStore, count: int = MANY) -> None:
    queries = random_vectors(MANY)[:count:97]
    assert found(store, queries) == [[sha(i).hex()] for i in range(0, count, 97)]
    assert len(store) == count


def index_folder(folder: Path) -> Path:
    (only,) = (path for path in (folder / "index").iterdir() if path.is_dir())
    return only


# Kills and other processes

PUTS_UNTIL_KILLED = """
import sys
from pathlib import Path
from conftest import plan, put, random_vectors
from lookalike.store.embedded import EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]), [plan()])
start = int(sys.argv[2])
vectors = random_vectors(100_000)
for i in range(start, 100_000, 7):
    put(store, range(i, i + 7), vectors[i : i + 7])
    print(i + 7, flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(folder: Path, open_store: OpenStore) -> None:
    open_store(folder).close()
    rng, done = random.Random(3), 0
    for _ in range(5):
        process = in_another_process(PUTS_UNTIL_KILLED, folder, done)
        assert process.stdout is not None
        for _ in range(rng.randrange(3, 30)):
            done = int(process.stdout.readline())
        time.sleep(rng.random() / 100)
        process.send_signal(signal.SIGKILL)
        for line in process.stdout.read().split():
            done = int(line)
        process.communicate()
        store = open_store(folder)
        # The last one may have been committed and not yet reported: then wholly.
        assert len(store) in (done, done + 7)
        done = len(store)
        vectors = random_vectors(100_000)[:done]
        assert found(store, vectors) == [[sha(i).hex()] for i in range(done)]
        assert store.check()[0].text == "ok"
        store.close()


PUTS_AND_LOOKS = """
import sys, time
from pathlib import Path
from conftest import plan, put, random_vectors, sha
from lookalike.store.embedded import EmbeddedStore
folder, mine, other = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store = EmbeddedStore(folder, [plan()])
vectors = random_vectors(2000)
for i in range(60):
    put(store, [mine + i], vectors[mine + i : mine + i + 1])
    ((hit, _),) = store.nearest("v", vectors[mine + i : mine + i + 1], 1)[0]
    assert hit.id == sha(mine + i).hex()
until = time.monotonic() + 50
while store.get(sha(other + 59).hex()) is None and time.monotonic() < until:
    time.sleep(0.01)
hits = store.nearest("v", vectors[other : other + 60], 1)
assert [hit[0][0].id for hit in hits] == [sha(other + i).hex() for i in range(60)]
assert len(store) == 120
print("ok")
"""


def test_two_processes_that_write_at_once_see_each_others_commits(
    folder: Path, open_store: OpenStore
) -> None:
    reader = open_store(folder)
    assert found(reader, random_vectors(1)) == [[]]
    a = in_another_process(PUTS_AND_LOOKS, folder, 0, 1000)
    b = in_another_process(PUTS_AND_LOOKS, folder, 1000, 0)
    assert output_of(a) == output_of(b) == "ok\n"
    assert found(reader, random_vectors(60)) == [[sha(i).hex()] for i in range(60)]
    assert reader.forget([f"http://pictures/{i}" for i in range(60)]) == 60
    assert len(found(reader, random_vectors(1), 1000)[0]) == 60


CREATES = """
import sys
from pathlib import Path
from conftest import plan
from lookalike.store.embedded import EmbeddedStore
EmbeddedStore.create(Path(sys.argv[1]), sys.argv[2], [plan()])
print(EmbeddedStore.made_with(Path(sys.argv[1])).recipe)
"""


def test_of_two_processes_that_create_at_once_one_wins_whole(folder: Path) -> None:
    processes = [in_another_process(CREATES, folder, name) for name in ("first", "second")]
    said = {output_of(process) for process in processes}
    assert said in ({"first\n"}, {"second\n"})
    assert [path.name for path in folder.iterdir()] == [FILE]


COMPACTS = """
import sys
from pathlib import Path
from conftest import plan, put, random_vectors
from lookalike.store.embedded import EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]), [plan()])
print("open", flush=True)
for turn in range(3):
    put(store, range(100_000 * turn, 100_000 * turn + 11_000), random_vectors(11_000, seed=turn))
    store.settle()
store.close()
"""


@pytest.mark.slow
def test_opening_and_searching_while_another_process_compacts(
    folder: Path, open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(folder)
    vectors = random_vectors(500, seed=9)
    put(store, range(-500, 0), vectors)
    expected = [[sha(i).hex()] for i in range(-500, 0)]
    process = in_another_process(COMPACTS, folder)
    while process.poll() is None:
        other = open_store(folder)
        assert found(other, vectors) == found(store, vectors) == expected
        other.close()
    output_of(process)
    assert found(store, vectors) == expected
    assert len(store) == 33_500
    assert caplog.messages == []


@pytest.mark.slow
def test_two_users_of_one_folder_agree_with_brute_force_whatever_happens(
    folder: Path,
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Small limits make them compact all the time, in the background, against each other."""
    for name, value in {"_FRESH_LEAST": 25, "_EXACT_BELOW": 10}.items():
        monkeypatch.setattr(f"lookalike.index.segments.{name}", value)
    rng = np.random.default_rng(5)
    users = [open_store(folder), open_store(folder)]
    model: dict[int, Any] = {}
    for step in range(500):
        user = users[int(rng.integers(2))]
        action = rng.choice(
            ["put", "forget", "search", "filter", "settle", "reopen"],
            p=[0.3, 0.25, 0.3, 0.1, 0.03, 0.02],
        )
        if action == "put":
            contents = [
                int(each) for each in rng.choice(5_000, int(rng.integers(1, 15)), replace=False)
            ]
            vectors = rng.normal(size=(len(contents), DIM)).astype(np.float32)
            put(user, contents, vectors)
            for content, vector in zip(contents, vectors, strict=True):
                model.setdefault(content, vector)
        elif action == "forget" and model:
            gone = [int(each) for each in rng.choice(list(model), int(rng.integers(1, 12)))]
            user.forget([f"http://pictures/{each}" for each in gone])
            for each in gone:
                model.pop(each, None)
        elif action == "settle":
            user.settle()
        elif action == "reopen":
            user.close()
            users[users.index(user)] = open_store(folder)
            continue
        query = rng.normal(size=(1, DIM)).astype(np.float32)
        where = filters.parse("path >= 'http://pictures/3'") if action == "filter" else None
        allowed = [each for each in model if where is None or str(each) >= "3"]
        k = int(rng.integers(1, 20))
        (hits,) = user.nearest("v", query, k, Look(where))
        scores = {
            sha(each).hex(): float(
                query[0] @ model[each] / (np.linalg.norm(query) * np.linalg.norm(model[each]))
            )
            for each in allowed
        }
        best = sorted(scores.values(), reverse=True)[:k]
        assert len(hits) == len(best), step
        assert [scores[record.id] for record, _ in hits] == pytest.approx(best, abs=1e-5)
        assert [score for _, score in hits] == pytest.approx(best, abs=1e-5)
        assert len(user) == len(model)
    assert caplog.messages == []


@pytest.mark.slow
def test_many_threads_search_right_while_the_index_is_compacted(
    folder: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.index.segments._FRESH_LEAST", 300)
    store = open_store(folder)
    vectors = random_vectors(500)
    put(store, range(500), vectors)
    expected, stop, wrong = [[sha(i).hex()] for i in range(500)], threading.Event(), []

    def keep_searching(start: int) -> None:
        try:
            while not stop.is_set():
                if found(store, vectors[start::20]) != expected[start::20]:
                    wrong.append("another answer")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
            wrong.append(repr(error))

    threads = [threading.Thread(target=keep_searching, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for turn in range(5):
        contents = range(1000 * (turn + 1), 1000 * (turn + 1) + 400)
        put(store, contents, random_vectors(400, seed=turn + 1))
        store.settle()
        store.forget([f"http://pictures/{each}" for each in contents[::2]])
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store.stats()["embeddings"]["v"]["vectors"] == len(store) == 500 + 5 * 200


# The index file is only a cache


def damage(index: Path, how: str) -> None:
    structure = index / "structure.faiss"
    content = structure.read_bytes()
    match how:
        case "deleted":
            shutil.rmtree(index)
        case "everything deleted":
            shutil.rmtree(index.parent)
        case "truncated":
            structure.write_bytes(content[: len(content) // 2])
        case "bit flipped":
            middle = len(content) // 2
            flipped = bytes([content[middle] ^ 1])
            structure.write_bytes(content[:middle] + flipped + content[middle + 1 :])
        case "without header":
            (index / "header.json").unlink()
        case "a file":
            shutil.rmtree(index)
            index.write_text("not a folder")


@pytest.mark.parametrize(
    "how",
    ["deleted", "everything deleted", "truncated", "bit flipped", "without header", "a file"],
)
def test_a_damaged_index_file_costs_one_warning_and_no_answer(
    copied: Path, open_store: OpenStore, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    damage(index_folder(copied), how)
    store = open_store(copied)
    assert_all_found(store)
    store.stats()
    store.settle()
    assert_all_found(store)
    assert len(caplog.messages) == 1
    assert "it is rebuilt" in caplog.messages[0]
    assert store.stats()["embeddings"]["v"]["fresh"] == 0
    store.close()
    caplog.clear()
    again = open_store(copied)
    assert_all_found(again)
    assert again.stats()["embeddings"]["v"]["cache_bytes"] > MANY * DIM * 4
    assert caplog.messages == []


def test_a_damaged_index_file_is_replaced_in_a_small_collection_too(
    copied: Path, open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(copied)
    store.forget([f"http://pictures/{i}" for i in range(100, MANY)])
    store.close()
    damage(index_folder(copied), "truncated")
    for warnings in (1, 0):
        caplog.clear()
        store = open_store(copied)
        assert_all_found(store, 100)
        store.settle()
        store.close()
        assert len(caplog.messages) == warnings


def test_a_large_damaged_index_file_is_found_out_in_the_background(
    copied: Path,
    open_store: OpenStore,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lookalike.store.embedding_index._VERIFY_AT_ONCE", 0)
    damage(index_folder(copied), "bit flipped")
    store = open_store(copied)
    len(found(store, random_vectors(1))[0])
    for thread in threading.enumerate():
        if thread.name == "lookalike-verify":
            thread.join()
    assert_all_found(store)
    assert len(caplog.messages) == 1
    store.close()
    monkeypatch.undo()
    caplog.clear()
    assert_all_found(open_store(copied))
    assert caplog.messages == []


def test_a_collection_that_hovers_about_a_bound_of_auto_is_not_rebuilt_each_time(
    folder: Path, open_store: OpenStore
) -> None:
    wanted = replace(plan("auto"), index_options=AutoOptions(flat_below=500))
    store = open_store(folder, wanted)
    put(store, range(510), random_vectors(510))
    store.settle()
    first = index_folder(folder)
    for turn in range(3):
        store.forget([f"http://pictures/{i}" for i in range(15 * turn, 15 * turn + 15)])
        store.settle()
        put(store, range(510 + 15 * turn, 525 + 15 * turn), random_vectors(15, seed=turn))
        store.settle()
    assert index_folder(folder) == first
    store.forget([f"http://pictures/{i}" for i in range(100, 400)])
    store.settle()
    assert store.stats()["embeddings"]["v"]["structure"] == "flat"


# Kinds that keep vectors out of memory never have all of them there

VECTORS = random_vectors(3_000, 64)
EVERY_97TH = [[sha(i).hex()] for i in range(0, 3_000, 97)]


@pytest.fixture
def taken_in(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many vectors were taken into memory each time; more than 1,000 are many here."""
    monkeypatch.setattr("lookalike.store.building._AT_ONCE", 1_000)
    counts: list[int] = []
    add = SegmentedIndex.add

    def counted(self: SegmentedIndex, rows: Rows, vectors: Vectors) -> None:
        counts.append(len(rows))
        add(self, rows, vectors)

    monkeypatch.setattr(SegmentedIndex, "add", counted)
    return counts


@pytest.mark.parametrize(("index", "pca"), [("ivfpq", 0), ("ivfsq", 32), ("rabitq", 32)])
@pytest.mark.parametrize("how", ["never built", "deleted", "without header"])
@pytest.mark.slow
def test_without_an_index_file_one_is_built_before_the_first_search_of_many(
    folder: Path,
    open_store: OpenStore,
    caplog: pytest.LogCaptureFixture,
    taken_in: list[int],
    index: str,
    pca: int,
    how: str,
) -> None:
    wanted = replace(plan(index, dim=64), pca=pca)
    store = open_store(folder, wanted)
    put(store, range(3_000), VECTORS)
    if how != "never built":
        store.settle()
        damage(index_folder(folder), how)
    store.close()
    caplog.clear()
    store = open_store(folder, wanted)
    assert found(store, VECTORS[::97]) == EVERY_97TH
    described = store.stats()["embeddings"]["v"]
    assert (described["vectors"], described["fresh"]) == (3_000, 0)
    assert described["structure"] == index
    assert sum(taken_in) == 0
    assert caplog.messages[-1] == "The index is built from the catalogue first: 3,000 vectors"
    assert len(caplog.messages) == (1 if how == "never built" else 2)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_what_an_index_learns_from_is_in_memory_once(
    folder: Path,
    open_store: OpenStore,
    taken_in: list[int],
    monkeypatch: pytest.MonkeyPatch,
    distance: str,
) -> None:
    monkeypatch.setattr("lookalike.store.building._BLOCK", 256)
    monkeypatch.setattr("lookalike.sealed._BLOCK", 1 << 20)
    wanted = plan("ivfsq", distance, dim=128)
    store = open_store(folder, wanted)
    vectors = random_vectors(12_000, 128)  # 438 clusters learn from all of them
    put(store, range(12_000), vectors)
    tracemalloc.start()
    try:
        store.settle()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert store.stats()["embeddings"]["v"]["structure"] == "ivfsq"
    assert sum(taken_in) == 0
    assert peak < 1.5 * vectors.nbytes


def test_many_that_came_since_are_added_to_the_index_first_where_memory_is_short(
    folder: Path, open_store: OpenStore, taken_in: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = plan("rabitq", dim=64)
    store = open_store(folder, wanted)
    put(store, range(2_500), VECTORS[:2_500])
    store.settle()
    put(store, range(2_500, 3_000), VECTORS[2_500:])
    monkeypatch.setattr("lookalike.store.building.memory_bytes", lambda: 8 * 4 * 64 * 400)
    assert found(store, VECTORS[-1:]) == [[sha(2_999).hex()]]
    described = store.stats()["embeddings"]["v"]
    assert (described["vectors"], described["fresh"]) == (3_000, 0)
    assert sum(taken_in) == 0


def test_a_large_damaged_index_file_is_replaced_without_taking_all_into_memory(
    folder: Path,
    open_store: OpenStore,
    caplog: pytest.LogCaptureFixture,
    taken_in: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = plan("rabitq", dim=64)
    store = open_store(folder, wanted)
    put(store, range(3_000), VECTORS)
    store.settle()
    store.close()
    damage(index_folder(folder), "bit flipped")
    monkeypatch.setattr("lookalike.store.embedding_index._VERIFY_AT_ONCE", 0)
    store = open_store(folder, wanted)
    store.stats()
    for thread in threading.enumerate():
        if thread.name == "lookalike-verify":
            thread.join()
    assert found(store, VECTORS[::97]) == EVERY_97TH
    assert sum(taken_in) == 0
    store.close()
    caplog.clear()
    monkeypatch.undo()
    assert found(open_store(folder, wanted), VECTORS[::97]) == EVERY_97TH
    assert caplog.messages == []


def test_what_another_process_builds_is_waited_for_not_built_twice(
    folder: Path, open_store: OpenStore, taken_in: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    wanted = plan("rabitq", dim=64)
    first, second = open_store(folder, wanted), open_store(folder, wanted)
    put(first, range(3_000), VECTORS)
    (folder / "index").mkdir()
    with (folder / "index" / "lock").open("w") as lock, ThreadPoolExecutor(2) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        searches = [pool.submit(found, store, VECTORS[::97]) for store in (first, second)]
        while len(caplog.messages) < 2:  # until both want to build
            time.sleep(0.001)
        assert not any(each.done() for each in searches)
        fcntl.flock(lock, fcntl.LOCK_UN)
        for each in searches:
            assert each.result() == EVERY_97TH
    assert sum(taken_in) == 0
    tokens = {store._indexes["v"]._token for store in (first, second)}
    assert tokens == {index_folder(folder).name}


def test_where_no_index_can_be_built_many_are_searched_all_the_same(
    folder: Path, open_store: OpenStore, taken_in: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    wanted = plan("rabitq", dim=64)
    store = open_store(folder, wanted)
    put(store, range(3_000), VECTORS)
    (folder / "index").write_text("not a folder")
    assert found(store, VECTORS[::97]) == [[sha(i).hex()] for i in range(0, 3_000, 97)]
    assert sum(taken_in) == 3_000
    assert "cannot be written" in caplog.messages[-1]


def test_a_store_that_is_closed_while_it_builds_ends(
    folder: Path, open_store: OpenStore, taken_in: list[int]
) -> None:
    store = open_store(folder, plan("rabitq", dim=64))
    put(store, range(3_000), VECTORS)
    (folder / "index").mkdir()
    with (folder / "index" / "lock").open("w") as lock, ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        search = pool.submit(found, store, VECTORS[:1])
        while not store._indexes["v"]._waiting:
            time.sleep(0.001)
        store.close()
        with pytest.raises(CollectionClosed):
            search.result()
    assert sum(taken_in) == 0


def test_an_older_copy_of_the_catalogue_is_searched_as_it_was(
    copied: Path, open_store: OpenStore
) -> None:
    """Its row numbers are given again to other pictures, which no old index may answer for."""
    older = (copied / FILE).read_bytes()
    store = open_store(copied)
    put(store, range(MANY, MANY + 11_000), random_vectors(11_000, seed=1))
    store.forget([f"http://pictures/{i}" for i in range(0, 97 * 5, 97)])
    store.settle()
    store.close()
    assert not list(copied.glob(FILE + "-*"))
    (copied / FILE).write_bytes(older)
    store = open_store(copied)
    assert_all_found(store)
    other = random_vectors(100, seed=2)
    put(store, range(-100, 0), other)
    assert found(store, other) == [[sha(i).hex()] for i in range(-100, 0)]


def test_the_index_file_of_another_collection_is_not_used(
    copied: Path, tmp_path: Path, open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other"
    store = open_store(other)
    put(store, range(MANY), random_vectors(MANY, seed=8))
    store.settle()
    store.close()
    mine = index_folder(copied)
    shutil.rmtree(mine)
    shutil.copytree(index_folder(other), mine)
    assert_all_found(open_store(copied))
    assert "belongs to another collection" in caplog.text


def test_another_distance_does_not_use_the_same_index_file(
    copied: Path, open_store: OpenStore
) -> None:
    store = open_store(copied, plan(distance="euclidean"))
    (((record, score),),) = store.nearest("v", 3 * random_vectors(1), 1)
    expected = ((3 * random_vectors(1) - random_vectors(MANY)).astype(float) ** 2).sum(axis=1)
    assert record.id == sha(int(expected.argmin())).hex()
    assert -score == pytest.approx(expected.min(), rel=1e-5)


def test_the_scores_of_many_pictures_take_few_queries(folder: Path, open_store: OpenStore) -> None:
    store = open_store(folder)
    vectors = random_vectors(1_200)
    put(store, range(1_200), vectors)
    store.forget(["http://pictures/7"])
    wanted = [sha(number).hex() for number in (*range(5, 1_200), "unknown")]
    store.scores("v", vectors[:1], wanted)
    asked: list[str] = []
    for connection in store._catalogue._idle:
        connection.sqlite.set_trace_callback(asked.append)
    found = store.scores("v", vectors[:1], wanted)
    assert len(asked) < 10
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = {sha(i).hex(): float(units[i] @ units[0]) for i in range(5, 1_200) if i != 7}
    assert found == pytest.approx(expected, abs=1e-5)
    assert store.scores("v", vectors[:1], []) == {}


# What a disk, a folder or a file may do


def test_an_error_in_the_middle_of_a_batch_stores_nothing_of_it(
    folder: Path, open_store: OpenStore
) -> None:
    store = open_store(folder)
    bad = arrival(2, "/b", metadata={"x": object()})
    with pytest.raises(BadQuery):
        store.put([arrival(1, "/a"), bad], {"v": random_vectors(2)})
    assert len(store) == 0
    put(store, [3], random_vectors(1))
    assert found(store, random_vectors(1)) == [[sha(3).hex()]]


def test_something_else_is_not_a_collection(tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a file").write_text("x")
    for name in ("nothing", "a folder", "a file"):
        with pytest.raises(NotACollection):
            EmbeddedStore(tmp_path / name, [plan()])


def test_another_sqlite_file_is_not_a_collection(folder: Path) -> None:
    folder.mkdir()
    sqlite = sqlite3.connect(folder / FILE)
    sqlite.execute("CREATE TABLE theirs (x)")
    sqlite.close()
    with pytest.raises(NotACollection, match="not one of ours"):
        EmbeddedStore(folder, [plan()])


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"\0" * 8192])
def test_a_catalogue_that_is_no_database_is_damaged(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / FILE).write_bytes(content)
    with pytest.raises((CollectionDamaged, NotACollection)):
        EmbeddedStore(folder, [plan()])


def test_a_damaged_catalogue_never_crashes(copied: Path) -> None:
    path, rng = copied / FILE, random.Random(1)
    content = path.read_bytes()
    for _ in range(12):
        damaged = bytearray(content)
        for _ in range(200):
            damaged[rng.randrange(100, len(damaged))] ^= 0xFF
        path.write_bytes(damaged)
        try:
            store = EmbeddedStore(copied, [plan()])
        except LookalikeError:
            continue
        try:
            found(store, random_vectors(3), 5)
            store.check()
            put(store, ["new"], random_vectors(1))
        except LookalikeError:
            pass
        finally:
            store.close()


def test_a_newer_collection_is_refused(folder: Path, open_store: OpenStore) -> None:
    open_store(folder).close()
    sqlite = sqlite3.connect(folder / FILE)
    sqlite.execute("PRAGMA user_version=99")
    sqlite.close()
    with pytest.raises(CollectionTooNew, match="format 99"):
        EmbeddedStore(folder, [plan()])


def test_a_collection_of_another_model_is_refused_by_both_fingerprints(
    folder: Path, open_store: OpenStore
) -> None:
    open_store(folder, plan(fingerprint="one model")).close()
    with pytest.raises(ModelMismatch, match=r"one model.*other model"):
        EmbeddedStore(folder, [plan(fingerprint="other model")])


FILLS_THE_DISK = """
import resource, sys
from pathlib import Path
from conftest import plan, put, random_vectors
from lookalike.errors import CannotWrite
from lookalike.store.embedded import EmbeddedStore
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
store = EmbeddedStore(folder, [plan()])
stored = 0
try:
    for i in range(0, 100_000, 100):
        put(store, range(i, i + 100), random_vectors(100, seed=i))
        stored = i + 100
except CannotWrite as error:
    assert "cannot write" in str(error) and "\\n" not in str(error)
    hits = store.nearest("v", random_vectors(100, seed=0), 1)
    print(stored, len(store), len(hits))
"""


def assert_full_disk_is_told(output: str) -> int:
    stored, counted, answered = map(int, output.split())
    assert stored == counted > 0
    assert answered == 100
    return stored


def test_a_file_that_may_not_grow_loses_nothing_that_was_stored(
    folder: Path, open_store: OpenStore
) -> None:
    open_store(folder).close()
    output = output_of(in_another_process(FILLS_THE_DISK, folder, 1_000_000))
    stored = assert_full_disk_is_told(output)
    store = open_store(folder)
    assert len(store) == stored
    put(store, ["more"], random_vectors(1))
    assert found(store, random_vectors(100, seed=0)) == [[sha(i).hex()] for i in range(100)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", disk],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_loses_nothing_that_was_stored(small_disk: Path, open_store: OpenStore) -> None:
    folder = small_disk / "collection"
    open_store(folder).close()
    stored = assert_full_disk_is_told(output_of(in_another_process(FILLS_THE_DISK, folder, 0)))
    store = open_store(folder)
    assert len(store) == stored
    assert found(store, random_vectors(100, seed=0)) == [[sha(i).hex()] for i in range(100)]
    store.close()


def test_an_index_file_that_does_not_fit_on_the_disk_is_done_without(
    small_disk: Path, indexed: Path, open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    folder = small_disk / "collection"
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    shutil.copytree(indexed, folder)
    shutil.rmtree(folder / "index")
    used = sum(path.stat().st_size for path in folder.iterdir()) // 1024
    subprocess.run(["mount", "-o", f"remount,size={used + 250}k", small_disk], check=True)
    store = open_store(folder)
    assert_all_found(store)
    store.settle()
    assert_all_found(store)
    assert "cannot be written" in caplog.messages[-1]
    assert [path.name for path in (folder / "index").iterdir()] == ["lock"]
    store.close()


ONLY_READS = """
import sys
from pathlib import Path
from conftest import plan, put, random_vectors, sha
from lookalike.errors import CannotWrite
from lookalike.store.embedded import EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]), [plan()])
hits = store.nearest("v", random_vectors(5), 1)
assert [hit[0][0].id for hit in hits] == [sha(i).hex() for i in range(5)]
store.settle()
try:
    put(store, ["new"], random_vectors(1))
except CannotWrite as error:
    print(len(store), error)
store.close()
"""


def assert_only_reads(folder: Path, **options: Any) -> None:
    before = sorted(path.name for path in folder.rglob("*"))
    said = output_of(in_another_process(ONLY_READS, folder, cwd="/", **options))
    assert said.startswith(f"{MANY} cannot write to {folder}: it is read-only")
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_a_read_only_disk_is_searched_and_refuses_to_be_written(
    small_disk: Path, indexed: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    shutil.copytree(indexed, small_disk / "collection")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert_only_reads(small_disk / "collection")


@AS_ROOT
def test_somebody_elses_folder_is_searched_and_refuses_to_be_written(indexed: Path) -> None:
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        shutil.copytree(indexed, Path(parent) / "collection")
        try:
            assert_only_reads(Path(parent) / "collection", user="nobody")
        except PermissionError:
            pytest.skip("cannot become nobody here")


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CannotWrite):
        EmbeddedStore.create(tmp_path / "file" / "collection", "", [plan()])


# Connections


def test_a_connection_never_stays_in_a_transaction(folder: Path, open_store: OpenStore) -> None:
    open_store(folder)
    catalogue = Catalogue(folder)

    def interrupted() -> None:
        with catalogue.writing() as connection:
            connection.execute("DELETE FROM about")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with catalogue.reading() as connection:
        assert not connection.sqlite.in_transaction
    assert "uuid" in catalogue.about()
    catalogue.close()


def test_closing_while_others_search_leaves_no_file_open(
    folder: Path, open_store: OpenStore
) -> None:
    store = open_store(folder)
    put(store, range(50), random_vectors(50))
    started, ended = threading.Barrier(9), []

    def search() -> None:
        started.wait()
        try:
            while True:
                found(store, random_vectors(5))
        except CollectionClosed as error:
            ended.append(error)

    threads = [threading.Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    time.sleep(0.05)
    store.close()
    for thread in threads:
        thread.join()
    assert len(ended) == 8
    links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not [link for link in links if link.is_relative_to(folder)]


def test_a_refused_opening_leaves_no_file_open(folder: Path, open_store: OpenStore) -> None:
    open_store(folder).close()
    with pytest.raises(ModelMismatch):
        EmbeddedStore(folder, [plan(fingerprint="other")])
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_nothing_is_logged_in_good_times(
    folder: Path, open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store = open_store(folder)
    put(store, range(MANY), random_vectors(MANY))
    assert_all_found(store)  # and compacts in the background
    store.settle()
    store.settle()
    store.close()
    assert caplog.messages == []

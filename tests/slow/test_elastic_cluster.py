"""Three nodes, of which one is killed; a cluster that is too busy; a snapshot, and back."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import elastic_node
import elasticsearch
import numpy as np
import pytest
from conftest import arrival, plan, random_vectors, sha
from elastic_node import Node

from lookalike.errors import ClusterUnwell
from lookalike.store import Store, home_of

BATCH = 50


@pytest.fixture(scope="module")
def three() -> Iterator[list[Node]]:
    with elastic_node.three() as nodes:
        yield nodes


@pytest.fixture
def nodes(three: list[Node]) -> Iterator[list[Node]]:
    """All three up, at the end as at the beginning."""
    yield three
    for node in three:
        if node.process is None:
            node.start()
    for node in three:
        node.wait(3)
    wait_for_green(three[0])


@pytest.fixture
def name() -> str:
    return f"c-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def open_store(name: str) -> Iterator[Callable[..., Store]]:
    opened: list[Store] = []

    def open(nodes: list[Node], options: str) -> Store:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        home = home_of(f"es+http://{hosts}/{name}?{options}")
        if not home.exists():
            home.create("a recipe", [plan()])
        opened.append(home.open([plan()]))
        return opened[-1]

    yield open
    for each in opened:
        each.close()


def wait_for_green(node: Node) -> None:
    with elasticsearch.Elasticsearch(node.url, request_timeout=200) as client:
        assert client.cluster.health(wait_for_status="green", timeout="180s")["status"] == "green"


def holder(nodes: list[Node], name: str) -> Node:
    """The node with the primary of a collection's pictures, or of its first shard of them."""
    with elasticsearch.Elasticsearch(nodes[0].url, request_timeout=60) as client:
        asked: dict[str, Any] = {
            "index": f"{name}-pictures-1",
            "format": "json",
            "h": "shard,prirep,node",
        }
        shards: Any = client.cat.shards(**asked).body
    (said,) = {each["node"] for each in shards if (each["shard"], each["prirep"]) == ("0", "p")}
    return next(node for node in nodes if node.name == said)


def searches_answered(node: Node) -> int:
    """By this node since it was started."""
    with elasticsearch.Elasticsearch(node.url, request_timeout=60) as client:
        (said,) = client.nodes.stats(node_id="_local", metric="http")["nodes"].values()
    route = said["http"]["routes"].get("/{index}/_search", {})
    return int(route.get("requests", {}).get("count", 0))


def test_a_node_killed_while_pictures_come_loses_none_that_was_acknowledged(
    nodes: list[Node], open_store: Callable[..., Store], name: str
) -> None:
    store = open_store(nodes, "replicas=1&patience=120")
    vectors = random_vectors(60 * BATCH)
    acknowledged: list[int] = []
    failures: list[Exception] = []

    def fill() -> None:
        try:
            for start in range(0, len(vectors), BATCH):
                some = range(start, start + BATCH)
                outcomes = store.put([arrival(i) for i in some], {"v": vectors[some]})
                assert outcomes == ["stored"] * BATCH
                acknowledged.extend(some)
        except Exception as error:  # noqa: BLE001 - told in the test's own thread
            failures.append(error)

    thread = threading.Thread(target=fill)
    thread.start()
    while thread.is_alive() and len(acknowledged) < 10 * BATCH:
        time.sleep(0.01)
    killed = holder(nodes, name)
    killed.stop(kill=True)
    before = len(acknowledged)
    thread.join()
    assert failures == []
    assert before < len(acknowledged) == len(vectors)
    assert len(store) == len(vectors)
    assert next(finding.text for finding in store.check()).startswith("yellow, 2 nodes")
    killed.start()
    killed.wait(3)
    wait_for_green(killed)
    # From the copy that has come back, which the other one has to have caught up.
    other = holder([killed, *nodes], name)
    assert other is not killed
    other.stop(kill=True)
    assert len(store) == len(vectors)
    for start in range(0, len(vectors), 500):
        ids = [sha(i).hex() for i in range(start, start + 500)]
        found = store.vectors_of("v", ids)
        np.testing.assert_array_equal(
            np.concatenate([found[id] for id in ids]), vectors[start : start + 500]
        )


def test_a_node_killed_while_queries_come_leaves_none_without_an_answer(
    nodes: list[Node],
    open_store: Callable[..., Store],
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = open_store(nodes, "replicas=1&patience=120")
    vectors = random_vectors(500)
    store.put([arrival(i) for i in range(500)], {"v": vectors})
    wait_for_green(nodes[0])
    answers: list[list[str]] = []
    failures: list[Exception] = []
    enough = threading.Event()

    def ask() -> None:
        try:
            while not enough.is_set():
                n = len(answers) % 500
                (hits,) = store.nearest("v", vectors[n : n + 1], 10)
                answers.append([record.id for record, _ in hits])
        except Exception as error:  # noqa: BLE001 - told in the test's own thread
            failures.append(error)

    def answered(count: int) -> None:
        wanted = len(answers) + count
        while thread.is_alive() and len(answers) < wanted:
            time.sleep(0.01)

    with caplog.at_level(logging.WARNING, "lookalike"):
        thread = threading.Thread(target=ask)
        thread.start()
        answered(50)
        killed = holder(nodes, name)
        killed.stop(kill=True)
        answered(200)
        killed.start()
        killed.wait(3)
        wait_for_green(killed)
        # The client takes the node up again by itself, within half a minute after it was left out.
        end = time.monotonic() + 60
        while thread.is_alive() and not searches_answered(killed) and time.monotonic() < end:
            time.sleep(0.5)
        enough.set()
        thread.join()
    assert failures == []
    assert searches_answered(killed) > 0
    said = any("is degraded" in record.message for record in caplog.records)
    short = [n for n, ids in enumerate(answers) if len(ids) < 10 or ids[0] != sha(n % 500).hex()]
    assert said or short == []


def test_without_copies_the_other_shards_answer_and_that_is_said_until_the_node_is_back(
    nodes: list[Node],
    open_store: Callable[..., Store],
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = open_store(nodes, "replicas=0&shards=3&patience=2&timeout=10")
    vectors = random_vectors(300)
    store.put([arrival(i) for i in range(300)], {"v": vectors})
    killed = holder(nodes, name)
    killed.stop(kill=True)
    with caplog.at_level(logging.WARNING, "lookalike"):
        (hits,) = store.nearest("v", vectors[:1], 300)
    assert 0 < len(hits) < 300
    assert "2 of 3 shards answer" in caplog.text
    with pytest.raises(ClusterUnwell):
        len(store)
    (finding, *_) = store.check()
    assert not finding.sound
    killed.start()
    killed.wait(3)
    wait_for_green(killed)
    (hits,) = store.nearest("v", vectors[:1], 300)
    assert len(hits) == len(store) == 300


def test_a_cluster_that_takes_no_more_at_once_is_waited_for(
    open_store: Callable[..., Store],
) -> None:
    """It refuses with 429 what would need more memory for writes than it has set aside."""
    with elastic_node.running(["indexing_pressure.memory.limit=300kb"]) as node:
        stores = [open_store([node], "replicas=0&patience=120") for _ in range(6)]
        failures: list[Exception] = []

        def fill(which: int) -> None:
            try:
                for start in range(which * 1000, which * 1000 + 1000, 200):
                    some = [arrival(i) for i in range(start, start + 200)]
                    stores[which].put(some, {"v": random_vectors(200, seed=start)})
            except Exception as error:  # noqa: BLE001 - told in the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=fill, args=(which,)) for which in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert failures == []
        assert len(stores[0]) == 6000
        with elasticsearch.Elasticsearch(node.url) as client:
            (said,) = client.nodes.stats(node_id="_local", metric="indexing_pressure")[
                "nodes"
            ].values()
        total = said["indexing_pressure"]["memory"]["total"]
        assert total["coordinating_rejections"] + total["primary_rejections"] > 0


def test_a_snapshot_brings_back_what_was_there(
    nodes: list[Node], open_store: Callable[..., Store], name: str
) -> None:
    """Step by step as docs/elasticsearch.md has it."""
    store = open_store(nodes, "replicas=1")
    vectors = random_vectors(300)
    store.put([arrival(i, label=f"label {i}") for i in range(300)], {"v": vectors})
    store.keep_calibration("{}")
    before = store.nearest("v", vectors[:20], 10)
    with elasticsearch.Elasticsearch(nodes[0].url, request_timeout=120) as client:
        settings = {"location": name}
        client.snapshot.create_repository(
            name=name, repository={"type": "fs", "settings": settings}
        )
        whole: dict[str, Any] = {"indices": f"{name}-*", "include_global_state": False}
        taken = client.snapshot.create(
            repository=name, snapshot="first", wait_for_completion=True, **whole
        )
        assert taken["snapshot"]["state"] == "SUCCESS"
        store.put([arrival("later")], {"v": random_vectors(1)})
        store.forget(["http://pictures/7"])
        client.indices.delete(index=sorted(client.indices.get(index=f"{name}-*")))
        restored = client.snapshot.restore(
            repository=name, snapshot="first", wait_for_completion=True, **whole
        )
        assert restored["snapshot"]["shards"]["failed"] == 0
    wait_for_green(nodes[0])
    again = open_store(nodes, "replicas=1")
    assert len(again) == 300
    assert again.nearest("v", vectors[:20], 10) == before
    found = again.vectors_of("v", [sha(i).hex() for i in range(300)])
    np.testing.assert_array_equal(
        np.concatenate([found[sha(i).hex()] for i in range(300)]), vectors
    )
    assert again.calibration() == "{}"
    assert all(finding.sound for finding in again.check())
    assert again.put([arrival("later")], {"v": random_vectors(1)}) == ["stored"]

"""Another recipe for a collection in Elasticsearch, while others write; killed at any moment."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import elasticsearch
import pytest
from conftest import arrival, random_vectors, sha
from conftest import plan as plan_of_v

from lookalike.errors import CannotStore, RecipeChanged, ReindexUnderWay
from lookalike.store import EmbeddingPlan, Home, Store, home_of
from lookalike.store.elastic import address as addresses
from lookalike.store.elastic.cluster import Cluster
from lookalike.store.elastic.generations import Generations
from lookalike.store.elastic.lock import Lock
from lookalike.store.elastic.reading import Reading


def plan(name: str = "v") -> EmbeddingPlan:
    """The same model under any name, so that all of its vectors are taken over."""
    return replace(plan_of_v(), name=name)


AFTER = plan("w")


class Killed(BaseException):
    """As by SIGKILL: nothing is cleared away."""


@pytest.fixture
def client(elastic: str) -> Iterator[elasticsearch.Elasticsearch]:
    with elasticsearch.Elasticsearch(elastic) as opened:
        yield opened


@pytest.fixture
def home(elastic_address: str) -> Home:
    made = home_of(elastic_address)
    made.create("before", [plan()])
    return made


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    opened = home.open([plan()])
    opened.put([arrival(i) for i in range(50)], {"v": random_vectors(50)})
    yield opened
    opened.close()


def name_of(home: Home) -> str:
    return home.address.rpartition("/")[2]


def reindexed(home: Home, number: int) -> None:
    """By a process of its own, from the recipe that it has to the next one."""
    before, after = plan(f"v{number}"), plan(f"v{number + 1}")
    store = home.open([before])
    with store.coming.alone():
        store.coming.begin(f"recipe {number + 1}", [after], {})
        while not store.coming.swap([]):
            pass
    store.close()


def test_writes_that_were_acknowledged_while_it_took_over_are_all_there(
    elastic_address: str,
) -> None:
    """Three who put and forget without a pause, while the recipe changes twice."""
    home = home_of(elastic_address)
    home.create("recipe 1", [plan("v1")])
    done = threading.Event()
    stored: set[str] = set()
    forgotten: set[str] = set()
    failures: list[Exception] = []

    def write(which: int) -> None:
        number, generation = 0, 1
        store = home.open([plan("v1")])
        try:
            while not done.is_set() or number % 3:
                try:
                    one = arrival(f"{which} {number}", f"http://{which}/{number}")
                    if number % 3 == 2:
                        store.forget([f"http://{which}/{number - 1}"])
                        forgotten.add(sha(f"{which} {number - 1}").hex())
                    else:
                        store.put([one], {f"v{generation}": random_vectors(1, seed=number)})
                        stored.add(one.sha256.hex())
                    number += 1
                except RecipeChanged:
                    store.close()
                    generation = int(home.made_with().recipe.rpartition(" ")[2])
                    store = home.open([plan(f"v{generation}")])
        except Exception as error:  # noqa: BLE001 - told in the test's own thread
            failures.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=write, args=(which,)) for which in range(3)]
    for each in threads:
        each.start()
    for number in (1, 2):
        time.sleep(0.5)
        reindexed(home, number)
    done.set()
    for each in threads:
        each.join()
    assert failures == []
    now = home.open([plan("v3")])
    ids = {record.id for record in now.scan(0, 10_000)}
    now.close()
    assert len(stored) > 10
    assert ids == stored - forgotten


def take_over(store: Store) -> bool:
    with store.coming.alone():
        store.coming.begin("after", [AFTER], {})
        return store.coming.swap([])


@pytest.fixture
def killed(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[type, str], None]:
    """Has a reindex end as by SIGKILL where it comes to a method."""

    def killed(what: type, method: str) -> None:
        def end(*_: object, **__: object) -> None:
            raise Killed

        say = Lock.say
        with monkeypatch.context() as patch:
            patch.setattr(what, method, end)
            # What a process would do on its way out, one that is killed does not.
            patch.setattr(Lock, "release", lambda _: None)
            patch.setattr(Lock, "say", lambda self, *said: not said or say(self, *said))
            patch.setattr(Cluster, "allow_writes", lambda *_: None)
            with pytest.raises(Killed):
                take_over(store)

    return killed


@pytest.mark.parametrize("method", ["block_writes", "take_over"])
def test_one_that_was_killed_while_writers_waited_keeps_none_waiting(
    home: Home,
    store: Store,
    client: elasticsearch.Elasticsearch,
    killed: Callable[[type, str], None],
    method: str,
) -> None:
    killed(Cluster, method)
    other = home.open([plan()])
    if method == "take_over":
        with pytest.raises(CannotStore, match="reindex"):  # as long as it may be alive
            other.put([arrival(98)], {"v": random_vectors(1)})
    expire(client, home)
    assert other.put([arrival(99)], {"v": random_vectors(1)}) == ["stored"]
    assert len(other) == 51
    other.close()
    assert take_over(store)
    now = home.open([AFTER])
    assert len(now) == 51
    now.close()


def expire(client: elasticsearch.Elasticsearch, home: Home) -> None:
    """Have the lock of who was killed count no more."""
    index = f"{name_of(home)}-about"
    said = client.get(index=index, id="reindex")["_source"]
    said["said"]["until"] = time.time() - 1
    client.index(index=index, id="reindex", document=said, refresh=True)


def test_a_block_that_somebody_else_has_set_stays(
    home: Home,
    store: Store,
    client: elasticsearch.Elasticsearch,
    killed: Callable[[type, str], None],
) -> None:
    killed(Generations, "_describe_anew")  # before writers had to wait
    expire(client, home)
    client.indices.add_block(index=f"{name_of(home)}-pictures-1", block="write")
    with pytest.raises(CannotStore, match="read-only"):
        store.put([arrival(99)], {"v": random_vectors(1)})


def test_one_that_was_taken_for_dead_does_not_take_over(
    home: Home,
    store: Store,
    client: elasticsearch.Elasticsearch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It had slept; meanwhile another writer lifted its block and stored a picture."""
    real = Generations._drop_what_has_gone
    other = home.open([plan()])

    def slept(self: Generations) -> None:
        real(self)
        if client.indices.get_settings(index=f"{name_of(home)}-pictures-1", name="*.blocks.*").body:
            expire(client, home)
            other.put([arrival(99)], {"v": random_vectors(1)})

    monkeypatch.setattr(Generations, "_left", lambda *_: -1)  # so that it is looked through
    monkeypatch.setattr(Generations, "_drop_what_has_gone", slept)
    with pytest.raises(ReindexUnderWay):
        take_over(store)
    assert len(other) == 51
    other.close()


def test_one_that_was_taken_for_dead_leaves_the_block_of_the_next(
    home: Home,
    store: Store,
    client: elasticsearch.Elasticsearch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It wakes while the next one has writers wait, and fails: they wait on."""
    index = f"{name_of(home)}-pictures-1"
    other = home.open([plan()])

    def slept(*_: object) -> None:
        expire(client, home)
        other.coming.alone().__enter__()
        client.indices.add_block(index=index, block="write")  # as it does when it takes over
        raise Killed

    monkeypatch.setattr(Generations, "_left", slept)
    with pytest.raises(Killed):
        take_over(store)
    assert client.indices.get_settings(index=index, name="index.blocks.write").body
    other.close()


def test_a_lock_whose_holder_left_a_block_is_not_taken_before_that_is_undone(
    home: Home, client: elasticsearch.Elasticsearch, elastic_address: str
) -> None:
    with contextlib.closing(Cluster(addresses.read(elastic_address))) as cluster:
        index = Reading(cluster, f"{name_of(home)}-about")
        dead = Lock(index, "reindex")
        assert dead.take()
        assert dead.say("blocks")
        expire(client, home)
        assert not Lock(index, "reindex").take()
        undoes = Lock(index, "reindex")
        assert undoes.inherit("blocks")
        assert undoes.say()
        undoes.release()
        assert Lock(index, "reindex").take()


def test_taking_over_leaves_no_index_behind(
    home: Home, store: Store, client: elasticsearch.Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right after: the name and the former index go in one step."""
    real = Cluster.take_over

    def then_killed(self: Cluster, former: str, index: str) -> None:
        real(self, former, index)
        raise Killed

    monkeypatch.setattr(Cluster, "take_over", then_killed)
    with pytest.raises(Killed):
        take_over(store)
    there = sorted(client.indices.get(index=f"{name_of(home)}-pictures-*"))
    assert there == [f"{name_of(home)}-pictures-2"]
    assert home.made_with().recipe == "after"
    with pytest.raises(RecipeChanged):
        store.put([arrival(99)], {"v": random_vectors(1)})


def test_only_one_follows_one_that_has_died(
    home: Home, store: Store, client: elasticsearch.Elasticsearch
) -> None:
    """Also if it is not dead at all: it goes no further."""
    other = home.open([plan()])
    with store.coming.alone():
        store.coming.begin("after", [AFTER], {})
        expire(client, home)
        with other.coming.alone():
            with pytest.raises(ReindexUnderWay), home.open([plan()]).coming.alone():
                pass
            with pytest.raises(ReindexUnderWay):
                store.coming.swap([])
    other.close()

"""A collection in a real Elasticsearch: its vectors, its filters, its faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import elasticsearch
import numpy as np
import pytest
import samples
from conftest import arrival, clustered_vectors, distances_between, random_vectors, sha

import lookalike
from lookalike import filters, registry
from lookalike.distances import DISTANCES
from lookalike.errors import (
    BadQuery,
    CannotStore,
    ClusterUnsuited,
    ClusterUnwell,
    LookalikeError,
    ModelMismatch,
    NotACollection,
    OtherRecipe,
    RecipeChanged,
    ReindexUnderWay,
)
from lookalike.recipe import Part
from lookalike.store import EmbeddingPlan, Home, Look, Store, home_of
from lookalike.store.elastic.home import ElasticHome
from lookalike.tune import tune
from lookalike.types import Effort, Judgement, LocalFeatures, Place, Vectors

HOME: type[Home] = ElasticHome
"""As the type checker sees it: all that a home, and its store, must have."""
KINDS = ("flat", "hnsw", "int8_hnsw", "bbq_hnsw")
Open = Callable[..., Store]


def plan(
    kind: str = "flat",
    distance: str = "cosine",
    dim: int = 64,
    *,
    name: str = "v",
    fingerprint: str = "a model",
    **options: Any,
) -> EmbeddingPlan:
    part = Part(kind, registry.load("elastic", kind).Options(**options))
    flat = registry.load("index", "flat").Options()
    return EmbeddingPlan(name, dim, fingerprint, distance, "flat", flat, elastic=part)


@pytest.fixture
def client(elastic: str) -> Iterator[elasticsearch.Elasticsearch]:
    with elasticsearch.Elasticsearch(elastic) as opened:
        yield opened


@pytest.fixture
def name(elastic_address: str) -> str:
    return elastic_address.rpartition("/")[2].partition("?")[0]


@pytest.fixture
def open_store(elastic_address: str) -> Iterator[Open]:
    opened = []

    def open(*plans: EmbeddingPlan, options: str = "") -> Store:
        home = home_of(elastic_address + options)
        if not home.exists():
            home.create("a recipe", plans)
        opened.append(home.open(plans))
        return opened[-1]

    yield open
    for each in opened:
        each.close()


def fill(store: Store, vectors: Vectors, *, start: int = 0) -> None:
    arrivals = [
        arrival(start + i, label="even" if i % 2 == 0 else "odd") for i in range(len(vectors))
    ]
    store.put(arrivals, {"v": vectors})


def number(id: str, count: int) -> int:
    return {sha(i).hex(): i for i in range(count)}[id]


@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_distances_are_those_of_their_definition(open_store: Open, distance: str) -> None:
    store = open_store(plan(distance=distance))
    rng = np.random.default_rng(1)
    vectors = (rng.normal(size=(300, 64)) * rng.uniform(0.01, 30, (300, 1))).astype(np.float32)
    if distance in ("histogram_intersection", "chi_squared"):
        vectors = np.abs(vectors)
    fill(store, vectors)
    queries = np.concatenate([vectors[:3] * np.float32(1.01), vectors[3:5]])
    truth = distances_between(queries.astype(float), vectors.astype(float), distance)
    at_zero = DISTANCES[distance].at_zero
    ids = [sha(i).hex() for i in range(300)]
    # An angle near 0 is the root of what a single-precision cosine misses by.
    atol = 3e-4 if distance == "angular" else 2e-5
    for k in (10, None):
        for found, true in zip(store.nearest("v", queries, k), truth, strict=True):
            by_id = dict(zip(ids, true, strict=True))
            own = np.array([at_zero - score for _, score in found])
            expected = np.array([by_id[record.id] for record, _ in found])
            np.testing.assert_allclose(own, expected, rtol=2e-4, atol=atol)
            np.testing.assert_allclose(
                np.sort(expected), np.sort(true)[: len(found)], rtol=2e-4, atol=atol
            )
            assert len(found) == (k or 300)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_what_brute_force_does(open_store: Open, kind: str) -> None:
    store = open_store(plan(kind, dim=96))
    vectors = clustered_vectors(3000, 96)
    fill(store, vectors)
    queries = clustered_vectors(40, 96, seed=5)
    cosines = 1 - distances_between(queries.astype(float), vectors.astype(float), "cosine")
    every = store.nearest("v", queries, 10)
    right = 0
    for found, own in zip(every, cosines, strict=True):
        best = set(np.argsort(-own)[:10].tolist())
        numbers = [number(record.id, 3000) for record, _ in found]
        right += len(best & set(numbers))
        np.testing.assert_allclose([score for _, score in found], own[numbers], atol=3e-6)
    # One bit a value is coarse for 96 values; five candidates a hit are ranked anew.
    assert right >= {"flat": 400, "bbq_hnsw": 360}.get(kind, 380)
    assert every[0] == store.nearest("v", queries[:1], 10)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_inside_the_search_loses_nothing(open_store: Open, kind: str) -> None:
    store = open_store(plan(kind, dim=96))
    vectors = clustered_vectors(1000, 96)
    fill(store, vectors)
    store.describe([Place("http://pictures/7", "rare"), Place("http://pictures/8", "rare")])
    for where, wanted in (("label = even", 10), ("label = rare", 2), ("label = none", 0)):
        (found,) = store.nearest("v", vectors[:1], 10, Look(filters.parse(where)))
        assert len(found) == wanted
        assert all(record.label == where.rpartition(" ")[2] for record, _ in found)


def test_more_effort_finds_more(open_store: Open) -> None:
    store = open_store(plan("bbq_hnsw", dim=64, oversample=1))
    vectors = random_vectors(3000, 64)
    fill(store, vectors)
    sample = store.sampled("v", 50, 10)
    low = store.tried("v", sample, Effort(ef_search=10, refine=1))
    high = store.tried("v", sample, Effort(ef_search=600, refine=10))
    assert low.recall < high.recall
    assert high.recall > 0.95


def test_several_embeddings_lie_in_one_document(open_store: Open) -> None:
    plans = [plan(name="v", dim=16), plan("hnsw", "euclidean", 4096, name="long")]
    store = open_store(*plans)
    short, long = random_vectors(20, 16), random_vectors(20, 4096)
    store.put([arrival(i) for i in range(20)], {"v": short, "long": long})
    for name, matrix in (("v", short), ("long", long)):
        (found,) = store.nearest(name, matrix[3:4], 1)
        assert found[0][0].id == sha(3).hex()
        np.testing.assert_array_equal(store.vectors(name, sha(3).hex()), matrix[3:4])
    ((records, blocks),) = store.blocks(["v", "long"])
    assert [record.id for record in records] == [sha(i).hex() for i in range(20)]
    np.testing.assert_array_equal(blocks["long"], long)


@pytest.mark.parametrize("distance", ["cosine", "inner_product", "euclidean"])
def test_an_all_zero_vector_is_kept_and_found_by_id_and_filter(
    open_store: Open, distance: str
) -> None:
    store = open_store(plan(distance=distance, dim=8))
    vectors = random_vectors(30, 8)
    vectors[4] = 0
    fill(store, vectors)
    zero = sha(4).hex()
    np.testing.assert_array_equal(store.vectors("v", zero), np.zeros((1, 8)))
    (found,) = store.nearest("v", vectors[:1], 40)
    assert len(found) == 30
    assert {record.id: score for record, score in found}[zero] == pytest.approx(
        0 if distance != "euclidean" else -float(vectors[0] @ vectors[0]), abs=1e-4
    )
    (found,) = store.nearest("v", np.zeros((1, 8), np.float32), 5)
    assert len(found) == 5


def test_vectors_come_back_bit_for_bit(open_store: Open) -> None:
    store = open_store(plan(dim=128))
    matrix = random_vectors(50, 128) * np.float32(7.3)
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    fill(store, matrix)
    fill(store, unit.astype(np.float32), start=50)
    ((_, every),) = store.blocks(["v"])
    np.testing.assert_array_equal(every["v"], np.concatenate([matrix, unit]).astype(np.float32))


def test_all_hits_are_those_that_score_enough(open_store: Open) -> None:
    store = open_store(plan("int8_hnsw"))
    vectors = clustered_vectors(1500, 64)
    fill(store, vectors)
    query = vectors[:1]
    cosines = 1 - distances_between(query.astype(float), vectors.astype(float), "cosine")[0]
    wanted = {sha(int(i)).hex() for i in np.flatnonzero(cosines >= 0.5)}
    look = Look(least=store.least("v", 0.5, query))
    (found,) = store.nearest("v", query, None, look)
    assert {record.id for record, _ in found} == wanted
    assert [s for _, s in found] == sorted((s for _, s in found), reverse=True)
    assert store.exceeds(len(wanted) - 1, "v", query, look)
    assert not store.exceeds(len(wanted), "v", query, look)
    (everything,) = store.nearest("v", query, None)
    assert len(everything) == 1500


def test_pairs_that_are_near_are_each_found_once(open_store: Open) -> None:
    store = open_store(plan())
    vectors = random_vectors(200, 64)
    vectors[100:110] = vectors[:10] + np.float32(0.01)
    fill(store, vectors)
    pairs = store.near_pairs("v", 5, 0.99)
    assert {tuple(sorted((a.id, b.id))) for a, b, _ in pairs} == {
        tuple(sorted((sha(i).hex(), sha(100 + i).hex()))) for i in range(10)
    }
    assert len(pairs) == 10


def test_deep_pages_give_every_record_once(open_store: Open, monkeypatch: Any) -> None:
    from lookalike.store.elastic import reading

    store = open_store(plan(dim=4))
    fill(store, random_vectors(300, 4))
    monkeypatch.setattr(reading, "MOST", 50)
    pages = [store.scan(offset, 40) for offset in range(0, 320, 40)]
    ids = [record.id for page in pages for record in page]
    assert ids == [sha(i).hex() for i in reversed(range(300))]
    assert store.scan(290, 40) == store.scan(280, 40)[10:]
    assert store.scan(10, 280) == store.scan(0, 300)[10:290]
    first, further = store.page(None, 280)
    rest, end = store.page(further, 280)
    assert [*first, *rest] == store.scan(0, 300)
    assert end is None


def test_facets_count_pictures_and_not_places(open_store: Open) -> None:
    store = open_store(plan(dim=4))
    fill(store, random_vectors(10, 4))
    store.put([arrival(0, "http://other/0", label="even")], {"v": random_vectors(1, 4)})
    store.put([arrival(0, "http://other/1", label="odd")], {"v": random_vectors(1, 4)})
    found = store.facets(None, 10)
    assert found.labels == [("odd", 6), ("even", 5)]
    assert found.formats == [("PNG", 10)]
    assert found.sizes == [0, 0, 10, 0, 0, 0]
    assert store.facets(filters.parse("label = even"), 10).labels == [("even", 5)]
    assert [record.id for record in store.in_several_places()] == [sha(0).hex()]


@pytest.mark.parametrize("shards", [1, 3])
def test_a_label_of_few_places_is_counted_whole_beside_many_others(
    open_store: Open, shards: int
) -> None:
    """Twice with a picture that lies nowhere else, and once with one of those that do."""
    store = open_store(plan(dim=4), options=f"&refresh=false&shards={shards}")
    every = [arrival(i, f"http://{side}/{i}", label=f"a{i}") for i in range(1100) for side in "xy"]
    every += [arrival(i, label="z") for i in (2000, 2001)]
    every += [arrival(2002, f"http://{side}/2002", label="z") for side in "xy"]
    store.put(every, {"v": random_vectors(len(every), 4)})
    store.settle()
    assert store.facets(None, 1).labels == [("z", 3)]
    assert store.facets(filters.parse("label exists"), 1).labels == [("z", 3)]


def test_more_labels_may_be_wanted_than_the_cluster_gives_at_once_of_each_kind(
    open_store: Open, client: elasticsearch.Elasticsearch
) -> None:
    store = open_store(plan(dim=4), options="&refresh=false")
    every = [arrival(i, label=f"{i:04}") for i in range(4000)]
    store.put(every, {"v": random_vectors(4000, 4)})
    store.settle()
    client.cluster.put_settings(persistent={"search.max_buckets": 3500})
    try:
        assert len(store.facets(None, 1000).labels) == 1000
    finally:
        client.cluster.put_settings(persistent={"search.max_buckets": None})


def test_what_is_too_long_to_be_found_again_is_refused(open_store: Open) -> None:
    """As Java counts, of which some letters are two."""
    store = open_store(plan(dim=4))
    for too_long in ("x" * 8001, "\N{GRINNING FACE}" * 4001):
        for each in (arrival(1, f"x:/{too_long}"), arrival(1, label=too_long)):
            with pytest.raises(BadQuery, match="characters"):
                store.put([each], {"v": random_vectors(1, 4)})
    longest = "x:/" + "\N{GRINNING FACE}" * 3990
    store.put([arrival(1, longest)], {"v": random_vectors(1, 4)})
    assert store.forget([longest]) == 1


def test_a_picture_is_one_document_until_it_lies_at_several_places(
    open_store: Open, client: elasticsearch.Elasticsearch, name: str
) -> None:
    def documents() -> int:
        said = client.indices.stats(index=f"{name}-pictures-1", metric="docs")
        return int(said["_all"]["primaries"]["docs"]["count"])

    store = open_store(plan(dim=4))
    fill(store, random_vectors(10, 4))
    assert documents() == 10
    store.put([arrival(0, "http://other/0")], {"v": random_vectors(1, 4)})
    assert documents() == 10 + 2
    store.forget(["http://other/0"])
    assert documents() == 10


def test_words_are_those_of_all_places(open_store: Open) -> None:
    store = open_store(plan(dim=4))
    store.put([arrival(0, "http://p/0", label="tabby cat")], {"v": random_vectors(1, 4)})
    store.put([arrival(0, "http://p/1", label="black dog")], {"v": random_vectors(1, 4)})
    for words in ("cat", "dog"):
        assert [record.id for record, _ in store.mentioned(words, 5)] == [sha(0).hex()]
    store.forget(["http://p/1"])
    assert store.mentioned("dog", 5) == []


def test_what_was_said_of_pairs_and_scores_is_kept(open_store: Open) -> None:
    store = open_store(plan(dim=4))
    a, b, c = sorted(sha(i).hex() for i in range(3))
    store.judge([Judgement(a, b, True, 2.0, "me"), Judgement(a, c, False, 1.0, "you")])
    store.judge([Judgement(a, b, False, 3.0, "me")])
    assert [(j.a, j.b, j.same) for j in store.judgements()] == [(a, c, False), (a, b, False)]
    assert store.take_back(b, a)
    assert not store.take_back(b, a)
    store.keep_calibration("{}")
    other = open_store(plan(dim=4))
    assert other.calibration() == "{}"
    assert other.keep_learned("v", "learned", b"words") == b"words"
    assert store.keep_learned("v", "later", b"others") == b"words"
    with pytest.raises(ModelMismatch):
        open_store(plan(dim=4))
    open_store(plan(dim=4, fingerprint="learned"))


def test_the_state_is_another_when_somebody_writes(open_store: Open) -> None:
    store, other = open_store(plan(dim=4)), open_store(plan(dim=4))
    before = store.state()
    assert store.state() is before
    fill(other, random_vectors(1, 4))
    assert store.state() is not before


def features(seed: int) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    descriptors = rng.uniform(0, 1, (60, 32)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    zeros = np.zeros(60, np.float32)
    return LocalFeatures(rng.uniform(0, 400, (60, 2)).astype(np.float32), zeros, zeros, descriptors)


def test_local_features_are_kept_fetched_and_vote(elastic_address: str) -> None:
    from lookalike.store import LocalPlan

    home = home_of(elastic_address)
    home.create("", [plan(dim=4)])
    store = home.open([plan(dim=4)], LocalPlan("sift", votes=True))
    made = [features(seed) for seed in range(30)]
    arrivals = [arrival(i, label="even" if i % 2 == 0 else "odd") for i in range(30)]
    store.put(arrivals[:20], {"v": random_vectors(20, 4)}, made[:20])
    store.put(arrivals[20:], {"v": random_vectors(10, 4)})
    lacking = store.lacking_local_features(-1, 100)
    assert [record.id for _, record in lacking] == [sha(i).hex() for i in range(20, 30)]
    store.keep_local_features({sha(i).hex(): made[i] for i in range(20, 30)})
    assert store.lacking_local_features(-1, 100) == []
    found = store.local_features([sha(3).hex(), sha(99).hex()])
    np.testing.assert_allclose(found[sha(3).hex()].descriptors, made[3].descriptors, atol=0.01)
    for exactly in (False, True):
        (hits,) = store.voted([made[25]], 5, exactly=exactly)
        assert hits[0][0].id == sha(25).hex()
        where = Look(filters.parse("label = even"))
        (hits,) = store.voted([made[25]], 5, where, exactly=exactly)
        assert all(record.label == "even" for record, _ in hits)
    store.forget(["http://pictures/25"])
    assert store.local_features([sha(25).hex()]) == {}
    (hits,) = store.voted([made[25]], 5)
    assert sha(25).hex() not in [record.id for record, _ in hits]
    store.close()


def test_processes_that_write_the_same_pictures_lose_none(open_store: Open) -> None:
    """Twelve threads, each with a store of its own, put the same pictures at other places."""
    stores = [open_store(plan(dim=8)) for _ in range(4)]
    vectors = random_vectors(40, 8)
    failures: list[Exception] = []

    def put(which: int) -> None:
        try:
            for start in range(0, 40, 10):
                every = [arrival(i, f"http://{which}/{i}") for i in range(start, start + 10)]
                stores[which].put(every, {"v": vectors[start : start + 10]})
        except Exception as error:  # noqa: BLE001 - told in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=put, args=(which,)) for which in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert len(stores[0]) == 40
    for record in stores[0].scan(0, 40):
        assert len(record.places) == 4


def test_a_path_belongs_to_the_last_of_two_that_claim_it(
    open_store: Open, client: elasticsearch.Elasticsearch, name: str
) -> None:
    """As after a kill between writing the new picture and dropping the old one's place."""
    store = open_store(plan(dim=4))
    store.put([arrival(1, "x:/p")], {"v": random_vectors(1, 4)})
    old = client.get(index=f"{name}-pictures-1", id=sha(1).hex())["_source"]
    vector = random_vectors(1, 4)
    store.put([arrival(2, "x:/p")], {"v": vector})
    unit = (vector[0] / np.linalg.norm(vector[0])).tolist()
    client.index(
        index=f"{name}-pictures-1",
        id=sha(1).hex(),
        document={**old, "v": {"v_1": unit}},
        refresh=True,
    )
    assert store.ledger(["x:/p"])["x:/p"].id == sha(2).hex()
    assert store.put([arrival(3, "x:/p")], {"v": random_vectors(1, 4)}) == ["replaced"]
    assert store.ledger(["x:/p"])["x:/p"].id == sha(3).hex()


# Another recipe


def test_another_recipe_takes_over_and_loses_nothing(
    open_store: Open, elastic_address: str
) -> None:
    store = open_store(plan(dim=16))
    fill(store, random_vectors(700, 16))
    after = plan("int8_hnsw", "euclidean", 32, fingerprint="another")
    vectors = random_vectors(800, 32, seed=3)
    with store.coming.alone():
        with pytest.raises(ReindexUnderWay), open_store(plan(dim=16)).coming.alone():
            pass
        store.coming.begin("another recipe", [after], {})
        first = store.coming.lacking(-1, 400)
        store.coming.put([row for row, _ in first], {"v": vectors[:400]})
        # Meanwhile pictures come, go, and are described anew.
        other = open_store(plan(dim=16))
        other.put([arrival(700)], {"v": random_vectors(1, 16)})
        other.forget(["http://pictures/3"])
        other.describe([Place("http://pictures/5", "new")])
        assert not store.coming.swap([])
        assert len(store.coming.lacking(-1, 1000)) == 301
        left = store.coming.lacking(-1, 1000)
        store.coming.put([row for row, _ in left], {"v": vectors[400:701]})
        assert store.coming.swap([])
    with pytest.raises(RecipeChanged):
        store.nearest("v", random_vectors(1, 16), 1)
    with pytest.raises(RecipeChanged):
        other.put([arrival(701)], {"v": random_vectors(1, 16)})
    home = home_of(elastic_address)
    assert home.made_with().recipe == "another recipe"
    now = home.open([after])
    assert len(now) == 700
    assert now.get(sha(3).hex()) is None
    record = now.get(sha(5).hex())
    assert record is not None
    assert record.label == "new"
    (found,) = now.nearest("v", vectors[9:10], 1)
    assert found[0][0].id == first[9][1].id
    now.close()


def test_vectors_of_the_same_model_are_taken_over(open_store: Open, elastic_address: str) -> None:
    store = open_store(plan(dim=16))
    vectors = random_vectors(100, 16)
    fill(store, vectors)
    after = plan("hnsw", dim=16, name="w")
    with store.coming.alone():
        store.coming.begin("the same by a graph", [after], {})
        assert store.coming.lacking(-1, 10) == []
        assert store.coming.swap([])
    now = home_of(elastic_address).open([after])
    np.testing.assert_array_equal(now.vectors("w", sha(7).hex()), vectors[7:8])
    assert now.stats()["embeddings"]["w"]["structure"] == "hnsw"
    now.close()


# What is wrong


def test_an_index_of_others_is_left_alone(
    elastic_address: str, client: elasticsearch.Elasticsearch, name: str
) -> None:
    client.indices.create(index=name)
    try:
        with pytest.raises(NotACollection, match="not one of ours"):
            home_of(elastic_address).exists()
    finally:
        client.indices.delete(index=name)


def test_another_model_or_length_is_refused(open_store: Open) -> None:
    open_store(plan(dim=16))
    for other in (plan(dim=16, fingerprint="another"), plan(dim=32), plan(dim=16, name="w")):
        with pytest.raises(ModelMismatch):
            open_store(other)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: plan(dim=4097), "at most 4,096 values"),
        (lambda: plan("bbq_hnsw", dim=32), "64 values or more"),
    ],
)
def test_what_elasticsearch_cannot_hold_is_said_before_anything_is_made(
    elastic_address: str,
    client: elasticsearch.Elasticsearch,
    name: str,
    made: Callable[[], EmbeddingPlan],
    said: str,
) -> None:
    with pytest.raises(ClusterUnsuited, match=said):
        home_of(elastic_address).create("", [made()])
    assert not client.indices.get(index=f"{name}*").body


def test_a_read_only_index_is_said_and_nothing_is_half_written(
    open_store: Open, client: elasticsearch.Elasticsearch, name: str
) -> None:
    store = open_store(plan(dim=4))
    fill(store, random_vectors(3, 4))
    client.indices.put_settings(index=f"{name}-pictures-1", settings={"index.blocks.write": True})
    with pytest.raises(CannotStore, match="read-only"):
        store.put([arrival(9)], {"v": random_vectors(1, 4)})
    assert len(store) == 3
    client.indices.put_settings(index=f"{name}-pictures-1", settings={"index.blocks.write": None})
    assert store.put([arrival(9)], {"v": random_vectors(1, 4)}) == ["stored"]


def test_a_full_disk_is_waited_for_and_then_said(
    open_store: Open, client: elasticsearch.Elasticsearch, name: str
) -> None:
    """The block that a cluster sets at its flood stage."""
    store = open_store(plan(dim=4))
    block = {"index.blocks.read_only_allow_delete": True}
    client.indices.put_settings(index=f"{name}-pictures-1", settings=block)
    with pytest.raises(CannotStore, match="flood stage"):
        store.put([arrival(1)], {"v": random_vectors(1, 4)})
    free = {"index.blocks.read_only_allow_delete": None}
    timer = threading.Timer(
        1.0, lambda: client.indices.put_settings(index=f"{name}-pictures-1", settings=free)
    )
    timer.start()
    assert store.put([arrival(1)], {"v": random_vectors(1, 4)}) == ["stored"]
    timer.join()


def test_an_index_that_has_gone_is_not_made_by_chance(
    open_store: Open, client: elasticsearch.Elasticsearch, name: str
) -> None:
    store = open_store(plan(dim=4))
    client.indices.delete(index=f"{name}-pictures-1")
    with pytest.raises(LookalikeError):
        store.put([arrival(1)], {"v": random_vectors(1, 4)})
    assert not client.indices.exists(index=f"{name}-pictures-1")


def test_vectors_of_nobody_are_refused(open_store: Open) -> None:
    store = open_store(plan(dim=4))
    with pytest.raises(BadQuery, match="expected v"):
        store.put([arrival(1)], {"w": random_vectors(1, 4)})
    with pytest.raises(BadQuery, match="8000 characters"):
        store.put([arrival(1, "x:/" + "p" * 9000)], {"v": random_vectors(1, 4)})
    assert len(store) == 0


# A collection as a whole

VECTORS = """
[embeddings.v]
distance = "cosine"
extractor = {{ name = "vectors", dim = {dim}, made_by = "a test" }}
index = {{ name = "flat" }}
{more}
"""


@pytest.fixture
def made_of_vectors(elastic_address: str, tmp_path: Path) -> Iterator[lookalike.Collection]:
    """Twenty pictures with vectors of 8 values, of which two are cats."""
    recipe = tmp_path / "ready.toml"
    recipe.write_text(VECTORS.format(dim=8, more='elastic = { name = "hnsw", m = 8 }'))
    with lookalike.open(elastic_address, recipe=str(recipe)) as collection:
        said: dict[int, dict[str, Any]] = {
            3: {"title": "A grey cat"},
            9: {"title": "cat and dog", "n": 1},
            5: {"t": "dog"},
        }
        places = [Place(f"http://p/{i}", f"label {i}", said.get(i, {})) for i in range(20)]
        collection.add_vectors(random_vectors(20, 8), [sha(i) for i in range(20)], places)
        yield collection


def test_words_of_metadata_are_found_and_fused_with_the_nearest(
    made_of_vectors: lookalike.Collection,
) -> None:
    collection = made_of_vectors
    alone = collection.search(words="CAT", k=5)
    assert {hit.path for hit in alone} == {"http://p/3", "http://p/9"}
    query = random_vectors(20, 8)[7]
    nearest = [hit.path for hit in collection.search(query, k=20)]
    words = [hit.path for hit in collection.search(words="cat", k=20)]
    fused = collection.search(query, words="cat", k=20)
    expected = {
        path: sum(1 / (60 + 1 + ranks.index(path)) for ranks in (nearest, words) if path in ranks)
        for path in nearest
    }
    assert [hit.path for hit in fused][:3] == sorted(expected, key=lambda p: -expected[p])[:3]
    assert set(fused[0].scores) <= {"v", "words"}
    where = collection.search(words="cat dog", where="n = 1", k=5)
    assert [hit.path for hit in where] == ["http://p/9"]
    with pytest.raises(BadQuery, match="empty"):
        collection.search(words=" ")
    with pytest.raises(BadQuery, match="at most 1,000 characters"):
        collection.search(words="word " * 10_000)
    assert collection.search(words="\ud800 \0", k=5) == []


def test_the_recipes_kind_of_index_is_made_and_its_knobs_are_heeded(
    made_of_vectors: lookalike.Collection,
    client: elasticsearch.Elasticsearch,
    name: str,
) -> None:
    mapping = client.indices.get_mapping(index=name)[f"{name}-pictures-1"]["mappings"]
    made = mapping["properties"]["v"]["properties"]["v_1"]
    assert made["similarity"] == "dot_product"
    assert (made["index_options"]["type"], made["index_options"]["m"]) == ("hnsw", 8)
    assert len(made_of_vectors.search(random_vectors(1, 8)[0], ef_search=50)) == 10
    with pytest.raises(BadQuery, match="no knob probes"):
        made_of_vectors.search(random_vectors(1, 8)[0], probes=3)


def test_a_named_recipe_must_be_that_of_the_collection(
    made_of_vectors: lookalike.Collection, elastic_address: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(VECTORS.format(dim=12, more=""))
    with pytest.raises(OtherRecipe):
        lookalike.open(elastic_address, recipe=str(other))
    made_of_vectors.remove(*[record.id for record in made_of_vectors])
    with lookalike.open(elastic_address, recipe=str(other)) as empty:
        empty.add_vectors(random_vectors(1, 12), [sha(0)], [Place("x:/0")])
        assert len(empty) == 1


def test_an_archive_of_features_goes_into_either_store_with_the_same_hits(
    made_of_vectors: lookalike.Collection, tmp_path: Path
) -> None:
    from lookalike.exchange import export_features, import_features

    export_features(made_of_vectors, tmp_path / "all.npz")
    import_features(tmp_path / "folder", tmp_path / "all.npz")
    with lookalike.open(tmp_path / "folder") as folder:
        for query in random_vectors(10, 8, seed=4):
            own, others = folder.search(query), made_of_vectors.search(query)
            assert [hit.id for hit in own] == [hit.id for hit in others]
            np.testing.assert_allclose(
                [hit.distance for hit in own], [hit.distance for hit in others], atol=1e-5
            )


def test_pictures_are_indexed_compared_and_given_back(elastic_address: str, tmp_path: Path) -> None:
    """Uploads and thumbnails lie in files, comparators see the candidates' pictures."""
    for number in range(6):
        samples.write(tmp_path / "pictures" / f"{number}.png", number)
    folder = tmp_path / "pictures"
    address = f"{elastic_address}&files={tmp_path / 'kept'}"
    with lookalike.open(address, recipe="copies") as collection:
        report = collection.add(folder)
        assert report.stored == 6
        assert collection.add(folder).unchanged == 6
        hits = collection.search(folder / "2.png", k=3)
        assert hits[0].path == str(folder / "2.png")
        assert hits[0].scores["verified"] is not None
        record, outcome = collection.add_bytes((folder / "2.png").read_bytes(), "again.png")
        assert outcome == "copy"
        assert collection.thumbnail(record.id)
        assert (tmp_path / "kept").is_dir()
        tuned = tune(collection, sample=6, k=2)
        assert tuned[0].tuning.chosen.recall == 1.0
        (folder / "0.png").unlink()
        assert collection.add(folder, prune=True).removed == 1
        assert all(finding.sound for finding in collection.check())


def test_a_red_cluster_is_said(
    open_store: Open, client: elasticsearch.Elasticsearch, name: str
) -> None:
    store = open_store(plan(dim=4), options="&patience=1&timeout=5")
    fill(store, random_vectors(3, 4))
    index = f"{name}-pictures-1"
    made = client.indices.get(index=index)[index]
    client.indices.delete(index=index)
    client.indices.create(
        index=index,
        mappings=made["mappings"],
        aliases=made["aliases"],
        settings={"index.routing.allocation.require._name": "a node that is not there"},
        wait_for_active_shards="0",
    )
    for use in (
        lambda: store.nearest("v", random_vectors(1, 4), 1),
        lambda: store.put([arrival(9)], {"v": random_vectors(1, 4)}),
        lambda: len(store),
    ):
        with pytest.raises((ClusterUnwell, CannotStore)) as told:
            use()
        assert "\n" not in str(told.value)
    (finding, *_) = store.check()
    assert not finding.sound
    assert "red" in finding.text


class Old(BaseHTTPRequestHandler):
    """An Elasticsearch of years ago, or something else altogether."""

    product = "Elasticsearch"

    def do_GET(self) -> None:
        body = b'{"nodes": {"x": {"version": "7.17.3"}}}'
        self.send_response(200)
        self.send_header("content-type", "application/vnd.elasticsearch+json;compatible-with=9")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-elastic-product", self.product)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.mark.parametrize(
    ("product", "said"),
    [("Elasticsearch", "7.17.3, 8.18 is needed"), ("Opposite", "is not Elasticsearch")],
)
def test_another_server_is_told_from_ours(
    monkeypatch: pytest.MonkeyPatch, product: str, said: str
) -> None:
    monkeypatch.setattr(Old, "product", product)
    with ThreadingHTTPServer(("127.0.0.1", 0), Old) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ClusterUnsuited, match=said):
            home_of(f"es+http://127.0.0.1:{server.server_port}/photos").exists()
        server.shutdown()


class Refusing(Old):
    """An Elasticsearch that is older than the client."""

    def do_GET(self) -> None:
        body = b'{"error": {"type": "media_type_header_exception", "reason": "9"}, "status": 400}'
        self.send_response(400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_server_older_than_the_client_says_which_client_to_install() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ClusterUnsuited, match=r"pip install 'elasticsearch>=8\.17,<9'") as told:
            home_of(f"es+http://127.0.0.1:{server.server_port}/photos").exists()
        assert "\n" not in str(told.value)
        server.shutdown()

"""`expand` and `rerank` of a search: what they promise beside every other wish."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import clustered_vectors, sha
from samples import lookalike
from test_reranking import by_sets, unit

import lookalike as package
from lookalike import Collection
from lookalike.errors import BadQuery
from lookalike.serve.server import Server
from lookalike.types import Hit, Place, Vectors

COUNT, DIM = 240, 8
RECIPE = """
name = "ready"
[embeddings.v]
distance = "{distance}"
extractor = {{ name = "vectors", dim = 8, made_by = "a test" }}
index = {{ name = "flat" }}
"""
TWO = """
name = "two"
[embeddings.a]
extractor = { name = "vectors", dim = 8, made_by = "a test" }
index = { name = "flat" }
[embeddings.b]
weight = 2.0
extractor = { name = "vectors", dim = 8, made_by = "another" }
index = { name = "flat" }
"""


def filled(folder: Path, text: str, vectors: Any) -> Collection:
    """A collection of made-up vectors; every third picture is labelled odd."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "r.toml").write_text(text)
    collection = package.open(folder / "c.lookalike", recipe=str(folder / "r.toml"))
    places = [Place(f"http://p/{i}", label="odd" if i % 3 == 0 else "even") for i in range(COUNT)]
    collection.add_vectors(vectors, [sha(i) for i in range(COUNT)], places)
    return collection


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clustered_vectors(COUNT, DIM, clusters=6, seed=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, vectors: Vectors) -> Iterator[Collection]:
    folder = tmp_path_factory.mktemp("made")
    with filled(folder, RECIPE.format(distance="cosine"), vectors) as collection:
        yield collection


@pytest.fixture
def query() -> Vectors:
    return clustered_vectors(1, DIM, clusters=6, seed=3) + np.float32(0.2)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def numbers(hits: list[Hit]) -> list[int]:
    return [int(hit.path.rpartition("/")[2]) for hit in hits]


class TestExpansion:
    def test_is_a_search_with_the_weighted_mean_of_the_query_and_its_hits(
        self, made: Collection, vectors: Vectors, query: Vectors
    ) -> None:
        first = unit(vectors[numbers(made.search(query, k=5))])
        one = unit(query)
        mean = one + (first @ one[0]) @ first
        expected = made.search(mean.astype(np.float32), k=20)
        found = made.search(query, k=20, expand=5)
        assert ids(found) == ids(expected)
        for hit, other in zip(found, expected, strict=True):
            assert hit.score == pytest.approx(other.score, abs=1e-5)
        assert ids(found) != ids(made.search(query, k=20))

    def test_takes_in_only_what_passes_the_filter(
        self, made: Collection, vectors: Vectors, query: Vectors
    ) -> None:
        odd = [i for i in range(COUNT) if i % 3 == 0]
        best = sorted(odd, key=lambda i: -float(unit(vectors)[i] @ unit(query)[0]))[:4]
        one, first = unit(query), unit(vectors[best])
        mean = (one + (first @ one[0]) @ first).astype(np.float32)
        found = made.search(query, k=9, expand=4, where="label=odd")
        assert ids(found) == ids(made.search(mean, k=9, where="label=odd"))

    def test_takes_in_nothing_where_no_hit_is_good_enough(
        self, made: Collection, query: Vectors
    ) -> None:
        scores = [hit.score for hit in made.search(query, k=30)]
        assert made.search(query, k=9, expand=5, threshold=max(scores) + 1e-3) == []
        best = (scores[0] + scores[1]) / 2  # one hit, which the query moves towards
        (hit, *_) = made.search(query, k=9, expand=5, threshold=best)
        assert hit.score > scores[0]

    def test_a_stored_picture_is_no_neighbour_of_itself(
        self, made: Collection, vectors: Vectors
    ) -> None:
        record = made[sha(7).hex()]
        one = unit(vectors[7:8])
        near = unit(vectors[numbers(made.more_like(record.id, k=3))])
        mean = (one + (near @ one[0]) @ near).astype(np.float32)
        expected = [id for id in ids(made.search(mean, k=11)) if id != record.id][:10]
        assert ids(made.more_like(record.id, k=10, expand=3)) == expected

    @pytest.mark.parametrize("distance", ["euclidean", "angular", "l1", "histogram_intersection"])
    def test_goes_with_any_distance(
        self, tmp_path: Path, vectors: Vectors, query: Vectors, distance: str
    ) -> None:
        with filled(tmp_path, RECIPE.format(distance=distance), vectors) as collection:
            hits = collection.search(query, k=10, expand=5, rerank=30)
            assert len(hits) == 10
            assert np.isfinite([hit.score for hit in hits]).all()


class TestReranking:
    def test_orders_the_first_hits_by_the_papers_distance_and_leaves_the_rest(
        self, made: Collection, vectors: Vectors, query: Vectors
    ) -> None:
        plain = made.search(query, k=COUNT)
        first = numbers(plain)[:60]
        apart = by_sets(unit(np.concatenate([query, vectors[first]])), 20, 6, 0.3)
        found = made.search(query, k=COUNT, rerank=60)
        expected = [first[i] for i in np.argsort(apart, kind="stable")]
        assert numbers(found)[:60] == expected
        assert numbers(found)[:60] != first
        assert ids(found)[60:] == ids(plain)[60:]
        told = [hit.scores["k-reciprocal"] for hit in found[:60]]
        assert told == pytest.approx(sorted(apart), abs=1e-5)
        assert {hit.id: hit.score for hit in found} == {hit.id: hit.score for hit in plain}

    def test_hits_keep_to_the_filter_and_the_threshold(
        self, made: Collection, query: Vectors
    ) -> None:
        wishes: dict[str, Any] = {"where": "label=odd", "threshold": 0.2}
        plain = made.search(query, k=None, **wishes)
        found = made.search(query, k=None, rerank=COUNT, **wishes)
        assert sorted(ids(found)) == sorted(ids(plain))

    def test_several_embeddings_stand_side_by_side_by_their_weights(
        self, tmp_path: Path, vectors: Vectors
    ) -> None:
        others = clustered_vectors(COUNT, DIM, clusters=9, seed=8)
        with filled(tmp_path, TWO, {"a": vectors, "b": others}) as collection:
            id = sha(5).hex()
            plain = collection.more_like(id, k=40)
            rows = [5, *numbers(plain)]
            both = np.concatenate([unit(vectors[rows]), 2**0.5 * unit(others[rows])], axis=1)
            apart = by_sets(unit(both), 20, 6, 0.3)
            found = collection.more_like(id, k=40, rerank=40)
            assert numbers(found) == [rows[1 + i] for i in np.argsort(apart, kind="stable")]
            assert len(collection.more_like(id, k=10, expand=5)) == 10
            alone = collection.more_like(id, k=10, expand=5, embedding="b")
            assert ids(alone) != ids(collection.more_like(id, k=10, expand=5))


BOTH: list[dict[str, Any]] = [{"expand": 5}, {"rerank": 50}, {"expand": 5, "rerank": 50}]


@pytest.mark.parametrize("knobs", BOTH)
class TestBoth:
    def test_pages_agree(self, made: Collection, query: Vectors, knobs: dict[str, Any]) -> None:
        whole = ids(made.search(query, k=80, **knobs))
        pages = [made.search(query, k=20, offset=offset, **knobs) for offset in (0, 20, 40, 60)]
        assert [id for page in pages for id in ids(page)] == whole

    def test_all_hits_are_all(
        self, made: Collection, query: Vectors, knobs: dict[str, Any]
    ) -> None:
        assert len({*ids(made.search(query, k=None, **knobs))}) == COUNT

    def test_each_of_many_queries_is_answered_as_if_alone(
        self, made: Collection, vectors: Vectors, knobs: dict[str, Any]
    ) -> None:
        for answer, vector in zip(
            made.search_many(list(vectors[:4]), k=6, **knobs),
            vectors[:4],
            strict=True,
        ):
            assert ids(answer.hits) == ids(made.search(vector, k=6, **knobs))

    def test_an_empty_collection_has_no_hits(
        self, tmp_path: Path, query: Vectors, knobs: dict[str, Any]
    ) -> None:
        (tmp_path / "r.toml").write_text(RECIPE.format(distance="cosine"))
        with package.open(tmp_path / "c.lookalike", recipe=str(tmp_path / "r.toml")) as empty:
            assert empty.search(query, **knobs) == []

    def test_fewer_hits_than_are_asked_for_are_enough(
        self, made: Collection, query: Vectors, knobs: dict[str, Any]
    ) -> None:
        hits = made.search(query, where="path in ('http://p/3', 'http://p/4')", **knobs)
        assert sorted(numbers(hits)) == [3, 4]

    def test_an_all_zero_query_gives_numbers(self, made: Collection, knobs: dict[str, Any]) -> None:
        hits = made.search(np.zeros(DIM, np.float32), k=5, **knobs)
        assert len(hits) == 5
        assert np.isfinite([hit.score for hit in hits]).all()


@pytest.mark.parametrize("name", ["expand", "rerank"])
@pytest.mark.parametrize("value", [0, -1, 1_000_000, True, 2.5, "5"])
def test_what_is_no_number_of_hits_is_refused(
    made: Collection, query: Vectors, name: str, value: Any
) -> None:
    with pytest.raises(BadQuery, match=f"{name} must be a whole number, 1 to "):
        made.search(query, **{name: value})


def test_the_command_line_and_the_service_say_the_same(made: Collection) -> None:
    id = sha(11).hex()
    expected = ids(made.more_like(id, k=8, expand=4, rerank=40))
    told = lookalike(
        "search",
        "--id",
        id,
        "-k",
        "8",
        "--expand",
        "4",
        "--rerank",
        "40",
        "--json",
        "-c",
        made.path,
    )
    assert [hit["id"] for hit in json.loads(told.stdout)["hits"]] == expected
    server = Server({"c": made}, port=0)
    thread = threading.Thread(target=server.answer)
    thread.start()
    address = f"{server.url}/v1/collections/c/pictures/{id}/similar"
    with httpx.Client(timeout=30, trust_env=False) as client:
        answer = client.get(address, params={"k": 8, "expand": 4, "rerank": 40})
        refused = client.get(address, params={"rerank": 1001})
    server.stop()
    thread.join()
    assert [hit["id"] for hit in answer.json()["hits"]] == expected
    assert refused.status_code in (400, 422)

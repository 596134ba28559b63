"""What each kind of index promises of its own, against independent computations."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from conftest import clustered_vectors, distances_between, random_vectors

import lookalike
from lookalike import registry
from lookalike.distances import distance_named
from lookalike.errors import BadQuery, PlanesUnusable, RecipeError, TooManyHits
from lookalike.index import Kind, Structure, faiss_calls, reordering
from lookalike.index.hnsw import usual_ef
from lookalike.index.lsh import LSHOptions, _nearest_keys, planes_of
from lookalike.index.refinement import Refinement
from lookalike.store.embedded import EmbeddedStore
from lookalike.types import Effort, Vectors

COUNT, DIM = 3_000, 12
COMPRESSED = ("ivfpq", "ivfsq", "rabitq")
Open = Callable[..., lookalike.Collection]

RECIPE = """
name = "mine"
[embeddings.v]
distance = "{distance}"
extractor = {{ name = "vectors", dim = 12, made_by = "a test" }}
index = {{ {index} }}
"""


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    """Opens a collection of ready vectors with an index; closes it at the end."""
    every: list[lookalike.Collection] = []

    def open_it(index: str, distance: str = "cosine", name: str = "c") -> lookalike.Collection:
        recipe = tmp_path / f"{len(every)}.toml"
        recipe.write_text(RECIPE.format(index=index, distance=distance))
        every.append(lookalike.open(tmp_path / name, recipe=str(recipe)))
        return every[-1]

    yield open_it
    for each in every:
        each.close()


def fill(collection: lookalike.Collection, vectors: Vectors, start: int = 0) -> None:
    numbers = range(start, start + len(vectors))
    collection.add_vectors(
        vectors,
        [hashlib.sha256(str(number).encode()).digest() for number in numbers],
        [lookalike.Place(f"/pictures/{number}.jpg", str(number % 3)) for number in numbers],
    )
    collection.settle()


def numbers_of(hits: list[lookalike.Hit]) -> list[int]:
    return [int(Path(hit.path).stem) for hit in hits]


def structure_of(collection: lookalike.Collection) -> Structure:
    store = collection.store
    assert isinstance(store, EmbeddedStore)
    structure = store._indexes["v"].vectors.structure
    assert structure is not None
    return structure


def made(kind: str, vectors: Vectors, options: Any, workspace: Path) -> Any:
    cls: type[Kind] = registry.load("index", kind)
    structure = cls.create(DIM, distance_named("euclidean"), options, len(vectors), workspace)
    if structure.training_vectors:
        structure.train(vectors)
    structure.add(vectors)
    return structure


class TestIVF:
    def test_probes_are_the_nearest_clusters_by_l2_and_all_their_members_are_ranked(
        self, opened: Open
    ) -> None:
        collection = opened('name = "ivf", clusters = 40, probes = 3', "euclidean")
        vectors = clustered_vectors(COUNT, DIM)
        fill(collection, vectors)
        ivf = structure_of(collection)._index  # type: ignore[attr-defined]
        centroids = ivf.quantizer.reconstruct_n(0, ivf.nlist)
        assert len(centroids) == 40
        cluster = distances_between(vectors, centroids, "euclidean").argmin(axis=1)
        for query in clustered_vectors(5, DIM, seed=3):
            nearest = distances_between(query[None], centroids, "euclidean")[0].argsort()
            efforts: list[tuple[int, dict[str, Any]]]
            efforts = [(3, {}), (7, {"probes": 7}), (40, {"probes": "all"})]
            for probes, effort in efforts:
                members = np.flatnonzero(np.isin(cluster, nearest[:probes]))
                hits = collection.search(query, k=None, **effort)
                assert sorted(numbers_of(hits)) == members.tolist()
                apart = distances_between(query[None], vectors[members], "euclidean")[0]
                np.testing.assert_allclose(
                    [hit.distance for hit in hits], np.sort(apart), rtol=1e-4, atol=1e-4
                )

    def test_is_extended_with_the_clusters_it_has(self, opened: Open) -> None:
        collection = opened('name = "ivf", clusters = 20')
        vectors = clustered_vectors(COUNT, DIM)
        fill(collection, vectors[:2_000])
        before = structure_of(collection)._index.quantizer.reconstruct_n(0, 20)  # type: ignore[attr-defined]
        fill(collection, vectors[2_000:], 2_000)
        after = structure_of(collection)._index.quantizer.reconstruct_n(0, 20)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(before, after)
        assert len(structure_of(collection)) == COUNT
        assert numbers_of(collection.search(vectors[2_999], k=1)) == [2_999]

    @pytest.mark.parametrize("index", ["ivf", "ivfpq", "ivfsq", "rabitq"])
    def test_more_clusters_than_pictures_are_as_many_as_pictures(
        self, opened: Open, index: str
    ) -> None:
        collection = opened(f'name = "{index}", clusters = 5000')
        vectors = random_vectors(9, DIM)
        fill(collection, vectors)
        assert collection.stats()["embeddings"]["v"]["structure"] == index
        for number, vector in enumerate(vectors):
            assert numbers_of(collection.search(vector, k=1, probes="all")) == [number]
        assert len(collection.search(vectors[0], k=50)) == 9

    def test_another_number_of_clusters_takes_effect(self, opened: Open) -> None:
        fill(opened('name = "ivf", clusters = 20'), clustered_vectors(500, DIM))
        again = opened('name = "ivf", clusters = 30')
        again.settle()
        assert structure_of(again)._index.nlist == 30  # type: ignore[attr-defined]


def keys_of(vectors: npt.NDArray[Any], planes: npt.NDArray[Any]) -> list[list[str]]:
    """The key of each vector in each table, as lshash makes it: a letter for each plane."""
    return [
        ["".join("1" if plane @ vector > 0 else "0" for plane in table) for table in planes]
        for vector in vectors.astype(float)
    ]


class TestLSH:
    def test_candidates_are_all_that_share_a_bucket_in_any_table(
        self, opened: Open, tmp_path: Path
    ) -> None:
        file = tmp_path / "planes.npz"
        options = f'name = "lsh", hash_size = 7, num_hashtables = 4, store_file = "{file}"'
        collection = opened(options, "euclidean")
        vectors = random_vectors(400, DIM)
        fill(collection, vectors)
        with np.load(file) as arrays:
            planes = np.array([arrays[f"arr_{number}"] for number in range(4)])
        assert planes.shape == (4, 7, DIM)
        keys = keys_of(vectors, planes)
        for query in random_vectors(5, DIM, seed=4):
            (own,) = keys_of(query[None], planes)
            shared = [i for i, each in enumerate(keys) if any(map(str.__eq__, each, own))]
            hits = collection.search(query, k=None, probes=1)
            assert sorted(numbers_of(hits)) == shared
            apart = distances_between(query[None], vectors[shared], "euclidean")[0]
            np.testing.assert_allclose([hit.distance for hit in hits], np.sort(apart), rtol=1e-4)

    @pytest.mark.parametrize("seed", range(5))
    def test_buckets_are_probed_from_the_nearest_on_each_once(self, seed: int) -> None:
        margins = np.random.default_rng(seed).normal(size=6).astype(np.float32)
        probed = list(_nearest_keys(margins, 64))
        assert sorted(probed) == list(range(64))
        own = sum(1 << bit for bit in range(6) if margins[bit] > 0)

        def cost(key: int) -> float:
            return float(sum(margins[bit] ** 2 for bit in range(6) if (key ^ own) >> bit & 1))

        costs = [cost(key) for key in probed]
        assert costs == sorted(costs)
        assert list(_nearest_keys(margins, 1000)) == probed

    def test_more_probes_find_more_and_all_find_everything(self, opened: Open) -> None:
        vectors = clustered_vectors(COUNT, DIM)
        queries = vectors[::100] + np.float32(0.02)
        collection = opened('name = "lsh", hash_size = 16, num_hashtables = 2', "euclidean")
        fill(collection, vectors)
        reached, right = [], []
        for probes in (1, 8, 64, "all"):
            found = [collection.search(query, k=None, probes=probes) for query in queries]
            reached.append(sum(map(len, found)))
            true = distances_between(queries, vectors, "euclidean").argsort(axis=1)[:, :10]
            right.append(
                sum(
                    len(set(numbers_of(hits)) & set(best))
                    for hits, best in zip(found, true.tolist(), strict=True)
                )
            )
        assert all(few < many for few, many in itertools.pairwise(reached))
        assert all(few <= many for few, many in itertools.pairwise(right))
        assert reached[-1] == len(queries) * COUNT
        assert right[-1] == 10 * len(queries)

    def test_k_hits_are_found_however_empty_the_buckets_are(self, opened: Open) -> None:
        collection = opened('name = "lsh", hash_size = 40, num_hashtables = 1, probes = 1')
        vectors = random_vectors(300, DIM)
        fill(collection, vectors)
        for where in (None, "label=1"):
            assert len(collection.search(-vectors[0], k=20, where=where)) == 20

    def test_hamming_compares_the_keys_of_all_tables(self, opened: Open) -> None:
        collection = opened('name = "lsh", hash_size = 9, num_hashtables = 3', "hamming")
        vectors = random_vectors(200, DIM)
        fill(collection, vectors)
        planes = structure_of(collection)._planes  # type: ignore[attr-defined]
        keys = ["".join(each) for each in keys_of(vectors, planes)]
        query = random_vectors(1, DIM, seed=8)
        own = "".join(keys_of(query, planes)[0])
        for hit in collection.search(query, k=None, probes="all"):
            differing = sum(map(str.__ne__, own, keys[numbers_of([hit])[0]]))
            assert hit.distance == differing

    def test_a_store_file_is_made_used_again_and_drawn_anew_when_asked(
        self, opened: Open, tmp_path: Path
    ) -> None:
        file = tmp_path / "planes.npz"
        mine = [np.random.default_rng(9).normal(size=(5, DIM)) for _ in range(2)]
        np.savez_compressed(file, *mine)  # as lshash does
        index = f'name = "lsh", hash_size = 5, num_hashtables = 2, store_file = "{file}"'
        fill(opened(index), random_vectors(50, DIM))
        before = file.read_bytes()
        again = opened(index)
        again.settle()
        planes = structure_of(again)._planes  # type: ignore[attr-defined]
        np.testing.assert_allclose(planes, np.array(mine), rtol=1e-6)
        assert file.read_bytes() == before
        other = opened(f"{index}, overwrite = true, seed = 3")
        other.settle()
        assert file.read_bytes() != before
        with np.load(file) as arrays:
            np.testing.assert_array_equal(structure_of(other)._planes[1], arrays["arr_1"])  # type: ignore[attr-defined]

    @pytest.mark.parametrize("there", ["nothing", "others", "another shape", "no planes"])
    def test_overwrite_draws_the_planes_from_the_seed_whatever_is_there(
        self, opened: Open, tmp_path: Path, there: str
    ) -> None:
        file = tmp_path / "planes.npz"
        match there:
            case "others":
                np.savez(file, *np.ones((3, 5, DIM)))
            case "another shape":
                np.savez(file, np.ones((9, 4)))
            case "no planes":
                file.write_bytes(b"not planes at all")
        index = f'name = "lsh", hash_size = 5, num_hashtables = 3, store_file = "{file}"'
        for seed in (0, 3):
            collection = opened(f"{index}, overwrite = true, seed = {seed}", name=f"of {seed}")
            fill(collection, random_vectors(50, DIM))
            drawn = np.random.default_rng(seed).standard_normal((3, 5, DIM)).astype(np.float32)
            np.testing.assert_array_equal(structure_of(collection)._planes, drawn)  # type: ignore[attr-defined]
            with np.load(file) as arrays:
                np.testing.assert_array_equal([arrays[f"arr_{i}"] for i in range(3)], drawn)
        # Without it, the same file is what counts, and the seed is not.
        loaded = opened(f"{index}, seed = 8", name="loaded")
        fill(loaded, random_vectors(50, DIM))
        np.testing.assert_array_equal(structure_of(loaded)._planes, drawn)  # type: ignore[attr-defined]

    def test_a_store_file_that_holds_other_planes_by_now_takes_effect(
        self, opened: Open, tmp_path: Path
    ) -> None:
        file = tmp_path / "planes.npz"
        index = f'name = "lsh", hash_size = 5, num_hashtables = 3, store_file = "{file}"'
        vectors = random_vectors(200, DIM)
        fill(opened(index), vectors)
        others = random_vectors(15, DIM, seed=9).reshape(3, 5, DIM)
        np.savez(file, *others)
        os.utime(file, ns=(1, 1))  # even if it is an older one
        again = opened(index)
        again.settle()
        np.testing.assert_array_equal(structure_of(again)._planes, others)  # type: ignore[attr-defined]
        assert numbers_of(again.search(vectors[3], k=1)) == [3]

    @pytest.mark.parametrize("content", [b"", b"PK", b"not planes at all"])
    def test_a_broken_store_file_is_named(
        self, opened: Open, tmp_path: Path, content: bytes
    ) -> None:
        file = tmp_path / "planes.npz"
        file.write_bytes(content)
        with pytest.raises(PlanesUnusable, match=r"planes\.npz.*overwrite"):
            fill(opened(f'name = "lsh", store_file = "{file}"'), random_vectors(50, DIM))

    def test_planes_of_another_size_are_refused(self, opened: Open, tmp_path: Path) -> None:
        file = tmp_path / "planes.npz"
        np.savez(file, np.zeros((3, DIM)))
        with pytest.raises(PlanesUnusable, match=r"\(1, 3, 12\), \(8, 12, 12\) are wanted"):
            fill(opened(f'name = "lsh", store_file = "{file}"'), random_vectors(50, DIM))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"hash_size": 0},
            {"hash_size": 63},
            {"num_hashtables": 0},
            {"probes": 0},
            {"store_file": "here.npz"},
        ],
    )
    def test_odd_options_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be"):
            LSHOptions(**wrong)

    def test_components_are_refused(self, tmp_path: Path) -> None:
        recipe = tmp_path / "r.toml"
        text = RECIPE.format(index='name = "lsh"', distance="cosine")
        recipe.write_text(text.replace("[embeddings.v]", "[embeddings.v]\npca = 4"))
        with pytest.raises(RecipeError, match="without pca"):
            lookalike.open(tmp_path / "c", recipe=str(recipe))

    def test_probes_of_a_recipe_may_be_all(self, opened: Open) -> None:
        collection = opened('name = "lsh", probes = "all"')
        fill(collection, random_vectors(100, DIM))
        assert len(collection.search(random_vectors(1, DIM)[0], k=None)) == 100
        with pytest.raises(RecipeError, match="probes"):
            opened('name = "lsh", probes = "some"', name="other")


class TestRefinement:
    @pytest.mark.parametrize(("distance", "kind"), [("cosine", "f2"), ("euclidean", "f4")])
    def test_its_file_is_what_faiss_reads_while_it_grows_and_after(
        self, tmp_path: Path, distance: str, kind: str
    ) -> None:
        how = distance_named(distance)
        vectors = how.prepared(random_vectors(1_000, DIM))
        refinement = Refinement.create(DIM, how, tmp_path)
        for start in (0, 300, 999):
            refinement.add(vectors[start : {0: 300, 300: 999, 999: 1_000}[start]])
            assert refinement.index.ntotal == {0: 300, 300: 999, 999: 1_000}[start]
        np.testing.assert_array_equal(refinement.at(slice(None)), vectors.astype(kind))
        refinement.save(tmp_path)
        longer = Refinement.load(tmp_path, mapped=False)
        longer.add(vectors[:5])
        (tmp_path / "longer").mkdir()
        longer.save(tmp_path / "longer")
        for folder, count in ((tmp_path, 1_000), (tmp_path / "longer", 1_005)):
            loaded = Refinement.load(folder, mapped=True)
            assert loaded.index.ntotal == count
            stored = np.resize(vectors, (count, DIM)).astype(kind).astype(np.float32)
            np.testing.assert_array_equal(loaded.at(np.arange(count)), stored)
            assert (loaded.index.search(stored[:50], 1)[1][:, 0] % 1_000 == np.arange(50)).all()


KINDS = ("flat", "hnsw", "ivf", "ivfpq", "ivfsq", "lsh", "rabitq", "auto")


@pytest.mark.parametrize("index", KINDS)
class TestThroughACollection:
    def test_everything_within_a_radius_is_found_and_nothing_else(
        self, opened: Open, index: str
    ) -> None:
        collection = opened(f'name = "{index}"', "true_euclidean")
        vectors = clustered_vectors(800, DIM)
        fill(collection, vectors)
        query = vectors[5] + np.float32(0.1)
        apart = distances_between(query[None], vectors, "true_euclidean")[0]
        effort: dict[str, Any] = {"probes": "all"} if index not in ("flat", "hnsw") else {}
        for radius in (0.0, 0.5, 1.5, 3.0):
            hits = collection.search(query, k=None, radius=radius, **effort)
            assert sorted(numbers_of(hits)) == np.flatnonzero(apart <= radius).tolist()
            assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
        assert len(collection.search(query, k=3, radius=3.0, **effort)) == 3

    @pytest.mark.parametrize(
        "distance", ["cosine", "angular", "euclidean", "true_euclidean", "histogram_intersection"]
    )
    def test_a_picture_is_within_distance_zero_of_itself(
        self, opened: Open, index: str, distance: str
    ) -> None:
        vectors = np.abs(clustered_vectors(700, DIM))
        collection = opened(f'name = "{index}"', distance)
        fill(collection, vectors[:600])
        fill(collection, vectors[600:], 600)  # which stay beside the index, where it has one
        best = 0.0 if "euclidean" in distance else 1.0
        for wanted in ({"radius": 0.0}, {"threshold": best}):
            for k in (None, 3):
                asking: dict[str, Any] = {"k": k, **wanted}
                answers = collection.search_many(vectors[::7], **asking)
                for number, answer in zip(range(0, 700, 7), answers, strict=True):
                    assert numbers_of(answer.hits) == [number]
                    assert answer.hits[0].distance >= 0
                    assert answer.hits[0].score <= best
                for number in range(0, 700, 100):
                    assert numbers_of(collection.search(vectors[number], **asking)) == [number]
        assert collection.search(vectors[0], threshold=best + 0.01) == []

    @pytest.mark.parametrize("distance", ["cosine", "angular"])
    def test_a_bound_lets_in_what_misses_it_by_rounding_and_nothing_else(
        self, opened: Open, index: str, distance: str
    ) -> None:
        vectors = clustered_vectors(900, DIM, clusters=3)
        collection = opened(f'name = "{index}"', distance)
        fill(collection, vectors)
        apart = distances_between(vectors[:1].astype(float), vectors.astype(float), "cosine")[0]
        room = 0.0005 if index in COMPRESSED else 0.000002
        for number in np.argsort(apart)[3:300:50].tolist():
            radius = float(apart[number])
            bound = radius if distance == "cosine" else float(np.arccos(1 - radius) / np.pi)
            found = numbers_of(collection.search(vectors[0], k=None, radius=bound))
            assert set(np.flatnonzero(apart <= radius)) <= set(found)
            assert apart[found].max() <= radius + 2 * room

    def test_what_is_removed_or_replaced_shows_at_once_also_after_reopening(
        self, opened: Open, index: str
    ) -> None:
        collection = opened(f'name = "{index}"')
        vectors = clustered_vectors(600, DIM)
        fill(collection, vectors)
        gone = collection.search(vectors[7], k=1)[0]
        collection.remove(gone.id)
        fill(collection, vectors[7:8] * 2, 7_000)
        for again in (collection, opened(f'name = "{index}"')):
            hits = again.search(vectors[7], k=700)
            assert len(hits) == 600
            assert gone.id not in [hit.id for hit in hits]
            assert numbers_of(hits)[0] == 7_000

    def test_a_filter_loses_nothing(self, opened: Open, index: str) -> None:
        collection = opened(f'name = "{index}"')
        vectors = clustered_vectors(900, DIM)
        fill(collection, vectors)
        effort: dict[str, Any] = {"probes": "all"} if index not in ("flat", "hnsw") else {}
        for k in (5, 300, None):
            hits = collection.search(vectors[1], k=k, where="label=2", **effort)
            assert len(hits) == (300 if k is None else k)
            assert {hit.label for hit in hits} == {"2"}
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    def test_an_empty_collection_has_no_hits(self, opened: Open, index: str) -> None:
        collection = opened(f'name = "{index}"')
        collection.settle()
        for k in (3, None):
            assert collection.search(random_vectors(1, DIM)[0], k=k) == []


@pytest.mark.parametrize("share", [None, 0.5, 0.9])
@pytest.mark.parametrize("index", ["ivf", *COMPRESSED])
def test_more_hits_than_the_probed_lists_hold_are_found_in_more_lists_not_in_all(
    index: str, share: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = clustered_vectors(20_000, DIM)
    cls: Any = registry.load("index", index)
    built = made(index, vectors, cls.Options(probes=4), tmp_path)
    allowed = None if share is None else np.random.default_rng(3).random(len(vectors)) < share
    apart = distances_between(vectors[::2000], vectors, "euclidean")
    if allowed is not None:
        apart[:, ~allowed] = np.inf
    scanned: list[bool] = []
    monkeypatch.setattr(faiss_calls, "all_of", lambda *_: scanned.append(True))
    faiss.cvar.indexIVF_stats.reset()
    found = built.search(vectors[::2000], 300, allowed, None)
    assert scanned == []
    assert faiss.cvar.indexIVF_stats.nlist < 0.6 * len(found.rows) * built._probing._ivf.nlist
    best = np.partition(apart, 299, axis=1)[:, 299:300]
    own = np.take_along_axis(apart, found.rows, axis=1)
    assert (found.rows >= 0).all()
    assert np.mean(own <= best + 1e-4) >= 0.95


@pytest.mark.parametrize("index", ["ivf", *COMPRESSED])
def test_more_hits_by_a_distance_of_its_own_are_looked_for_in_more_lists_not_in_all(
    opened: Open, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = opened(f'name = "{index}", probes = 4', "l1")
    vectors = clustered_vectors(20_000, DIM)
    fill(collection, vectors)
    apart = distances_between(vectors[:1], vectors, "l1")[0]
    structure = structure_of(collection)
    looked_at, at = [], structure.at

    def counted(positions: Any) -> Vectors:
        vectors = at(positions)
        looked_at.append(len(vectors))
        return vectors

    monkeypatch.setattr(structure, "at", counted)
    found = numbers_of(collection.search(vectors[0], k=300))
    assert 300 < sum(looked_at) < 10_000
    assert len(found) == 300
    assert np.mean(apart[found] <= np.partition(apart, 299)[299] + 1e-4) >= 0.95


@pytest.mark.parametrize("index", ["ivf", *COMPRESSED])
def test_all_of_few_allowed_are_found_however_many_are_asked_for(
    index: str, tmp_path: Path
) -> None:
    vectors = clustered_vectors(COUNT, DIM)
    built = made(index, vectors, registry.load("index", index).Options(probes=1), tmp_path)
    allowed = np.arange(COUNT) % 10 == 7
    for mask, count in ((allowed, COUNT // 10), (None, COUNT)):
        found = built.search(vectors[:3], COUNT, mask, None)
        assert (
            np.sort(found.rows[:, :count], axis=1)
            == np.flatnonzero(allowed if mask is not None else np.ones(COUNT))
        ).all()
        assert (found.rows[:, count:] == -1).all()
        assert (found.scores[:, count:] == -np.inf).all()


@pytest.mark.parametrize("index", COMPRESSED)
def test_the_first_searches_may_come_at_once(index: str, tmp_path: Path) -> None:
    vectors = distance_named("cosine").prepared(clustered_vectors(1_000, DIM))
    cls: Any = registry.load("index", index)
    built = cls.create(DIM, distance_named("cosine"), cls.Options(), 1_000, tmp_path)
    built.train(vectors)
    built.add(vectors)
    built.save(tmp_path)
    for _ in range(30):
        loaded = cls.load(tmp_path, cls.Options(), mapped=True)
        gate = threading.Barrier(4)

        def first(loaded: Any = loaded, gate: threading.Barrier = gate) -> float:
            gate.wait()
            return float(loaded.search(vectors[:1], 1, None, None).scores[0, 0])

        with ThreadPoolExecutor(4) as pool:
            every = [each.result() for each in [pool.submit(first) for _ in range(4)]]
        assert every == pytest.approx([1.0] * 4, abs=1e-3)
        assert loaded.search(vectors[:1], 1, None, None).scores[0, 0] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("index", [*COMPRESSED, "ivf"])
def test_a_collection_that_was_emptied_is_built_again(
    opened: Open, index: str, caplog: pytest.LogCaptureFixture
) -> None:
    collection = opened(f'name = "{index}"')
    vectors = clustered_vectors(600, DIM)
    fill(collection, vectors[:50])
    collection.remove(*[record.id for record in collection])
    collection.settle()
    fill(collection, vectors, 1_000)
    assert collection.stats()["embeddings"]["v"]["fresh"] == 0
    assert numbers_of(collection.search(vectors[3], k=1, probes="all")) == [1_003]
    assert caplog.records == []


@pytest.mark.parametrize("value", [1e19, 3e38])
def test_a_vector_too_large_to_be_compared_is_refused_before_it_is_stored(
    opened: Open, value: float
) -> None:
    collection = opened('name = "ivfpq"', "euclidean")
    vectors = random_vectors(20, DIM)
    vectors[7, 0] = value
    with pytest.raises(BadQuery, match="too large"):
        fill(collection, vectors)
    assert len(collection) == 0


def test_a_removal_does_not_make_hash_tables_look_at_everything(opened: Open) -> None:
    collection = opened('name = "lsh", hash_size = 10', "euclidean")
    vectors = clustered_vectors(6_000, DIM)
    fill(collection, vectors)
    collection.remove(*[hit.id for hit in collection.search(vectors[9], k=5)])
    alive = np.ones(6_000, np.bool_)
    alive[:60] = False
    structure: Any = structure_of(collection)
    for query in vectors[100:140]:
        before = len(structure._candidates(query[None], 10, None, None))
        after = len(structure._candidates(query[None], 10, alive, None))
        assert before - 60 <= after <= before


@pytest.mark.parametrize("index", ["hnsw", "ivf", "ivfpq", "lsh"])
def test_all_hits_under_a_filter_or_within_a_radius_are_all(opened: Open, index: str) -> None:
    collection = opened(f'name = "{index}"', "true_euclidean")
    vectors = clustered_vectors(COUNT, DIM)
    fill(collection, vectors)
    assert len(collection.search(vectors[0], k=None, where="label=1")) == COUNT // 3
    apart = distances_between(vectors[:1], vectors, "true_euclidean")[0]
    found = collection.search(vectors[0], k=None, radius=6.0)
    assert sorted(numbers_of(found)) == np.flatnonzero(apart <= 6.0).tolist()


@pytest.mark.parametrize("index", registry.names("index"))
def test_more_hits_than_an_answer_may_hold_are_refused(opened: Open, index: str) -> None:
    collection = opened(f'name = "{index}"', "true_euclidean")
    vectors = clustered_vectors(COUNT, DIM)
    fill(collection, vectors[:-50])
    fill(collection, vectors[-50:], COUNT - 50)
    collection.remove(*[hit.id for hit in collection.search(vectors[5], k=9)])
    asked: list[dict[str, Any]]
    asked = [{}, {"where": "label=1"}, {"radius": 4.0}, {"threshold": -5.0, "where": "label=2"}]
    if index not in ("flat", "hnsw", "auto"):
        asked += [{"probes": 2}, {"probes": "all"}]
    for each in asked:
        collection.most_hits = None
        count = len(collection.search(vectors[0], k=None, **each))
        assert 1 < count <= COUNT - 9
        collection.most_hits = count
        assert len(collection.search(vectors[0], k=None, **each)) == count
        collection.most_hits = count - 1
        with pytest.raises(TooManyHits, match=f"more than {count - 1:,} pictures"):
            collection.search(vectors[0], k=None, **each)
        if "probes" not in each:
            with pytest.raises(TooManyHits):
                list(collection.search_many(vectors[:1], k=None, **each))
    collection.most_hits = 3
    assert len(collection.search(vectors[0], k=50)) == 50
    with pytest.raises(TooManyHits):
        collection.more_like(collection.search(vectors[0], k=1)[0].id, k=None)


def test_a_distance_of_its_own_keeps_its_recall_under_a_filter(opened: Open) -> None:
    collection = opened('name = "hnsw"', "l1")
    vectors = clustered_vectors(24_000, DIM)
    fill(collection, vectors)
    right = 0
    some = np.arange(24_000) % 3 == 1
    for query in clustered_vectors(30, DIM, seed=7):
        apart = distances_between(query[None], vectors, "l1")[0]
        best = np.argsort(np.where(some, apart, np.inf))[:10]
        right += len(set(numbers_of(collection.search(query, where="label=1"))) & set(best))
    assert right >= 0.95 * 300


def test_a_negative_radius_is_refused_where_no_distance_is_below_zero(opened: Open) -> None:
    with pytest.raises(BadQuery, match="radius must be 0 or more"):
        opened('name = "flat"').search(random_vectors(1, DIM)[0], radius=-1)


def test_what_a_killed_build_left_is_deleted_by_the_next(opened: Open, tmp_path: Path) -> None:
    collection = opened('name = "ivfpq"')
    fill(collection, random_vectors(300, DIM))
    folder = tmp_path / "c" / "index"
    (folder / "tmpabc.tmp").write_bytes(bytes(100))
    (folder / "v-1.tmp").mkdir()
    fill(collection, random_vectors(300, DIM, seed=2), 1_000)
    assert {path.name for path in folder.iterdir() if path.name.endswith(".tmp")} == set()


def test_an_effort_that_an_index_does_not_know_is_refused_by_name(opened: Open) -> None:
    collection = opened('name = "hnsw"')
    with pytest.raises(BadQuery, match="hnsw has no knob probes: it has ef_search"):
        collection.search(random_vectors(1, DIM)[0], probes=3)
    flat = opened('name = "flat"', name="flat")
    with pytest.raises(BadQuery, match="flat has no knob refine: it has none"):
        flat.search(random_vectors(1, DIM)[0], refine=3)


@pytest.mark.parametrize(
    "wrong", [{"probes": 0}, {"probes": "some"}, {"ef_search": -1}, {"refine": 1.5}]
)
def test_an_effort_that_is_no_number_is_refused(opened: Open, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadQuery, match="must be a whole number"):
        opened('name = "auto"').search(random_vectors(1, DIM)[0], **wrong)


def test_a_radius_that_is_no_number_is_refused(opened: Open) -> None:
    with pytest.raises(BadQuery, match="radius must be a number"):
        opened('name = "flat"').search(random_vectors(1, DIM)[0], radius=float("nan"))


def test_ef_search_reaches_the_graph(tmp_path: Path) -> None:
    vectors = clustered_vectors(COUNT, DIM)
    graph = made("hnsw", vectors, registry.load("index", "hnsw").Options(m=4), tmp_path)
    queries = vectors[::10] + np.float32(0.05)
    true = distances_between(queries, vectors, "euclidean").argsort(axis=1)[:, :10]
    right = [
        int(np.isin(graph.search(queries, 10, None, Effort(ef_search=ef)).rows, true).sum())
        for ef in (10, 400)
    ]
    assert right[0] < right[1]


def test_a_graph_put_in_another_order_finds_the_same_and_can_grow(tmp_path: Path) -> None:
    vectors, queries = random_vectors(COUNT, DIM, 5), random_vectors(50, DIM, 6)
    kind = registry.load("index", "hnsw")
    options, euclidean = kind.Options(m=8, ef_search=20), distance_named("euclidean")
    graph = kind.create(DIM, euclidean, options, COUNT, tmp_path)
    graph.add(vectors[:2_000])
    before = graph.search(queries, 10, None, None)
    for number, count in enumerate((2_000, COUNT)):
        (tmp_path / str(number)).mkdir()
        graph.save(tmp_path / str(number))
        for mapped in (True, False):
            graph = kind.load(tmp_path / str(number), options, mapped=mapped)
            assert np.array_equal(graph.at(slice(None)), vectors[:count])
            some = np.arange(7, count, 31)
            assert np.array_equal(graph.at(some), vectors[some])
            nearest = np.square(queries[:, None] - vectors[some]).sum(2).argsort(axis=1)[:, :5]
            assert np.array_equal(graph.among(queries, 5, some).rows, some[nearest])
            if count == 2_000:
                assert np.array_equal(graph.search(queries, 10, None, None).rows, before.rows)
        graph.add(vectors[count:])
        itself = graph.search(vectors, 1, None, Effort(ef_search=200)).rows[:, 0]
        assert np.mean(itself == np.arange(COUNT)) > 0.99


def test_the_nodes_of_a_saved_graph_lie_nearer_to_those_they_lead_to(tmp_path: Path) -> None:
    vectors = clustered_vectors(COUNT, DIM)[np.random.default_rng(0).permutation(COUNT)]
    kind = registry.load("index", "hnsw")
    graph = kind.create(DIM, distance_named("euclidean"), kind.Options(m=8), COUNT, tmp_path)
    graph.add(vectors)
    before = _mean_step(graph)
    graph.save(tmp_path)
    assert _mean_step(graph) < 0.7 * before


def _mean_step(graph: Any) -> float:
    """How far apart the numbers of linked nodes are, along the lowest level."""
    links = reordering._Links(graph._index.hnsw, len(graph)).of(np.arange(len(graph)))
    apart = np.abs(links - np.arange(len(graph))[:, np.newaxis])
    return float(apart[links >= 0].mean())


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "inner_product"])
@pytest.mark.parametrize("count", [1, 7])
def test_candidates_are_ranked_by_their_own_vectors(
    distance: str, count: int, tmp_path: Path
) -> None:
    wanted = distance_named(distance)
    vectors, queries = (
        wanted.prepared(random_vectors(each, DIM, seed)) for each, seed in ((500, 1), (count, 2))
    )
    refinement = Refinement.create(DIM, wanted, tmp_path)
    refinement.add(vectors)
    candidates = np.random.default_rng(3).integers(0, 500, (count, 30))
    candidates[:, 20:] = -1
    rows, scores = refinement.best(queries, candidates, 25)
    for i in range(count):
        apart = distances_between(queries[i : i + 1], vectors[candidates[i, :20]], distance)[0]
        assert np.allclose(wanted.at_zero - scores[i, :20], np.sort(apart), atol=2e-3)
        assert np.allclose(
            apart[np.argsort(apart)], apart[_places(candidates[i], rows[i, :20])], atol=2e-3
        )
    assert (rows[:, 20:] == -1).all()
    assert np.isneginf(scores[:, 20:]).all()


def _places(candidates: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> list[int]:
    """Where each of these stands among the candidates."""
    return [int(np.flatnonzero(candidates == row)[0]) for row in rows]


def test_one_vector_is_rotated_as_many_are(tmp_path: Path) -> None:
    vectors = clustered_vectors(COUNT, 32)
    kind = registry.load("index", "rabitq")
    index = kind.create(32, distance_named("euclidean"), kind.Options(), COUNT, tmp_path)
    index.train(vectors)
    together = index._rotation.apply(vectors)
    alone = np.concatenate([index._rotation.apply(vectors[i : i + 1]) for i in range(100)])
    assert np.allclose(alone, together[:100], rtol=1e-4, atol=1e-4)
    assert np.allclose(np.linalg.norm(alone, axis=1), np.linalg.norm(vectors[:100], axis=1))


def test_more_candidates_are_kept_the_larger_a_graph_is() -> None:
    sizes = (0, 10, 100_000, 1_000_000, 10_000_000)
    assert [usual_ef(count) for count in sizes] == [64, 64, 64, 192, 576]


@pytest.mark.parametrize(
    ("index", "count", "distance"),
    [
        *((name, 2_000, "cosine") for name in registry.names("index") if name != "auto"),
        *((name, 2_000, "euclidean") for name in registry.names("index") if name != "auto"),
        *((name, 20_000, "cosine") for name in ("ivf", *COMPRESSED)),
    ],
)
@pytest.mark.slow
def test_the_bytes_that_are_predicted_are_those_of_its_files_and_memory(
    index: str, count: int, distance: str, tmp_path: Path
) -> None:
    cls: Any = registry.load("index", index)
    options, measured = cls.Options(), distance_named(distance)
    vectors = measured.prepared(clustered_vectors(count, 64))
    built = cls.create(64, measured, options, count, tmp_path)
    if built.training_vectors:
        built.train(vectors[: built.training_vectors])
    built.add(vectors)
    folder = tmp_path / "saved"
    folder.mkdir()
    built.save(folder)
    files = {file.name: file.stat().st_size for file in folder.iterdir()}
    predicted = cls.bytes_for(64, measured, options, count)
    assert predicted.disk == pytest.approx(sum(files.values()), rel=0.05)
    # What is only read a few rows each does not count as memory; all else that is saved does.
    held = sum(size for name, size in files.items() if name != "refinement.faiss")
    assert predicted.memory == pytest.approx(held, rel=0.05)
    for each in (built, cls.load(folder, options, mapped=True)):
        assert each.memory_bytes == pytest.approx(held, rel=0.05)


@pytest.mark.parametrize("name", ["flat", "hnsw", "ivf", "ivfpq", "ivfsq", "rabitq", "lsh"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_many_positions_are_ranked_as_few_are(name: str, distance: str, tmp_path: Path) -> None:
    wanted = distance_named(distance)
    vectors = wanted.prepared(random_vectors(6_000, DIM, 1))
    queries = wanted.prepared(random_vectors(3, DIM, 2))
    kind = registry.load("index", name)
    structure = kind.create(DIM, wanted, kind.Options(), len(vectors), tmp_path / "work")
    if structure.training_vectors:
        structure.train(vectors)
    structure.add(vectors)
    chosen = np.sort(np.random.default_rng(3).choice(6_000, 5_000, replace=False))
    others = np.setdiff1d(np.arange(6_000), chosen[:1_000])
    apart = distances_between(queries, vectors, distance)
    for positions in (chosen, chosen, others, chosen, chosen[:4], chosen[:0]):
        expected = np.sort(apart[:, positions], axis=1)[:, :7]
        rows, scores = structure.among(queries, 7, positions)
        assert np.isin(rows, positions).all()
        assert rows.shape == expected.shape
        assert np.allclose(wanted.at_zero - scores, expected, atol=2e-3)


@pytest.mark.parametrize("index", ["ivf", "ivfpq", "ivfsq", "rabitq", "hnsw", "lsh"])
def test_an_emptied_collection_answers_every_kind_of_search(opened: Open, index: str) -> None:
    collection = opened(f'name = "{index}"')
    vectors = random_vectors(50, DIM, 1)
    fill(collection, vectors)
    collection.settle()
    for record in list(collection):
        collection.remove(record.id)
    collection.settle()
    assert collection.search(vectors[0], k=None) == []
    fill(collection, random_vectors(20, DIM, 2), start=100)
    assert len(collection.search(vectors[0], k=None, probes="all" if index != "hnsw" else None))


@pytest.mark.parametrize("index", ["ivfpq", "rabitq"])
@pytest.mark.parametrize("distance", ["euclidean", "l1"])
def test_a_query_may_lie_in_memory_in_any_way(opened: Open, index: str, distance: str) -> None:
    vectors = random_vectors(COUNT, DIM, 1)
    collection = opened(f'name = "{index}"', distance)
    fill(collection, vectors)
    collection.settle()
    column = np.asfortranarray(vectors)[7]
    backwards = vectors[7][::-1].copy()[::-1]
    for query in (column, backwards, vectors[7].astype(np.float64)):
        assert collection.search(query, k=3) == collection.search(vectors[7], k=3)


def test_rotating_nothing_gives_nothing_and_another_length_is_refused(tmp_path: Path) -> None:
    kind = registry.load("index", "rabitq")
    index = kind.create(16, distance_named("euclidean"), kind.Options(), 500, tmp_path)
    index.train(random_vectors(500, 16, 1))
    assert index._rotation.apply(np.empty((0, 16), np.float32)).shape == (0, 16)
    with pytest.raises(ValueError, match="12 values"):
        index._rotation.apply(np.ones((1, 12), np.float32))


def test_a_store_file_is_written_again_by_whoever_draws_its_planes(tmp_path: Path) -> None:
    path = tmp_path / "planes.npz"
    options = LSHOptions(store_file=str(path))
    planes_of(options, DIM)
    path.unlink()
    drawn = planes_of(options, DIM)
    assert path.exists()
    for seed in (0, 1, 0):
        drawn = planes_of(LSHOptions(store_file=str(path), overwrite=True, seed=seed), DIM)
        with np.load(path) as kept:
            assert np.array_equal(kept["arr_0"], drawn[0])


def test_walking_a_graph_takes_little_memory(tmp_path: Path) -> None:
    kind = registry.load("index", "hnsw")
    options = kind.Options(ef_construction=4)
    graph = kind.create(4, distance_named("euclidean"), options, 30_000, tmp_path)
    graph.add(random_vectors(30_000, 4, 1))
    tracemalloc.start()
    try:
        reordering.breadth_first(graph._index)
        assert tracemalloc.get_traced_memory()[1] < 300 * 30_000
    finally:
        tracemalloc.stop()

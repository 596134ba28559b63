"""What every index promises, checked for each line of the registry against brute force."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import clustered_vectors, distances_between

from lookalike import registry
from lookalike.distances import DISTANCES, Distance, distance_named
from lookalike.index import Kind, Structure
from lookalike.index.compressed import Compressed
from lookalike.index.segments import SegmentedIndex
from lookalike.types import Effort, Neighbours, Rows, Vectors

COUNT, DIM, K = 20_000, 16, 10
EVERY_EFFORT = Effort(probes="all", ef_search=5_000, refine=500)
EVERY_INDEX = pytest.mark.parametrize("name", registry.names("index"))
# One of each way of ranking: by the metric as it is, in another scale, and by the distance itself.
EVERY_WAY = pytest.mark.parametrize(
    "way", ["cosine", "euclidean", "inner_product", "angular", "histogram_intersection", "hamming"]
)


def options(name: str) -> Any:
    """The default options."""
    return registry.load("index", name).Options()


def structure_of(name: str, vectors: Vectors, distance: Distance, workspace: Path) -> Structure:
    kind: type[Kind] = registry.load("index", name)
    made = kind.create(vectors.shape[1], distance, options(name), len(vectors), workspace)
    if made.training_vectors and len(vectors):
        made.train(distance.prepared(vectors[: made.training_vectors]))
    made.add(distance.prepared(vectors))
    return made


def scores_of(queries: Vectors, vectors: Vectors, distance: Distance) -> np.ndarray[Any, Any]:
    """Every score, float64 [q, n], from each distance's definition."""
    a, b = queries.astype(np.float64), vectors.astype(np.float64)
    return np.asarray(distance.at_zero - distances_between(a, b, distance.name))


def precision(structure: Structure | None) -> float:
    """How far a score may be from the true one: compressed kinds rank by vectors of 16 bits."""
    return 1e-3 if isinstance(structure, Compressed) else 1e-5


def recall(
    found: Neighbours,
    scores: np.ndarray[Any, Any],
    allowed: Rows,
    k: int,
    index: SegmentedIndex,
) -> float:
    """The share of the true `k` nearest among `allowed` that was found, equals counted alike."""
    tolerance = precision(index.structure)
    k = min(k, len(allowed))
    best = -np.sort(-scores[:, allowed], axis=1)[:, k - 1 : k]
    hits = 0
    for rows, own, least in zip(found.rows, scores, best, strict=True):
        rows = rows[rows >= 0]
        assert len(set(rows)) == len(rows)
        assert np.isin(rows, allowed).all()
        hits += int(np.count_nonzero(own[rows] >= least - tolerance))
    return hits / (k * len(scores))


@pytest.fixture(scope="module", params=registry.names("index"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def distance() -> Distance:
    return distance_named("cosine")


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clustered_vectors(COUNT, DIM)


@pytest.fixture(scope="module")
def queries() -> Vectors:
    return clustered_vectors(COUNT, DIM)[::667] + np.float32(0.01)


@pytest.fixture(scope="module")
def scores(queries: Vectors, vectors: Vectors, distance: Distance) -> np.ndarray[Any, Any]:
    return scores_of(queries, vectors, distance)


@pytest.fixture(scope="module")
def built() -> dict[str, Structure]:
    """Structures by kind: building a graph takes seconds, and `auto` makes the same one."""
    return {}


@pytest.fixture(scope="module")
def structure(
    name: str,
    vectors: Vectors,
    distance: Distance,
    built: dict[str, Structure],
    tmp_path_factory: pytest.TempPathFactory,
) -> Structure:
    """Built once; nobody may change it."""
    folder = tmp_path_factory.mktemp("workspace")
    empty = registry.load("index", name).create(DIM, distance, options(name), COUNT, folder)
    if empty.kind not in built:
        built[empty.kind] = structure_of(name, vectors, distance, folder)
    return built[empty.kind]


@pytest.fixture
def index(structure: Structure, distance: Distance) -> SegmentedIndex:
    """All vectors in the main structure, at rows that equal their positions."""
    made = SegmentedIndex(DIM, distance)
    made.replace_main(structure, np.arange(COUNT))
    return made


def test_recall_is_0_95_unfiltered(
    index: SegmentedIndex, queries: Vectors, scores: np.ndarray[Any, Any]
) -> None:
    for k in (1, K, 200):
        assert recall(index.search(queries, k), scores, np.arange(COUNT), k, index) >= 0.95


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.03, 0.01, 0.0001])
def test_recall_is_0_95_under_any_filter(
    index: SegmentedIndex, queries: Vectors, scores: np.ndarray[Any, Any], share: float
) -> None:
    count = max(int(share * COUNT), 1)
    allowed = np.sort(np.random.default_rng(3).choice(COUNT, count, replace=False))
    for k in (1, K, 100):
        assert recall(index.search(queries, k, allowed), scores, allowed, k, index) >= 0.95


@pytest.mark.parametrize("share", [0.6, 0.2])
def test_recall_is_0_95_when_what_is_allowed_lies_far_from_the_query(
    index: SegmentedIndex, vectors: Vectors, distance: Distance, share: float
) -> None:
    query = vectors[:1]
    truth = scores_of(query, vectors, distance)
    farthest = np.sort(np.argsort(truth[0])[: int(share * COUNT)])
    for k in (1, K):
        assert recall(index.search(query, k, farthest), truth, farthest, k, index) >= 0.95


def test_scores_are_the_true_ones_best_first(
    structure: Structure, index: SegmentedIndex, queries: Vectors, scores: np.ndarray[Any, Any]
) -> None:
    found = index.search(queries, K)
    assert found.rows.dtype == np.int64
    assert found.scores.dtype == np.float32
    np.testing.assert_allclose(
        found.scores, np.take_along_axis(scores, found.rows, axis=1), atol=precision(structure)
    )
    assert (np.diff(found.scores, axis=1) <= 0).all()


@pytest.mark.parametrize("way", ["cosine", "angular", "euclidean"])
def test_no_score_is_out_of_range(name: str, vectors: Vectors, way: str, tmp_path: Path) -> None:
    distance = distance_named(way)
    some = np.concatenate([vectors[:600], -vectors[:600]])
    index = SegmentedIndex(DIM, distance)
    index.replace_main(structure_of(name, some, distance, tmp_path), np.arange(len(some)))
    index.add(np.arange(1200, 1500), vectors[600:900])
    for queries in (vectors[:300], vectors[:1]):
        many = [index.search(queries, k, None, EVERY_EFFORT) for k in (3, 2_000)]
        many += [index.search(queries, 3, np.arange(0, 1500, 2)), index.exact(queries, 1500)]
        many += [index.everything(queries[:1]), index.among(queries[:1], np.arange(1500))]
        for found in many:
            there = found.scores[found.rows >= 0]
            assert there.max() <= distance.at_zero
            assert there.min() >= {"cosine": -1, "angular": 0, "euclidean": -np.inf}[way]
            assert (found.scores[found.rows < 0] == -np.inf).all()


@pytest.mark.parametrize("probes", [1, 2, 5])
def test_hits_are_there_and_in_order_however_little_is_looked_at(
    name: str, index: SegmentedIndex, queries: Vectors, scores: np.ndarray[Any, Any], probes: int
) -> None:
    knobs = registry.load("index", name).knobs
    effort = Effort(probes=probes, refine=1) if "probes" in knobs else None
    for k in (1, 3, 20, 40):
        found = index.search(queries, k, None, effort)
        assert (found.rows >= 0).all()
        own = np.take_along_axis(scores, found.rows, axis=1)
        np.testing.assert_allclose(found.scores, own, atol=precision(index.structure))
        assert (np.diff(found.scores, axis=1) <= 0).all()


def test_one_query_finds_what_many_at_once_find(index: SegmentedIndex, queries: Vectors) -> None:
    together = index.search(queries, K)
    for i, query in enumerate(queries):
        np.testing.assert_array_equal(index.search(query[None], K).rows[0], together.rows[i])


@pytest.mark.parametrize("mapped", [True, False])
def test_a_saved_structure_finds_what_it_found(
    structure: Structure,
    queries: Vectors,
    distance: Distance,
    tmp_path: Path,
    mapped: bool,
) -> None:
    structure.save(tmp_path)
    loaded = registry.load("index", structure.kind).load(
        tmp_path, options(structure.kind), mapped=mapped
    )
    prepared = distance.prepared(queries)
    before = structure.search(prepared, K, None, None)
    after = loaded.search(prepared, K, None, None)
    np.testing.assert_array_equal(before.rows, after.rows)
    np.testing.assert_array_equal(before.scores, after.scores)
    assert len(loaded) == len(structure) == COUNT
    np.testing.assert_array_equal(structure.at(slice(None)), loaded.at(slice(None)))


def test_a_mapped_structure_refuses_to_be_added_to(structure: Structure, tmp_path: Path) -> None:
    """FAISS would end the whole process."""
    structure.save(tmp_path)
    loaded = registry.load("index", structure.kind).load(
        tmp_path, options(structure.kind), mapped=True
    )
    with pytest.raises(TypeError, match="cannot be added to"):
        loaded.add(np.zeros((1, DIM), np.float32))


def test_removed_rows_never_show_again(
    index: SegmentedIndex, queries: Vectors, scores: np.ndarray[Any, Any]
) -> None:
    gone = np.unique(index.search(queries, 50).rows)
    index.remove(gone)
    left = np.setdiff1d(np.arange(COUNT), gone)
    assert len(index) == len(left)
    assert recall(index.search(queries, K), scores, left, K, index) >= 0.95
    assert recall(index.search(queries, K, np.arange(COUNT)), scores, left, K, index) >= 0.95
    assert recall(index.exact(queries, K), scores, left, K, index) == 1.0


def test_almost_everything_may_be_removed(index: SegmentedIndex, queries: Vectors) -> None:
    index.remove(np.arange(COUNT - 3))
    found = index.search(queries, K)
    assert (np.sort(found.rows[:, :3], axis=1) == np.arange(COUNT - 3, COUNT)).all()
    assert (found.rows[:, 3:] == -1).all()
    index.remove(np.arange(COUNT))
    assert len(index) == 0
    assert (index.search(queries, K).rows == -1).all()


def test_what_is_added_is_found_at_once_while_others_search(
    index: SegmentedIndex, queries: Vectors
) -> None:
    stop, wrong = threading.Event(), []

    def keep_searching() -> None:
        while not stop.is_set():
            found = index.search(queries, K)
            if (found.rows < 0).any() or not np.isfinite(found.scores).all():
                wrong.append(found)

    searchers = [threading.Thread(target=keep_searching) for _ in range(3)]
    for each in searchers:
        each.start()
    added = clustered_vectors(300, DIM, seed=9) * 5 + 7
    for i, vector in enumerate(added):
        index.add(np.array([COUNT + i]), vector[None])
        assert index.search(vector[None], 1).rows[0, 0] == COUNT + i
        if i % 3 == 0:
            index.remove(np.array([COUNT + i]))
            assert index.search(vector[None], 1).rows[0, 0] != COUNT + i
    stop.set()
    for each in searchers:
        each.join()
    assert wrong == []
    assert len(index) == COUNT + 200


def test_what_is_given_is_never_changed(vectors: Vectors) -> None:
    for distance in DISTANCES.values():
        index = SegmentedIndex(DIM, distance)
        some, rows, queries = vectors[:100].copy(), np.arange(100), vectors[:5].copy()
        allowed = np.arange(0, 100, 2)
        for each in (some, rows, queries, allowed):
            each.setflags(write=False)
        index.add(rows, some)
        index.remove(rows[:3])
        index.search(queries, 5)
        index.search(queries, 5, allowed)
        index.exact(queries, 5)
        np.testing.assert_array_equal(some, vectors[:100])
        np.testing.assert_array_equal(queries, vectors[:5])


SMALL: dict[str, Callable[[], Vectors]] = {
    "nothing": lambda: np.empty((0, DIM), np.float32),
    "one": lambda: clustered_vectors(1, DIM),
    "fewer than k": lambda: clustered_vectors(7, DIM),
    "all the same": lambda: np.ones((500, DIM), np.float32),
    "all zero": lambda: np.zeros((500, DIM), np.float32),
    "duplicates": lambda: np.repeat(clustered_vectors(300, DIM), 10, axis=0),
    "some zero": lambda: clustered_vectors(900, DIM) * (np.arange(900) % 30 > 0)[:, None],
    "far from the origin": lambda: clustered_vectors(500, DIM) + np.float32(100),
}


@pytest.mark.parametrize("case", SMALL)
@EVERY_WAY
@EVERY_INDEX
def test_odd_sets_are_searched_with_all_effort_as_brute_force_does(
    name: str, way: str, case: str, tmp_path: Path
) -> None:
    distance = distance_named(way)
    vectors = SMALL[case]().astype(np.float32)
    queries = np.concatenate([clustered_vectors(4, DIM, seed=5), np.zeros((1, DIM), np.float32)])
    truth = scores_of(queries, vectors, distance)
    tolerance = 1e-5 * max(1.0, float(np.abs(truth).max(initial=0)))
    if distance.normalised and issubclass(registry.load("index", name), Compressed):
        # Of vectors of 16 bits; an angle near 0 changes as the root of its cosine does.
        tolerance = 1e-3 if distance.name == "cosine" else 2e-2
    index = SegmentedIndex(DIM, distance)
    if len(vectors):
        index.replace_main(structure_of(name, vectors, distance, tmp_path), np.arange(len(vectors)))
    fresh = SegmentedIndex(DIM, distance)
    fresh.add(np.arange(len(vectors)), vectors)
    for each in (index, fresh):
        for allowed in (None, np.arange(len(vectors)), np.arange(0, len(vectors), 2)):
            at = np.arange(len(vectors)) if allowed is None else allowed
            found = each.search(queries, 12, allowed, EVERY_EFFORT)
            count = min(12, len(at))
            assert not np.isnan(found.scores).any()
            assert (found.rows[:, :count] >= 0).all()
            assert (found.rows[:, count:] == -1).all()
            assert (found.scores[:, count:] == -np.inf).all()
            expected = -np.sort(-truth[:, at], axis=1)[:, :count]
            close = np.abs(found.scores[:, :count] - expected) <= tolerance
            assert np.count_nonzero(close) >= 0.95 * close.size

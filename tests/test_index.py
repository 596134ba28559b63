"""The parts of an index: segments against a plain dict, and the cache on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import distances_between, random_vectors

from lookalike import registry
from lookalike.distances import Distance, distance_named
from lookalike.index import Kind, Structure, cache
from lookalike.index.auto import Auto, AutoOptions, graph_bytes
from lookalike.index.compressed import Compressed
from lookalike.index.hnsw import HNSWOptions
from lookalike.index.segments import SegmentedIndex
from lookalike.sealed import Unusable
from lookalike.types import Effort, Vectors

DIM = 6
EVERY_EFFORT = Effort(probes="all", ef_search=5_000, refine=500)
KINDS = [name for name in registry.names("index") if hasattr(registry.load("index", name), "kind")]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def brute_force(
    model: dict[int, Any], query: Any, k: int, distance: Distance, allowed: set[int] | None
) -> list[float]:
    """The best `k` scores in a dict of vectors, in double precision."""
    rows = [row for row in model if allowed is None or row in allowed]
    vectors = np.array([model[row] for row in rows], float).reshape(-1, DIM)
    apart = distances_between(query[None].astype(float), vectors, distance.name)[0]
    return sorted((distance.at_zero - apart).tolist(), reverse=True)[:k]


def built(kind: str, vectors: Vectors, distance: Distance, workspace: Path) -> Structure:
    """A structure of these."""
    cls: type[Kind] = registry.load("index", kind)
    made = cls.create(vectors.shape[1], distance, cls.Options(), len(vectors), workspace)
    if made.training_vectors and len(vectors):
        made.train(distance.prepared(vectors))
    if len(vectors):
        made.add(distance.prepared(vectors))
    return made


@pytest.mark.parametrize("name", ["cosine", "euclidean", "l1"])
@EVERY_KIND
def test_any_history_of_changes_is_searched_as_a_plain_dict_is(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    distance = distance_named(name)
    monkeypatch.setattr("lookalike.index.segments._EXACT_BELOW", 10)
    rng = np.random.default_rng(11)
    index, model, next_row = SegmentedIndex(DIM, distance), dict[int, Any](), 1
    right, wanted = 0, 0
    for step in range(250):
        action = rng.choice(
            ["add", "remove", "search", "filter", "compact"], p=[0.3, 0.2, 0.25, 0.2, 0.05]
        )
        if action == "add":
            count = int(rng.integers(1, 12))
            rows = np.cumsum(rng.integers(1, 4, count)) + next_row
            vectors = rng.normal(size=(count, DIM)).astype(np.float32)
            index.add(rows, vectors)
            model.update(zip(rows.tolist(), vectors, strict=True))
            next_row = int(rows[-1])
        elif action == "remove":
            rows = rng.integers(0, next_row + 3, int(rng.integers(1, 12)))
            index.remove(np.unique(rows))
            for row in rows.tolist():
                model.pop(row, None)
        elif action == "compact":
            rows = np.array(sorted(model), np.int64)
            vectors = np.array([model[row] for row in rows.tolist()], np.float32)
            structure = built(kind, vectors.reshape(-1, DIM), distance, tmp_path)
            if rng.random() < 0.5:  # what came and went while it was being built
                index.add(np.array([next_row + 1]), np.ones((1, DIM), np.float32))
                index.remove(np.array([next_row + 1, *rows[:2]]))
                next_row += 1
                for row in rows[:2].tolist():
                    del model[row]
            index.replace_main(structure, rows)
        allowed = rng.integers(0, next_row + 3, next_row) if action == "filter" else None
        query = rng.normal(size=(1, DIM)).astype(np.float32)
        k = int(rng.integers(1, 15))
        among = None if allowed is None else np.unique(allowed)
        found = index.search(query, k, among, EVERY_EFFORT)
        expected = brute_force(
            model, query[0], k, distance, None if allowed is None else set(allowed.tolist())
        )
        rows = found.rows[0][found.rows[0] >= 0]
        assert len(rows) == len(set(rows.tolist())) == len(expected), step
        assert set(rows.tolist()) <= set(model)
        close = np.abs(found.scores[0][: len(rows)] - np.array(expected)) < 1e-4 + precision(kind)
        assert close.all() or kind != "flat", step
        right += int(close.sum())
        wanted += len(expected)
        assert len(index) == len(model)
    assert right >= 0.99 * wanted
    assert sorted(model) == index.sample(10**6).tolist()
    np.testing.assert_allclose(
        index.vectors_of(np.array(sorted(model), np.int64)),
        distance.prepared(np.array([model[row] for row in sorted(model)], np.float32)),
        atol=precision(kind),
    )


def precision(kind: str) -> float:
    """How far vectors of length 1 may be from what was added."""
    return 5e-4 if issubclass(registry.load("index", kind), Compressed) else 0.0


def test_removed_vectors_do_not_pile_up_beside_a_new_main_structure() -> None:
    """Else a collection whose newest pictures were removed would ask for compaction for ever."""
    distance = distance_named("cosine")
    index = SegmentedIndex(DIM, distance)
    index.add(np.arange(1, 20_001), random_vectors(20_000, DIM))
    index.remove(np.arange(5, 20_001))
    assert index.wants_compaction
    structure = built("flat", random_vectors(20_000, DIM)[:4], distance, Path())
    index.replace_main(structure, np.arange(1, 5))
    assert not index.wants_compaction
    assert len(index) == 4


def test_auto_is_exact_while_few_a_graph_while_memory_allows_and_compressed_beyond(
    tmp_path: Path,
) -> None:
    options = AutoOptions(flat_below=100, memory_gb=1e-6 * graph_bytes(DIM, 24, 1))
    distance = distance_named("cosine")

    def kind(expected: int) -> str:
        return Auto.create(DIM, distance, options, expected, tmp_path).kind

    assert [kind(count) for count in (99, 100, 1_000, 1_001)] == ["flat", "hnsw", "hnsw", "ivfpq"]


def test_auto_goes_back_only_at_half_of_where_a_kind_begins(tmp_path: Path) -> None:
    options = AutoOptions(flat_below=100, memory_gb=1e-6 * graph_bytes(DIM, 24, 1))
    distance = distance_named("cosine")
    there = {
        count: Auto.create(DIM, distance, options, count, tmp_path) for count in (99, 100, 1_001)
    }

    def suitable(made_for: int) -> list[int]:
        counts = (10, 49, 50, 99, 100, 499, 500, 501, 1_000, 1_001, 2_000)
        return [count for count in counts if Auto.suits(there[made_for], options, count)]

    assert suitable(99) == [10, 49, 50, 99]
    assert suitable(100) == [50, 99, 100, 499, 500, 501, 1_000]
    assert suitable(1_001) == [501, 1_000, 1_001, 2_000]


def test_auto_counts_the_memory_that_a_container_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distance, options = distance_named("cosine"), AutoOptions()
    kinds = []
    for limit in (10**12, 10**6):
        monkeypatch.setattr("lookalike.index.auto.memory_bytes", lambda limit=limit: limit)
        kinds.append(Auto.create(DIM, distance, options, 30_000, tmp_path).kind)
    assert kinds == ["hnsw", "ivfpq"]


@pytest.mark.parametrize("wrong", [{"m": 1}, {"m": -3}, {"ef_construction": 0}, {"ef_search": -1}])
def test_knobs_that_would_hang_or_crash_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        HNSWOptions(**wrong)
    with pytest.raises(ValueError, match="must be"):
        AutoOptions(**wrong)


def written(folder: Path, kind: str, count: int = 500) -> Path:
    """A sound cache of `count` vectors."""
    distance = distance_named("cosine")
    structure = built(kind, random_vectors(count, DIM), distance, folder)
    rows = np.arange(1, count + 1, dtype=np.int64)
    header = cache.Header("a uuid", kind, kind, "cosine", DIM, 0, count, 7)
    cache.write(folder / "v-1", cache.Cached(header, structure, rows, None))
    return folder / "v-1"


def read(folder: Path, kind: str, *, mapped: bool = True) -> Any:
    return cache.read(folder, registry.load("index", kind).Options(), mapped=mapped)


@EVERY_KIND
@pytest.mark.parametrize("mapped", [True, False])
def test_a_cache_is_read_as_it_was_written(tmp_path: Path, kind: str, mapped: bool) -> None:
    folder = written(tmp_path, kind)
    cache.verify(folder)
    header, structure, rows, _ = read(folder, kind, mapped=mapped)
    assert header == cache.Header("a uuid", kind, kind, "cosine", DIM, 0, 500, 7)
    assert rows.tolist() == list(range(1, 501))
    expected = distance_named("cosine").prepared(random_vectors(500, DIM))
    np.testing.assert_allclose(structure.at(slice(None)), expected, atol=precision(kind))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["v-1"]


@EVERY_KIND
@pytest.mark.parametrize("name", ["structure.faiss", "rows.npy", "header.json"])
def test_a_truncated_lengthened_or_missing_file_makes_a_cache_unusable(
    tmp_path: Path, kind: str, name: str
) -> None:
    path = written(tmp_path, kind) / name
    content = path.read_bytes()
    for cut in (0, 1, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        for look in (lambda: read(path.parent, kind), lambda: cache.verify(path.parent)):
            with pytest.raises(Unusable):
                look()
    path.write_bytes(content + b"x")
    with pytest.raises(Unusable):
        read(path.parent, kind)
    with pytest.raises(Unusable):
        cache.verify(path.parent)
    path.unlink()
    with pytest.raises(Unusable):
        read(path.parent, kind)
    with pytest.raises(Unusable):
        cache.verify(path.parent)


@EVERY_KIND
@pytest.mark.parametrize("name", ["structure.faiss", "rows.npy"])
def test_any_flipped_bit_is_found_by_verifying(tmp_path: Path, kind: str, name: str) -> None:
    path = written(tmp_path, kind) / name
    content = path.read_bytes()
    for at in np.linspace(0, len(content) - 1, 60, dtype=int).tolist():
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        with pytest.raises(Unusable, match="damaged in block"):
            cache.verify(path.parent)
        if name == "rows.npy":
            with pytest.raises(Unusable):
                read(path.parent, kind)


def test_any_flipped_bit_in_the_header_makes_a_cache_unusable(tmp_path: Path) -> None:
    """One in the last row's number would else hide pictures."""
    path = written(tmp_path, "flat") / "header.json"
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x01]) + content[at + 1 :])
        try:
            header, _, rows, _ = read(path.parent, "flat")
        except Unusable:
            continue
        # Only white space between two values may differ.
        assert (header.last_row, header.last_removal, len(rows)) == (500, 7, 500), content[at:]


@pytest.mark.parametrize(
    "header",
    ["", "null", "[]", "7", "{", '{"version": 1}', '{"version": 1, "header": {}, "files": []}'],
)
def test_any_other_header_makes_a_cache_unusable(tmp_path: Path, header: str) -> None:
    folder = written(tmp_path, "flat")
    (folder / "header.json").write_text(header)
    with pytest.raises(Unusable):
        read(folder, "flat")


def test_a_cache_of_another_version_is_unusable(tmp_path: Path) -> None:
    folder = written(tmp_path, "flat")
    content = json.loads((folder / "header.json").read_text())
    (folder / "header.json").write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(Unusable, match="format 99"):
        read(folder, "flat")


@EVERY_KIND
def test_rows_of_another_number_or_out_of_order_make_a_cache_unusable(
    tmp_path: Path, kind: str
) -> None:
    structure = built(kind, random_vectors(5, DIM), distance_named("cosine"), tmp_path)
    header = cache.Header("a uuid", kind, kind, "cosine", DIM, 0, 5, 0)
    for number, rows in enumerate(
        ([1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [1, 2, 4, 3, 5], [1, 1, 2, 3, 4])
    ):
        folder = tmp_path / str(number)
        cache.write(folder, cache.Cached(header, structure, np.array(rows, np.int64), None))
        with pytest.raises(Unusable, match="do not match"):
            read(folder, kind)


def test_a_cache_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    class Fails:
        """Stands for a disk that fills up."""

        def save(self, folder: Path) -> None:
            (folder / "structure.faiss").write_bytes(b"half")
            raise OSError("no space left")

    header = cache.Header("a uuid", "flat", "flat", "cosine", DIM, 0, 0, 0)
    cached = cache.Cached(header, Fails(), np.empty(0, np.int64), None)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="no space left"):
        cache.write(tmp_path / "v-1", cached)
    assert list(tmp_path.iterdir()) == []


def test_only_the_named_caches_are_kept(tmp_path: Path) -> None:
    for name in ("a", "b", "c.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    (tmp_path / "left by an unfinished build.tmp").write_text("x")
    cache.remove_others(tmp_path, ["b"])
    assert [path.name for path in tmp_path.iterdir()] == ["b"]

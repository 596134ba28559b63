"""What a cluster takes, against numbers worked out by hand from Elastic's formulas."""

from __future__ import annotations

import json

import pytest
from samples import called

from lookalike.cluster_plan import ClusterWish, make
from lookalike.errors import BadQuery, UnknownName


@pytest.mark.parametrize(
    ("kind", "each"),
    [
        ("flat", 4 * 128),
        ("hnsw", 4 * 128 + 64),
        ("int8_hnsw", 128 + 4 + 64),
        ("bbq_hnsw", 128 / 8 + 14 + 64),
    ],
)
def test_memory_is_elastics_formula(kind: str, each: float) -> None:
    plan = make(ClusterWish(1_000_000_000, 128, kind, replicas=0))
    assert plan.vector_bytes == each
    assert plan.memory == each * 1e9


def test_a_billion_short_vectors_take_so_many_nodes_and_shards() -> None:
    # 196 bytes x 2 copies x 1e9 = 392 GB, of which a node with 64 GB and a heap of 31 has 33.
    plan = make(ClusterWish(1_000_000_000, 128, replicas=1))
    assert plan.memory == pytest.approx(392e9)
    assert plan.nodes == 12
    # Two documents a picture and 200 million a shard is 10; 40 GB a shard is more.
    assert plan.shards >= 10
    assert plan.shards * 50e9 > plan.disk * 0.85 / 2 > (plan.shards - 1) * 40e9


def test_few_pictures_take_one_shard_and_a_node_for_each_copy() -> None:
    plan = make(ClusterWish(1_000, 384, replicas=2))
    assert (plan.shards, plan.nodes, plan.bound_by) == (1, 3, "a node for each copy")


@pytest.mark.parametrize(
    "wish",
    [
        ClusterWish(10, 5000),
        ClusterWish(10, 0),
        ClusterWish(10, 32, "bbq_hnsw"),
        ClusterWish(10, 32, replicas=-1),
        ClusterWish(10, 32, node_memory=10),
    ],
)
def test_what_cannot_be_is_refused(wish: ClusterWish) -> None:
    with pytest.raises(BadQuery):
        make(wish)


def test_a_kind_that_is_not_there_is_told_from_those_that_are() -> None:
    with pytest.raises(UnknownName, match="int8_hnsw"):
        make(ClusterWish(10, 32, "int8"))


def test_the_command_line_says_formula_and_source() -> None:
    done = called("plan", "--pictures", "1e9", "--dims", "128")
    assert done.returncode == 0
    assert "n x (d + 4 + 4 m) x copies" in done.stdout
    assert "elastic.co" in done.stdout
    said = json.loads(called("plan", "--pictures", "1e9", "--dims", "128", "--json").stdout)
    assert (said["nodes"], said["memory"]) == (12, 392e9)
    done = called("plan", "--pictures", "1e6", "--kind", "flat")
    assert done.returncode == 2
    assert "--dims" in done.stderr

"""A collection in Elasticsearch beside the bare client, and beside the same collection in a folder.

    python benchmarks/elastic.py [--url http://127.0.0.1:9200] [--count 20000] [--dim 128]
                                 [--rounds 7] [--json FILE]

Seeded clusters of vectors, cosine, k = 10, one query a call. The bare client writes a path and a
vector a document by `helpers.bulk` and asks by `search(knn=…)`; both make what they write findable
after each 2,000 (`refresh=true`), take turns batch by batch, and have one segment before queries
are timed. Without --url it starts a node of its own as `make test-elastic` does, in memory.
The promises are 0.8 for bulk and 0.9 for queries.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import elasticsearch
import numpy as np
import numpy.typing as npt
from elasticsearch import helpers
from measured import machine

import lookalike

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import elastic_node

Array = npt.NDArray[np.float32]
BATCH = 2_000
K = 10
QUERIES = 200
NAME = "lookalike-benchmark"
BARE = f"{NAME}-bare"
OVERSAMPLED = {"int8_hnsw": 2, "bbq_hnsw": 5}
"""As our own options have it by default."""
BESIDE = {"flat": "flat", "hnsw": "hnsw", "int8_hnsw": "ivfsq", "bbq_hnsw": "rabitq"}
"""What comes nearest in a folder."""
RECIPE = """
name = "ready"
[embeddings.v]
distance = "cosine"
extractor = {{ name = "vectors", dim = {dim}, made_by = "a benchmark" }}
index = {{ name = "{index}" }}
elastic = {{ name = "{kind}" }}
"""


def main() -> None:
    """A line for each kind of index."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    vectors = clusters(given.count + QUERIES, given.dim)
    vectors, queries = vectors[:-QUERIES], vectors[-QUERIES:]
    rows = []
    print(f"{given.count:,} x {given.dim}, medians; bulk in vectors/s, queries in ms")
    print(
        "index      bulk: bare   ours  ratio  query: bare  ours  ratio  recall: bare   ours", end=""
    )
    print("  in a folder: index  query  recall")
    with contextlib.ExitStack() as stack:
        url = given.url or stack.enter_context(elastic_node.running()).url
        for kind in BESIDE:
            row = compare(url, kind, vectors, queries, given.rounds)
            rows.append(row)
            bulk, query, recall = row["bulk"], row["query"], row["recall"]
            print(
                f"{kind:9} {bulk['bare']:11,.0f}  {bulk['ours']:5,.0f}  {bulk['ratio']:5.2f}"
                f"  {query['bare']:11.2f}  {query['ours']:4.2f}  {query['ratio']:5.2f}"
                f"  {recall['bare']:12.3f}  {recall['ours']:5.3f}"
                f"  {row['folder']['index']:>18}  {row['folder']['query']:5.2f}"
                f"  {row['folder']['recall']:6.3f}",
                flush=True,
            )
            if given.json:
                keep(given.json, rows)


def keep(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write them, with those of other sizes that are there."""
    sizes = {(row["count"], row["dim"]) for row in rows}
    before = json.loads(path.read_text())["rows"] if path.exists() else []
    others = [row for row in before if (row["count"], row["dim"]) not in sizes]
    path.write_text(json.dumps({"machine": machine(), "rows": [*others, *rows]}, indent=1) + "\n")


def compare(url: str, kind: str, vectors: Array, queries: Array, rounds: int) -> dict[str, Any]:
    """Fill both indices, then ask both and the folder."""
    dim = vectors.shape[1]
    truth = np.argsort(-(unit(queries) @ unit(vectors).T), axis=1)[:, :K]
    with (
        tempfile.TemporaryDirectory() as folder,
        elasticsearch.Elasticsearch(url, request_timeout=120) as client,
        emptied(client),
        opened(f"es+{url}/{NAME}?replicas=0&timeout=120", Path(folder), kind, dim) as ours,
        opened(str(Path(folder) / "collection"), Path(folder), kind, dim) as embedded,
    ):
        make_bare(client, kind, dim)
        bulk = filled(client, ours, vectors)
        for index in (BARE, NAME):
            client.indices.forcemerge(index=index, max_num_segments=1)
            client.indices.refresh(index=index)
        for start in range(0, len(vectors), BATCH):
            add(embedded, vectors[start : start + BATCH], start)
        embedded.settle()

        def bare(query: Array) -> list[int]:
            hits = client.search(index=BARE, size=K, knn=knn(kind, query))["hits"]["hits"]
            return [int(hit["_source"]["path"].rpartition("/")[2]) for hit in hits]

        def of(collection: lookalike.Collection) -> Callable[[Array], list[int]]:
            return lambda query: [
                int(hit.path.rpartition("/")[2]) for hit in collection.search(query, k=K)
            ]

        ways = {"bare": bare, "ours": of(ours), "folder": of(embedded)}
        recall = {name: recalled(way, queries, truth) for name, way in ways.items()}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for some in np.array_split(queries, 4):
                for name, way in ways.items():
                    times[name].append(seconds(partial(answered, way, some)))
                    times[name][-1] *= 1e3 / len(some)
    return {
        "count": len(vectors),
        "dim": dim,
        "kind": kind,
        "bulk": bulk,
        "query": {**medians(times), "ratio": ratio(times["bare"], times["ours"])},
        "recall": {name: recall[name] for name in ("bare", "ours")},
        "folder": {
            "index": BESIDE[kind],
            "query": statistics.median(times["folder"]),
            "recall": recall["folder"],
        },
    }


def filled(
    client: elasticsearch.Elasticsearch, ours: lookalike.Collection, vectors: Array
) -> dict[str, float]:
    """Vectors a second of both, who take turns, each first as often as the other."""
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    for start in range(0, len(vectors), BATCH):
        block = vectors[start : start + BATCH]
        turns: dict[str, Callable[[], object]] = {
            "bare": partial(bulk, client, block, start),
            "ours": partial(add, ours, block, start),
        }
        for name in sorted(turns, reverse=bool(start // BATCH % 2)):
            times[name].append(seconds(turns[name]) / len(block))
    rates = {name: 1 / each for name, each in medians(times).items()}
    return {**rates, "ratio": ratio(times["bare"], times["ours"])}


def bulk(client: elasticsearch.Elasticsearch, block: Array, start: int) -> None:
    """As the client's own documentation has it."""
    actions = (
        {"_index": BARE, "_id": sha256(start + i).hex(), "path": path(start + i), "v": v.tolist()}
        for i, v in enumerate(unit(block))
    )
    written, _ = helpers.bulk(client, actions, chunk_size=BATCH, refresh=True)
    assert written == len(block)


def add(collection: lookalike.Collection, block: Array, start: int) -> None:
    """The same through a collection."""
    numbers = range(start, start + len(block))
    places = [lookalike.Place(path(number)) for number in numbers]
    outcomes = collection.add_vectors(unit(block), [sha256(number) for number in numbers], places)
    assert set(outcomes) == {"stored"}


def make_bare(client: elasticsearch.Elasticsearch, kind: str, dim: int) -> None:
    """An index of paths and vectors, with the same options as ours."""
    options: dict[str, Any] = {"type": kind}
    if kind != "flat":
        options |= {"m": 16, "ef_construction": 100}
    vector = {
        "type": "dense_vector",
        "dims": dim,
        "index": True,
        "similarity": "dot_product",
        "index_options": options,
    }
    client.indices.create(
        index=BARE,
        settings={"number_of_shards": 1, "number_of_replicas": 0},
        mappings={"properties": {"path": {"type": "keyword"}, "v": vector}},
    )


def knn(kind: str, query: Array) -> dict[str, Any]:
    """A search with the same effort as ours."""
    asked: dict[str, Any] = {
        "field": "v",
        "query_vector": (query / np.linalg.norm(query)).tolist(),
        "k": K,
        "num_candidates": K if kind == "flat" else 100,
    }
    if kind in OVERSAMPLED:
        asked["rescore_vector"] = {"oversample": OVERSAMPLED[kind]}
    return asked


@contextlib.contextmanager
def emptied(client: elasticsearch.Elasticsearch) -> Iterator[None]:
    """Without what an earlier run has left, and leaving nothing."""
    indices = [BARE, *(f"{NAME}-{each}" for each in ("pictures-1", "ledger", "local", "about"))]
    client.indices.delete(index=indices, ignore_unavailable=True)
    try:
        yield
    finally:
        client.indices.delete(index=indices, ignore_unavailable=True)


def opened(place: str, folder: Path, kind: str, dim: int) -> lookalike.Collection:
    """A collection, made if it is not there."""
    recipe = folder / "ready.toml"
    recipe.write_text(RECIPE.format(dim=dim, kind=kind, index=BESIDE[kind]))
    return lookalike.open(place, recipe=str(recipe))


def clusters(count: int, dim: int) -> Array:
    """Of 500 centres, which vary in 24 directions and a little in all others."""
    rng = np.random.default_rng(7)
    directions = rng.normal(size=(24, dim))
    centres = rng.normal(size=(500, 24))[rng.integers(0, 500, count)]
    inside = centres + rng.normal(scale=0.5, size=(count, 24))
    return (inside @ directions + rng.normal(scale=0.3, size=(count, dim))).astype(np.float32)


def unit(vectors: Array) -> Array:
    """Brought to length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def sha256(number: int) -> bytes:
    """Of a picture's content."""
    return hashlib.sha256(str(number).encode()).digest()


def path(number: int) -> str:
    """Where it lies."""
    return f"http://pictures/{number}"


def recalled(way: Callable[[Array], list[int]], queries: Array, truth: npt.NDArray[Any]) -> float:
    """The share of the true nearest that is found; all that is slow at first is slow here."""
    found = [set(way(query)) for query in queries]
    return float(
        np.mean([len(own & set(t)) / K for own, t in zip(found, truth.tolist(), strict=True)])
    )


def answered(way: Callable[[Array], list[int]], queries: Array) -> None:
    """Ask one after the other."""
    for query in queries:
        way(query)


def seconds(what: Callable[[], object]) -> float:
    """That it takes."""
    started = time.perf_counter()
    what()
    return time.perf_counter() - started


def medians(times: dict[str, list[float]]) -> dict[str, float]:
    """Of both."""
    return {name: statistics.median(times[name]) for name in ("bare", "ours")}


def ratio(bare: list[float], ours: list[float]) -> float:
    """How fast ours is to the bare client: the median of the pairs."""
    return statistics.median(b / o for b, o in zip(bare, ours, strict=True))


if __name__ == "__main__":
    main()

"""A collection in Elasticsearch beside the bare client, and beside the same collection in a folder.

    python benchmarks/elastic.py [--count 20000] [--dim 128] [--kinds hnsw …] [--json FILE]
                                 [--rounds 7] [--within 60] [--heap 1g]
                                 [--keep FOLDER [--fill] | --url http://127.0.0.1:9200]

Seeded clusters of vectors, cosine, k = 10. The bare client writes a document a picture by
`helpers.bulk`, with what is known of it as plain fields, and asks by kNN as a query; `documented`
is the search option `knn`, which Elastic's own pages show. Both make what they
write findable after each 2,000 (`refresh=true`), take turns batch by batch, and have one segment
before queries are timed. Queries of all ways take turns in blocks of 50, in an order by chance; one
a call, and 50 in one. The promises are 0.8 for bulk and 0.9 for queries.

Starts a node of its own, as `make test-elastic` does, in memory. `--fill` only fills, and `--keep`
is where that stays for a run that only asks; what is measured replaces the same row in FILE.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
Numbers = list[list[int]]
Way = Callable[[Array], Numbers]
BATCH = 2_000
K = 10
QUERIES = 200
AT_ONCE = 50
NAME = "lookalike-benchmark"
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
    given = arguments()
    vectors = clusters(given.count + QUERIES, given.dim)
    vectors, queries = vectors[:-QUERIES], vectors[-QUERIES:]
    print(f"{given.count:,} x {given.dim}, medians; bulk in vectors/s, queries in ms, recall@{K}")
    print("index      " + "  ".join(f"{name:>10}" for name in COLUMNS))
    with running(given) as (url, folder):
        for kind in given.kinds:
            with contextlib.closing(Both(url, folder, kind, given.dim)) as both:
                filled = fill(both, vectors)
                if given.fill:
                    continue
                row = {"count": given.count, "dim": given.dim, "kind": kind, "bulk": filled}
                row |= ask(both, vectors, queries, given)
                both.remove()
            print(f"{kind:10} " + "  ".join(f"{each:>10}" for each in line(row)), flush=True)
            if given.json:
                keep(given.json, row)


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--kinds", nargs="+", choices=list(BESIDE), default=list(BESIDE))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--within", type=float, default=60, help="seconds for a kind's queries")
    parser.add_argument("--heap", default="1g")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--fill", action="store_true")
    parser.add_argument("--url")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.fill and not given.keep:
        parser.error("--fill is for --keep")
    return given


COLUMNS = (
    *("bulk bare", "ours", "ratio"),
    *("query bare", "documented", "ours", "p99 ours", "ratio"),
    *(f"{AT_ONCE} bare", "ours", "ratio", "recall"),
    *("folder", "query", "recall"),
)


def line(row: dict[str, Any]) -> list[str]:
    """A row as it is printed."""
    bulk, query, many, folder = (row[each] for each in ("bulk", "query", "many", "folder"))
    return [
        *(f"{bulk[each]:,.0f}" for each in ("bare", "ours")),
        f"{bulk['ratio']:.2f}",
        *(f"{query[each]:.2f}" for each in ("bare", "documented", "ours", "p99 ours", "ratio")),
        *(f"{many[each]:.2f}" for each in ("bare", "ours", "ratio")),
        f"{row['recall']['ours']:.3f}",
        folder["index"],
        f"{folder['query']:.2f}",
        f"{folder['recall']:.3f}",
    ]


def keep(path: Path, row: dict[str, Any]) -> None:
    """Write it, with those of other sizes and kinds that are there."""

    def which(each: dict[str, Any]) -> tuple[int, int, int]:
        return each["dim"], each["count"], list(BESIDE).index(each["kind"])

    before = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = sorted([row, *(each for each in before if which(each) != which(row))], key=which)
    path.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


class Bare:
    """The official client, as its documentation has it."""

    def __init__(self, url: str, kind: str, dim: int) -> None:
        self.client = elasticsearch.Elasticsearch(url, request_timeout=1800)
        self.index = f"{NAME}-{kind}-bare".replace("_", "-")
        self.kind = kind
        self.dim = dim

    def make(self) -> None:
        """An index of what is known of pictures, and vectors with the same options as ours."""
        options: dict[str, Any] = {"type": self.kind}
        if self.kind != "flat":
            options |= {"m": 16, "ef_construction": 100}
        vector = {
            "type": "dense_vector",
            "dims": self.dim,
            "index": True,
            "similarity": "dot_product",
            "index_options": options,
        }
        keyword = {"type": "keyword"}
        fields = {"path": keyword, "label": keyword, "photographer": keyword, "v": vector}
        fields |= {"year": {"type": "integer"}, "added": {"type": "double"}}
        self.client.indices.create(
            index=self.index,
            settings={"number_of_shards": 1, "number_of_replicas": 0},
            mappings={"properties": fields},
        )

    def add(self, block: Array, start: int) -> None:
        """A document a picture."""
        actions = (
            {
                "_index": self.index,
                "_id": sha256(number).hex(),
                "path": path(number),
                "label": label(number),
                **metadata(number),
                "added": time.time(),
                "v": vector.tolist(),
            }
            for number, vector in enumerate(unit(block), start)
        )
        written, _ = helpers.bulk(self.client, actions, chunk_size=BATCH, refresh=True)
        assert written == len(block)

    def each(self, queries: Array) -> Numbers:
        """One after the other."""
        return [self.asked(query={"knn": self.knn_query(query)}) for query in queries]

    def documented(self, queries: Array) -> Numbers:
        """The same by the option of a search."""
        return [self.asked(knn=self.knn(query)) for query in queries]

    def together(self, queries: Array) -> Numbers:
        """All in one request."""
        lines: list[dict[str, Any]] = []
        for query in queries:
            lines += [{}, {"size": K, "query": {"knn": self.knn_query(query)}}]
        answers = self.client.msearch(index=self.index, searches=lines)["responses"]
        return [[number_of(hit["_source"]["path"]) for hit in a["hits"]["hits"]] for a in answers]

    def asked(self, **how: Any) -> list[int]:
        """Of one search."""
        hits = self.client.search(index=self.index, size=K, **how)["hits"]["hits"]
        return [number_of(hit["_source"]["path"]) for hit in hits]

    def knn_query(self, query: Array) -> dict[str, Any]:
        """The same as a query, which ranks again what its own `k` says, and the option all."""
        asked = self.knn(query)
        return asked | {"k": asked["num_candidates"]} if self.kind in OVERSAMPLED else asked

    def knn(self, query: Array) -> dict[str, Any]:
        """With the same effort as ours."""
        asked: dict[str, Any] = {
            "field": "v",
            "query_vector": (query / np.linalg.norm(query)).tolist(),
            "k": K,
            "num_candidates": K if self.kind == "flat" else 100,
        }
        if self.kind in OVERSAMPLED:
            asked["rescore_vector"] = {"oversample": OVERSAMPLED[self.kind]}
        return asked


@dataclass
class Ours:
    """A collection, wherever it is."""

    collection: lookalike.Collection

    def add(self, block: Array, start: int) -> None:
        """The same through a collection."""
        numbers = range(start, start + len(block))
        places = [lookalike.Place(path(each), label(each), metadata(each)) for each in numbers]
        hashes = [sha256(number) for number in numbers]
        outcomes = self.collection.add_vectors(unit(block), hashes, places)
        assert set(outcomes) == {"stored"}

    def each(self, queries: Array) -> Numbers:
        """One after the other."""
        found = (self.collection.search(query, k=K) for query in queries)
        return [[number_of(hit.path) for hit in hits] for hits in found]

    def together(self, queries: Array) -> Numbers:
        """All in one call."""
        answers = self.collection.search_many(queries, k=K)
        return [[number_of(hit.path) for hit in answer.hits] for answer in answers]


class Both:
    """The same pictures under the bare client, in a collection there, and in one in a folder."""

    def __init__(self, url: str, folder: Path, kind: str, dim: int) -> None:
        self.kind = kind
        self.folder = folder / f"{kind}-{dim}"
        self.folder.mkdir(exist_ok=True)
        self.filled = self.folder / "filled.json"
        """What filling has measured, once it has ended."""
        self.bare = Bare(url, kind, dim)
        self.name = f"{NAME}-{kind}".replace("_", "-")
        if not self.filled.exists():
            self.remove()
            self.folder.mkdir()
            self.bare.make()
        recipe = self.folder / "ready.toml"
        recipe.write_text(RECIPE.format(dim=dim, kind=kind, index=BESIDE[kind]))
        address = f"es+{url}/{self.name}?replicas=0&timeout=1800&files={self.folder}"
        self.ours, self.embedded = (
            Ours(lookalike.open(place, recipe=str(recipe)))
            for place in (address, str(self.folder / "collection"))
        )

    def remove(self) -> None:
        """All of it."""
        parts = (f"{self.name}-{each}" for each in ("pictures-1", "ledger", "local", "about"))
        indices = [self.bare.index, *parts]
        self.bare.client.indices.delete(index=indices, ignore_unavailable=True)
        shutil.rmtree(self.folder)

    def close(self) -> None:
        """All that was opened."""
        self.ours.collection.close()
        self.embedded.collection.close()
        self.bare.client.close()


def fill(both: Both, vectors: Array) -> dict[str, float]:
    """Vectors a second of both, who take turns, each first as often as the other."""
    if both.filled.exists():
        measured: dict[str, float] = json.loads(both.filled.read_text())
        return measured
    indices = both.bare.client.indices
    for index in (both.bare.index, both.name):  # all of this is in memory
        indices.put_settings(index=index, settings={"translog.flush_threshold_size": "512mb"})
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    ways = {"bare": both.bare.add, "ours": both.ours.add}
    for start in range(0, len(vectors), BATCH):
        block = vectors[start : start + BATCH]
        for name in sorted(ways, reverse=bool(start // BATCH % 2)):
            times[name].append(seconds(partial(ways[name], block, start)) / len(block))
    for index in (both.bare.index, both.name):
        indices.forcemerge(index=index, max_num_segments=1)
        indices.refresh(index=index)
    for start in range(0, len(vectors), BATCH):
        both.embedded.add(vectors[start : start + BATCH], start)
    both.embedded.collection.settle()
    rates = {name: 1 / statistics.median(each) for name, each in times.items()}
    pairs = zip(times["bare"], times["ours"], strict=True)
    rates["ratio"] = statistics.median(bare / ours for bare, ours in pairs)
    both.filled.write_text(json.dumps(rates))
    return rates


def ask(both: Both, vectors: Array, queries: Array, given: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds a query, and recall, of every way."""
    scores = unit(queries) @ unit(vectors).T
    truth = np.argpartition(-scores, K, axis=1)[:, :K]
    one: dict[str, Way] = {
        "bare": both.bare.each,
        "documented": both.bare.documented,
        "ours": both.ours.each,
        "folder": both.embedded.each,
    }
    many: dict[str, Way] = {"bare": both.bare.together, "ours": both.ours.together}
    recall = {name: recalled(way(queries), truth) for name, way in one.items()}
    for way in many.values():  # so that all that is slow at first was slow here
        way(queries[:AT_ONCE])
    singly: dict[str, list[float]] = {name: [] for name in one}
    jointly: dict[str, list[float]] = {name: [] for name in many}
    rng = np.random.default_rng(0)
    end = time.perf_counter() + given.within
    for number in range(given.rounds):
        if number >= 2 and time.perf_counter() > end:
            break
        for some in np.array_split(queries, QUERIES // AT_ONCE):
            for name in rng.permutation(list(one)):
                way = one[name]
                singly[name] += [seconds(partial(way, some[i : i + 1])) for i in range(len(some))]
            for name in rng.permutation(list(many)):
                jointly[name].append(seconds(partial(many[name], some)) / len(some))
    query = {name: 1e3 * statistics.median(each) for name, each in singly.items()}
    in_one = {name: 1e3 * statistics.median(each) for name, each in jointly.items()}
    own = query.pop("folder")
    return {
        "query": query
        | {"ratio": query["bare"] / query["ours"]}
        | {
            f"p99 {name}": 1e3 * float(np.percentile(singly[name], 99)) for name in ("bare", "ours")
        },
        "many": in_one | {"ratio": in_one["bare"] / in_one["ours"]},
        "recall": {name: recall[name] for name in ("bare", "ours")},
        "folder": {"index": BESIDE[both.kind], "query": own, "recall": recall["folder"]},
    }


@contextlib.contextmanager
def running(given: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """A node, and a folder for what is beside it."""
    with contextlib.ExitStack() as stack:
        folder = given.keep
        if folder is None:
            made = tempfile.TemporaryDirectory(prefix=NAME, dir=elastic_node.in_memory())
            folder = Path(stack.enter_context(made))
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        url = given.url
        if url is None:
            node = elastic_node.running(heap=given.heap, folder=folder)
            url = stack.enter_context(node).url
            with elasticsearch.Elasticsearch(url) as client:  # what is kept takes a moment
                client.cluster.health(wait_for_status="green", timeout="60s")
        yield url, folder


def clusters(count: int, dim: int) -> Array:
    """Of 500 centres, which vary in 24 directions and a little in all others."""
    rng = np.random.default_rng(7)
    directions = rng.normal(size=(24, dim)).astype(np.float32)
    centres = rng.normal(size=(500, 24))[rng.integers(0, 500, count)]
    inside = (centres + rng.normal(scale=0.5, size=(count, 24))).astype(np.float32)
    around = rng.standard_normal((count, dim), np.float32)
    return inside @ directions + np.float32(0.3) * around


def unit(vectors: Array) -> Array:
    """Brought to length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def sha256(number: int) -> bytes:
    """Of a picture's content."""
    return hashlib.sha256(str(number).encode()).digest()


def path(number: int) -> str:
    """Where it lies."""
    return f"http://pictures/{number}"


def number_of(path: str) -> int:
    """Of what lies there."""
    return int(path.rpartition("/")[2])


def label(number: int) -> str:
    """What it shows."""
    return f"class {number % 100}"


def metadata(number: int) -> dict[str, Any]:
    """What else is known of it."""
    return {"photographer": f"photographer {number % 1000}", "year": 1990 + number % 35}


def recalled(found: Numbers, truth: npt.NDArray[Any]) -> float:
    """The share of the true nearest that is found."""
    return float(
        np.mean([len({*own} & {*t}) / K for own, t in zip(found, truth.tolist(), strict=True)])
    )


def seconds(what: Callable[[], object]) -> float:
    """That it takes."""
    started = time.perf_counter()
    what()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

"""What a picture's record takes on disk in Elasticsearch, beside the files of its vectors.

    python benchmarks/elastic_record.py [--count 20000]

Pictures of one place each, a path of 47 characters, no label and no metadata, in one segment. This
is `RECORD` of `lookalike plan --dims`.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

import elasticsearch
import numpy as np

import lookalike

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import elastic_node

DIM = 64
PATH = "/srv/photographs/holidays/2019/img_{:07}.jpeg"
RECIPE = f"""
name = "ready"
[embeddings.v]
extractor = {{ name = "vectors", dim = {DIM}, made_by = "a benchmark" }}
index = {{ name = "flat" }}
"""


def main() -> None:
    """One line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory(dir=elastic_node.in_memory()) as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "ready.toml").write_text(RECIPE)
        with elastic_node.running(folder=folder) as node:
            fill(f"es+{node.url}/record?replicas=0", str(folder / "ready.toml"), count)
            taken = taken_by(node.url)
    print(f"{count:,} pictures: {taken / count - 4 * DIM:.0f} bytes each")


def fill(address: str, recipe: str, count: int) -> None:
    """With vectors by chance."""
    vectors = np.random.default_rng(0).standard_normal((count, DIM), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # as those of networks come
    hashes = [hashlib.sha256(str(number).encode()).digest() for number in range(count)]
    with lookalike.open(address, recipe=recipe) as collection:
        for start in range(0, count, 1000):
            some = range(start, min(start + 1000, count))
            places = [
                lookalike.Place(f"/srv/photographs/holidays/2019/img_{n:07}.jpeg") for n in some
            ]
            collection.add_vectors(vectors[some], [hashes[n] for n in some], places)


def taken_by(url: str) -> int:
    """Bytes of the pictures, in one segment."""
    with elasticsearch.Elasticsearch(url, request_timeout=600) as client:
        client.indices.forcemerge(index="record-pictures-1", max_num_segments=1)
        client.indices.refresh(index="record-pictures-1")
        said = client.indices.stats(index="record-pictures-1", metric="store")
        return int(said["_all"]["primaries"]["store"]["size_in_bytes"])


if __name__ == "__main__":
    main()

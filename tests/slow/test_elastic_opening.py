"""An Elasticsearch collection opened with other recipes, and after a process was killed in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import elasticsearch
import pytest
from conftest import arrival, random_vectors
from samples import write

import lookalike
from lookalike.errors import ClusterUnsuited, ClusterUnwell, NotACollection, OtherRecipe
from lookalike.store import home_of

DEFAULT = (Path(lookalike.__file__).parent / "recipes" / "default.toml").read_text()


def recipe(tmp_path: Path, index: str, elastic: str = "") -> str:
    """The default one with other indexes."""
    table = f'\n[embeddings.default.elastic]\nname = "{elastic}"\n' if elastic else ""
    path = tmp_path / f"{index}-{elastic}.toml"
    path.write_text(DEFAULT.replace('"auto"', f'"{index}"') + table)
    return str(path)


def fill(collection: lookalike.Collection) -> None:
    collection.store.put([arrival(0)], {"default": random_vectors(1, 384)})


def test_one_that_differs_in_the_index_of_the_cluster_alone_is_another(
    elastic_address: str, tmp_path: Path
) -> None:
    with lookalike.open(elastic_address, recipe=recipe(tmp_path, "auto", "flat")) as collection:
        fill(collection)
    for index, elastic in (("auto", "int8_hnsw"), ("auto", "hnsw"), ("auto", ""), ("hnsw", "")):
        with pytest.raises(OtherRecipe):
            lookalike.open(elastic_address, recipe=recipe(tmp_path, index, elastic))
    # What Elasticsearch makes of both is the same.
    for index, elastic in (("auto", "flat"), ("flat", ""), ("ivf", "flat")):
        lookalike.open(elastic_address, recipe=recipe(tmp_path, index, elastic)).close()


def test_an_empty_collection_takes_the_other(elastic_address: str, tmp_path: Path) -> None:
    lookalike.open(elastic_address, recipe=recipe(tmp_path, "auto", "flat")).close()
    lookalike.open(elastic_address, recipe=recipe(tmp_path, "auto", "bbq_hnsw")).close()
    with lookalike.open(elastic_address) as collection:
        fill(collection)
        assert collection.stats()["embeddings"]["default"]["structure"] == "bbq_hnsw"
        kind = home_of(elastic_address).index_kind(collection.recipe.embeddings[0])
        assert kind == "bbq_hnsw"


def test_in_a_folder_what_is_said_for_a_cluster_does_not_matter(tmp_path: Path) -> None:
    with lookalike.open(tmp_path / "c", recipe=recipe(tmp_path, "auto", "flat")) as collection:
        fill(collection)
    lookalike.open(tmp_path / "c", recipe=recipe(tmp_path, "auto", "bbq_hnsw")).close()
    with pytest.raises(OtherRecipe):
        lookalike.open(tmp_path / "c", recipe=recipe(tmp_path, "flat", "flat"))


@pytest.mark.parametrize("again", ["index", "describe", "forget"])
def test_a_path_that_two_pictures_claim_is_mended_by_whatever_is_written_of_it_next(
    elastic_address: str, elastic: str, tmp_path: Path, again: str
) -> None:
    """As a process leaves it that is killed after it has written what a file holds now."""
    write(tmp_path / "photos" / "a.png", 1)
    other = write(tmp_path / "photos" / "b.png", 2)
    with (
        lookalike.open(elastic_address) as collection,
        elasticsearch.Elasticsearch(elastic) as client,
    ):
        collection.add(tmp_path / "photos")
        index = f"{elastic_address.partition('?')[0].rpartition('/')[2]}-pictures-1"
        path = str(tmp_path / "photos" / "a.png")
        former = collection.meant(path).id
        lost = client.get(index=index, id=former)["_source"]
        write(tmp_path / "photos" / "a.png", 3)
        collection.add(tmp_path / "photos")
        assert former not in collection
        client.index(index=index, id=former, document=lost, refresh=True)
        entry = collection.ledger(path)
        assert entry is not None
        assert (entry.id == former, entry.verdict) == (False, "retry")
        if again == "index":
            report = collection.add(tmp_path / "photos")
            assert (report.unchanged, report.replaced, report.failed) == (2, 0, 0)
        elif again == "describe":
            collection.describe(entry.id or "", lambda place: replace(place, label="new"))
        else:
            collection.forget(path)
        assert former not in collection
        left = {path, str(other)} if again != "forget" else {str(other)}
        assert {place.path for record in collection for place in record.places} == left
        after = collection.ledger(path)
        assert (after and after.verdict) == (None if again == "forget" else "stored")


# What is in the way of a new collection, or not one


@pytest.fixture
def client(elastic: str) -> Iterator[elasticsearch.Elasticsearch]:
    with elasticsearch.Elasticsearch(elastic) as opened:
        yield opened


@pytest.fixture
def name(elastic_address: str) -> str:
    return elastic_address.rpartition("/")[2].partition("?")[0]


@pytest.mark.parametrize("which", ["ledger", "local", "about", "pictures-1"])
def test_an_index_of_others_that_is_in_the_way_is_said_before_anything_is_made(
    elastic_address: str, client: elasticsearch.Elasticsearch, name: str, which: str
) -> None:
    client.indices.create(index=f"{name}-{which}")
    with pytest.raises(ClusterUnsuited, match=f"{name}-{which} is there") as told:
        lookalike.open(elastic_address)
    assert "\n" not in str(told.value)
    assert list(client.indices.get(index=f"{name}*")) == [f"{name}-{which}"]


def test_the_name_of_another_collections_index_is_said(
    elastic_address: str, client: elasticsearch.Elasticsearch, name: str
) -> None:
    lookalike.open(elastic_address.replace(name, f"{name}-about")).close()
    with pytest.raises(ClusterUnsuited, match=f"{name}-about is there"):
        lookalike.open(elastic_address)
    with pytest.raises(NotACollection, match=f"an index of {name}-about, which is one"):
        lookalike.open(elastic_address.replace(name, f"{name}-about-pictures-1"))
    client.indices.delete(index=sorted(client.indices.get(index=f"{name}*")))


def test_what_a_process_has_left_that_was_killed_while_it_made_one_is_no_hindrance(
    elastic_address: str, client: elasticsearch.Elasticsearch, name: str
) -> None:
    lookalike.open(elastic_address).close()
    client.indices.delete(index=[f"{name}-pictures-1", f"{name}-local"])
    with lookalike.open(elastic_address) as collection:
        fill(collection)
        assert len(collection) == 1


def test_the_health_is_that_of_its_own_indices(
    elastic_address: str, client: elasticsearch.Elasticsearch, name: str
) -> None:
    """And not of those of a collection whose name begins so."""
    with lookalike.open(elastic_address) as collection:
        client.indices.create(
            index=f"{name}-pictures-old",
            settings={"index.routing.allocation.require._name": "a node that is not there"},
            wait_for_active_shards="0",
        )
        assert collection.stats()["cluster"]["health"] == "green"
        client.indices.delete(index=f"{name}-pictures-old")


def test_an_index_of_it_that_is_gone_is_named(
    elastic_address: str, client: elasticsearch.Elasticsearch, name: str
) -> None:
    with lookalike.open(elastic_address) as collection:
        client.indices.delete(index=f"{name}-local")
        (finding,) = collection.check()
        assert not finding.sound
        assert "red" in finding.text
        with pytest.raises(ClusterUnwell, match=f"its index {name}-local is gone"):
            collection.stats()


class WithoutMaster(BaseHTTPRequestHandler):
    """A node that starts, or has lost the others: it knows no index, as 9.2.0 answers then."""

    def do_GET(self) -> None:
        """As a node does."""
        status, said = 404, b'{"error": {"type": "index_not_found_exception"}, "status": 404}'
        if self.path.startswith("/_nodes"):
            status, said = 200, b'{"nodes": {"x": {"version": "9.2.0"}}}'
        if self.path.startswith("/_cluster/state/blocks"):
            status = 200
            said = b'{"blocks": {"global": {"1": {"description": "state not recovered"}}}}'
        self.send_response(status)
        self.send_header("content-type", "application/vnd.elasticsearch+json;compatible-with=9")
        self.send_header("content-length", str(len(said)))
        self.send_header("x-elastic-product", "Elasticsearch")
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


def test_a_cluster_without_a_master_does_not_say_that_there_is_no_collection() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), WithoutMaster) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ClusterUnwell, match="state not recovered"):
            home_of(f"es+http://127.0.0.1:{server.server_port}/photos").exists()
        server.shutdown()

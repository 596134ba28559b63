"""What the service tells of a collection as a whole: facets and the map."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from samples import CLASSES, write, write_classes

import lookalike
from lookalike import Collection
from lookalike.serve.server import Server

V1 = "/v1/collections/things"


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """4 ants, 4 boats, 4 cups; one of the ants lies among the boats as well; one wide JPEG."""
    folder = tmp_path_factory.mktemp("overview")
    pictures = write_classes(folder / "pictures", 4)
    write(pictures / CLASSES[1] / "ant.png", 0)
    (pictures / "wide").mkdir()
    Image.new("RGB", (1024, 20), "teal").save(pictures / "wide" / "wide.jpg")
    with lookalike.open(folder / "collection") as collection:
        collection.add(pictures)
        yield collection


@pytest.fixture(scope="module")
def client(collection: Collection) -> Iterator[httpx.Client]:
    server = Server({"things": collection}, port=0)
    thread = threading.Thread(target=server.answer)
    thread.start()
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client
    server.stop()
    thread.join()


def counts(client: httpx.Client, facet: str, **query: str) -> dict[str, int]:
    answer = client.get(f"{V1}/facets", params=query).json()
    return {each["value"]: each["count"] for each in answer[facet]}


def test_labels_count_pictures_and_one_that_lies_twice_counts_for_both(
    client: httpx.Client,
) -> None:
    assert counts(client, "labels") == {"ants": 4, "boats": 5, "cups": 4, "wide": 1}
    assert next(iter(counts(client, "labels"))) == "boats"


def test_facets_agree_with_the_records(client: httpx.Client, collection: Collection) -> None:
    records = list(collection)
    labels = Counter(label for r in records for label in {place.label for place in r.places})
    assert counts(client, "labels") == labels
    assert counts(client, "formats") == Counter(record.format for record in records)


def test_facets_count_what_passes_a_filter(client: httpx.Client) -> None:
    assert counts(client, "labels", where="format=jpg") == {"wide": 1}
    assert counts(client, "formats", where="label=ants or label=wide") == {"PNG": 4, "JPEG": 1}
    assert counts(client, "labels", where="width > 5000") == {}


def test_sizes_are_classes_of_the_longer_side(client: httpx.Client) -> None:
    sizes = client.get(f"{V1}/facets").json()["sizes"]
    there = [(each["least"], each["below"], each["count"]) for each in sizes if each["count"]]
    assert there == [(0, 256, 12), (1024, 2048, 1)]
    assert sizes[-1]["below"] is None


def test_at_most_200_labels_are_told_the_most_frequent(tmp_path: Path) -> None:
    with lookalike.open(tmp_path / "collection") as collection:
        for number in range(3):
            write(tmp_path / "pictures" / f"label {number}" / "a.png", number)
        write(tmp_path / "pictures" / "label 1" / "b.png", 9)
        collection.add(tmp_path / "pictures")
        assert collection.facets(most_labels=1).labels == [("label 1", 2)]


def test_a_bad_filter_is_told(client: httpx.Client) -> None:
    response = client.get(f"{V1}/facets", params={"where": "label ="})
    assert response.status_code == 400
    assert response.json()["type"] == "tag:lookalike,2026:bad-filter"


def test_the_map_places_every_picture_once(client: httpx.Client, collection: Collection) -> None:
    answer = client.get(f"{V1}/map").json()
    assert answer["total"] == len(collection) == len(answer["points"])
    labels = {record.id: record.label for record in collection}
    assert {each["id"]: each["label"] for each in answer["points"]} == labels
    for each in answer["points"]:
        assert -1 <= each["x"] <= 1
        assert -1 <= each["y"] <= 1


def test_the_map_of_some_says_how_many_there_are(client: httpx.Client) -> None:
    answer = client.get(f"{V1}/map", params={"limit": 5}).json()
    assert len(answer["points"]) == 5
    assert answer["total"] == 13


@pytest.mark.parametrize(
    "address", ["map?limit=0", "map?limit=9999999", "facets?where=" + "x" * 2001]
)
def test_what_is_out_of_range_is_refused(client: httpx.Client, address: str) -> None:
    assert client.get(f"{V1}/{address}").status_code == 422


@pytest.mark.parametrize("route", ["facets", "map"])
def test_an_unknown_collection_is_told(client: httpx.Client, route: str) -> None:
    response = client.get(f"/v1/collections/nobody/{route}")
    assert response.json()["type"] == "tag:lookalike,2026:unknown-collection"

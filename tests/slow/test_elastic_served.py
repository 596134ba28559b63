"""A service above a collection in Elasticsearch while that cannot answer, or takes no more."""

from __future__ import annotations

from collections.abc import Iterator

import elasticsearch
import httpx
import pytest
from samples import encoded
from serving import assert_problem, service, upload

import lookalike

V1 = "/v1/collections/photos"


@pytest.fixture
def client(elastic: str) -> Iterator[elasticsearch.Elasticsearch]:
    with elasticsearch.Elasticsearch(elastic) as opened:
        yield opened


@pytest.fixture
def index(elastic_address: str) -> str:
    return f"{elastic_address.rpartition('/')[2].partition('?')[0]}-pictures-1"


@pytest.fixture
def served(elastic_address: str) -> Iterator[httpx.Client]:
    address = elastic_address.replace("patience=5", "patience=0")
    with (
        lookalike.open(address) as collection,
        service(given={"photos": collection}) as (asked, _),
    ):
        upload(asked, "photos", encoded(1))
        yield asked


def searched(served: httpx.Client) -> httpx.Response:
    return served.post(f"{V1}/search", files={"image": encoded(1)})


def test_while_it_cannot_answer_clients_are_told_to_come_again(
    served: httpx.Client, client: elasticsearch.Elasticsearch, index: str
) -> None:
    client.indices.close(index=index)
    answer = searched(served)
    assert_problem(answer, 503, "cluster-unwell", "closed")
    assert "es+http" not in answer.text
    assert answer.headers["retry-after"]
    assert served.get("/readyz").status_code == 503
    client.indices.open(index=index)
    client.cluster.health(index=index, wait_for_status="green")
    assert searched(served).json()["hits"]


def test_while_it_takes_no_more_it_is_searched_and_uploads_are_refused(
    served: httpx.Client, client: elasticsearch.Elasticsearch, index: str
) -> None:
    block = "index.blocks.read_only_allow_delete"
    client.indices.put_settings(index=index, settings={block: True})
    refused = served.post(f"{V1}/pictures", files={"images": encoded(2)})
    assert_problem(refused, 503, "cannot-store", "flood stage")
    assert "es+http" not in refused.text
    assert len(searched(served).json()["hits"]) == 1
    client.indices.put_settings(index=index, settings={block: None})
    assert upload(served, "photos", encoded(2))
    assert len(searched(served).json()["hits"]) == 2

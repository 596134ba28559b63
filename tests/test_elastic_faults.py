"""What Elasticsearch answers when it cannot, in a line that says what is wrong."""

from __future__ import annotations

import pytest

pytest.importorskip("elasticsearch")

from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError

from lookalike.store.elastic.address import read
from lookalike.store.elastic.faults import Faults


def test_a_shard_that_is_on_no_node_is_said_to_be() -> None:
    # As version 9.2 answers once a disk without room has failed the only copy.
    asked = "[one][127.0.0.1:57953][indices:data/read/search[phase/query]]"
    why = {"type": "no_shard_available_action_exception", "reason": asked}
    body = {
        "error": {
            "root_cause": [why],
            "type": "search_phase_execution_exception",
            "reason": "all shards failed",
            "failed_shards": [{"shard": 0, "index": "photos-pictures-1", "reason": why}],
        },
        "status": 503,
    }
    node = NodeConfig("http", "127.0.0.1", 9200)
    meta = ApiResponseMeta(503, "1.1", HttpHeaders(), 0.1, node)
    faults = Faults(read("es+http://127.0.0.1:9200/photos"))
    said = str(faults.of_answer(ApiError("503", meta, body)))
    assert said == (
        "es+http://127.0.0.1:9200/photos cannot answer now: no node answers for one of its shards. "
        "Try again once that is over."
    )

"""A record as a document, and back, without any server."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

pytest.importorskip("orjson")

from lookalike.store import Arrival
from lookalike.store.elastic import documents
from lookalike.store.elastic.documents import Draft
from lookalike.types import Place, Record


def body_of(*places: Place) -> dict[str, Any]:
    draft = Draft.new(Arrival(b"\x07" * 32, "JPEG", 640, 480, 51_234, places[0]))
    for place in places:
        draft.put(place)
    return draft.body()


class TestRecord:
    def test_comes_back_as_it_was_with_all_its_places(self) -> None:
        first = Place(
            "/a/ü.jpg", "Katze", {"by": "Zoë \U0001f431", "n": [1, 2.5, None]}, 51_234, 17
        )
        second = Place("s3://b/c.jpg")
        body = body_of(first, second)
        assert documents.record(body) == Record(
            "07" * 32, "JPEG", 640, 480, 51_234, body["added"], (first, second)
        )

    def test_is_told_by_a_hit_as_by_its_document(self) -> None:
        bodies = [body_of(Place(f"/{number}", None, {"n": number})) for number in range(3)]
        hits = [{"fields": {"record": [body["record"]]}} for body in bodies]
        assert documents.records_of(hits) == [documents.record(body) for body in bodies]

    def test_no_hits_are_no_records(self) -> None:
        assert documents.records_of([]) == []

    @pytest.mark.parametrize(
        "number", [2**53 + 1, -(2**63), 2**64 - 1, 2**64, -(2**63) - 1, 10**40, 1.5e300, 1e-19]
    )
    def test_numbers_in_metadata_keep_their_value_and_kind(self, number: float) -> None:
        place = Place("/a", None, {"n": number, "deep": [{"n": number}]})
        (found,) = documents.record(body_of(place)).places
        assert repr(found.metadata) == repr(place.metadata)

    def test_what_is_no_number_becomes_null(self) -> None:
        (found,) = documents.record(body_of(Place("/a", None, {"n": float("nan")}))).places
        assert found.metadata == {"n": None}

    def test_is_an_id_and_json_that_anybody_reads(self) -> None:
        packed = base64.b64decode(body_of(Place("/a", 'say "cat"', {"n": 10**30}))["record"])
        assert packed[:32] == b"\x07" * 32
        assert json.loads(packed[32:])[-1][0][:2] == ["/a", 'say "cat"']

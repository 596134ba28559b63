"""What an index of pictures holds, counted; and how the cluster is."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...filters import Filter
from ...types import Finding
from .. import SIDES, EmbeddingPlan, Facets
from . import conditions, mapping
from .mapping import Field
from .reading import Reading

_EVERY: conditions.Query = {"match_all": {}}
_MOST_FORMATS = 100
_MORE_LABELS = 2000


def counts(pictures: Reading) -> dict[str, Any]:
    """What is stored, in numbers."""
    aggregations = {
        "places": {"sum": {"field": "lies"}},
        "bytes": {"sum": {"field": "bytes"}},
        "newest": {"max": {"field": "added"}},
        "formats": {"terms": {"field": "format", "size": _MOST_FORMATS}},
        "labels": {"cardinality": {"field": "labels"}},
    }
    answer = pictures.cluster.searched(
        index=pictures.index, query=_EVERY, size=0, track_total_hits=True, aggs=aggregations
    )
    found = answer["aggregations"]
    size = pictures.cluster.ask(lambda c: c.indices.stats(index=pictures.index, metric="store"))[
        "_all"
    ]["primaries"]["store"]["size_in_bytes"]
    return {
        "pictures": answer["hits"]["total"]["value"],
        "places": int(found["places"]["value"]),
        "labels": found["labels"]["value"],
        "formats": {each["key"]: each["doc_count"] for each in found["formats"]["buckets"]},
        "original_bytes": int(found["bytes"]["value"]),
        "catalogue_bytes": size,
        "newest": found["newest"]["value"],
    }


def described(pictures: Reading, plan: EmbeddingPlan, field: Field) -> dict[str, Any]:
    """One kind of vectors, in a few JSON values."""
    vectors = pictures.count({"exists": {"field": field.path}})
    each = field.kind.bytes_for(field.dim)
    return {
        "index": plan.index,
        "structure": field.kind.structure,
        "dim": field.dim,
        "pca": 0,
        "distance": field.distance.name,
        "fingerprint": field.fingerprint,
        "vectors": vectors,
        "fresh": 0,
        "cache_bytes": 0,
        "memory_bytes": round(each * vectors),
        "bytes_per_vector": round(each, 1),
    }


def health(pictures: Reading) -> dict[str, Any]:
    """How the collection's shards are; red also if one of its indices is gone."""
    cluster = pictures.cluster
    every = [pictures.index, *mapping.companions(cluster.address)]
    said = cluster.ask(
        lambda c: c.options(ignore_status=408).cluster.health(index=every, timeout="0s")
    )
    return {
        "health": said["status"],
        "nodes": said["number_of_data_nodes"],
        "shards": said["active_shards"],
        "shards_missing": said["unassigned_shards"],
    }


def cluster(pictures: Reading) -> Finding:
    """Whether all shards of the collection answer."""
    said = health(pictures)
    text = f"{said['health']}, {said['nodes']} nodes, {said['shards']} shards"
    if said["shards_missing"]:
        text += f"; {said['shards_missing']} shards or copies of them are on no node"
    return Finding("cluster", sound=said["health"] != "red", text=text)


def records(pictures: Reading) -> Finding:
    """Whether every picture has a place."""
    nowhere = pictures.count({"bool": {"must_not": [{"range": {"lies": {"gt": 0}}}]}})
    text = f"{pictures.count(_EVERY):,} pictures, {nowhere} of them without a place"
    return Finding("records", sound=nowhere == 0, text=text)


def state(pictures: Reading) -> object:
    """What is equal until somebody writes."""
    said = pictures.cluster.ask(
        lambda c: c.indices.stats(
            index=pictures.index,
            level="shards",
            filter_path="indices.*.shards.*.seq_no.max_seq_no,indices.*.shards.*.routing.primary",
        )
    )
    shards = said.get("indices", {}).get(pictures.index, {}).get("shards", {})
    return {
        number: max(each["seq_no"]["max_seq_no"] for each in copies)
        for number, copies in shards.items()
    }


def facets(pictures: Reading, where: Filter | None, most_labels: int) -> Facets:
    """How many pictures that pass a filter have each label, format and size."""
    passing = _EVERY if where is None else conditions.passing(where)
    bounds = [0, *SIDES]
    ranges = [
        {"from": low, **({"to": high} if high else {})}
        for low, high in zip(bounds, [*SIDES, None], strict=True)
    ]
    answer = pictures.cluster.searched(
        index=pictures.index,
        query=passing,
        size=0,
        aggs={
            "formats": {"terms": {"field": "format", "size": _MOST_FORMATS}},
            "sizes": {
                "filter": {"range": {"width": {"gt": 0}}},
                "aggs": {"sides": {"range": {"field": "side", "ranges": ranges}}},
            },
            **_labels(where, most_labels),
        },
    )["aggregations"]
    found = Counter(
        {each["key"]: each["doc_count"] for each in answer["whole"]["labels"]["buckets"]}
    )
    if where is not None:
        for each in answer["several"]["passing"]["labels"]["buckets"]:
            found[each["key"]] += each["pictures"]["doc_count"]
    return Facets(
        sorted(found.items(), key=lambda each: (-each[1], each[0]))[:most_labels],
        [(each["key"], each["doc_count"]) for each in answer["formats"]["buckets"]],
        [each["doc_count"] for each in answer["sizes"]["sides"]["buckets"]],
    )


def _labels(where: Filter | None, most: int) -> dict[str, Any]:
    """Pictures by label: `whole` of those of which all places count, `several` of the others."""
    # So many that the first of all shards are there, and of both kinds.
    size = most + _MORE_LABELS
    if where is None:
        return {"whole": {"filter": _EVERY, "aggs": _terms("labels", size)}}
    of_places = _terms("places.label", size)
    of_places["labels"]["terms"]["order"] = [{"pictures": "desc"}, {"_key": "asc"}]
    of_places["labels"]["aggs"] = {"pictures": {"reverse_nested": {}}}
    return {
        "whole": {"filter": {"term": {"lies": 1}}, "aggs": _terms("labels", size)},
        "several": {
            "nested": {"path": "places"},
            "aggs": {"passing": {"filter": conditions.of_several(where), "aggs": of_places}},
        },
    }


def _terms(field: str, size: int) -> dict[str, Any]:
    return {"labels": {"terms": {"field": field, "size": size}}}

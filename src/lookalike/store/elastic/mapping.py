"""What the indices of a collection are made like, and what they say of themselves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...distances import Distance, distance_named
from ...errors import ClusterUnsuited, CollectionTooNew, NotACollection
from .. import EmbeddingPlan
from .address import Address
from .kinds import BITS_FROM, BBQHNSWOptions, Kind, kind_for

VERSION = 1
_LONGEST_VECTOR = 4096
_TEXT = {"type": "keyword", "ignore_above": 8191}
_COPIED = {"type": "keyword", "index": False, "doc_values": False}
_KEPT = {"type": "object", "enabled": False}
"""Given back as it is, and not looked into."""
_ASKED = {
    "format": _TEXT,
    "width": {"type": "double"},
    "height": {"type": "double"},
    "bytes": {"type": "double"},
    "added": {"type": "double"},
}
"""What a filter may ask of a picture, wherever it lies."""
OF_PICTURE = tuple(_ASKED)
_LYING = {
    "modified": {"type": "double"},
    "size": {"type": "long", "index": False},
    "modified_ns": {"type": "long", "index": False},
    "checked": {"type": "double", "index": False},
    "metadata": _KEPT,
    "said": {"type": "keyword", "doc_values": False},
    "words": {"type": "text", "index": False, "copy_to": "words"},
}
_ONE = {
    **_LYING,
    "path": {**_COPIED, "copy_to": "paths"},
    "label": {**_COPIED, "copy_to": "labels"},
}
_SEVERAL = {
    **_LYING,
    **_ASKED,
    "path": {**_TEXT, "doc_values": False, "copy_to": "paths"},
    "label": {**_TEXT, "copy_to": "labels"},
}
_PICTURE = {
    **_ASKED,
    "id": _TEXT,
    "order": {"type": "long"},
    "changed": {"type": "long"},
    "side": {"type": "integer"},
    "lies": {"type": "integer"},
    # A nested document is one more that searches have to pass over, so there is none for most.
    "place": {"properties": _ONE},
    "places": {"type": "nested", "properties": _SEVERAL},
    "paths": {**_TEXT, "doc_values": False},
    "labels": _TEXT,
    "words": {"type": "text"},
    "record": {"type": "binary", "doc_values": True},
}


@dataclass(frozen=True, slots=True)
class Field:
    """One kind of vectors in an index."""

    name: str
    """Of the field; its generation is in it, so that no process writes to what is another's."""
    dim: int
    fingerprint: str
    distance: Distance
    kind: Kind

    @property
    def path(self) -> str:
        """As a query has it."""
        return f"v.{self.name}"


@dataclass(frozen=True, slots=True)
class About:
    """What an index of pictures says of itself."""

    recipe: str
    generation: int
    embeddings: Mapping[str, Mapping[str, Any]]
    """By name: `dim` and `fingerprint`."""
    begun_ns: int
    """When it was made, in nanoseconds since 1970."""


def index_of(address: Address, generation: int) -> str:
    """The index of a collection's pictures, in its first life or a later one."""
    return f"{address.name}-pictures-{generation}"


def writing_alias(index: str) -> str:
    """By which an index is written to: without it nothing is made by chance."""
    return f"{index}.write"


def field_of(plan: EmbeddingPlan, generation: int) -> Field:
    """The field of what is planned."""
    kind = kind_for(plan.index, plan.index_options, plan.elastic, plan.dim)
    name = f"{plan.name}_{generation}"
    return Field(name, plan.dim, plan.fingerprint, distance_named(plan.distance), kind)


def check_plans(address: Address, plans: Sequence[EmbeddingPlan]) -> None:
    """`ClusterUnsuited` for vectors that Elasticsearch cannot hold, before anything is made."""
    for plan in plans:
        if plan.dim > _LONGEST_VECTOR:
            raise ClusterUnsuited(
                str(address),
                f"vectors have at most {_LONGEST_VECTOR:,} values there, {plan.name} has "
                f"{plan.dim:,}",
            )
        if plan.pca:
            raise ClusterUnsuited(
                str(address),
                f"{plan.name} has pca = {plan.pca}, which is for collections in a folder: leave it "
                'out, and compress by [embeddings.NAME.elastic] name = "bbq_hnsw"',
            )
        kind = field_of(plan, 1).kind
        if isinstance(kind, BBQHNSWOptions) and plan.dim < BITS_FROM:
            raise ClusterUnsuited(
                str(address),
                f"bbq_hnsw wants {BITS_FROM} values or more, {plan.name} has {plan.dim}: use "
                "int8_hnsw",
            )


def pictures(
    address: Address, recipe: str, plans: Sequence[EmbeddingPlan], generation: int
) -> dict[str, Any]:
    """The body that makes the index of pictures."""
    fields = [field_of(plan, generation) for plan in plans]
    vectors = {each.name: _vector(each) for each in fields}
    said = {
        "format": VERSION,
        "recipe": recipe,
        "generation": generation,
        "begun_ns": time.time_ns(),
        "embeddings": {
            plan.name: {"dim": plan.dim, "fingerprint": plan.fingerprint} for plan in plans
        },
    }
    return {
        "settings": {
            "number_of_shards": address.options.shards,
            "number_of_replicas": address.options.replicas,
            "mapping.nested_objects.limit": 100_000,
            "codec": "best_compression",  # no search reads whole documents
            "refresh_interval": "1s",
        },
        "mappings": {
            "dynamic": "strict",
            "_meta": {"lookalike": said},
            "properties": {
                **_PICTURE,
                "v": {"properties": vectors},
                "came": {"properties": {each.name: {"type": "binary"} for each in fields}},
            },
        },
        "aliases": {writing_alias(index_of(address, generation)): {}},
    }


def companions(address: Address) -> dict[str, dict[str, Any]]:
    """The bodies of the other indices, by name."""
    settings = {"number_of_shards": 1, "number_of_replicas": address.options.replicas}
    spread = {**settings, "number_of_shards": address.options.shards}
    properties: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        # Paths that gave no picture, by a digest of the path.
        "ledger": (
            spread,
            {
                "path": _TEXT,
                "reason": {"type": "keyword", "index": False, "doc_values": False},
                "retry": {"type": "boolean"},
                "recognised": {"type": "boolean"},
                "size": {"type": "long", "index": False},
                "modified_ns": {"type": "long", "index": False},
                "checked": {"type": "double"},
            },
        ),
        # Local features, packed, by the picture's id.
        "local": (
            spread,
            {
                "fingerprint": _TEXT,
                "row": {"type": "long"},
                "order": {"type": "long"},
                "bytes": {"type": "long"},
                "features": {"type": "binary"},
            },
        ),
        # What is small: judgements, calibration, tuning, what extractors have learned.
        "about": (
            settings,
            {"kind": _TEXT, "judged": {"type": "double"}, "said": _KEPT},
        ),
    }
    return {
        f"{address.name}-{name}": {
            "settings": own,
            "mappings": {"dynamic": "strict", "properties": fields},
            "aliases": {writing_alias(f"{address.name}-{name}"): {}},
        }
        for name, (own, fields) in properties.items()
    }


def about(address: Address, mappings: Mapping[str, Any]) -> About:
    """What the index of pictures says; `NotACollection` if it is not one of ours."""
    said = mappings.get("_meta", {}).get("lookalike")
    if said is None:
        raise NotACollection(str(address), "the index of that name is not one of ours")
    if said["format"] > VERSION:
        raise CollectionTooNew(str(address), said["format"], VERSION)
    return About(said["recipe"], said["generation"], said["embeddings"], said["begun_ns"])


def _vector(field: Field) -> dict[str, Any]:
    return {
        "type": "dense_vector",
        "dims": field.dim,
        "index": True,
        "similarity": similarity(field.distance),
        "index_options": field.kind.index_options(),
    }


def similarity(distance: Distance) -> str:
    """By which Elasticsearch finds what is near by a distance."""
    if distance.metric != "inner product":
        return "l2_norm"
    return "dot_product" if distance.normalised else "max_inner_product"

"""What hangs in the air in the indices of a collection, and pictures that lost their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...types import Vectors
from .. import Loose
from . import documents
from .cluster import Write
from .conditions import Query
from .mapping import Field, writing_alias
from .reading import Reading

_NOWHERE: Query = {"bool": {"must_not": [{"range": {"lies": {"gt": 0}}}]}}
_EVERY: Query = {"match_all": {}}


def loose(pictures: Reading, local: Reading) -> Loose:
    """What belongs to no picture; vectors and places cannot, as they are in its document."""
    stray = sum(len(ids) for ids in _stray(pictures, local))
    return Loose(0, stray, pictures.count(_NOWHERE), [])


def drop_loose(pictures: Reading, local: Reading) -> None:
    """Delete all that, what has come by a place meanwhile excepted."""
    for hits in pictures.every(_NOWHERE, False):
        found = pictures.by_ids([hit["_id"] for hit in hits], {"includes": ["lies"]})
        writes = [
            Write("delete", pictures.index, id, None, (each["_seq_no"], each["_primary_term"]))
            for id, each in found.items()
            if not each["_source"].get("lies")
        ]
        pictures.cluster.write(writes)
    for ids in list(_stray(pictures, local)):  # those of the former among them
        local.cluster.write([Write("delete", local.index, id) for id in ids])


def mend(
    pictures: Reading,
    ids: Sequence[str],
    fields: Mapping[str, Field],
    vectors: Mapping[str, Vectors],
) -> None:
    """Give pictures that are there their vectors anew, by embedding, float32 [len(ids), dim]."""
    names = {name: (fields[name].name, fields[name].distance) for name in vectors}
    parts = documents.vector_fields(names, vectors)
    there = pictures.by_ids(ids, source=False)
    index = writing_alias(pictures.index)
    pictures.cluster.write(
        [
            Write("update", index, id, part, (there[id]["_seq_no"], there[id]["_primary_term"]))
            for id, part in zip(ids, parts, strict=True)
            if id in there
        ]
    )


def _stray(pictures: Reading, local: Reading) -> Iterator[list[str]]:
    """The ids of local features whose picture is not there."""
    for hits in local.every(_EVERY, False):
        ids = [hit["_id"] for hit in hits]
        there = pictures.by_ids(ids, source=False)
        lone = [id for id in ids if id not in there]
        # A search goes on finding what has been deleted until the next refresh.
        stray = list(local.by_ids(lone, source=False)) if lone else []
        if stray:
            yield stray

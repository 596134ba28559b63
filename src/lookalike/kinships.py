"""What hits are to the query: copies, other pictures of the scene, or only alike."""

from __future__ import annotations

import numpy as np

from .compare import Subject
from .compare.kinship import kinship
from .engine import Engine
from .errors import PictureError
from .subjects import Original, Subjects, stored
from .types import Evidence, Hit, Kinship, Picture

_BY_PIXELS = 10
"""Hits that are laid over the query; those that come later are told by their matches alone."""


def related(
    hits: list[Hit], which: list[bool], query: Subjects, engine: Engine, original: Original
) -> list[Hit]:
    """The hits, those with their kinship in which geometry has found enough of the query.

    `which`: whether it has, for each; `query`: one. A picture that has gone is told by its matches.
    """
    found = [hit for hit, enough in zip(hits, which, strict=True) if enough]
    if not found:
        return hits
    candidates = stored(engine, [hit.record for hit in found[:_BY_PIXELS]], original)
    ours = _picture(query[0])
    theirs = [_picture(each) for each in candidates] + [None] * len(found[_BY_PIXELS:])
    kin = {
        hit.id: kinship(hit.evidence, ours, picture)
        for hit, picture in zip(found, theirs, strict=True)
    }
    return [hit._replace(kinship=kin.get(hit.id)) for hit in hits]


def of_pair(evidence: Evidence | None, query: Subject, candidate: Subject) -> Kinship | None:
    """What one picture is to another, by their pixels as far as they can be had.

    The same pixels are a copy, though they have nothing that geometry could go by.
    """
    ours, theirs = _picture(query), _picture(candidate)
    if evidence is None:
        return "copy" if _has_the_pixels_of(ours, theirs) else None
    return kinship(evidence, ours, theirs)


def _has_the_pixels_of(one: Picture | None, other: Picture | None) -> bool:
    if one is None or other is None or one.original_size != other.original_size:
        return False
    return np.array_equal(one.pixels, other.pixels)


def _picture(subject: Subject) -> Picture | None:
    try:
        return subject.picture
    except PictureError:
        return None

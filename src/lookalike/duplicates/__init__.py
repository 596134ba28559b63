"""Pictures of a collection that show the same: found, grouped, and cleared away if one wants that.

    found = duplicates.find(collection)
    for group in found.groups:
        print(group.keep.place.path, group.why, [each.place.path for each in group.others])

Candidates come from the stored vectors, each of which asks for its nearest, and from the votes of
local features where the recipe keeps such; they are verified by pixels and by geometry; groups do
not chain (`grouping`). `clearing` moves or links files, with a log that takes all of it back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Collection as Container
from dataclasses import replace

from .. import sources
from ..collection import Collection
from ..errors import BadQuery
from ..types import Place, Record
from . import keeping
from .candidates import ALIKE, LIKELY, Candidates
from .grouping import Star, grouped
from .relations import Relations
from .values import KINDS, Duplicates, Group, Kind, Member, Relation

__all__ = ["KINDS", "Duplicates", "Group", "Kind", "Member", "Relation", "find"]

OnStep = Callable[[str, int | None, int | None], None]
"""Told what is being done, how much of it has been, and of how much."""


def find(
    collection: Collection,
    kinds: Container[str] = KINDS,
    *,
    on_step: OnStep = lambda _doing, _done, _total: None,
) -> Duplicates:
    """All groups of these kinds. Nothing is changed but that local features are made and kept.

    Those are made of pictures that have none and look like another one: what takes longest, once.
    `BadQuery` for no kind, or one that there is not.
    """
    wanted = _checked(kinds)
    started = time.monotonic()
    judgements = collection.judgements()
    on_step("looking for candidates", None, None)
    candidates = Candidates(collection)
    closely = wanted != ("exact",)
    candidates.by_vector(LIKELY if closely else ALIKE)
    if closely and collection.recipe.local.use.matching == "votes":
        on_step("asking local features", None, None)
        candidates.by_votes()
    candidates.judged(judgements)
    there, gone = _there(candidates.every())
    candidates.drop(record.id for record in candidates.every() if record.id not in there)
    relations = Relations(collection, wanted, judgements, candidates.scores)
    records = sorted(there.values(), key=lambda each: (*keeping.order(each), each.id))
    _prepare(relations, records, on_step)
    stars = grouped(_told(records, on_step), candidates.of, relations.between, relations.rejected)
    groups = [_group(collection, star, relations, there) for star in stars]
    if "exact" in wanted:
        already = {id for star in stars for id in star.ids}
        several, gone_too = _in_several_places(collection, already)
        groups += several
        gone += gone_too
    groups.sort(key=lambda group: (-group.size, group.keep.place.path))
    return Duplicates(
        wanted,
        groups,
        len(collection),
        relations.compared,
        relations.described,
        tuple(dict.fromkeys(gone)),
        time.monotonic() - started,
    )


_AT_ONCE = 512
"""Pictures whose local features are made and kept at a time."""


def _checked(kinds: Container[str]) -> tuple[Kind, ...]:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        said = ", ".join(map(str, unknown)) or "none"
        raise BadQuery(f"the kinds of duplicates are {', '.join(KINDS)}, not {said}")
    return tuple(kind for kind in KINDS if kind in kinds)


def _there(records: Sequence[Record]) -> tuple[dict[str, Record], list[str]]:
    """By id those that still lie somewhere, each at the places that are there; the other places."""
    there, gone = {}, []
    for record in records:
        places = tuple(place for place in record.places if _is_there(place))
        gone += [place.path for place in record.places if place not in places]
        if places:
            there[record.id] = replace(record, places=places)
    return there, gone


def _is_there(place: Place) -> bool:
    """What is not on this disk counts as there."""
    return not place.path.startswith(("/", "file://")) or sources.exists(place.path)


def _prepare(relations: Relations, records: Sequence[Record], on_step: OnStep) -> None:
    for start in range(0, len(records), _AT_ONCE):
        on_step("making local features", start, len(records))
        relations.prepare(records[start : start + _AT_ONCE])


def _told(records: Sequence[Record], on_step: OnStep) -> Iterator[Record]:
    for number, record in enumerate(records):
        if number % _AT_ONCE == 0:
            on_step("comparing", number, len(records))
        yield record


def _group(
    collection: Collection, star: Star, relations: Relations, there: Mapping[str, Record]
) -> Group:
    """A star as a group around the best of it that all others are related to, if any are.

    The leader is such a one; a better one, by sharpness, has to prove that it is one as well.
    """
    left = [there[each.id] for each in (star.leader, *(each for each, _ in star.members))]
    every = list(left)
    known: dict[str, float] = {}

    def sharpnesses(records: Sequence[Record]) -> dict[str, float]:
        known.update(
            keeping.sharpnesses(collection, [each for each in records if each.id not in known])
        )
        return known

    while True:
        keep, why = keeping.best(left, sharpnesses)
        others = [each for each in every if each is not keep]
        related = relations.between(keep, others)
        if all(related):
            break
        left.remove(keep)
    first, *more = keep.places
    members = [Member(keep, place, _ITSELF) for place in more if "exact" in relations.kinds]
    members += [
        Member(record, place, relation)
        for record, relation in zip(others, related, strict=True)
        if relation is not None
        for place in record.places
    ]
    return Group(Member(keep, first, _ITSELF), why, tuple(members))


_ITSELF = Relation("exact")


def _in_several_places(
    collection: Collection, but: Container[str]
) -> tuple[list[Group], list[str]]:
    """A group for each picture that lies at several places, but those that are in one already."""
    several = [each for each in collection.store.in_several_places() if each.id not in but]
    there, gone = _there(several)
    groups = []
    for record in there.values():
        first, *more = (Member(record, place, _ITSELF) for place in record.places)
        if more:
            groups.append(Group(first, "the first place where it was found", tuple(more)))
    return groups, gone

"""Who belongs together. Groups do not chain: all in one were compared with the one that leads it.

A like B and B like C does not make A like C: a chain of pictures, each like the next, would end in
one group of things that have nothing in common. So the first picture in order leads, takes those
that are related to itself, and no more; the next that is left leads the next group. It is the
"star" or leader clustering of Hartigan ("Clustering Algorithms", 1975), with comparisons that grow
with the number of pairs that look alike and not with the squares of groups.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

from ..types import Record
from .values import Relation

_AT_ONCE = 8
"""So many candidates are compared at a time; if none of them is related, farther ones are not."""

Related = Callable[[Record, Sequence[Record]], Sequence[Relation | None]]
"""What each of some pictures is to one; None for nothing."""


class Star(NamedTuple):
    """A picture and those that are related to it."""

    leader: Record
    members: list[tuple[Record, Relation]]

    @property
    def ids(self) -> list[str]:
        """Of all in it."""
        return [self.leader.id, *(record.id for record, _ in self.members)]


def grouped(
    ordered: Iterable[Record],
    candidates: Callable[[Record], Sequence[Record]],
    related: Related,
    rejected: Callable[[Record, Record], bool],
) -> list[Star]:
    """The groups of two pictures and more.

    `ordered`: who leads before whom; `candidates`: who may be related to a picture, the likeliest
    first; `rejected`: whether two must not be in one group.
    """
    taken: set[str] = set()
    stars = []
    for leader in ordered:
        if leader.id in taken:
            continue
        star = _around(leader, taken, candidates, related, rejected)
        if star.members:
            taken.update(star.ids)
            stars.append(star)
    return stars


def _around(
    leader: Record,
    taken: Container[str],
    candidates: Callable[[Record], Sequence[Record]],
    related: Related,
    rejected: Callable[[Record, Record], bool],
) -> Star:
    """What is related to the leader, among its candidates and those of its copies.

    A turned copy and a mirrored one may not name each other where both name their original.
    """
    star = Star(leader, [])
    compared = {leader.id}
    asked = [leader]
    for record in asked:  # which grows by the copies that are found
        free = [
            each
            for each in candidates(record)
            if each.id not in taken and each.id not in compared and not rejected(leader, each)
        ]
        for start in range(0, len(free), _AT_ONCE):
            some = free[start : start + _AT_ONCE]
            found = related(leader, some)
            compared.update(each.id for each in some)
            for each, relation in zip(some, found, strict=True):
                if relation is not None and not _is_rejected(each, star, rejected):
                    star.members.append((each, relation))
                    if relation.kind != "near":  # a burst ends, and what is near its end is not it
                        asked.append(each)
            if not any(found):
                break
    return star


def _is_rejected(record: Record, star: Star, rejected: Callable[[Record, Record], bool]) -> bool:
    return any(rejected(record, member) for member, _ in star.members)

"""What is found: groups of pictures that show the same, and which of each is worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ..types import Place, Record

Kind = Literal["exact", "copy", "near"]
KINDS: tuple[Kind, ...] = ("exact", "copy", "near")
"""The same content or pixels; the same picture, edited; the same scene or burst. Closest first."""


Pair = tuple[str, str]
"""Two ids, the lower one first."""


def pair_of(a: Record, b: Record) -> Pair:
    """Two pictures, in either order."""
    return (a.id, b.id) if a.id < b.id else (b.id, a.id)


class Relation(NamedTuple):
    """What one picture is to another."""

    kind: Kind
    inliers: int | None = None
    """Matches that agree, where geometry was asked."""
    judged: bool = False
    """Whether somebody has said so."""


@dataclass(frozen=True, slots=True)
class Member:
    """A picture of a group at one of its places."""

    record: Record
    place: Place
    relation: Relation
    """To the one that is kept; `exact` for that itself."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.place.size or self.record.size

    def to_json(self) -> dict[str, Any]:
        """As `lookalike duplicates --json` prints it."""
        return {
            "id": self.record.id,
            "path": self.place.path,
            "kind": self.relation.kind,
            "inliers": self.relation.inliers,
            "judged": self.relation.judged,
            "width": self.record.width,
            "height": self.record.height,
            "bytes": self.size,
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that show the same as the one that is kept: each was compared with that itself."""

    keep: Member
    why: str
    """Why this one is kept, for a person."""
    others: tuple[Member, ...]

    @property
    def kind(self) -> Kind:
        """The loosest of its members' relations."""
        return max((each.relation.kind for each in self.others), key=KINDS.index)

    @property
    def size(self) -> int:
        """Bytes of all but the one that is kept."""
        return sum(each.size for each in self.others)

    def to_json(self) -> dict[str, Any]:
        """As `lookalike duplicates --json` prints it."""
        return {
            "kind": self.kind,
            "bytes": self.size,
            "keep": {**self.keep.to_json(), "why": self.why},
            "others": [each.to_json() for each in self.others],
        }


@dataclass(frozen=True, slots=True)
class Duplicates:
    """All that was found in a collection, and what it took."""

    kinds: tuple[Kind, ...]
    """What was looked for."""
    groups: Sequence[Group]
    """What takes most space first."""
    pictures: int
    """How many there are in the collection."""
    compared: int
    """Pairs of pictures that were looked at closely."""
    described: int
    """Pictures whose local features had to be made for that."""
    gone: Sequence[str]
    """Places where there is nothing any more, though candidates: they are in no group."""
    seconds: float

    @property
    def others(self) -> int:
        """How many files are not the one that their group keeps."""
        return sum(len(group.others) for group in self.groups)

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(group.size for group in self.groups)

    def to_json(self) -> dict[str, Any]:
        """As `lookalike duplicates --json` prints it."""
        return {
            "kinds": list(self.kinds),
            "groups": [group.to_json() for group in self.groups],
            "others": self.others,
            "bytes": self.size,
            "pictures": self.pictures,
            "compared": self.compared,
            "described": self.described,
            "gone": list(self.gone),
            "seconds": round(self.seconds, 3),
        }

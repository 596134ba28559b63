"""What lies where: pictures and their places, written and read; and paths that gave none.

A picture is one document, written whole, with all its places. There is no transaction over several
documents: where one picture takes a place from another, the new one is written first, and of two
that claim a place the later one has it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...places import plain_text
from ...types import Place
from .. import Arrival, LedgerEntry, Outcome, Refusal, Verdict
from ..writes import vanished
from .cluster import Cluster, Write
from .conditions import Query
from .documents import Draft, Source, path_id, places_of
from .mapping import writing_alias
from .reading import MOST, Reading

_TRIES = 20
"""Times that somebody else may come first."""
_PATHS_AT_ONCE = 5_000
_TWICE = "the picture that was there before is still said to be: a process ended in between"


class Places:
    """Of one collection."""

    def __init__(
        self, pictures: Reading, ledger: Reading, on_gone: Callable[[Sequence[str]], None]
    ) -> None:
        """`on_gone` is told of pictures that are stored no more."""
        self._pictures = pictures
        self._on_gone = on_gone
        self._ledger = ledger
        self._cluster: Cluster = pictures.cluster

    def put(
        self, arrivals: Sequence[Arrival], vectors: Sequence[Mapping[str, Any]]
    ) -> list[Outcome]:
        """Store pictures, `vectors`: of each, what its document has of them."""
        outcomes: dict[int, Outcome] = {}
        own: set[int] = set()
        pending = list(range(len(arrivals)))
        for _ in range(_TRIES):
            paths = [p.path for n in pending for p in _places(arrivals[n])]
            state = self._state({arrivals[n].sha256.hex() for n in pending}, paths)
            of: dict[str, int] = {}
            touched: dict[int, set[str]] = {}
            for number in pending:
                arrival = arrivals[number]
                outcome, ids = state.put(arrival)
                of.setdefault(arrival.sha256.hex(), number)
                touched[number] = ids
                draft = state.drafts[arrival.sha256.hex()]
                # What came first, and was written though the answer was lost, is told as it was.
                mine = draft.seen is not None and draft.about["order"] in own
                outcomes[number] = outcomes.get(number, outcome) if mine else outcome
            own |= {d.about["order"] for d in state.drafts.values() if d.seen is None}
            late = self._write(state, {id: vectors[number] for id, number in of.items()})
            pending = [number for number in pending if touched[number] & late]
            if not pending:
                return [outcomes[number] for number in range(len(arrivals))]
        raise self._cluster.too_busy()

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """Note paths that gave no picture. One that may be retried keeps what it gave before."""
        gone = [each.place.path for each in refusals if not each.retry]
        index = writing_alias(self._ledger.index)
        self._cluster.write(
            [Write("index", index, path_id(r.place.path), _refused(r)) for r in refusals]
        )
        if gone:
            self._changed(gone, lambda state: state.drop_all(gone))

    def describe(self, places: Sequence[Place]) -> None:
        """Give places that are known their label and metadata anew."""

        def described(state: _State) -> None:
            for place in places:
                path = plain_text(place.path)
                draft = state.drafts.get(state.owner.get(path, ""))
                if draft is not None:
                    said = draft.places[path]
                    before = (said["label"], said["metadata"])
                    kept = replace(place, size=said["size"], modified_ns=said["modified_ns"])
                    changed, draft.changed = draft.changed, True
                    draft.put(kept)
                    after = draft.places[path]
                    draft.changed = changed or before != (after["label"], after["metadata"])

        self._changed([place.path for place in places], described)

    def forget(self, paths: Sequence[str]) -> int:
        """Drop places, and the pictures that lie nowhere else; how many pictures went."""
        gone: set[str] = set()

        def dropped(state: _State) -> None:
            gone.clear()
            state.drop_all(paths)
            gone.update(id for id, draft in state.drafts.items() if not draft.places)

        self._changed(paths, dropped)
        known = self._ledger.by_ids([path_id(path) for path in paths], source=False)
        index = writing_alias(self._ledger.index)
        self._cluster.write([Write("delete", index, id) for id in known])
        return len(gone)

    def ledger(self, paths: Sequence[str]) -> dict[str, LedgerEntry]:
        """What became of those of these paths that were ever seen."""
        wanted = {plain_text(path): path for path in paths}
        refused = self._ledger.by_ids([path_id(path) for path in wanted])
        reasons = {each["_source"]["path"]: each["_source"] for each in refused.values()}
        drafts, owner = self._lying_at(list(wanted))
        entries = {}
        twice = {path for path, _ in _outlived(drafts, owner)}
        for path, given in wanted.items():
            draft = drafts.get(owner.get(path, ""))
            entry = _entry(path, draft, reasons.get(path), twice=path in twice)
            if entry is not None:
                entries[given] = entry
        return entries

    def refused(self) -> Iterator[LedgerEntry]:
        """Every path that gave no picture."""
        found = [
            hit["_source"]["path"]
            for block in self._ledger.every({"match_all": {}}, ["path"])
            for hit in block
        ]
        found.sort()
        for start in range(0, len(found), _PATHS_AT_ONCE):
            entries = self.ledger(found[start : start + _PATHS_AT_ONCE])
            yield from (each for each in entries.values() if each.reason is not None)

    def paths_below(self, root: str) -> list[str]:
        """The paths ever seen that are `root`, or lie in it or inside it as an archive."""
        folder = root.rstrip("/")
        begins = (folder + "/", folder + "!/")

        def below(path: str) -> bool:
            return path == root or path.startswith(begins)

        def asked(field: str) -> Query:
            either = [{"term": {field: root}}, *({"prefix": {field: each}} for each in begins)]
            return {"bool": {"should": either}}

        found: set[str] = set()
        for block in self._pictures.every(asked("paths"), ["place.path", "places.path"]):
            found |= {p["path"] for hit in block for p in places_of(hit["_source"])}
        for block in self._ledger.every(asked("path"), ["path"]):
            found |= {hit["_source"]["path"] for hit in block}
        return [path for path in found if below(path)]

    def counts(self) -> tuple[int, int]:
        """How many paths gave no picture: such as look like one, and others."""
        recognised = self._ledger.count({"term": {"recognised": True}})
        return recognised, self._ledger.count({"term": {"recognised": False}})

    def _changed(self, paths: Sequence[str], change: Callable[[_State], object]) -> None:
        """Change what lies at these paths, again should somebody else come first."""
        for _ in range(_TRIES):
            state = self._state(set(), paths)
            change(state)
            if not self._write(state, {}):
                return
        raise self._cluster.too_busy()

    def _state(self, ids: set[str], paths: Sequence[str]) -> _State:
        wanted = [plain_text(path) for path in paths]
        drafts, owner = self._lying_at(wanted, ids)
        refused = self._ledger.by_ids([path_id(path) for path in wanted], source=False)
        for path, former in list(_outlived(drafts, owner)):
            former.drop(path)
        return _State(drafts, owner, set(refused))

    def _lying_at(
        self, paths: Sequence[str], ids: set[str] | None = None
    ) -> tuple[dict[str, Draft], dict[str, str]]:
        """The pictures that lie at these paths, or have these ids; which lies at each path."""
        known = sorted(ids or ())
        drafts: dict[str, Draft] = {}
        for id, found in (self._pictures.by_ids(known) if known else {}).items():
            drafts[id] = Draft.of(found)
        for start in range(0, len(paths), _PATHS_AT_ONCE):
            query = {"terms": {"paths": list(paths[start : start + _PATHS_AT_ONCE])}}
            hits = self._pictures.hits(query, seq_no_primary_term=True, size=MOST)
            for hit in hits:
                if hit["_id"] not in drafts:
                    drafts[hit["_id"]] = Draft.of(hit)
        owner: dict[str, str] = {}
        asked = set(paths)
        for id, draft in drafts.items():
            for path, place in draft.places.items():
                other = drafts.get(owner.get(path, ""))
                if path in asked and (
                    other is None or other.places[path]["checked"] < place["checked"]
                ):
                    owner[path] = id
        return drafts, owner

    def _write(self, state: _State, vectors: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """Write what has changed; the ids of those where somebody else came first."""
        index = writing_alias(self._pictures.index)
        first: list[Write] = []
        then: list[Write] = []
        for draft in state.drafts.values():
            if not draft.changed:
                continue
            if draft.seen is None:
                if draft.places:
                    body = {**draft.body(), **vectors[draft.id]}
                    first.append(Write("create", index, draft.id, body))
            elif draft.places:
                write = Write("update", index, draft.id, draft.body(), draft.seen)
                (first if draft.added else then).append(write)
            else:
                then.append(Write("delete", self._pictures.index, draft.id, None, draft.seen))
        late: set[str] = set()
        for writes in (first, then):
            made = self._cluster.write(writes)
            late |= {write.id for write, done in zip(writes, made, strict=True) if not done}
            if late:
                return late | {write.id for write in then}
        self._on_gone([write.id for write in then if write.action == "delete"])
        paths = [path for draft in state.drafts.values() for path in draft.added]
        cleared = [id for id in map(path_id, paths) if id in state.refused]
        ledger = writing_alias(self._ledger.index)
        self._cluster.write([Write("delete", ledger, id) for id in cleared])
        return set()


class _State:
    """Pictures and places as they are, and as a batch of changes makes them."""

    def __init__(self, drafts: dict[str, Draft], owner: dict[str, str], refused: set[str]) -> None:
        self.drafts = drafts
        self.owner = owner
        """The picture that lies at a path."""
        self.refused = refused
        """The ids of paths that gave no picture."""

    def put(self, arrival: Arrival) -> tuple[Outcome, set[str]]:
        """Have a picture lie at its places; what became of it, and the pictures that changed."""
        id = arrival.sha256.hex()
        draft = self.drafts.get(id)
        known = draft is not None and bool(draft.places)
        if draft is None or not draft.places:
            draft = self._anew(arrival, draft)
        places = {plain_text(place.path): place for place in _places(arrival)}
        before = {self.owner.get(path) for path in places}
        if known:
            path = plain_text(arrival.place.path)
            places[path] = self._instead_of_vanished(draft, arrival.place, places)
        ids = {id}
        for path, place in places.items():
            old = self.owner.get(path)
            if old is not None and old != id:
                self.drafts[old].drop(path)
                ids.add(old)
            draft.put(place)
            self.owner[path] = id
        if before == {id}:
            return "unchanged", ids
        if any(old is not None and old != id for old in before):
            return "replaced", ids
        return ("copy" if known else "stored"), ids

    def drop_all(self, paths: Sequence[str]) -> None:
        """Have nothing lie at these paths."""
        for path in map(plain_text, paths):
            id = self.owner.pop(path, None)
            if id is not None:
                self.drafts[id].drop(path)

    def _anew(self, arrival: Arrival, gone: Draft | None) -> Draft:
        """A picture that is not there yet, or that has lost all its places in this batch."""
        draft = Draft.new(arrival)
        if gone is not None:
            draft.seen = gone.seen
        self.drafts[draft.id] = draft
        return draft

    def _instead_of_vanished(self, draft: Draft, place: Place, but: Mapping[str, Place]) -> Place:
        """See the embedded store's: a picture whose old file is gone has been moved."""
        gone = [path for path in draft.places if path not in but and vanished(path)]
        if not gone or vanished(place.path):
            return place
        for path in gone:
            said = draft.places[path]
            self.owner.pop(path, None)
            draft.drop(path)
            if said["metadata"] != "{}" and not place.metadata:
                place = replace(place, label=said["label"], metadata=json.loads(said["metadata"]))
        return place


def _outlived(drafts: Mapping[str, Draft], owner: Mapping[str, str]) -> Iterator[tuple[str, Draft]]:
    """Each place with a picture that lies there still, though a later one does, too.

    As it is between two writes of a process, and after one that was killed there.
    """
    for id, draft in drafts.items():
        for path in draft.places:
            if owner.get(path, id) != id:
                yield path, draft


def _places(arrival: Arrival) -> tuple[Place, ...]:
    return (arrival.place, *arrival.others)


def _refused(refusal: Refusal) -> dict[str, Any]:
    place = refusal.place
    return {
        "path": plain_text(place.path),
        "reason": refusal.reason,
        "retry": refusal.retry,
        "recognised": refusal.recognised,
        "size": place.size,
        "modified_ns": place.modified_ns,
        "checked": time.time(),
    }


def _entry(
    path: str, draft: Draft | None, refused: Source | None, *, twice: bool
) -> LedgerEntry | None:
    """`twice`: whether two pictures lie there, of which the former is to be forgotten."""
    place = None if draft is None else draft.places[path]
    if place is not None and refused is not None and place["checked"] > refused["checked"]:
        refused = None
    if place is None and refused is None:
        return None
    said = refused if refused is not None else place
    assert said is not None
    first = None if draft is None else next(iter(draft.places))
    verdict: Verdict = "stored" if first == path else "copy"
    reason = _TWICE if twice else None
    if refused is not None:
        verdict, reason = ("retry" if refused["retry"] else "skipped"), refused["reason"]
    elif twice:
        verdict = "retry"
    return LedgerEntry(
        path=path,
        verdict=verdict,
        id=None if draft is None else draft.id,
        copy_of=first if draft is not None and first != path else None,
        reason=reason,
        recognised=True if refused is None else refused["recognised"],
        size=said["size"],
        modified_ns=said["modified_ns"],
        checked=said["checked"],
    )

"""Items -> a store: resumable, on all cores, with a verdict for every path.

What is stored is committed before it is counted. Running again after any interruption goes on
where it ended: unchanged files are passed over, known content is recognised by its hash.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any, Protocol

import numpy as np

from . import sources
from .decoding import Encoded
from .errors import BadSource, PictureError
from .features import Features
from .places import place_of
from .sources import Item
from .store import Arrival, LedgerEntry, Refusal, Store
from .types import LocalFeatures, Place, Vectors

_ASKED_AT_ONCE = 512


@dataclass(slots=True)
class Report:
    """What became of the paths of one ingest."""

    stored: int = 0
    """New pictures."""
    copies: int = 0
    """Further places of pictures that were stored already, and pictures that had been moved."""
    unchanged: int = 0
    replaced: int = 0
    """Paths whose content had changed."""
    removed: int = 0
    """Pictures that lie nowhere any more."""
    failed: int = 0
    """Pictures that could not be stored; the ledger has each one's reason."""
    ignored: int = 0
    """Files that are no pictures, by their bytes and by their names, and that nobody named."""
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def seen(self) -> int:
        """Paths that have their verdict."""
        return self.kept + self.failed + self.ignored

    @property
    def kept(self) -> int:
        """Paths whose picture is in the collection now."""
        return self.stored + self.copies + self.unchanged + self.replaced

    @property
    def pictures_per_second(self) -> float:
        """Pictures that were decoded and described, a second."""
        worked = self.stored + self.copies + self.replaced
        return worked / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """The report as `lookalike index --json` prints it."""
        numbers = asdict(self)
        del numbers["started"]
        numbers["seconds"] = round(self.seconds, 3)
        return {**numbers, "pictures_per_second": round(self.pictures_per_second, 1)}


OnProgress = Callable[[Report], None]


class Lanes(Protocol):
    """Who describes pictures: a `FeaturePipeline` on this machine, or workers on many."""

    def stream(
        self, pairs: Iterable[tuple[Item, Encoded | PictureError]], /
    ) -> Iterator[list[tuple[Item, Features | PictureError]]]:
        """Each with its features, or why it has none; in order, some at a time."""
        ...


def ingest(
    items: Iterable[Item],
    store: Store,
    lanes: Lanes,
    *,
    retry: bool = False,
    on_progress: OnProgress | None = None,
) -> Report:
    """Take in every item; `retry` tries again those that were refused before.

    Each picture's own failure is written into the ledger and goes on; only what concerns the
    whole, such as a full disk, is raised.
    """
    report = Report()
    tell = on_progress or (lambda _: None)
    to_do = _to_do(items, store, report, tell, retry=retry)
    for done in lanes.stream((item, encoded(item)) for item in to_do):
        _put(store, done, report)
        report.seconds = time.monotonic() - report.started
        tell(report)
    report.seconds = time.monotonic() - report.started
    tell(report)
    return report


def found(given: Iterable[str], within: sources.Within = None) -> Iterator[Item]:
    """Every item of several sources; `BadSource` if one does not exist, before the first item."""
    return chain.from_iterable([sources.find(each, within) for each in given])


def queried(given: Iterable[str]) -> Iterator[Item]:
    """The same to search with: a source that does not exist is a picture that cannot be read."""
    return chain.from_iterable([_found_or_missing(each) for each in given])


def _found_or_missing(given: str) -> Iterable[Item]:
    try:
        return sources.find(given)
    except BadSource:
        if not given or sources.exists(place_of(given)):
            raise
        return [Item(Place(given), functools.partial(_refuse, given), explicit=True)]


def _refuse(given: str) -> Encoded:
    raise PictureError(given, "it does not exist", retry=True)


def sampled(found: Callable[[], Iterator[Item]], count: int) -> Iterator[Encoded | PictureError]:
    """At most `count` of what is found, chosen evenly and always the same, in its order."""
    total = sum(1 for _ in found())
    chosen = np.random.default_rng(0).choice(total, min(count, total), replace=False)
    wanted = set(chosen.tolist())
    return (encoded(item) for number, item in enumerate(found()) if number in wanted)


def encoded(item: Item) -> Encoded | PictureError:
    """What is to be decoded, or why it cannot be read."""
    try:
        return item.encoded()
    except PictureError as error:
        return error


def prune(given: Iterable[str], store: Store) -> int:
    """Forget the places of these sources that are no longer there; how many pictures went."""
    roots = chain.from_iterable(map(sources.roots, given))
    known = {place for root in roots for place in store.paths_below(root)}
    gone = [place for place in sorted(known) if not sources.exists(place)]
    return store.forget(gone) if gone else 0


def arrival_of(features: Features, place: Place) -> Arrival:
    """A described picture as a store takes it."""
    width, height = features.original_size
    return Arrival(features.sha256, features.format, width, height, features.byte_size, place)


def stacked(every: Sequence[Features]) -> dict[str, Vectors]:
    """The vectors of several pictures, by embedding, float32 [n, dim]."""
    names = every[0].vectors if every else ()
    return {name: np.concatenate([each.vectors[name] for each in every]) for name in names}


def local_of(every: Sequence[Features]) -> list[LocalFeatures] | None:
    """The local features of several pictures, if the recipe has them made of every picture."""
    made = [each.local for each in every if each.local is not None]
    return made if len(made) == len(every) else None


def _to_do(
    items: Iterable[Item], store: Store, report: Report, tell: OnProgress, *, retry: bool
) -> Iterator[Item]:
    """Those that are new or changed; the others are counted."""
    for chunk in _chunks(items):
        known = store.ledger([item.place.path for item in chunk])
        described_anew = []
        for item in chunk:
            entry = known.get(item.place.path)
            if entry is None:
                yield item
            elif not _is_settled(entry, item, retry=retry):
                yield item if item.described else _as_described(item, entry, store)
            elif entry.id is None:
                _count_refusal(report, failed=entry.recognised)
            else:
                report.unchanged += 1
                if item.described:
                    described_anew.append(item.place)
        if described_anew:
            store.describe(described_anew)
        tell(report)


def _as_described(item: Item, entry: LedgerEntry, store: Store) -> Item:
    """The item with what was said of its place before, by a list: its folder knows no better."""
    record = store.get(entry.id) if entry.id else None
    said = record.place_at(entry.path) if record else None
    if said is None:
        return item
    return replace(item, place=replace(item.place, label=said.label, metadata=said.metadata))


def _is_settled(entry: LedgerEntry, item: Item, *, retry: bool) -> bool:
    same = (entry.size, entry.modified_ns) == (item.place.size, item.place.modified_ns)
    return same and (entry.reason is None or (entry.verdict == "skipped" and not retry))


def _put(
    store: Store, done: Sequence[tuple[Item, Features | PictureError]], report: Report
) -> None:
    good = [(item, each) for item, each in done if isinstance(each, Features)]
    if good:
        arrivals = [arrival_of(features, item.place) for item, features in good]
        every = [features for _, features in good]
        outcomes = store.put(arrivals, stacked(every), local_of(every))
        report.stored += outcomes.count("stored")
        report.copies += outcomes.count("copy")
        report.replaced += outcomes.count("replaced")
        report.unchanged += outcomes.count("unchanged")
    bad = [(item, each) for item, each in done if isinstance(each, PictureError)]
    if bad:
        refusals = [
            Refusal(item.place, error.reason, error.retry, item.is_meant(error))
            for item, error in bad
        ]
        store.refuse(refusals)
        for refusal in refusals:
            _count_refusal(report, failed=refusal.recognised)


def _count_refusal(report: Report, *, failed: bool) -> None:
    if failed:
        report.failed += 1
    else:
        report.ignored += 1


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """As many as the ledger is asked for at once; a streamed item alone, before the next."""
    chunk: list[Item] = []
    for item in items:
        chunk.append(item)
        if item.streamed or len(chunk) >= _ASKED_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk

"""Give a collection another recipe: new vectors beside the old ones, which go on answering.

Each batch of new vectors is committed, so that after any interruption the same command goes on
where it ended; the new recipe takes over in one transaction when no picture lacks its vectors.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import ingest
from . import recipe as recipes
from .collection import Collection
from .decoding import Encoded
from .engine import OnLearning, extractors_of, learned_by, plans_for, restore
from .errors import PictureError, RecipeError
from .extract import Extractor
from .extract.ready import ReadyVectors
from .features import FeaturePipeline, Features
from .sources import Item
from .store import Store
from .types import Place, Record

_AT_ONCE = 512


@dataclass(slots=True)
class Reindexed:
    """What became of a reindex."""

    recipe: str
    total: int
    """Pictures in the collection."""
    done: int = 0
    """Pictures that got new vectors this time."""
    unreadable: list[PictureError] = field(default_factory=list)
    """Pictures whose files are gone or cannot be decoded any more."""
    swapped: bool = False
    """Whether the new recipe has taken over."""
    started: float = field(default_factory=time.monotonic)

    @property
    def pictures_per_second(self) -> float:
        """Pictures that got new vectors, a second."""
        return self.done / max(time.monotonic() - self.started, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """The report as `lookalike reindex --json` prints it."""
        return {
            "recipe": self.recipe,
            "pictures": self.total,
            "described": self.done,
            "unreadable": [error.source for error in self.unreadable],
            "swapped": self.swapped,
            "pictures_per_second": round(self.pictures_per_second, 1),
        }


OnReindexed = Callable[[Reindexed], None]


def reindex(
    collection: Collection,
    recipe: str,
    *,
    device: str = "auto",
    forget_unreadable: bool = False,
    on_progress: OnReindexed | None = None,
    on_learning: OnLearning | None = None,
) -> Reindexed:
    """Describe every picture anew by `recipe`, then let it take over.

    Vectors of the very same model, also such as were made elsewhere, are taken over. If some
    pictures cannot be read any more it does not take over, unless `forget_unreadable`: then they
    are forgotten. `on_progress` is called after each commit. Pictures that others add meanwhile
    get their new vectors before it takes over.
    """
    chosen = recipes.load(recipe)
    store, tell = collection.store, on_progress or (lambda _: None)
    report = Reindexed(chosen.name, len(collection))
    with store.coming.alone(), contextlib.ExitStack() as stack:
        extractors, learned = _with_what_they_learned(chosen, device, store)
        described = _described(extractors, learned, store) if report.total else extractors
        pipeline = None
        if described:
            pipeline = FeaturePipeline(described, collection.limits)
            stack.callback(pipeline.close)
        if pipeline is not None and report.total:
            found = _every_picture(collection)
            for name in restore(extractors, learned):
                _, learned[name] = learned_by(name, extractors[name], pipeline, found, on_learning)
            pipeline.warm()  # what cannot work is told before anything is dropped
        store.coming.begin(chosen.text, plans_for(chosen, extractors), learned)
        unreadable: dict[int, PictureError] = {}
        while not report.swapped:
            if pipeline is not None:
                _fill(collection, store, pipeline, unreadable, report, tell)
            report.unreadable = list(unreadable.values())
            if report.unreadable and not forget_unreadable:
                return report
            report.swapped = store.coming.swap(list(unreadable))
    collection.take_up_recipe()
    collection.settle()
    return report


def _described(
    extractors: Mapping[str, Extractor], learned: Mapping[str, bytes], store: Store
) -> dict[str, Extractor]:
    """Those whose vectors are not of the very same model as some in use, which are taken over.

    `RecipeError` if one of them cannot describe pictures.
    """
    there, untrained = store.coming.models(), restore(extractors, learned)
    described = {
        name: each
        for name, each in extractors.items()
        if name in untrained or (each.fingerprint, each.dim) not in there
    }
    for name, each in described.items():
        if isinstance(each, ReadyVectors):
            raise RecipeError(
                f"the collection has no vectors for {name}: it wants {each.dim} values made by "
                f"{each.made_by!r}, which cannot be made here. Give dim and made_by as they are in "
                "the collection's recipe, or bring other vectors into a new collection "
                "(`lookalike import`)"
            )
    return described


def _with_what_they_learned(
    chosen: recipes.Recipe, device: str, store: Store
) -> tuple[dict[str, Extractor], dict[str, bytes]]:
    """The new extractors, and what they learned in a reindex that was interrupted."""
    extractors, learned = extractors_of(chosen, device), store.coming.begun(chosen.text)
    try:
        restore(extractors, learned)
    except RecipeError:  # damaged: learned again
        return extractors_of(chosen, device), {}
    return extractors, learned


def _fill(
    collection: Collection,
    store: Store,
    pipeline: FeaturePipeline,
    unreadable: dict[int, PictureError],
    report: Reindexed,
    tell: OnReindexed,
) -> None:
    """Give vectors to every picture that lacks them, but to those known to be unreadable."""
    pairs = (
        ((row, record), _encoded(collection, record)) for row, record in _lacking(store, unreadable)
    )
    for done in pipeline.stream(pairs):
        described: list[tuple[int, Features]] = []
        for (row, record), features in done:
            if isinstance(features, Features):
                changed = features.sha256.hex() != record.id
                if not changed:
                    described.append((row, features))
                    continue
                features = PictureError(record.path, "its file holds another picture by now")
            unreadable[row] = features
        if described:
            rows = [row for row, _ in described]
            store.coming.put(rows, ingest.stacked([features for _, features in described]))
            report.done += len(rows)
        tell(report)


def _lacking(store: Store, but: dict[int, PictureError]) -> Iterator[tuple[int, Record]]:
    after = 0
    while found := store.coming.lacking(after, _AT_ONCE):
        after = found[-1][0]
        yield from (each for each in found if each[0] not in but)


def _encoded(collection: Collection, record: Record) -> Encoded | PictureError:
    try:
        return collection.original_of(record)
    except PictureError as error:
        return error


def _every_picture(collection: Collection) -> Callable[[], Iterator[Item]]:
    def item(record: Record) -> Item:
        return Item(Place(record.path), lambda: collection.original_of(record))

    return lambda: map(item, collection)

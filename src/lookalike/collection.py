"""A collection: a set of pictures under one recipe. Add, remove, search; all the work behind it."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from . import filters, ingest, picture, sources
from . import recipe as recipes
from .decoding import Encoded
from .distances import distance_named
from .errors import (
    BadQuery,
    CannotWrite,
    LookalikeError,
    NotACollection,
    PictureError,
    UnknownPicture,
)
from .features import FeaturePipeline, Features, mean_vectors
from .places import place_of
from .store import Arrival, EmbeddingPlan, LedgerEntry, Outcome
from .store.embedded import EmbeddedStore
from .types import Finding, Hit, Limits, Metadata, Place, Record, Vectors
from .uploads import Uploads, write_whole

if TYPE_CHECKING:
    import PIL.Image

    Query = str | os.PathLike[str] | bytes | np.ndarray[Any, Any] | PIL.Image.Image
    """A file; encoded bytes; uint8 pixels [h, w, 3]; a float vector [dim]; a PIL image."""

_DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits of one query out of many, or why it has none."""

    query: str | Sequence[str]
    """The place of the picture, or of each of those that were asked together."""
    hits: list[Hit]
    error: PictureError | None = None


def open_collection(
    path: str | os.PathLike[str],
    *,
    recipe: str | None = None,
    device: str = "auto",
    create: bool = True,
    limits: Limits = _DEFAULT_LIMITS,
) -> Collection:
    """Open the collection in the folder `path`, or make a new one there.

    `recipe`: a ready one's name or a path to a `.toml`; a collection keeps the one it was made
    with, so giving another one raises `ModelMismatch`. `device`: `auto`, `cpu`, `cuda` or
    `cuda:N`; a new collection made for `cuda` gets `default-fp16` if no recipe is named. With
    `create=False`, or where something else lies, `NotACollection` is raised.
    """
    folder = Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's raises for `~nobody`
    if not sources.is_collection(folder):
        _check_free(folder, create=create)
        usual = "default-fp16" if device.startswith("cuda") else "default"
        chosen = recipes.load(recipe or usual)
        _try_device(chosen, device)
        EmbeddedStore.create(folder, chosen.text, _plans(chosen, device))
    elif recipe is not None:
        chosen = recipes.load(recipe)
    else:
        chosen = recipes.parse(EmbeddedStore.recipe_of(folder), f"the recipe of {folder}")
    return Collection(folder, chosen, device, limits)


class Collection:
    """Pictures that can be searched. Safe to use from several threads, and several processes.

    Made by `lookalike.open`. A context manager: closing ends its processes and its files.
    """

    def __init__(self, folder: Path, recipe: recipes.Recipe, device: str, limits: Limits) -> None:
        self.path = folder
        self.recipe = recipe
        self.limits = limits
        self._device = device
        plans = _plans(recipe, device)
        self._store = EmbeddedStore(folder, plans)
        self._uploads = Uploads(folder / "uploads")
        self._embedding = plans[0].name
        self._distance = distance_named(plans[0].distance)
        self._dim = plans[0].dim
        self._starting = threading.Lock()
        self._started: FeaturePipeline | None = None

    def add(
        self,
        *given: str | os.PathLike[str],
        prune: bool = False,
        retry: bool = False,
        on_progress: ingest.OnProgress | None = None,
    ) -> ingest.Report:
        """Take in folders, pictures, globs, lists (CSV, JSONL) and archives (zip, tar).

        What did not change since is passed over. `prune` also forgets what is no longer there;
        `retry` tries again what was refused before. `on_progress` is called after each commit.
        Raises `BadSource` for a source that does not exist, before anything is stored.
        """
        texts = [os.fspath(each) for each in given]
        report = ingest.ingest(
            ingest.found(texts),
            self._store,
            self._pipeline,
            retry=retry,
            on_progress=on_progress,
        )
        if prune:
            report.removed = ingest.prune(texts, self._store)
        self.settle()
        return report

    def add_bytes(
        self,
        data: bytes,
        name: str,
        *,
        label: str | None = None,
        metadata: Metadata | None = None,
    ) -> tuple[Record, Outcome]:
        """Keep a picture that came as bytes, once for each content. `PictureError` if it is none.

        `name` is what it was called where it came from. One that came before under this name
        keeps the label and the metadata it had, unless others are given.
        """
        features = self._features_of_upload(data, name)
        path = self._uploads.place(features.sha256, name)
        known = self._store.get(features.sha256.hex())
        before = known.place_at(path) if known else None
        if before is not None:
            label = before.label if label is None else label
            metadata = before.metadata if metadata is None else metadata
        place = Place(path, label, metadata or {}, features.byte_size, 0)
        self._uploads.keep(features.sha256, data)
        arrival = ingest.arrival_of(features, place)
        (outcome,) = self._store.put([arrival], features.vectors)
        record = self._store.get(features.sha256.hex())
        if record is None:
            raise UnknownPicture(features.sha256.hex())
        return record, outcome

    def add_vectors(
        self, vectors: Vectors, sha256: Sequence[bytes], places: Sequence[Place]
    ) -> list[Outcome]:
        """Store vectors that were made elsewhere, by this collection's own model.

        `vectors`: float32 [n, dim]; `sha256`: of each picture's content, 32 bytes; `places`:
        where each lies.
        """
        matrix = np.asarray(vectors, np.float32)
        arrivals = [
            Arrival(digest, "UNKNOWN", 0, 0, place.size, place)
            for digest, place in zip(sha256, places, strict=True)
        ]
        return self._store.put(arrivals, {self._embedding: matrix})

    def remove(self, *ids: str) -> int:
        """Forget pictures by id; how many there were. Files of yours stay where they are."""
        removed = 0
        for id in ids:
            record = self._store.get(id)
            if record is not None:
                removed += self._store.forget([place.path for place in record.places])
                self._uploads.drop(record.id)
                for kept in self._thumbnails(record.id).glob(f"{record.id}-*"):
                    kept.unlink(missing_ok=True)
        return removed

    def search(
        self,
        *query: Query,
        k: int = 10,
        offset: int = 0,
        where: str | None = None,
        threshold: float | None = None,
    ) -> list[Hit]:
        """The `k` pictures most alike, best first, after the first `offset`.

        Several pictures are one query: their mean. `where` is a filter (see `filters`);
        `threshold` keeps hits whose score is at least this. Raises `PictureError` if a query
        cannot be decoded, `BadQuery` if it makes no sense.
        """
        if not query:
            raise BadQuery("a search needs at least one picture")
        vectors = [self._vector(each) for each in query]
        vector = vectors[0] if len(vectors) == 1 else mean_vectors(vectors)
        return self._nearest(vector, k, offset, where, threshold)[0]

    def search_many(
        self,
        queries: Iterable[str | os.PathLike[str]],
        *,
        k: int = 10,
        offset: int = 0,
        where: str | None = None,
        threshold: float | None = None,
    ) -> Iterator[Answer]:
        """Answer each file (or each picture of each folder, list, archive) on its own, in order.

        All cores work at once. A picture that cannot be decoded is an answer with its `error`;
        what is no picture in a folder, by its bytes and its name, is passed over.
        """
        items = ingest.found([os.fspath(each) for each in queries])
        self._check_range(k, offset)
        for done in self._pipeline.stream((item, ingest.encoded(item)) for item in items):
            good = [features for _, features in done if isinstance(features, Features)]
            hits: Iterator[list[Hit]] = iter(())
            if good:
                vectors = ingest.stacked(good)[self._embedding]
                hits = iter(self._nearest(vectors, k, offset, where, threshold))
            for item, features in done:
                if isinstance(features, Features):
                    yield Answer(item.place.path, next(hits))
                elif item.is_meant(features):
                    yield Answer(item.place.path, [], features)

    def more_like(
        self,
        id: str,
        *,
        k: int = 10,
        offset: int = 0,
        where: str | None = None,
        threshold: float | None = None,
    ) -> list[Hit]:
        """The `k` pictures most like a stored one, itself excepted; `UnknownPicture` if none is."""
        record = self[id]
        (hits,) = self._nearest(self.vector(record.id), k + offset + 1, 0, where, threshold)
        others = [hit for hit in hits if hit.id != record.id]
        return others[offset : offset + k]

    def vector(self, id: str) -> Vectors:
        """The stored vector of a picture, float32 [1, dim], as its distance compares it."""
        return self._store.vectors(self._embedding, self[id].id)

    def __getitem__(self, id: str) -> Record:
        """The record of an id, or of the only one that begins so; `UnknownPicture` if none is."""
        record = self._store.get(id)
        if record is None:
            raise UnknownPicture(id)
        return record

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._store)

    def newest(self, *, offset: int = 0, limit: int = 50) -> list[Record]:
        """Records, the last added first."""
        return self._store.scan(offset, limit)

    def original(self, id: str) -> Encoded:
        """A stored picture as it was; `PictureError` if none of its places is there any more."""
        record = self[id]
        for place in record.places:
            try:
                if self._uploads.owns(place.path):
                    return self._uploads.encoded(place.path)
                if sources.exists(place.path):
                    return sources.encoded_at(place.path)
            except PictureError:
                continue
        raise PictureError(record.path, "it is no longer where it was", retry=True)

    def thumbnail(self, id: str, side: int = 256) -> bytes:
        """A JPEG of a stored picture, its long side at most `side` pixels; kept once made."""
        record = self[id]
        kept = self._thumbnails(record.id) / f"{record.id}-{side}.jpg"
        with contextlib.suppress(OSError):
            return kept.read_bytes()
        decoded = self._pipeline.decoder.decode(self.original(record.id), side)
        if decoded.sha256.hex() != record.id:
            reason = "its file holds another picture by now: index it again"
            raise PictureError(record.path, reason, retry=True)
        content = picture.thumbnail(decoded, side)
        with contextlib.suppress(CannotWrite):  # a full or read-only disk: made anew each time
            write_whole(kept, content)
        return content

    def preview(self, path: str | os.PathLike[str], side: int = 256) -> bytes:
        """A JPEG of any picture, its long side at most `side` pixels."""
        encoded = sources.encoded_at(place_of(os.fspath(path)))
        return picture.thumbnail(self._pipeline.decoder.decode(encoded, side), side)

    def ledger(self, path: str | os.PathLike[str]) -> LedgerEntry | None:
        """What became of one path, None if it was never seen."""
        text = os.fspath(path)
        name = place_of(text)
        entries = self._store.ledger([text, name])
        return entries.get(name) or entries.get(text)

    def failures(self, *, all: bool = False) -> Iterator[LedgerEntry]:
        """Every path that should have given a picture and did not, with the reason.

        With `all`, also the files that are no pictures.
        """
        return (entry for entry in self._store.refused() if all or entry.recognised)

    def stats(self) -> dict[str, Any]:
        """Counts, sizes and the state of the index, as JSON values."""
        failed = [entry.recognised for entry in self._store.refused()]
        return {
            "path": str(self.path.absolute()),
            "recipe": self.recipe.name,
            **self._store.stats(),
            "failed": failed.count(True),
            "ignored": failed.count(False),
        }

    def check(self) -> list[Finding]:
        """Whether what is stored is sound, and the index as good as exact search."""
        return self._store.check()

    def warm(self) -> None:
        """Start and load now what the first search would wait for."""
        with contextlib.suppress(LookalikeError, RuntimeError):  # the first search says it better
            self._pipeline.warm()
            self._store.settle()

    def settle(self) -> None:
        """Build the index anew now if much has been added or removed; `add` ends with this."""
        self._store.settle()

    def close(self) -> None:
        """End what runs in the background, the decoding processes, and close the files."""
        if self._started is not None:
            self._started.close()
        self._store.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _pipeline(self) -> FeaturePipeline:
        """Decoders and networks, started when first needed."""
        with self._starting:
            if self._started is None:
                extractors = {
                    each.name: each.make_extractor(self._device) for each in self.recipe.embeddings
                }
                self._started = FeaturePipeline(extractors, self.limits)
            return self._started

    def _features_of_upload(self, data: bytes, name: str) -> Features:
        if len(data) > self.limits.upload_bytes:
            raise PictureError(
                name,
                f"{len(data) / 1e6:.1f} MB, over the limit of {self.limits.upload_bytes / 1e6:g}",
            )
        (features,) = self._pipeline.of_batch([Encoded(name, data=data)])
        if isinstance(features, PictureError):
            raise features
        return features

    def _vector(self, query: Query) -> Vectors:
        """A query of any kind as float32 [1, dim]."""
        if isinstance(query, np.ndarray) and query.ndim == 1:
            return np.asarray(query, np.float32)[np.newaxis]
        if isinstance(query, bytes):
            return self._features_of_upload(query, "the query").vectors[self._embedding]
        if isinstance(query, str | os.PathLike):
            encoded = sources.encoded_at(place_of(os.fspath(query)))
            (features,) = self._pipeline.of_batch([encoded])
            if isinstance(features, PictureError):
                raise features
            return features.vectors[self._embedding]
        if isinstance(query, np.ndarray):
            ready = picture.from_pixels(query)
        else:
            ready = picture.from_pil(query)
        return self._pipeline.of_pictures([ready])[0].vectors[self._embedding]

    def _check_range(self, k: int, offset: int) -> None:
        if k < 1 or offset < 0:
            raise BadQuery(f"k must be 1 or more and offset 0 or more, not {k} and {offset}")

    def _thumbnails(self, id: str) -> Path:
        return self.path / "thumbnails" / id[:2]

    def _nearest(
        self, vectors: Vectors, k: int, offset: int, where: str | None, threshold: float | None
    ) -> list[list[Hit]]:
        """Vectors, float32 [q, dim] -> the hits of each, best first."""
        self._check_range(k, offset)
        if vectors.shape[1] != self._dim:
            raise BadQuery(
                f"the query vector has {vectors.shape[1]} values, "
                f"this collection's have {self._dim}"
            )
        if not math.isfinite(np.vdot(vectors, vectors)):
            raise BadQuery("the query vector holds NaN or infinity")
        condition = filters.parse(where) if where is not None else None
        found = self._store.nearest(self._embedding, vectors, k + offset, condition)
        at_zero = self._distance.at_zero
        return [
            [
                Hit(record, score, at_zero - score)
                for record, score in each[offset:]
                if threshold is None or score >= threshold
            ]
            for each in found
        ]


def _check_free(folder: Path, *, create: bool) -> None:
    """Whether a collection may be made in a folder: it is empty, or not there yet.

    One that another process has half made, or was killed while it made it, is in nobody's way.
    """
    try:
        others = any(not each.name.startswith(sources.CATALOGUE) for each in folder.iterdir())
        if others and not sources.is_collection(folder):
            raise NotACollection(folder, "something else is there")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise NotACollection(folder, (error.strerror or str(error)).lower()) from error
    if not create:
        raise NotACollection(folder, "there is nothing there")


def _try_device(recipe: recipes.Recipe, device: str) -> None:
    """Start each model on a GPU that was asked for; `DeviceUnavailable` before anything is made."""
    if device.startswith("cuda"):
        for each in recipe.embeddings:
            getattr(each.make_extractor(device), "device", None)


def _plans(recipe: recipes.Recipe, device: str) -> list[EmbeddingPlan]:
    plans = []
    for each in recipe.embeddings:
        extractor = each.make_extractor(device)
        plans.append(
            EmbeddingPlan(
                name=each.name,
                dim=extractor.dim,
                fingerprint=extractor.fingerprint,
                distance=each.distance,
                index=each.index.name,
                index_options=each.index.options,
                pca=min(each.pca, extractor.dim),
            )
        )
    return plans

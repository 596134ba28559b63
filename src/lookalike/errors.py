"""Every error that a user can do something about, each with its remedy in the message.

All derive from `LookalikeError`, whose text is one line meant for a person: what happened, to
which file or value, and what to do. Anything else that escapes this package is a defect.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class LookalikeError(Exception):
    """The root of all errors below: catch it to catch what a user's input can cause."""


class PictureError(LookalikeError):
    """A picture that cannot be had: its `reason` is a sentence for a person.

    `retry` tells whether trying again later may help (an unreadable file, a machine too busy), or
    whether the bytes themselves are at fault. `recognised` tells whether the bytes begin like a
    picture at all.
    """

    def __init__(
        self, source: str, reason: str, *, retry: bool = False, recognised: bool = True
    ) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason
        self.retry = retry
        self.recognised = recognised

    def __reduce__(self) -> tuple[Any, ...]:
        """It travels between processes."""
        made = functools.partial(type(self), retry=self.retry, recognised=self.recognised)
        return made, (self.source, self.reason)


class PictureTooSlow(PictureError):
    """A picture that was not decoded in time; a less busy machine may do it, so `retry` is true."""


class PictureUnreachable(PictureError):
    """A picture in an object store that does not answer, or refuses us; `retry` is true."""


class NotACollection(LookalikeError):
    """The path is not a collection of ours."""

    def __init__(self, path: Path | str, why: str) -> None:
        super().__init__(
            f"{path} is not a collection: {why}. Make one with `lookalike index DIR -c COLLECTION`."
        )


class CollectionTooNew(LookalikeError):
    """A collection written by a newer version of this software."""

    def __init__(self, path: Path | str, found: int, known: int) -> None:
        super().__init__(
            f"{path} was written by a newer lookalike (format {found}; this one knows {known}). "
            "Upgrade with `pip install --upgrade lookalike`."
        )


class CollectionDamaged(LookalikeError):
    """The catalogue itself, which is the truth, cannot be read."""

    def __init__(self, path: Path | str, why: str) -> None:
        super().__init__(
            f"{path} is damaged: {why}. Restore it from a backup, or index the pictures again "
            "into a new collection."
        )


class CollectionBusy(LookalikeError):
    """Another process held the collection for longer than we wait."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__(
            f"{path} is being written by another process (waited {seconds:g} s). "
            "Try again when it has finished."
        )


class CollectionClosed(LookalikeError):
    """A collection that has been closed was used again, or was closed while it was used."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(f"{path} has been closed. Open it again with `lookalike.open(path)`.")


class StorageError(LookalikeError):
    """Where pictures are kept does not do what it is asked for; `why`, without saying where."""

    def __init__(self, message: str, why: str) -> None:
        self.why = why
        super().__init__(message)


class CannotWrite(StorageError):
    """The collection's folder refuses writes: full, read-only, or not ours."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"cannot write to {path}: {why}. What was reported as stored is safe. "
            "Make room or choose a folder that you may write to, then run the same again.",
            why,
        )


class ObjectStoreUnusable(StorageError):
    """The object store for uploads does not answer, refuses us, or has no such bucket."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"cannot use {url}: {why}. What was reported as stored is safe. See that the bucket is "
            "there, that your keys may read, write, list and delete in it, then do the same again.",
            why,
        )


class BadAddress(LookalikeError):
    """The address of a collection in Elasticsearch that cannot be read."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(
            f"{text} is no address of a collection: {why}. One is es+https://HOST:9200/NAME"
        )


class ClusterUnreachable(StorageError):
    """Elasticsearch does not answer, or is not who we were told to trust."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"cannot reach {address}: {why}", why)


class ClusterRefuses(StorageError):
    """Elasticsearch does not let us in, or not do this."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"{address} refuses: {why}", why)


class ClusterUnwell(StorageError):
    """Elasticsearch answers, but cannot do what it was asked for now."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"{address} cannot answer now: {why}. Try again once that is over.", why)


class ClusterUnsuited(StorageError):
    """A server, or a recipe, that do not go together with this client."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"{address} cannot be used: {why}", why)


class CannotStore(StorageError):
    """Elasticsearch takes no more writes: full, read-only, or too busy for too long."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(
            f"cannot write to {address}: {why}. What was reported as stored is safe. "
            "Run the same again once that is over: it goes on where it ended.",
            why,
        )


class CannotWritePage(LookalikeError):
    """The file that `--html` or `-o` names cannot be written, or must not be."""

    def __init__(self, path: Path, why: str, option: str = "--html") -> None:
        super().__init__(
            f"cannot write the page {path}: {why}. Give `{option}` another name, such as page.html."
        )


class CannotPlot(LookalikeError):
    """The file that `--plot` or `-o` names cannot be written, or must not be."""

    def __init__(self, path: Path, why: str, option: str = "--plot") -> None:
        super().__init__(
            f"cannot draw {path}: {why}. Give `{option}` another name, such as drawn.png."
        )


class ModelMismatch(LookalikeError):
    """The vectors of a collection come from another model than the one at hand."""

    def __init__(self, path: Path | str, embedding: str, stored: str, found: str) -> None:
        super().__init__(
            f"{path} was made with another model: its `{embedding}` vectors have fingerprint "
            f"{stored[:12]}, the recipe now gives {found[:12]}. Vectors of two models cannot be "
            "compared: use the recipe that the collection was made with, or a new collection."
        )


class PlanesUnusable(LookalikeError):
    """The store file of an LSH index cannot be read or written, or holds other planes."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"cannot use the planes of {path}: {why}. Name another store_file, or set "
            "overwrite = true to have them drawn anew."
        )


class RecipeChanged(LookalikeError):
    """A reindex has given the collection another recipe since it was opened."""

    def __init__(self) -> None:
        super().__init__(
            "the collection was given another recipe meanwhile (`lookalike reindex`): "
            "run the same again, what was stored is kept"
        )


class OtherRecipe(LookalikeError):
    """A recipe was named that is not the one the collection has."""

    def __init__(self, path: Path | str, has: str, named: str) -> None:
        other = "one of that name with other options" if has == named else has
        super().__init__(
            f"{path} has not the recipe {named} but {other}: leave `--recipe` away, change it with "
            f"`lookalike reindex --recipe` and the same, or use another collection"
        )


class ReindexUnderWay(LookalikeError):
    """Another process gives the collection another recipe at this moment."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(f"{path} is being reindexed by another process: wait until that has ended")


class UnknownName(LookalikeError):
    """A name (recipe, extractor, index, option…) that nothing goes by."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        by_small = {each.lower(): each for each in names}
        found = difflib.get_close_matches(name.lower(), by_small, n=3, cutoff=0.5)
        close = [by_small[each] for each in found]
        hint = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(names)}."
        super().__init__(f"there is no {kind} named {name!r}. {hint}")


class RecipeError(LookalikeError):
    """A recipe that cannot be read; the message names the file and the key."""


class MissingPackage(LookalikeError):
    """Something was asked for whose package is not installed."""

    def __init__(self, wanted: str, install: str) -> None:
        super().__init__(f"{wanted} needs a package that is not installed: {install}")


class WeightsMissing(LookalikeError):
    """A model's weights are not on this machine, and could not be fetched; where to put them."""


class WeightsUnusable(LookalikeError):
    """A weights file that is truncated, of another shape, or not what the model takes."""


class CannotExport(LookalikeError):
    """A network that cannot be written as ONNX, or is another one when it is read again."""


class NotTrained(LookalikeError):
    """An extractor that learns from the collection's own pictures has not learned yet."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} has not been learned yet: index a folder of pictures first, "
            "`lookalike index DIR -c COLLECTION`, it is learned from a sample of them."
        )


class TooLittleToLearnFrom(LookalikeError):
    """The pictures at hand do not give what an extractor has to learn from."""


class NoText(LookalikeError):
    """Text was asked of a collection whose model has no part for text."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} reads no text; the recipes default and clip have a model that does"
        )


class DeviceUnavailable(LookalikeError):
    """The wanted device cannot be used; the message says what is missing."""


class CannotServe(LookalikeError):
    """The address is not one that the service may use, or somebody else has it."""


class ServiceUnreachable(LookalikeError):
    """A client has no answer from a service: none is there, or something else is."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"no answer from {url}: {why}. See that `lookalike serve` runs there, and its log."
        )


class ServiceRefused(LookalikeError):
    """A service answered a client with a problem: its status, its tag, and its words."""

    def __init__(self, status: int, type: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.type = type


class BadSetting(LookalikeError):
    """A setting of the service that cannot be: an option, a variable, or a line of `.env`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))


class BadKeys(LookalikeError):
    """A file of API keys that cannot be used, or cannot be changed so."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"{file}: {why}")


class RemoteRefused(LookalikeError):
    """A picture that was named by its address is not fetched; the message says why."""


class BadFilter(LookalikeError):
    """A filter (`--where`) that does not follow the grammar."""

    def __init__(self, text: str, position: int, problem: str) -> None:
        super().__init__(
            f"cannot read the filter at character {position + 1}: {problem}\n"
            f"  {text}\n  {' ' * position}^"
        )


class BadQuery(LookalikeError):
    """A query that cannot be answered: no picture in it, k below 1, a vector of another length."""


class NotCalibrated(BadQuery):
    """Confident answers were asked of scores of which nothing is known."""

    def __init__(self, path: Path | str, scorer: str, option: str = "") -> None:
        super().__init__(
            f"how good the score {scorer} of a copy is in {path} has not been measured yet, by "
            f"this model: run `lookalike calibrate -c {path}{option}` first"
        )


class CannotCalibrate(LookalikeError):
    """Too few pictures to say what a score means, or pairs that cannot be read."""


class TooManyHits(BadQuery):
    """A search for all hits has more of them than one answer may hold."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"more than {most:,} pictures answer this, which is the most that one answer holds: "
            "ask for fewer by k, where, radius or threshold"
        )


class BadQuantity(LookalikeError):
    """A count, size or time on the command line that cannot be read."""

    def __init__(self, option: str, text: str, wanted: str) -> None:
        super().__init__(f"{option} must be {wanted}, not {text!r}")


class UnknownPicture(LookalikeError):
    """No stored picture has this id."""

    def __init__(self, id: str) -> None:
        if re.fullmatch("[0-9a-f]+", id):
            advice = "`lookalike search --json` prints ids"
            super().__init__(f"no stored picture has the id {id!r}. {advice}.")
        else:
            advice = "`lookalike ledger` tells what became of a file, `lookalike index` takes it in"
            super().__init__(f"no stored picture has the id {id!r}, or lies there. {advice}.")
        self.id = id


class BadFeatures(LookalikeError):
    """A file of features that cannot be taken in, or cannot be written."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"{file}: {why}")


class BadBackup(LookalikeError):
    """A backup that cannot be written there, or one that cannot be restored."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"{file}: {why}")


class CannotRestore(LookalikeError):
    """A place where no collection can be made of a backup: something is there, or in the making."""

    def __init__(self, address: Path | str, why: str) -> None:
        super().__init__(f"cannot restore to {address}: {why}")


class CannotMakeCopies(LookalikeError):
    """No copy-detection set can be made: too few pictures, or a folder that is not to be filled."""


class BadUndoLog(LookalikeError):
    """A log that nothing can be taken back with."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"cannot undo by {path}: {why}")


class BadSource(LookalikeError):
    """Something to be indexed that does not exist, or a list of pictures that cannot be read."""


class NotComparable(LookalikeError):
    """Two recipes were asked different queries, or looked for different pictures."""

    def __init__(self, recipe: str, first: str) -> None:
        super().__init__(
            f"the answers of {recipe} and of {first} are not to the same queries: the pictures "
            "have changed meanwhile, or not all could be stored by both; run the same again"
        )


class BadTruth(LookalikeError):
    """Ground truth that cannot be used: what is wrong, each with its file and line."""

    def __init__(self, path: Path, problems: Sequence[str], count: int | None = None) -> None:
        """`count`: how many problems there are, where not all are told."""
        self.problems = tuple(problems)
        self.count = len(problems) if count is None else count
        if self.count == 1:
            super().__init__(f"cannot use the ground truth {path}: {problems[0]}")
        else:
            listed = "".join(f"\n  {problem}" for problem in problems)
            super().__init__(
                f"cannot use the ground truth {path}, {self.count:,} problems:{listed}"
            )


class WorkersUnusable(LookalikeError):
    """A Ray cluster that is not there, lacks what was asked of it, or whose workers fail."""

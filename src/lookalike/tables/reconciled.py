"""What does not fit together in a collection, a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..terminal import note, print_json, print_row

if TYPE_CHECKING:
    from ..reconcile import Fault, Kind, Reconciled

_WORDS: dict[Kind, tuple[str, str]] = {
    "gone": ("is no longer there", "forgotten"),
    "changed": ("has changed since it was taken in", "taken in again"),
    "no-record": ("has lost its record", "taken in again, or forgotten if it is gone"),
    "claimed-twice": ("is claimed by two pictures", "left to the later one"),
    "nowhere": ("records of pictures that lie nowhere", "deleted"),
    "no-vector": ("has lost a vector", "described again"),
    "loose-vector": ("vectors without a picture", "deleted"),
    "no-local-features": ("has no local features", "made of the picture"),
    "loose-local-features": ("local features without a picture", "deleted"),
    "upload-lost": ("the bytes of this upload are lost", "forgotten"),
    "upload-unrecorded": ("an upload without a record", "taken in again"),
}
"""What is wrong, and what a repair does about it."""


def show_reconciled(found: Reconciled, *, as_json: bool) -> None:
    """All that was found, and on standard error how much was looked at."""
    if as_json:
        print_json(found.to_json())
        return
    for each in found.faults:
        wrong, _ = _WORDS[each.kind]
        print_row(each.what, wrong, _done(each, found))
    looked = f"{found.pictures:,} pictures, {found.files:,} files, {found.uploads:,} uploads"
    if found.objects:
        looked += f", {found.objects:,} objects"
    if found.elsewhere:
        looked += f" ({found.elsewhere:,} places cannot be looked at from here)"
    if not found.faults:
        note(f"{looked}: all fits together")
    elif found.repair:
        repaired = len(found.faults) - found.left
        note(f"{looked}: {repaired:,} repaired, {found.left:,} left")
    else:
        note(f"{looked}: {found.left:,} faults; --repair mends what can be")


def _done(fault: Fault, found: Reconciled) -> str:
    _, repair = _WORDS[fault.kind]
    if fault.repaired:
        return f"repaired: {repair}"
    if not found.repair:
        return f"would be {repair}"
    return f"left: {fault.why or 'the repair did not help'}"

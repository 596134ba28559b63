"""Whether pictures are in a collection, a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..terminal import fail, print_json, print_row

if TYPE_CHECKING:
    from ..checking import Checked


def show_checked(checked: Checked, *, as_json: bool) -> None:
    """What it is, and of which stored picture; why it cannot be read on standard error."""
    if checked.error is not None:
        fail(checked.error)
    if as_json:
        print_json(checked.to_json())
        return
    stored = checked.stored
    if stored is None:
        print_row(checked.path, "unreadable" if checked.error else "not here")
        return
    said = []
    if stored.inliers is not None:
        said.append(f"{stored.inliers} matches agree")
    if stored.probability is not None:
        said.append(f"probability {stored.probability:.3f}")
    print_row(checked.path, stored.kind, stored.record.path, ", ".join(said) or "the same bytes")

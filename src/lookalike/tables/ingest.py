"""What an ingest did, in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..terminal import command, note, print_json, print_line

if TYPE_CHECKING:
    from ..collection import Collection
    from ..ingest import Report


def show_report(
    report: Report, collection: Collection, *, as_json: bool, to_stderr: bool = False
) -> None:
    """What an ingest did."""
    if as_json:
        print_json(report.to_json())
        return
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (report.stored, "stored"),
            (report.copies, "copies"),
            (report.unchanged, "unchanged"),
            (report.replaced, "replaced"),
            (report.removed, "removed"),
            (report.failed, "failed"),
            (report.ignored, "not pictures"),
        )
        if number
    ]
    rate = f" ({report.pictures_per_second:.0f} pictures/s)" if report.pictures_per_second else ""
    line = f"{', '.join(parts) or 'no pictures found'} in {report.seconds:.1f} s{rate}"
    total = f"{len(collection):,} pictures in {collection.address}"
    (note if to_stderr else print_line)(f"{line}\n{total}")
    if report.failed:
        note(f"`{command('failures', '-c', collection.address)}` tells why the failed ones failed")

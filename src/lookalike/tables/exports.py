"""What was written to files of others: features, a network."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from ..quantities import written_bytes
from ..terminal import note, print_json, print_line, print_row, visible

if TYPE_CHECKING:
    from ..backup import Backup, Restored
    from ..exchange import Exported
    from ..export_onnx import Exported as ExportedNetwork


def show_exported(report: Exported, *, as_json: bool) -> None:
    """What an export wrote."""
    if as_json:
        print_json(report.to_json())
    else:
        names = ", ".join(report.embeddings)
        size = written_bytes(report.bytes)
        print_line(f"{report.pictures:,} pictures ({names}) to {visible(str(report.file))}, {size}")


def show_exported_network(exported: ExportedNetwork, *, as_json: bool) -> None:
    """The files that an export wrote, and how near they are to the original."""
    sizes = {str(path): path.stat().st_size for path in exported.files}
    if as_json:
        closeness = {name: asdict(each) for name, each in exported.closeness.items()}
        print_json({"files": sizes, "dim": exported.dim, "cosine": closeness})
        return
    for path, size in sizes.items():
        print_row(path, written_bytes(size))
    for name, each in exported.closeness.items():
        print_row(f"{each.inputs} {name}", f"cosine {each.least:.6f} or more, mean {each.mean:.6f}")
    note(f"use it with `lookalike index DIR --recipe onnx:{exported.path}`")


def show_backup(made: Backup, *, as_json: bool) -> None:
    """What a backup holds."""
    if as_json:
        print_json(made.to_json())
        return
    held = f"{made.pictures:,} pictures, {made.uploads:,} of them with their bytes"
    print_line(f"{held}, to {visible(made.file)}, {written_bytes(made.bytes)}, read again: sound")
    _note_lacking(made.lacking)


def show_restored(made: Restored, *, as_json: bool) -> None:
    """What came back, and what that has proved."""
    if as_json:
        print_json(made.to_json())
        return
    print_line(f"{made.pictures:,} pictures in {visible(made.collection)}")
    if made.outside is not None:
        note(f"not proved to answer as before: that takes {made.outside}, which no backup holds")
    elif made.proved:
        print_line(f"{made.proved:,} questions asked, the first ten are the same as before")
        if made.farther:
            note(
                f"to {made.farther:,} of them only when the index, which is approximate, looks "
                "farther than usual: `lookalike tune` chooses how far"
            )
    _note_lacking(made.lacking)


def _note_lacking(lacking: list[str]) -> None:
    if lacking:
        note(
            f"of {len(lacking):,} uploads the bytes were lost or damaged before the backup: "
            f"{', '.join(lacking[:3])}{', …' if len(lacking) > 3 else ''}"
        )

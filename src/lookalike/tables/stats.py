"""What a collection holds, and how it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ..quantities import written_bytes
from ..terminal import print_json, print_pairs
from ..types import Effort, Finding


def show_stats(stats: dict[str, Any], *, as_json: bool) -> None:
    """What a collection holds."""
    if as_json:
        print_json(stats)
        return
    formats = ", ".join(f"{name} {count:,}" for name, count in stats["formats"].items())
    rows = [
        ("collection", stats["path"]),
        ("recipe", stats["recipe"]),
        ("pictures", f"{stats['pictures']:,} in {stats['places']:,} places"),
        ("labels", f"{stats['labels']:,}"),
        ("formats", formats or "none"),
        ("failed", f"{stats['failed']:,} paths"),
        ("not pictures", f"{stats['ignored']:,} paths"),
        ("originals", written_bytes(stats["original_bytes"])),
        ("catalogue", written_bytes(stats["catalogue_bytes"])),
    ]
    for name, each in stats["embeddings"].items():
        size = f", {written_bytes(each['cache_bytes'])}" if each["cache_bytes"] else ""
        vectors = f"{each['vectors']:,} x {each['dim']}"
        rows.append((name, f"{vectors}, {each['distance']}, {each['structure']}{size}"))
        memory = f"{written_bytes(each['memory_bytes'])} when searched"
        on_disk = f", {each['bytes_per_vector']:,.0f} bytes a vector on disk" if size else ""
        rows.append((f"{name} memory", memory + on_disk))
        rows.append((f"{name} recall", _measured(each["tuning"])))
    rows += _calibrated(stats["calibration"])
    print_pairs(rows)


def _calibrated(calibration: dict[str, Any] | None) -> list[tuple[str, str]]:
    """From which score on a hit passes for a copy, and how sure that is."""
    if calibration is None:
        return [("copies", "not calibrated: `lookalike calibrate` does")]
    rows = []
    for name, each in calibration["scorers"].items():
        sign = ">=" if each["higher_is_better"] else "<="
        rows.append(
            (
                f"{name} copies",
                f"{sign} {each['threshold']:.4g}: {each['recall']:.1%} found, false positives "
                f"{each['false_positives']:.2%} (at most {each['bounds'][1]:.2%})",
            )
        )
    return rows


def _measured(tuning: dict[str, Any] | None) -> str:
    """Recall as last measured, and how."""
    if tuning is None:
        return "not measured: `lookalike tune` does"
    effort = Effort(**tuning["effort"])
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(tuning["measured"]))
    return (
        f"{tuning['recall']:.4f} at {tuning['k']} ({effort}), "
        f"measured {when} of {tuning['vectors']:,} vectors"
    )


def show_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    """What the doctor found."""
    if as_json:
        print_json({each.name: {"sound": each.sound, "finding": each.text} for each in findings})
        return
    print_pairs([(("" if each.sound else "! ") + each.name, each.text) for each in findings])

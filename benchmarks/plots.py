"""Curves as PNG files, needing matplotlib (`pip install --group bench`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLOURS = {
    "flat": "#7f7f7f",
    "hnsw": "#1f77b4",
    "ivf": "#2ca02c",
    "ivfpq": "#d62728",
    "ivfsq": "#ff7f0e",
    "rabitq": "#9467bd",
    "lsh": "#8c564b",
    "hnswlib": "#000000",
    "usearch": "#555555",
}


def figure(columns: int, rows: int = 1, *, width: float = 5.2, height: float = 4.0) -> Any:
    """A figure and its axes, drawn without a display."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    made, axes = pyplot.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout="constrained"
    )
    for each in axes.flat:
        each.grid(True, which="both", color="#e4e4e4", linewidth=0.6)
        each.spines[["top", "right"]].set_visible(False)
    return made, axes


def recall_axis(axes: Any) -> None:
    """Recall from left to right, the last thousandths as wide as the first tenths."""
    ticks = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
    axes.set_xscale("function", functions=(_stretched, _shrunk))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], rotation=45)
    axes.set_xlim(0.5, 0.9995)


def lines(
    axes: Any,
    curves: Mapping[str, Sequence[tuple[float, float]]],
    style: str = "-",
    suffix: str = "",
) -> None:
    """One line for each name, of (x, y)."""
    for name, points in curves.items():
        across, up = zip(*sorted(points), strict=True)
        axes.plot(
            across,
            up,
            style,
            marker="o",
            markersize=3.5,
            linewidth=1.6,
            color=COLOURS[name.partition(",")[0]],
            label=name + suffix,
        )


def save(made: Any, path: Path) -> None:
    """Write the PNG."""
    made.savefig(path, dpi=150)


def _stretched(recall: Any) -> Any:
    import numpy as np

    return -np.log10(np.clip(1 - np.asarray(recall, float), 1e-4, None))


def _shrunk(place: Any) -> Any:
    import numpy as np

    return 1 - np.power(10.0, -np.asarray(place, float))

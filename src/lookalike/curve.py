"""The curve of recall against speed that `tune` has measured, as a PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .errors import CannotPlot, MissingPackage
from .tune import Tuned
from .types import Trial

_SIGNED = {"Software": "lookalike tune"}
_NINES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
_LINE, _MARK, _FAINT, _GRID, _TEXT = "#2563eb", "#c2410c", "#9a9aa2", "#e3e3df", "#1d1d1f"
_STYLE = {
    "font.size": 11,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _TEXT,
    "text.color": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
}


def check(path: Path) -> None:
    """`CannotPlot` or `MissingPackage` if `draw` could not write there; before all the work."""
    _matplotlib("figure")
    if path.suffix.lower() != ".png":
        raise CannotPlot(path, "its name does not end in .png")
    if not path.parent.is_dir():
        raise CannotPlot(path, "its folder is not there")
    try:
        if path.exists() and _SIGNED["Software"].encode() not in path.read_bytes()[:1000]:
            raise CannotPlot(path, "another file is there, which is not a curve of ours")
    except OSError as error:
        raise CannotPlot(path, error.strerror or str(error)) from error


def draw(every: Sequence[Tuned], path: Path) -> None:
    """A panel for each embedding: queries a second against recall, what was chosen marked."""
    with _matplotlib("").rc_context(_STYLE):
        size = (7.6, 4.8 * len(every))
        figure = _matplotlib("figure").Figure(figsize=size, dpi=150, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.15, h_pad=0.15)
        panels = figure.subplots(len(every), 1, squeeze=False)[:, 0]
        for panel, tuned in zip(panels, every, strict=True):
            _panel(panel, tuned)
        try:
            figure.savefig(path, metadata=_SIGNED)
        except OSError as error:
            raise CannotPlot(path, error.strerror or str(error)) from error


def _panel(panel: Any, tuned: Tuned) -> None:
    tuning = tuned.tuning
    finest = 1 / (2 * tuning.sample * tuning.k)
    front = _front(tuned.trials)
    others = [each for each in tuned.trials if each not in front]

    def at(trials: Sequence[Trial]) -> tuple[list[float], list[float]]:
        return [_place(each.recall, finest) for each in trials], [*map(_speed, trials)]

    panel.plot(*at(others), "o", color=_FAINT, markersize=4, alpha=0.7)
    panel.plot(*at(front), "-o", color=_LINE, markersize=5, linewidth=2)
    wanted = _place(tuning.wanted, finest)
    panel.axvline(wanted, color=_MARK, linewidth=1.2, linestyle=(0, (4, 3)))
    panel.plot(
        *at([tuning.chosen]), "o", color=_MARK, markersize=11, markeredgecolor="white", zorder=5
    )
    _scales(panel, tuned, finest)
    panel.set_xlabel(f"recall@{tuning.k}")
    panel.set_ylabel("queries a second, one thread")
    chosen = f"{tuning.chosen.effort}: recall {tuning.chosen.recall:.4f}"
    heading = {"xy": (0, 1), "xycoords": "axes fraction", "textcoords": "offset points"}
    panel.annotate(
        f"{tuned.embedding}: {tuning.structure}, {tuning.vectors:,} vectors",
        xytext=(0, 30),
        fontweight="bold",
        fontsize=12.5,
        **heading,
    )
    panel.annotate(
        f"\N{BLACK CIRCLE} {chosen}, {tuning.chosen.median_ms:.3f} ms a query",
        xytext=(0, 12),
        color=_MARK,
        **heading,
    )
    panel.annotate(
        f"{tuning.wanted:g} wanted",
        (wanted, 0),
        xycoords=("data", "axes fraction"),
        xytext=(-6, 8),
        textcoords="offset points",
        rotation=90,
        ha="right",
        color=_MARK,
        fontsize=9.5,
    )


def _speed(trial: Trial) -> float:
    """Queries a second by the median, which is what efforts are chosen by."""
    return 1000 / trial.median_ms


def _front(trials: Sequence[Trial]) -> list[Trial]:
    """Those that no other beats in recall and in speed, by rising recall."""
    best, front = 0.0, []
    for each in sorted(trials, key=lambda t: (t.recall, _speed(t)), reverse=True):
        if _speed(each) > best:
            best = _speed(each)
            front.append(each)
    return front[::-1]


def _place(recall: float, finest: float) -> float:
    """Where a recall stands: each step to the right is a tenth of the errors.

    `finest`: the share of errors below which nothing can be told apart from none.
    """
    return -math.log10(max(1 - recall, finest))


def _scales(panel: Any, tuned: Tuned, finest: float) -> None:
    places = [_place(each.recall, finest) for each in tuned.trials]
    places.append(_place(tuned.tuning.wanted, finest))
    end = _place(1.0, finest)
    ticks = {_place(each, finest): f"{each:g}" for each in _NINES if 1 - each > 1.5 * finest}
    ticks[end] = "1"
    room = 0.06 * (max(places) - min(places)) + 0.05
    panel.set_xticks(list(ticks), list(ticks.values()))
    panel.set_xlim(min(places) - room, max(places) + room)
    ticker = _matplotlib("ticker")
    panel.set_yscale("log")
    speeds = [*map(_speed, tuned.trials)]
    panel.set_ylim(min(speeds) / 1.4, max(speeds) * 1.4)
    steps = (1.0, 2.0, 5.0) if max(speeds) > 10 * min(speeds) else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
    panel.yaxis.set_major_locator(ticker.LogLocator(subs=steps))
    panel.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    panel.yaxis.set_minor_locator(ticker.NullLocator())
    panel.grid(color=_GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _matplotlib(part: str) -> Any:
    """The package, or a part of it; `MissingPackage` with the extra to install."""
    try:
        return import_module(f"matplotlib.{part}" if part else "matplotlib")
    except ImportError as error:
        raise MissingPackage("drawing a curve", "pip install 'lookalike[plots]'") from error

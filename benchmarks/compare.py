"""What the figures under `benchmarks/results/` say that those of the last commit do not.

    python benchmarks/compare.py [--since REVISION] [--least 0.03]

Each file is compared with itself as it was at REVISION, by default the last commit; where nothing
has been run since, with what was committed before the last change of it. Rows go by what names
them. A change below `--least` is noise on most machines and left out; ratios to a yardstick of the
same run are to be believed before times and rates.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"


class Change(NamedTuple):
    """One figure, before and now."""

    name: str
    before: float | None
    now: float | None

    @property
    def share(self) -> float:
        """How much more it is now, as a share of what it was; infinite if it came or went."""
        if self.before is None or self.now is None:
            return float("inf")
        return (self.now - self.before) / abs(self.before) if self.before else float(self.now != 0)


def main() -> None:
    """Print what changed, a table for each benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--since")
    parser.add_argument("--least", type=float, default=0.03)
    given = parser.parse_args()
    for path in sorted(RESULTS.glob("*.json")):
        now = json.loads(path.read_text())
        found = before(path, given.since)
        if found is None:
            print(f"{path.stem}: there is none to compare with")
            continue
        show(path.stem, found, now, given.least)


def before(path: Path, since: str | None) -> Any:
    """The content as it was, None if it was not there."""
    if since is not None:
        return at(since, path)
    committed = at("HEAD", path)
    if committed is None or committed != json.loads(path.read_text()):
        return committed
    revisions = git("log", "--format=%H", "-2", "--", str(path)).split()
    return at(revisions[1], path) if len(revisions) > 1 else None


def at(revision: str, path: Path) -> Any:
    """A file's content at a revision, None if it is not there."""
    try:
        return json.loads(git("show", f"{revision}:./{path.name}"))
    except subprocess.CalledProcessError:
        return None


def git(*arguments: str) -> str:
    """What git says, asked in the folder of the results."""
    return subprocess.run(
        ["git", *arguments], cwd=RESULTS, check=True, capture_output=True, text=True
    ).stdout


def show(name: str, before: dict[str, Any], now: dict[str, Any], least: float) -> None:
    """Machines that differ, and figures that do."""
    print(f"\n{name}: {made(before)} -> {made(now)}")
    for key, value in before.get("machine", {}).items():
        other = now.get("machine", {}).get(key)
        if key != "commit" and other != value:
            print(f"  {key}: {value} -> {other}, so times do not compare")
    every = changes(before, now)
    shown = [change for change in every if abs(change.share) >= least]
    width = max((len(change.name) for change in shown), default=0)
    for change in shown:
        share = "" if change.share == float("inf") else f"{change.share:+8.1%}"
        print(f"  {change.name:{width}}  {number(change.before)} -> {number(change.now)}  {share}")
    print(f"  {len(every) - len(shown)} of {len(every)} figures within {least:.0%}")


def made(content: dict[str, Any]) -> str:
    """The commit."""
    return str(content.get("machine", {}).get("commit", "unknown"))


def changes(before: Any, now: Any) -> list[Change]:
    """Every figure of either."""
    old, new = dict(figures(before)), dict(figures(now))
    return [Change(name, old.get(name), new.get(name)) for name in {**old, **new}]


def figures(content: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number, by where it stands; a row of a list by the words and knobs that name it."""
    if isinstance(content, bool):
        return
    if isinstance(content, int | float):
        yield name, float(content)
    elif isinstance(content, dict):
        for key, value in content.items():
            if key != "machine":
                yield from figures(value, f"{name} {key}".strip())
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from figures(value, f"{name} {said(value) or place}".strip())


def said(row: Any) -> str:
    """What names a row: its words, and the knobs it was measured with."""
    if not isinstance(row, dict):
        return ""
    named = [str(value) for value in row.values() if isinstance(value, str)]
    knobs = row.get("knobs", {}) | {
        key: row[key] for key in ("count", "dim", "ef_search", "lanes") if key in row
    }
    return ", ".join([*named, *(f"{key} {value}" for key, value in knobs.items())])


def number(value: float | None) -> str:
    """With as many digits as matter."""
    return "none" if value is None else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


if __name__ == "__main__":
    main()

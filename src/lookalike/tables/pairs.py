"""How two compared pictures look in a terminal, and as plain lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..terminal import print_json, print_pairs

if TYPE_CHECKING:
    from ..pairs import Pair


def show_pair(pair: Pair, *, as_json: bool) -> None:
    """What the comparators say."""
    if as_json:
        print_json(pair.to_json())
        return
    rows = [
        (name, pair.unavailable.get(name, "not compared") if score is None else f"{score:.6g}")
        for name, score in pair.scores.items()
    ]
    if pair.kinship is not None:
        rows.append(("kinship", pair.kinship))
    evidence = pair.evidence
    if evidence is not None:
        rows.append(("inliers", f"{evidence.inliers:,} of {evidence.matches:,} matches"))
        if evidence.mirrored:
            rows.append(("mirrored", "yes"))
        if evidence.region is not None:
            corners = " ".join(f"{round(x)},{round(y)}" for x, y in evidence.region.tolist())
            rows.append(("region", f"{corners} of B's pixels"))
    print_pairs(rows)

"""A query that every shard answers, simulated: its time against shards, copies, and whom it asks.

    python benchmarks/scatter_gather.py [--shards 256] [--queries 20000] [--json FILE] [--plot FILE]

Queries arrive by chance (Poisson), each goes to one copy of every shard, and is over when the
slowest has answered. A copy works on one request at a time, in their order. How long that takes is
drawn, of each request on its own, from what one shard of a real Elasticsearch took
(`results/shard_latency.json`); beside that each copy stands still now and then, as for its garbage.
What a copy still has to do when it stands still is not held up, only what comes after.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Times]
"""So many times of one request, in milliseconds."""

MEASURED = Path(__file__).parent / "results" / "shard_latency.json"
SEED = 0
COUNTS = (1, 4, 16, 64, 256)
_TICKS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 400, 600, 1000)
LOAD = 0.3
"""Of the time of a copy that is its shard's only one; each of two has half of it."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """Of each copy, at times of its own."""

    every: float
    """Milliseconds from one to the next, on average."""
    last: float
    """Milliseconds."""


PAUSES = Pauses(30_000.0, 200.0)
"""Assumed: nobody has measured them here."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a query chooses among the copies of a shard."""

    name: str
    copies: int
    choice: Literal["any", "least busy"] = "any"
    """The least busy is known exactly here; Elasticsearch judges by the last answers."""
    hedged: bool = False
    """Whether another copy is asked too, if the first has not answered after a while."""


WAYS = (
    Way("1 copy", 1),
    Way("2, any", 2),
    Way("2, any, hedged", 2, hedged=True),
    Way("2, least busy", 2, "least busy"),
    Way("2, least busy, hedged", 2, "least busy", hedged=True),
    Way("3, least busy", 3, "least busy"),
)


def simulated(
    draw: Draw,
    way: Way,
    *,
    shards: int,
    queries: int,
    between: float,
    hedge_after: float = np.inf,
    pauses: Pauses | None = None,
    seed: int = SEED,
) -> tuple[Times, float]:
    """Milliseconds of each query at each shard, float64 [queries, shards]; requests a query, shard.

    `between`: milliseconds from one query to the next, on average. `hedge_after`: milliseconds.
    """
    rng = np.random.default_rng(seed)
    came = np.cumsum(rng.exponential(between, queries))
    copies = _Copies(draw, way, shards, pauses, rng)
    took, asked = np.empty((queries, shards)), np.empty((queries, shards), np.int64)
    hedging = way.hedged and np.isfinite(hedge_after)
    for moment, query, first in _events(came, hedge_after if hedging else None):
        if first:
            asked[query] = copies.chosen(moment)
            took[query] = copies.given(asked[query], moment) - came[query]
        else:
            late = np.flatnonzero(took[query] > hedge_after)
            if len(late):
                others = copies.chosen(moment, but=asked[query])
                again = copies.given(others, moment, late) - came[query, None]
                took[query, late] = np.minimum(took[query, late], again)
    return took, copies.requests / (queries * shards)


class _Copies:
    """Those of every shard, and until when each is busy: float64 [shards, copies]."""

    def __init__(
        self, draw: Draw, way: Way, shards: int, pauses: Pauses | None, rng: np.random.Generator
    ) -> None:
        self._draw, self._way, self._rng = draw, way, rng
        self._free = np.zeros((shards, way.copies))
        self._rows = np.arange(shards)
        self._pauses = pauses or Pauses(np.inf, 0.0)
        self._pausing = np.full_like(self._free, np.inf)
        if pauses is not None:
            self._pausing = rng.exponential(pauses.every, self._free.shape)
        self.requests = 0

    def chosen(self, moment: float, but: npt.NDArray[np.int64] | None = None) -> Any:
        """Of each shard, which copy to ask: int64 [shards]."""
        self._pause(moment)
        by_chance = self._rng.random(self._free.shape)
        order = by_chance
        if self._way.choice == "least busy":
            order = np.maximum(self._free - moment, 0) + 1e-9 * by_chance
        if but is not None:
            order[self._rows, but] = np.inf
        return order.argmin(axis=1)

    def given(
        self, copies: Any, moment: float, shards: npt.NDArray[np.int64] | None = None
    ) -> Times:
        """When a request is answered that these copies, of all shards or of some, get now."""
        rows = self._rows if shards is None else shards
        chosen = copies[rows]
        begun = np.maximum(self._free[rows, chosen], moment)
        done: Times = begun + self._draw(self._rng, len(rows))
        self._free[rows, chosen] = done
        self.requests += len(rows)
        return done

    def _pause(self, moment: float) -> None:
        while (due := self._pausing <= moment).any():
            begun = np.maximum(self._free[due], self._pausing[due])
            self._free[due] = begun + self._pauses.last
            self._pausing[due] += self._rng.exponential(self._pauses.every, int(due.sum()))


def _events(came: Times, hedge_after: float | None) -> list[tuple[float, int, bool]]:
    """Queries, and when each looks whether it is to ask again, in the order of time."""
    every = [(moment, query, True) for query, moment in enumerate(came.tolist())]
    if hedge_after is not None:
        every += [(moment + hedge_after, query, False) for moment, query, _ in every]
    return sorted(every)


def gathered(took: Times, counts: tuple[int, ...]) -> dict[int, Times]:
    """Milliseconds of queries that go to so many shards: the slowest of each group of so many."""
    queries, shards = took.shape
    return {
        count: took[:, : shards // count * count].reshape(queries, -1, count).max(axis=2).ravel()
        for count in counts
    }


def quantile_of_slowest(quantiles: Times, share: float, shards: int) -> float:
    """The same without a queue, in closed form: of independent shards, F^-1(share^(1/shards)).

    `quantiles`: float64 [n], ascending, of one shard, evenly spaced from 0 to 1.
    """
    return float(np.interp(share ** (1 / shards), np.linspace(0, 1, len(quantiles)), quantiles))


def drawn_from(quantiles: Times) -> Draw:
    """Times as they were measured: the inverse of their distribution, at random places."""
    spaced = np.linspace(0, 1, len(quantiles))

    def draw(rng: np.random.Generator, count: int) -> Times:
        return np.interp(rng.random(count), spaced, quantiles)

    return draw


def main() -> None:
    """Print the table; draw it, too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=max(COUNTS))
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    quantiles = np.array(json.loads(MEASURED.read_text())["quantiles_ms"])
    counts = tuple(count for count in COUNTS if count <= arguments.shards)
    rows = table(quantiles, arguments.shards, arguments.queries)
    print(f"{'':26}{'requests':>9}   p99, ms, of a query to so many shards")
    print(f"{'copies':26}{'':>9}" + "".join(f"{count:>9}" for count in counts))
    for row in rows:
        figures = "".join(f"{row['p99_ms'][str(count)]:>9.1f}" for count in counts)
        print(f"{row['name']:26}{row['requests']:>9.3f}{figures}")
    if arguments.json:
        said = {"load": LOAD, "pauses_ms": [PAUSES.every, PAUSES.last], "seed": SEED}
        arguments.json.write_text(json.dumps({**said, "rows": rows}, indent=1) + "\n")
    if arguments.plot:
        plot(rows, arguments.plot)


def table(quantiles: Times, shards: int, queries: int) -> list[dict[str, Any]]:
    """A row for each way, and the closed form of shards that are idle and never stand still."""
    draw, mean = drawn_from(quantiles), float(quantiles.mean())
    counts = tuple(count for count in COUNTS if count <= shards)
    idle = {str(count): quantile_of_slowest(quantiles, 0.99, count) for count in counts}
    rows: list[dict[str, Any]] = [
        {"name": "idle, no pauses (formula)", "requests": 1.0, "p99_ms": idle, "p50_ms": {}}
    ]
    for way in WAYS:
        took, requests = simulated(
            draw,
            way,
            shards=shards,
            queries=queries,
            between=mean / LOAD,
            hedge_after=float(np.quantile(quantiles, 0.99)),
            pauses=PAUSES,
        )
        slowest = gathered(took, counts)
        rows.append(
            {
                "name": way.name,
                "requests": requests,
                "p50_ms": {str(n): float(np.median(each)) for n, each in slowest.items()},
                "p99_ms": {str(n): float(np.quantile(each, 0.99)) for n, each in slowest.items()},
            }
        )
    return rows


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """p99 over the number of shards, and the median beside it."""
    from plots import figure, save

    made, axes = figure(2)
    for axis, which, title in zip(
        axes.flat, ("p50_ms", "p99_ms"), ("median", "99th percentile"), strict=True
    ):
        for row in rows:
            if row[which]:
                style = "k--" if "formula" in row["name"] else "-o"
                style = "x--" if row["name"].startswith("3") else style
                counts = [int(count) for count in row[which]]
                axis.plot(counts, list(row[which].values()), style, ms=3.5, label=row["name"])
        axis.set(xscale="log", yscale="log", xlabel="shards", title=title)
        axis.set_xticks(COUNTS, [str(count) for count in COUNTS])
        axis.minorticks_off()
        ticks = [tick for tick in _TICKS if axis.get_ylim()[0] <= tick <= axis.get_ylim()[1]]
        axis.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.flat[0].set_ylabel("ms a query")
    made.legend(*axes.flat[1].get_legend_handles_labels(), loc="outside right", frameon=False)
    save(made, path)


if __name__ == "__main__":
    main()

"""The simulation behind docs/scale.md against what queueing theory knows in closed form."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SELDOM = 1e6
"""Milliseconds between queries: none waits for another."""


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(FOLDER))
    import scatter_gather

    yield scatter_gather
    sys.modules.pop("scatter_gather", None)


def exponential(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    return rng.exponential(1.0, count)


def test_the_slowest_of_n_exponentials_takes_the_harmonic_number(simulation: Any) -> None:
    way = simulation.Way("one", 1)
    took, requests = simulation.simulated(
        exponential, way, shards=64, queries=20_000, between=SELDOM
    )
    assert requests == 1
    for count, slowest in simulation.gathered(took, (1, 4, 16, 64)).items():
        harmonic = sum(1 / n for n in range(1, count + 1))
        assert slowest.mean() == pytest.approx(harmonic, rel=0.03)
        # Its distribution is (1 - e^-t)^n.
        assert np.quantile(slowest, 0.99) == pytest.approx(
            -np.log(1 - 0.99 ** (1 / count)), rel=0.06
        )


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_a_queue_is_as_long_as_that_of_m_m_1(simulation: Any, load: float) -> None:
    way = simulation.Way("one", 1)
    took, _ = simulation.simulated(exponential, way, shards=32, queries=20_000, between=1 / load)
    # What a request takes, with its waiting, is exponential as well, with rate 1 - load.
    assert took.mean() == pytest.approx(1 / (1 - load), rel=0.05)
    assert np.quantile(took, 0.99) == pytest.approx(np.log(100) / (1 - load), rel=0.06)


def test_idle_shards_of_any_distribution_follow_its_quantiles(simulation: Any) -> None:
    quantiles = np.quantile(
        np.random.default_rng(3).lognormal(1, 1, 5_000), np.linspace(0, 1, 1001)
    )
    took, _ = simulation.simulated(
        simulation.drawn_from(quantiles),
        simulation.Way("one", 1),
        shards=16,
        queries=20_000,
        between=SELDOM,
    )
    for count, slowest in simulation.gathered(took, (1, 4, 16)).items():
        expected = simulation.quantile_of_slowest(quantiles, 0.9, count)
        assert np.quantile(slowest, 0.9) == pytest.approx(expected, rel=0.05)


def test_a_hedge_without_a_queue_is_the_sooner_of_two(simulation: Any) -> None:
    # P(T > t) is e^-t up to the hedge, and e^-t e^-(t - h) after it: two are at work.
    after = 0.5
    took, requests = simulation.simulated(
        exponential,
        simulation.Way("two", 2, hedged=True),
        shards=8,
        queries=20_000,
        between=SELDOM,
        hedge_after=after,
    )
    assert requests == pytest.approx(1 + np.exp(-after), rel=0.02)
    assert np.quantile(took, 0.99) == pytest.approx((np.log(100) + after) / 2, rel=0.04)


def test_a_copy_that_stands_still_delays_what_comes_meanwhile(simulation: Any) -> None:
    # Of the time a share of last / (every + last) falls into pauses, each waits half on average.
    pauses = simulation.Pauses(every=1_000.0, last=100.0)
    took, _ = simulation.simulated(
        lambda _, count: np.zeros(count),
        simulation.Way("one", 1),
        shards=64,
        queries=5_000,
        between=20.0,
        pauses=pauses,
    )
    # Pauses are queued like work, so they are an M/D/1 queue: rho d / (2 (1 - rho)), plus what
    # a query finds of the one that runs.
    rho = pauses.last / pauses.every
    expected = rho * pauses.last / (2 * (1 - rho))
    assert took.mean() == pytest.approx(expected, rel=0.1)


def test_the_same_seed_gives_the_same_times(simulation: Any) -> None:
    way = simulation.Way("two", 2, "least busy", hedged=True)
    once, again = (
        simulation.simulated(
            exponential, way, shards=4, queries=200, between=2.0, hedge_after=3.0, seed=7
        )[0]
        for _ in range(2)
    )
    np.testing.assert_array_equal(once, again)

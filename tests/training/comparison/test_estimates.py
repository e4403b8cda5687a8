"""Estimates from few runs: pencil arithmetic, and what rliable says of the same runs (rliable.json, by rliable_figures.py)."""

import json
from pathlib import Path

import numpy as np
import pytest

from tandem.training.comparison.estimates import (
    PERCENTILES,
    Resamples,
    bands,
    estimate,
    improvement,
    interquartile_mean,
)

GOLDEN = json.loads((Path(__file__).parent / "rliable.json").read_text())


def drawn(number, resamples=None, seed=0):
    return Resamples.draw(number, np.random.default_rng(seed), resamples)


def test_the_lowest_and_the_highest_quarter_count_nothing():
    assert interquartile_mean(np.array([100.0, 1, 2, 3, -50])) == 2  # of five one each
    assert interquartile_mean(np.array([1.0, 2, 60])) == 21  # of three none
    assert interquartile_mean(np.array([[0.0, 0], [1, 5], [2, 6], [90, 90]])).tolist() == [1.5, 5.5]


def test_the_band_of_two_runs_is_both_of_them():
    """Of their four resamples one is twice the first run and one twice the second: more than 2.5 % each."""
    found = estimate(np.array([0.0, 1.0]), drawn(2))
    assert (found.value, found.low, found.high) == (0.5, 0, 1)


@pytest.mark.parametrize("number", [3, 8])
def test_resamples_that_are_worked_out_once_count_as_often_as_they_were_drawn(number):
    values, resamples = np.random.default_rng(1).normal(size=(number, 3)), drawn(number, 500)
    assert resamples.counts.sum() == 500 and (len(resamples.counts) < 11 or number == 8)
    every = interquartile_mean(values[resamples.picked], axis=1)
    np.testing.assert_allclose(bands(values, resamples), np.percentile(every, PERCENTILES, axis=0), rtol=1e-12)


def test_a_single_run_has_no_band():
    assert estimate(np.array([3.0]), drawn(1)).low is None
    assert improvement(np.array([3.0]), np.array([1.0, 4.0]), drawn(1).shares(), drawn(2).shares()).low is None


def test_a_tie_is_half_an_improvement():
    shares = drawn(2).shares()
    found = improvement(np.array([1.0, 3.0]), np.array([1.0, 2.0]), shares, shares[::-1])
    assert found.value == (0.5 + 0 + 1 + 1) / 4


@pytest.mark.parametrize("name", GOLDEN["groups"])
def test_bands_are_those_of_rliable_to_three_digits(name):
    """Both draw. Bounds of real groups, of 3, 4 and 5 runs, are steps and agree in all digits; those of 17 runs that were
    drawn about 500 differ by up to .0015 between two seeds of rliable itself."""
    golden = GOLDEN["groups"][name]
    returns = np.array(golden["returns"])
    tolerance = 2.5e-3 if name == "drawn" else 1e-9
    np.testing.assert_allclose(interquartile_mean(returns), golden["middle"], rtol=1e-12)
    np.testing.assert_allclose(bands(returns, drawn(len(returns))), [golden["low"], golden["high"]], rtol=tolerance)


@pytest.mark.parametrize("golden", GOLDEN["improvements"], ids=lambda one: one["group"])
def test_probabilities_of_improvement_are_those_of_rliable(golden):
    ours, theirs = (np.array(GOLDEN["groups"][golden[name]]["returns"])[:, -1] for name in ("group", "over"))
    found = improvement(ours, theirs, drawn(len(ours)).shares(), drawn(len(theirs), seed=1).shares())
    assert found.value == pytest.approx(golden["middle"][0], abs=1e-12)
    assert [found.low, found.high] == pytest.approx([golden["low"][0], golden["high"][0]], abs=1e-9)


@pytest.mark.slow
def test_the_same_resamples_have_the_same_bounds_as_in_rliable():
    """The library itself, where it can be imported, on one set of draws: nothing is left to chance."""
    try:
        from rliable import library, metrics  # pyright: ignore[reportMissingImports]
    except Exception as error:  # noqa: BLE001 - of any kind: what it imports breaks with newer versions of others
        pytest.skip(f"rliable cannot be imported: {error}")
    returns = np.array(GOLDEN["groups"]["drawn"]["returns"])[:, :1]
    np.random.seed(5)  # rliable draws from numpy's global generator
    middles = lambda scores: np.array([metrics.aggregate_iqm(scores)])  # noqa: E731
    _, bounds = library.get_interval_estimates({"": returns}, middles, reps=300)
    np.random.seed(5)
    picked = np.array([np.random.choice(17, (17, 1), replace=True)[:, 0] for _ in range(300)])
    same = Resamples(picked, *np.unique(np.sort(picked, axis=1), axis=0, return_counts=True))
    np.testing.assert_allclose(np.array(bands(returns, same)), bounds[""], rtol=1e-12)

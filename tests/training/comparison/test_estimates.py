"""Estimates from few runs: pencil arithmetic, and what rliable says of the same runs (rliable.json, by rliable_figures.py)."""

import json
from pathlib import Path

import numpy as np
import pytest

from tandem.training.comparison.estimates import bands, estimate, improvement, interquartile_mean, picks

GOLDEN = json.loads((Path(__file__).parent / "rliable.json").read_text())


def test_the_lowest_and_the_highest_quarter_count_nothing():
    assert interquartile_mean(np.array([100.0, 1, 2, 3, -50])) == 2  # of five one each
    assert interquartile_mean(np.array([1.0, 2, 60])) == 21  # of three none
    assert interquartile_mean(np.array([[0.0, 0], [1, 5], [2, 6], [90, 90]])).tolist() == [1.5, 5.5]


def test_the_band_of_two_runs_is_both_of_them():
    """Of four resamples each, (0, 0) and (1, 1) come one time in four: more often than 2.5 %."""
    drawn = picks(2, np.random.default_rng(0))
    assert estimate(np.array([0.0, 1.0]), drawn) == pytest.approx(estimate(np.array([0.0, 1.0]), drawn))
    assert bands(np.array([[0.0], [1.0]]), drawn)[0].tolist() == [0.0]
    assert bands(np.array([[0.0], [1.0]]), drawn)[1].tolist() == [1.0]


def test_a_single_run_has_no_band():
    drawn = picks(1, np.random.default_rng(0), 10)
    assert estimate(np.array([3.0]), drawn).low is None
    assert improvement(np.array([3.0]), np.array([1.0, 4.0]), drawn, picks(2, np.random.default_rng(0), 10)).low is None


def test_a_tie_is_half_an_improvement():
    drawn = picks(2, np.random.default_rng(0))
    found = improvement(np.array([1.0, 3.0]), np.array([1.0, 2.0]), drawn, drawn[::-1])
    assert found.value == (0.5 + 0 + 1 + 1) / 4


def spread(values):
    return max(1.0, float(np.abs(values).max()))


@pytest.mark.parametrize("name", GOLDEN["groups"])
def test_bands_are_those_of_rliable_to_three_digits(name):
    golden = GOLDEN["groups"][name]
    returns = np.array(golden["returns"])
    low, high = bands(returns, picks(len(returns), np.random.default_rng(0)))
    np.testing.assert_allclose(interquartile_mean(returns), golden["middle"], rtol=1e-12)
    np.testing.assert_allclose(low, golden["low"], rtol=5e-3, atol=5e-4 * spread(returns))
    np.testing.assert_allclose(high, golden["high"], rtol=5e-3, atol=5e-4 * spread(returns))

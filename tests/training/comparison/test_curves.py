"""Returns between evaluations, areas, and what it costs to reach a level."""

import math

import numpy as np
import pytest

from tandem.training.comparison.curves import Returns, common_grid, curve
from tandem.training.comparison.estimates import Resamples

RUN = Returns(np.array([10.0, 20, 40]), np.array([0.0, 8, 4]))


def test_returns_lie_on_lines_between_evaluations_and_nowhere_after():
    assert RUN.on(np.array([0.0, 15, 30, 40])).tolist() == [0, 4, 6, 4]
    assert math.isnan(RUN.on(np.array([41.0]))[0])


def test_the_area_begins_with_nothing_spent():
    assert RUN.mean_until(10) == 0
    assert RUN.mean_until(40) == (0 + 10 * 4 + 20 * 6) / 40
    assert RUN.mean_until(30) == (0 + 10 * 4 + 10 * 7) / 30  # from 8 down to 6


def test_a_level_is_reached_at_an_evaluation():
    assert [RUN.reaches(level) for level in (0, 0.1, 8, 8.1)] == [10, 20, 20, math.inf]


def test_a_group_goes_as_far_as_all_its_runs():
    late = Returns(np.array([20.0, 30]), np.array([2.0, 4]))
    found = curve((RUN, late), common_grid([40], 10), Resamples.draw(2, np.random.default_rng(0), 100))
    assert (found.at[0], found.at[-1]) == (10, 30)
    assert (found.middle[0], found.middle[-1]) == (1, 5)  # (0 + 2) / 2, (6 + 4) / 2
    assert found.low is not None and found.low[-1] == pytest.approx(4)


def test_groups_of_other_orders_of_magnitude_share_a_logarithmic_grid():
    assert np.diff(common_grid([100, 800], 10)).std() == pytest.approx(0)
    assert np.diff(np.log(common_grid([100, 900], 10))).std() == pytest.approx(0)

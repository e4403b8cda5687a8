"""How errors of single answers add up over a horizon: pencil numbers, and what chance must not change."""

import math

import numpy as np
import pytest

from tandem.training.measurements.errors_in_time import (
    UNLIKE,
    USUAL_CORRELATION,
    WORTH,
    LabelErrors,
    correlation,
    deviation_ahead,
    horizon_factor,
    log_spread,
)


def along(error: np.ndarray, episodes: int = 1, gap: int = 1) -> LabelErrors:
    """Answers about every `gap`-th row of episodes of equal length."""
    number = np.arange(len(error))
    episode = number * episodes // len(error)
    return LabelErrors(error, np.zeros(len(error), int), episode, number * gap)


def test_errors_that_never_cancel_cost_the_whole_discounted_future():
    assert horizon_factor(1.0, 12, 0.99) == pytest.approx(1 / (1 - 0.99))


def test_errors_that_are_independent_add_up_as_squares():
    # H = 2, discount 1/2: sqrt(1 + 1/4) / (1 - 1/4)
    assert horizon_factor(0.0, 2, 0.5) == pytest.approx(math.sqrt(1.25) / 0.75)
    # half correlated: sqrt((1.25 + 1.5 ** 2) / 2) / 0.75
    assert horizon_factor(0.5, 2, 0.5) == pytest.approx(math.sqrt((1.25 + 2.25) / 2) / 0.75)


def test_an_answer_about_many_rows_counts_for_all_of_them():
    # Clips of 4 rows, 8 rows of horizon: two parts, discounted by 1 and 0.5 ** 4
    assert horizon_factor(1.0, 8, 0.5, rows=4) == pytest.approx((1 + 0.5**4) / (1 - 0.5**8))
    # A clip longer than the horizon: its part of one
    assert horizon_factor(1.0, 8, 0.5, rows=16) == pytest.approx(0.5 / (1 - 0.5**8))


def test_the_correlation_of_neighbours_is_found():
    rng = np.random.default_rng(0)
    shared = np.repeat(rng.normal(size=400), 5)  # the same for five rows in a row
    error = math.sqrt(0.6) * shared + math.sqrt(0.4) * rng.normal(size=2000)
    episodes = LabelErrors(error, np.zeros(2000, int), np.arange(2000) // 5, np.arange(2000) % 5)
    assert correlation(episodes, 1.0, horizon=12) == pytest.approx(0.6, abs=0.05)
    white = along(rng.normal(size=5000), episodes=50)
    assert correlation(white, 1.0, horizon=12) < 0.05


def test_noise_of_raters_does_not_hide_that_errors_are_alike():
    rng = np.random.default_rng(1)
    error = np.repeat(rng.normal(size=1000), 5) + rng.normal(size=5000)  # half of it is noise of the answers
    seen = LabelErrors(error, np.zeros(5000, int), np.arange(5000) // 5, np.arange(5000) % 5)
    assert correlation(seen, 0.5, horizon=12) == pytest.approx(1.0, abs=0.06)


def test_answers_of_other_episodes_and_far_ones_tell_nothing():
    error = np.ones(40)
    assert correlation(along(error, episodes=40), 1.0, horizon=12) == USUAL_CORRELATION
    assert correlation(along(error, gap=12), 1.0, horizon=12) == USUAL_CORRELATION
    # Two clips of 4 rows, one row apart: they share rows, so their errors are alike without a reason.
    assert correlation(along(error[:2]), 1.0, horizon=12, rows=4) == USUAL_CORRELATION


def test_few_pairs_move_the_belief_by_their_worth():
    # one pair of equal errors says 1: (1 * 1 + WORTH * usual) / (1 + WORTH)
    assert correlation(along(np.ones(2)), 1.0, horizon=12) == pytest.approx(
        (1 + WORTH * USUAL_CORRELATION) / (1 + WORTH)
    )


def test_the_order_in_which_answers_came_changes_nothing():
    rng = np.random.default_rng(2)
    made = along(np.cumsum(rng.normal(size=300)), episodes=6)
    order = rng.permutation(300)
    mixed = LabelErrors(made.error[order], made.env[order], made.episode[order], made.step[order])
    assert correlation(mixed, 1.0, horizon=12) == pytest.approx(correlation(made, 1.0, horizon=12))


def test_the_spread_of_a_mean_is_that_of_whole_episodes():
    rng = np.random.default_rng(3)
    sizes = np.repeat(rng.uniform(0.01, 1.99, size=400), 20)  # 8000 rows that tell no more than 400 episodes
    cluster = np.arange(8000) // 20
    # The standard error of a mean of 400 uniform numbers of mean 1 is 1.98 / sqrt(12 * 400), what their number leaves open
    # 1 / sqrt(400).
    assert log_spread(sizes, cluster, seed=0) == pytest.approx(math.hypot(1.98 / math.sqrt(4800), 0.05), rel=0.1)


def test_few_episodes_say_little_however_alike_they_are():
    assert log_spread(np.ones(60), np.zeros(60, int), seed=0) == UNLIKE
    assert log_spread(np.ones(60), np.arange(60) // 15, seed=0) == pytest.approx(UNLIKE / 2)
    assert log_spread(np.zeros(40), np.arange(40), seed=0) == log_spread(np.zeros(0), np.zeros(0), seed=0) == UNLIKE


def test_what_there_is_to_foresee_is_told_by_answers_without_their_noise():
    rng = np.random.default_rng(4)
    level = np.repeat(rng.normal(size=400), 20)  # an episode brings the same reward in every row
    steady = along(level, episodes=400)
    assert deviation_ahead(steady, 0.0, 12, 0.99) == pytest.approx(level.std() / (1 - 0.99), rel=0.02)
    noisy = along(level + 2 * rng.normal(size=len(level)), episodes=400)
    assert deviation_ahead(noisy, 4.0, 12, 0.99) == pytest.approx(level.std() / (1 - 0.99), rel=0.1)
    # Rows that have nothing to do with each other cancel: sqrt(1 + 1/4) / (1 - 1/4) of one
    white = along(rng.normal(size=20_000), episodes=200)
    assert deviation_ahead(white, 0.0, 2, 0.5) == pytest.approx(math.sqrt(1.25) / 0.75, rel=0.03)
    assert deviation_ahead(along(np.zeros(0)), 0.0, 12, 0.99) == 0.0

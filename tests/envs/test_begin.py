"""Environments that play while the caller does something else: the rows are the same, and nothing is lost or left behind."""

import time

import numpy as np
import pytest

from tandem.envs.make import EnvConfig
from tandem.envs.vault import RewardVault
from tandem.envs.vector import VectorEnv

from .test_pool import failures, opened, zoo_on_the_path  # noqa: F401  the fixture puts the zoo on the path

pytestmark = pytest.mark.run  # they start processes


def rows_of(env, ticks, is_begun):
    rows = []
    for tick in range(ticks):
        action = np.full((env.num, env.spaces.action_size), 0.1 * tick, np.float32)
        if is_begun and tick % 3:  # now and then nobody begins
            env.begin(action)
        rows.append(env.step(action))
    env.close()
    return rows


def assert_same(some, others):
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        for name in ("is_first", "is_last", "is_terminal", "step", "is_heldout"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        for key, values in one.obs.items():
            np.testing.assert_array_equal(values, other.obs[key])


def test_rows_that_were_begun_are_those_of_environments_in_this_process():
    config = EnvConfig(num=3, time_limit=5)
    here = VectorEnv("toy_lq", config, 0, RewardVault())
    assert_same(rows_of(opened("Drift", num=3), 20, True), rows_of(opened("Drift", num=3, processes=False), 20, False))
    assert_same(rows_of(VectorEnv("toy_lq", config, 0, RewardVault()), 20, True), rows_of(here, 20, False))


def test_one_that_dies_after_it_was_begun_is_rebuilt_and_said(tmp_path):
    said = []
    rows = rows_of(opened("Dying", said, num=2, kwargs=failures(tmp_path)), 20, True)
    assert len(said) == 1 and "is gone" in said[0] and len(rows) == 20


def test_slow_environments_play_while_the_caller_is_busy():
    env = opened("Slow", num=1)
    action = np.zeros((1, env.spaces.action_size), np.float32)
    env.step(action)  # the reset
    env.begin(action)
    time.sleep(1.5)  # its step takes .3
    began = time.monotonic()
    env.step(action)
    assert time.monotonic() - began < 0.15
    env.close()


def test_closing_lets_a_step_that_was_begun_end_and_another_action_is_a_bug():
    env = opened("Slow", num=1)
    action = np.zeros((1, env.spaces.action_size), np.float32)
    env.step(action)
    env.begin(action)
    with pytest.raises(AssertionError, match="another action"):
        env.step(action + 1)
    process = env._pool.workers[0].process
    env.close()
    assert process.exitcode == 0  # it left by itself

"""Streams of rows from several environments: first and last rows, limits, the held-out share."""

import os

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from tandem.envs.make import EnvConfig
from tandem.envs.records import Clip
from tandem.envs.vault import RewardVault, UnknownReward
from tandem.envs.vector import HeldoutShare, VectorEnv


class Counting(gymnasium.Env):
    """Episodes of 4 steps that end in truth; observes (steps done, last action), earns 10 + steps done."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        self._num_steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self._num_steps += 1
        obs = np.array([self._num_steps, action[0]], np.float32)
        return obs, 10.0 + self._num_steps, self._num_steps == 4, False, {}


@pytest.fixture(autouse=True)
def tasks_of_this_file(monkeypatch):
    # `module:Class` tasks are imported by name, in worker processes too.
    folder = os.path.dirname(__file__)
    monkeypatch.syspath_prepend(folder)


def counting(config=None, name="Counting", vault=None, **kwargs):
    return VectorEnv(f"test_vector:{name}", config or EnvConfig(num=2), 0, vault or RewardVault(), **kwargs)


def run(env, num_ticks, action=0.0):
    return [env.step(np.full((env.num, env.spaces.action_size), action, np.float32)) for _ in range(num_ticks)]


@pytest.mark.parametrize("processes", [False, True])
def test_an_episode_is_a_first_row_its_steps_and_its_last_row(processes):
    vault = RewardVault()
    env = counting(EnvConfig(num=2, processes=processes), vault=vault)
    rows = run(env, 7, action=0.5)
    env.close()
    for n in range(2):
        assert [row.obs["state"][n].tolist() for row in rows] == [
            [0, 0], [1, 0.5], [2, 0.5], [3, 0.5], [4, 0.5], [0, 0], [1, 0.5]
        ]  # fmt: skip
        assert [bool(row.is_first[n]) for row in rows] == [True, False, False, False, False, True, False]
        assert [bool(row.is_last[n]) for row in rows] == [False, False, False, False, True, False, False]
        assert [bool(row.is_terminal[n]) for row in rows] == [False, False, False, False, True, False, False]
        assert [int(row.step[n]) for row in rows] == list(range(7))
        # rows 1 .. 4 earned 11 .. 14; row 5 is a reset and has no reward to sell; row 6 earned 11
        assert vault.reward(Clip(n, 4, length=4)) == 50.0
        assert vault.reward(Clip(n, 6)) == 11.0
        with pytest.raises(UnknownReward):
            vault.reward(Clip(n, 5))
    assert sum(row.num_bought for row in rows) == 2 * 5


def test_rows_are_copies_that_later_steps_leave_alone():
    env = counting()
    rows = run(env, 3)
    kept = [(row.obs["state"].copy(), row.step.copy(), row.is_first.copy()) for row in rows]
    run(env, 5)
    for row, (state, step, is_first) in zip(rows, kept, strict=True):
        np.testing.assert_array_equal(row.obs["state"], state)
        np.testing.assert_array_equal(row.step, step)
        np.testing.assert_array_equal(row.is_first, is_first)


def test_a_time_limit_is_a_last_row_but_not_terminal():
    rows = run(counting(EnvConfig(num=1, time_limit=2)), 3)
    assert [bool(row.is_last[0]) for row in rows] == [False, False, True]
    assert not any(row.is_terminal[0] for row in rows)


def test_processes_and_one_process_give_the_same_rows():
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (12, 2, 1)).astype(np.float32)
    streams = []
    for processes in (False, True):
        env = VectorEnv("gym:Pendulum-v1", EnvConfig(num=2, processes=processes, time_limit=5), 3, RewardVault())
        streams.append([env.step(action) for action in actions])
        env.close()
    for one, other in zip(*streams, strict=True):
        np.testing.assert_array_equal(one.obs["state"], other.obs["state"])
        np.testing.assert_array_equal(one.is_heldout, other.is_heldout)
        np.testing.assert_array_equal(one.is_first, other.is_first)


def test_the_seed_decides_everything_and_environments_differ():
    def first_states(seed):
        return (
            VectorEnv("gym:Pendulum-v1", EnvConfig(num=3), seed, RewardVault())
            .step(np.zeros((3, 1), np.float32))
            .obs["state"]
        )

    np.testing.assert_array_equal(first_states(0), first_states(0))
    assert len({state.tobytes() for seed in (0, 1) for state in first_states(seed)}) == 6


def test_an_episode_is_held_out_as_a_whole():
    rows = run(counting(EnvConfig(num=3, heldout_share=0.5)), 40)
    for n in range(3):
        held = [bool(row.is_heldout[n]) for row in rows]
        episodes = [held[start : start + 5] for start in range(0, 40, 5)]
        assert all(len(set(episode)) == 1 for episode in episodes)
        assert {episode[0] for episode in episodes} == {False, True}


def lengths_of(kind, rng):
    return {"long": 300, "short": 1, "uneven": 1 + int(rng.geometric(1 / 80))}[kind]


def shares(share, num, kind, total, seed=0):
    """Play episodes of some lengths until `total` rows are bought. -> held-out share of rows, (place, is_heldout) of all."""
    heldout, rng = HeldoutShare(share, seed, num), np.random.default_rng(seed)
    begun, was_last, left, episodes = np.zeros(num, int), np.ones(num, bool), np.zeros(num, int), []
    while heldout.rows.sum() < total:
        for env in np.flatnonzero(was_last).tolist():
            heldout.begin(env, int(begun[env]), begun)
            episodes.append((int(begun[env]) * num + env, bool(heldout.is_heldout[env])))
        left = np.where(was_last, [lengths_of(kind, rng) for _ in range(num)], left - 1)
        begun = begun + was_last
        heldout.count(was_last, left == 0)
        was_last = left == 0
    return heldout.rows[1] / heldout.rows.sum(), episodes


@pytest.mark.parametrize("num", [1, 4, 7])
@pytest.mark.parametrize("share", [0.1, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.25, 0.5))])
@pytest.mark.parametrize("kind", ["long", "short", "uneven"])
def test_the_share_is_steered_over_what_was_bought(num, share, kind):
    found = [shares(share, num, kind, total=20_000, seed=seed)[0] for seed in range(3)]
    assert max(abs(one - share) for one in found) < 0.02, found


@pytest.mark.parametrize("num", [1, 2, 4, 7])
def test_the_second_of_all_episodes_is_held_out_and_the_first_is_not(num):
    episodes = dict(shares(0.1, num, "long", total=2 * 300)[1])
    assert [episodes[0], episodes[1]] == [False, True]


def test_what_was_held_out_too_much_is_made_up_for():
    # One of four environments holds 300 of the first 1,200 rows out, where 120 were wanted: the next is due at 3,000.
    share, episodes = shares(0.1, 4, "long", total=2_300)
    assert [place for place, is_heldout in sorted(episodes) if is_heldout] == [1]
    assert share == pytest.approx(300 / 2300, abs=0.01)


def test_which_episodes_are_held_out_is_by_chance():
    chosen = {tuple(place for place, held in shares(0.25, 1, "short", 60, seed)[1] if held) for seed in range(8)}
    assert len(chosen) == 8


def test_nothing_is_held_out_at_share_zero():
    assert shares(0.0, 4, "uneven", 5_000)[0] == 0

"""Streams of rows from several environments: first and last rows, limits, dead workers."""

import os
import signal

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from tandem.envs import vector
from tandem.envs.make import EnvConfig
from tandem.envs.records import Clip
from tandem.envs.vault import RewardVault, UnknownReward
from tandem.envs.vector import NonFiniteObservation, VectorEnv, is_heldout


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


class Broken(Counting):
    def step(self, action):
        obs, *rest = super().step(action)
        obs[1] = np.nan if self._num_steps == 2 else 0.0
        return obs, *rest


class Mortal(Counting):
    """Kills its process at every reset."""

    def reset(self, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)


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


def test_a_resumed_stream_goes_on_with_its_numbers_and_new_episodes():
    config = EnvConfig(num=2, time_limit=4)
    whole = VectorEnv("gym:Pendulum-v1", config, 0, RewardVault())
    rows = run(whole, 11)  # rows 0-4, 5-9, 10: the third episode begins at row 10
    vault = RewardVault()
    resumed = VectorEnv("gym:Pendulum-v1", config, 0, vault, np.array([7, 8]), np.array([2, 2]))
    row = run(resumed, 1)[0]
    np.testing.assert_array_equal(row.obs["state"], rows[10].obs["state"])
    np.testing.assert_array_equal(row.is_heldout, rows[10].is_heldout)
    assert row.step.tolist() == [7, 8] and row.is_first.all()
    assert resumed.next_steps.tolist() == [8, 9] and resumed.next_episodes.tolist() == [3, 3]
    run(resumed, 1)
    vault.reward(Clip(0, 8)), vault.reward(Clip(1, 9))


def test_an_episode_is_held_out_as_a_whole():
    rows = run(counting(EnvConfig(num=3, heldout_share=0.5)), 40)
    for n in range(3):
        held = [bool(row.is_heldout[n]) for row in rows]
        episodes = [held[start : start + 5] for start in range(0, 40, 5)]
        assert all(len(set(episode)) == 1 for episode in episodes)
        assert {episode[0] for episode in episodes} == {False, True}


@pytest.mark.parametrize("num", [1, 2, 4, 7])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_one_episode_of_each_block_is_held_out_and_one_of_the_first_two(num, share):
    config = EnvConfig(num=num, heldout_share=share)
    held = [is_heldout(config, 5, env, episode) for episode in range(100) for env in range(num)]
    assert held[:2] == [False, True]
    block = round(1 / share)
    assert all(sum(held[start : start + block]) == 1 for start in range(0, len(held) - block, block))
    by_env = [sum(held[env::num]) for env in range(num)]
    assert min(by_env) > 0 and max(by_env) < 100  # no stream is left out or used up


def test_nothing_is_held_out_at_share_zero():
    assert not any(
        is_heldout(EnvConfig(heldout_share=0.0), 0, env, episode) for env in range(4) for episode in range(50)
    )


def test_an_observation_that_is_not_finite_is_named():
    env = counting(name="Broken")
    run(env, 2)
    with pytest.raises(NonFiniteObservation, match="environment 0, key 'state', row 2"):
        run(env, 1)


def test_a_dead_worker_begins_every_stream_again():
    vault = RewardVault()
    env = counting(EnvConfig(num=2, processes=True), vault=vault)
    rows = run(env, 3)
    worker = env._pool.processes[1]
    worker.kill()
    worker.join()
    rows += run(env, 2)
    env.close()
    assert [row.is_first.tolist() for row in rows] == [[step in (0, 3)] * 2 for step in range(5)]
    assert [row.step.tolist() for row in rows] == [[step] * 2 for step in range(5)]
    assert env.next_episodes.tolist() == [2, 2]
    assert vault.reward(Clip(0, 4)) == 11.0
    with pytest.raises(UnknownReward):
        vault.reward(Clip(0, 3))  # the tick that was lost earned nothing


def test_closing_after_a_worker_died_is_quiet():
    env = counting(EnvConfig(num=2, processes=True))
    run(env, 1)
    processes = env._pool.processes
    processes[0].kill()
    processes[0].join()
    env.close()
    assert not any(process.is_alive() for process in processes)


def test_a_worker_that_dies_every_time_is_given_up(monkeypatch):
    env = counting(EnvConfig(num=1, processes=True), name="Mortal")
    builds = []
    build = VectorEnv._build_pool
    monkeypatch.setattr(VectorEnv, "_build_pool", lambda self: builds.append(1) or build(self))
    with pytest.raises((EOFError, ConnectionError)):
        run(env, 1)
    assert len(builds) == vector.MAX_REBUILDS
    env.close()

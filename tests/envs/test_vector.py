"""Streams of rows from several environments: first and last rows, limits, dead workers."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from tandem.envs.make import EnvConfig
from tandem.envs.records import Clip
from tandem.envs.standing import OpenEpisode, Standing
from tandem.envs.vault import RewardVault, UnknownReward
from tandem.envs.vector import VectorEnv, is_heldout
from tandem.errors import UserError


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


class Raising(Counting):
    def step(self, action):
        if self._num_steps == 1:
            raise RuntimeError("connection lost")
        return super().step(action)


class Hanging(Counting):
    def step(self, action):
        if self._num_steps == 1:
            time.sleep(1000)
        return super().step(action)


class Slow(Counting):
    def step(self, action):
        time.sleep(0.3)
        return super().step(action)


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


def standing(rows):
    """Where streams stand after these rows, whose actions were all alike."""
    last, num = rows[-1], len(rows[-1].step)
    first = [max(t for t, row in enumerate(rows) if row.is_first[n]) for n in range(num)]
    episodes = np.sum([row.is_first for row in rows], 0)
    opened = tuple(
        OpenEpisode(
            n,
            int(episodes[n]) - 1,
            {key: np.stack([row.obs[key][n] for row in rows[first[n] :]]) for key in last.obs},
            np.full((len(rows) - first[n] - 1, 1), 0.5, np.float32),
        )
        for n in range(num)
        if not last.is_last[n]
    )
    return Standing(last.step + 1, episodes, last.is_last, last.is_heldout, np.zeros(2, np.int64), opened)


@pytest.mark.run
@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("task", ["toy_lq", "gym:Pendulum-v1", "dmc_cartpole_swingup"])
@pytest.mark.parametrize(("num", "before"), [(1, 3), (4, 7), (4, 6)])  # episodes have 6 rows
def test_streams_go_on_bit_for_bit_where_they_stood(task, processes, num, before):
    config = EnvConfig(num=num, time_limit=5, processes=processes)
    whole = VectorEnv(task, config, 0, RewardVault())
    rows = run(whole, before + 8, action=0.5)
    warnings, vault = [], RewardVault()
    resumed = VectorEnv(task, config, 0, vault, warnings.append)
    resumed.go_on(standing(rows[:before]))
    again = run(resumed, 8, action=0.5)
    for one, other in zip(rows[before:], again, strict=True):
        for key in one.obs:
            np.testing.assert_array_equal(one.obs[key], other.obs[key])
        for name in ("is_first", "is_last", "is_terminal", "step", "is_heldout"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert warnings == []
    assert vault.reward(Clip(0, before + 7)) == whole._vault.reward(Clip(0, before + 7))
    whole.close(), resumed.close()


@pytest.mark.run
def test_an_episode_may_take_the_time_of_all_its_steps_to_be_played_again():
    config, warnings = EnvConfig(num=1, processes=True, timeout=0.8), []
    env = counting(config, "Slow")
    rows = run(env, 4, action=0.5)  # 0.9 seconds of steps
    env.close()
    again = VectorEnv("test_vector:Slow", config, 0, RewardVault(), warnings.append)
    again.go_on(standing(rows))
    assert not run(again, 1)[0].is_first[0] and warnings == []
    again.close()


def test_an_episode_that_does_not_repeat_is_closed_and_said():
    env = counting(EnvConfig(num=2))
    rows = run(env, 3, action=0.5)
    stands = standing(rows)
    stands.open[1].obs["state"][1] += 1
    warnings = []
    again = VectorEnv("test_vector:Counting", EnvConfig(num=2), 0, RewardVault(), warnings.append)
    again.go_on(stands)
    assert len(warnings) == 1 and "environment 1: its open episode does not repeat" in warnings[0]
    row = run(again, 1)[0]
    assert row.is_first.tolist() == [False, True] and row.step.tolist() == [3, 3]


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


def warned(name, config):
    warnings, vault = [], RewardVault()
    return VectorEnv(f"test_vector:{name}", config, 0, vault, warnings.append), warnings, vault


def test_an_episode_ends_before_an_observation_that_is_not_finite():
    env, warnings, vault = warned("Broken", EnvConfig(num=1, patience=3))
    rows = run(env, 4)  # first row, step 1, the second step fails: a first row again, step 1
    assert [bool(row.is_first[0]) for row in rows] == [True, False, True, False]
    assert not any(row.is_last[0] or row.is_terminal[0] for row in rows)
    assert all(np.isfinite(row.obs["state"]).all() for row in rows) and vault.num_rows == 2
    assert len(warnings) == 1 and "environment 0, row 2: an observation is not finite: 'state'" in warnings[0]
    run(env, 1)
    with pytest.raises(UserError, match=r"3 failures in a row \(envs.patience\).*Broken, environment 0, row 6"):
        run(env, 3)


def test_an_environment_that_raises_is_named_with_its_own_file_and_line():
    env, warnings, _ = warned("Raising", EnvConfig(num=2))
    run(env, 3)
    assert (
        len(warnings) == 2 and "RuntimeError: connection lost" in warnings[0] and "test_vector.py, line" in warnings[0]
    )


@pytest.mark.run
def test_a_dead_process_is_made_anew_alone_and_said():
    env, warnings, vault = warned("Counting", EnvConfig(num=2, processes=True))
    rows = run(env, 3)
    process = env._pool._workers[1][0]
    process.kill()
    process.join()
    rows += run(env, 2)
    env.close()
    assert [row.is_first.tolist() for row in rows] == [[step == 0, step in (0, 3)] for step in range(5)]
    assert env.next_episodes.tolist() == [1, 2] and vault.reward(Clip(1, 4)) == 11.0
    assert len(warnings) == 1 and "environment 1, row 3: its process died (exit code -9)" in warnings[0]
    with pytest.raises(UnknownReward):
        vault.reward(Clip(1, 3))  # the step that was lost earned nothing


@pytest.mark.run
def test_a_process_that_hangs_is_made_anew():
    env, warnings, _ = warned("Hanging", EnvConfig(num=1, processes=True, timeout=0.5))
    rows = run(env, 3)
    env.close()
    assert [bool(row.is_first[0]) for row in rows] == [True, False, True]
    assert len(warnings) == 1 and "no answer in 0.5 seconds" in warnings[0]


@pytest.mark.run
def test_an_environment_that_dies_every_time_ends_the_run():
    env, warnings, _ = warned("Mortal", EnvConfig(num=1, processes=True, patience=2))
    with pytest.raises(UserError, match="2 failures in a row"):
        run(env, 1)
    env.close()
    assert len(warnings) == 1


@pytest.mark.run
def test_no_process_outlives_the_trainer():
    code = (
        "import os, numpy as np; from tandem.envs.vector import VectorEnv; from tandem.envs.make import EnvConfig\n"
        "from tandem.envs.vault import RewardVault\n"
        "if __name__ == '__main__':\n"
        "    env = VectorEnv('test_vector:Hanging', EnvConfig(num=2, processes=True), 0, RewardVault())\n"
        "    print(*[process.pid for process, _ in env._pool._workers], flush=True)\n"
        "    for _ in range(3): env.step(np.zeros((2, 1), np.float32))\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trainer.py"
        file.write_text(code)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [os.path.dirname(__file__), *sys.path]))}
        trainer = subprocess.Popen([sys.executable, file], stdout=subprocess.PIPE, text=True, env=environment)
        pids = [int(pid) for pid in trainer.stdout.readline().split()]
        time.sleep(0.5)  # they hang in a step
        trainer.kill()
        trainer.wait()
        trainer.stdout.close()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pids and not any(Path(f"/proc/{pid}").exists() for pid in pids)

"""Streams that are taken up by another VectorEnv: as if nothing had been, bit for bit, or closed and said."""

import os

import numpy as np
import pytest

from tandem.envs.make import EnvConfig
from tandem.envs.records import Clip
from tandem.envs.standing import OpenEpisode, Standing
from tandem.envs.vault import RewardVault
from tandem.envs.vector import VectorEnv

TASKS = ["toy_lq", "gym:Pendulum-v1", "dmc_cartpole_swingup", "zoo:BadStarts"]


@pytest.fixture(autouse=True)
def zoo_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))


def opened(task, config, vault=None, said=None):
    lines = [] if said is None else said
    return VectorEnv(task, config, 3, RewardVault() if vault is None else vault, warn=lines.append)


def play(env, actions):
    return [env.step(action) for action in actions]


def some_actions(env, num_ticks, start=0):
    rng = np.random.default_rng(start)
    return rng.uniform(-1.2, 1.2, (num_ticks, env.num, env.spaces.action_size)).astype(np.float32)


def standing_of(rows, actions) -> Standing:
    """What a journal of these rows, each with the action chosen at it, says. actions: one more than rows, the first unused."""
    last, num = rows[-1], len(rows[-1].step)
    heldout = sum(int((row.is_heldout & ~row.is_first).sum()) for row in rows)
    return Standing(
        next_step=last.step + 1,
        next_episode=sum(row.is_first.astype(np.int64) for row in rows),
        was_last=last.is_last.copy(),
        is_heldout=last.is_heldout.copy(),
        rows=np.array([sum(row.num_bought for row in rows) - heldout, heldout]),
        open=tuple(open_episode(rows, actions, env) for env in range(num) if not last.is_last[env]),
    )


def open_episode(rows, actions, env) -> OpenEpisode:
    starts = [index for index, row in enumerate(rows) if row.is_first[env]]
    mine = rows[starts[-1] :]
    obs = {key: np.stack([row.obs[key][env] for row in mine]) for key in mine[0].obs}
    # The action that led to row t was given with it: those of all rows but the first.
    done = np.array([action[env] for action in actions[starts[-1] + 1 : len(rows)]], np.float32)
    return OpenEpisode(env, len(starts) - 1, obs, done.reshape(len(mine) - 1, actions.shape[-1]))


def assert_equal(rows, others):
    for row, other in zip(rows, others, strict=True):
        for key in row.obs:
            assert row.obs[key].tobytes() == other.obs[key].tobytes()
        for name in ("is_first", "is_last", "is_terminal", "is_heldout", "step"):
            np.testing.assert_array_equal(getattr(row, name), getattr(other, name), name)


def assert_goes_on(task, config, first, total=30):
    """`total` ticks in one go equal `first` ticks, another VectorEnv that goes on, and the rest."""
    vault, said = RewardVault(), []
    env = opened(task, config)
    actions = some_actions(env, total)
    whole = play(env, actions)
    env.close()
    env = opened(task, config, vault, said)
    before = play(env, actions[:first])
    env.close()
    env = opened(task, config, vault, said)
    env.go_on(standing_of(before, actions))
    assert not any("does not repeat" in line for line in said)
    after = play(env, actions[first:])
    env.close()
    assert_equal(before + after, whole)
    for row in whole:
        for n in np.flatnonzero(~row.is_first).tolist():
            vault.reward(Clip(n, int(row.step[n])))


@pytest.mark.parametrize("num", [1, 4])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("first", [1, 7, 12, 13, 14, 26])  # episodes of 13 rows: in their middle, and around their ends
def test_a_stream_that_is_taken_up_is_as_one_that_never_stopped(task, num, first):
    assert_goes_on(task, EnvConfig(num=num, time_limit=12, heldout_share=0.3, patience=9), first)


@pytest.mark.run
@pytest.mark.parametrize("num", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("task", TASKS)
def test_so_it_is_in_processes(task, num):
    assert_goes_on(task, EnvConfig(num=num, time_limit=12, heldout_share=0.3, processes=True, patience=9), first=9)


@pytest.mark.run
@pytest.mark.parametrize("processes", [False, True])
def test_each_step_that_is_played_again_has_the_time_of_a_step(processes):
    # three steps take longer than the time-out
    assert_goes_on("zoo:Slow", EnvConfig(num=1, processes=processes, timeout=0.8), first=4, total=5)


def test_an_action_repeat_is_repeated():
    assert_goes_on("dmc_walker_walk", EnvConfig(num=2, repeat=3, time_limit=30), first=15)


def test_a_stream_can_be_taken_up_again_and_again():
    config = EnvConfig(num=3, time_limit=9, heldout_share=0.3)
    env = opened("toy_lq", config)
    actions = some_actions(env, 24)
    whole, rows = play(env, actions), []
    for tick in range(24):
        env = opened("toy_lq", config)
        if rows:
            env.go_on(standing_of(rows, actions))
        rows += play(env, actions[tick : tick + 1])
    assert_equal(rows, whole)


def test_an_episode_that_is_not_repeated_is_closed_and_said():
    said = []
    env = opened("zoo:Unseeded", EnvConfig(num=2))
    actions = some_actions(env, 20)
    before = play(env, actions[:5])
    env = opened("zoo:Unseeded", EnvConfig(num=2), said=said)
    env.go_on(standing_of(before, actions))
    after = play(env, actions[5:7])
    assert [line.split(":")[1] for line in said] == [f" environment {n} does not repeat its episode 0" for n in (0, 1)]
    assert all(line.endswith("'state' differs at its row 0: it is closed as truncated") for line in said)
    assert [row.is_first.tolist() for row in after] == [[True, True], [False, False]]
    assert [row.step.tolist() for row in after] == [[5, 5], [6, 6]]
    assert env.next_episodes.tolist() == [2, 2]


def test_one_bit_is_a_difference_and_costs_the_others_nothing():
    config, said = EnvConfig(num=3), []
    env = opened("toy_lq", config)
    actions = some_actions(env, 12)
    whole = play(env, actions)
    standing = standing_of(whole[:6], actions)
    values = standing.open[1].obs["state"]
    values[3, 0] = np.nextafter(values[3, 0], np.float32(9))
    env = opened("toy_lq", config, said=said)
    env.go_on(standing)
    after = play(env, actions[6:])
    assert [line.split(":")[1] for line in said] == [" environment 1 does not repeat its episode 0"]
    assert "'state' differs at its row 3" in said[0]
    assert after[0].is_first.tolist() == [False, True, False]
    for n in (0, 2):
        assert all(
            row.obs["state"][n].tobytes() == was.obs["state"][n].tobytes()
            for row, was in zip(after, whole[6:], strict=True)
        )


def test_an_episode_of_which_no_rows_are_known_is_closed():
    said = []
    env = opened("toy_lq", EnvConfig(num=2))
    actions = some_actions(env, 8)
    before = play(env, actions[:5])
    standing = standing_of(before, actions)
    env = opened("toy_lq", EnvConfig(num=2), said=said)
    env.go_on(Standing(**vars(standing) | {"open": standing.open[:1]}))
    assert play(env, actions[5:6])[0].is_first.tolist() == [False, True]
    assert said == [
        "warning: environment 1 does not repeat its episode 0: its rows are not known: it is closed as truncated"
    ]


def test_an_episode_that_fails_where_it_did_not_is_closed(monkeypatch, tmp_path):
    said = []
    env = opened("zoo:Drift", EnvConfig(num=1))
    actions = some_actions(env, 12)
    standing = standing_of(play(env, actions[:9]), actions)
    env = opened("zoo:Failing", EnvConfig(num=1), said=said)
    env.go_on(standing)
    assert len(said) == 1 and "at its row 7 it raised RuntimeError: simulator connection lost (" in said[0]
    assert play(env, actions[9:10])[0].is_first.tolist() == [True]

"""Crafter: its form, and that an episode can be played again."""

import sys
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest

from tandem.envs.make import EnvConfig, episode_length, make_env, spaces_of
from tandem.envs.suites.crafter import _in_order
from tandem.errors import UserError

CONFIG = EnvConfig(kwargs={"area": [16, 16]})  # a world as small as this is quickly made


@pytest.fixture
def has_crafter():
    pytest.importorskip("crafter", reason="the extra [crafter] is not installed")


def test_an_episode_is_a_function_of_its_seed_and_its_actions(has_crafter):
    env = make_env("crafter_reward", CONFIG, 0)
    spaces = spaces_of(env)
    assert spaces.factors == (17,) and spaces.obs["image"].shape == (64, 64, 3)
    assert episode_length("crafter_reward", CONFIG) == 10_000
    first, second, other = (played(env, seed) for seed in (1, 1, 2))
    assert first == second != other


def played(env, seed: int) -> bytes:
    obs, _ = env.reset(seed=seed)
    seen = obs["image"].tobytes()
    for number in range(20):
        seen += env.step(np.eye(17)[number % 17])[0]["image"].tobytes()
    return seen


def test_a_death_is_terminal_and_a_time_limit_is_not(has_crafter):
    env = make_env("crafter_reward", EnvConfig(kwargs={"area": [16, 16], "length": 2}), 0)
    env.reset(seed=1)
    nothing = np.eye(17)[0]
    assert env.step(nothing)[2:4] == (False, False)
    assert env.step(nothing)[2:4] == (False, True)
    env.reset(seed=1)
    env.unwrapped._env._player.health = 0
    assert env.step(nothing)[2:4] == (True, False)


def test_without_reward_it_pays_nothing(has_crafter):
    rewards = {}
    for task in ("crafter_reward", "crafter_noreward"):
        env = make_env(task, CONFIG, 0)
        env.reset(seed=1)
        env.unwrapped._env._player.health = 4  # of 9: what is lost is a reward of -0.1 a point
        rewards[task] = env.step(np.eye(17)[0])[1]
    assert rewards["crafter_reward"] < 0 and rewards["crafter_noreward"] == 0


def test_creatures_stand_in_the_order_in_which_they_came():
    world = SimpleNamespace(reset=lambda seed: None)
    _in_order(world)
    world.reset(seed=1)
    creatures, place = world._chunks, (0, 12, 0, 12)
    assert isinstance(creatures, defaultdict)
    for name in ("zombie", "cow", "arrow", "skeleton"):
        creatures[place].add(name)
    creatures[place].remove("cow")
    creatures[place].add("cow")
    assert list(creatures[place]) == ["zombie", "arrow", "skeleton", "cow"]


def test_a_missing_package_is_told_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "crafter", None)
    with pytest.raises(UserError, match=r"^task: .*install the extra \[crafter\]"):
        make_env("crafter_reward", CONFIG, 0)

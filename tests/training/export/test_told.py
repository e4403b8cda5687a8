"""What a file tells of an environment's spaces is enough to read and to act as we do."""

import json

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from tandem.envs.gymnasium_env import GymnasiumEnv
from tandem.envs.make import EnvConfig, make_env
from tandem.envs.records import ObsSpec, Spaces
from tandem.envs.spaces.told import told_action, told_data, told_obs

ACTIONS = Tuple(
    [
        Discrete(3, start=-1),
        Dict(
            {"grip": Box(-2.0, 6.0, (2, 1), np.float32), "keys": MultiBinary(2), "turn": Box(0.0, 1.0, (), np.float64)}
        ),
        MultiDiscrete([2, 4], start=np.array([0, 5])),
    ]
)
SEEN = Dict(
    {
        "arm": Tuple([Box(-9.0, 9.0, (2, 2), np.float64), Discrete(4, start=2)]),
        "eye": Box(0, 255, (3, 40, 24), np.uint8),
        "map": Box(0, 255, (16, 16), np.uint8),
        "bits": MultiBinary((2, 2)),
    }
)


class Odd(gymnasium.Env):
    action_space, observation_space = ACTIONS, SEEN


@pytest.fixture
def about():
    """What a file says of `Odd`, through JSON."""
    env = GymnasiumEnv(Odd(), "odd:Odd", size=16)
    kinds = {np.dtype(np.float32): "vector", np.dtype(np.int32): "category", np.dtype(np.uint8): "image"}
    obs = {
        key: {"kind": kinds[space.dtype], "shape": space.shape, "dtype": str(space.dtype)} | told_obs(env)[key]
        for key, space in env.observation_space.spaces.items()
    }
    told = {"obs": obs, "action": told_action(env), "environment": {"size": 16}}
    return env, json.loads(json.dumps(told))


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return np.array_equal(one, other) and np.asarray(one).dtype == np.asarray(other).dtype


def test_a_vector_becomes_the_action_that_it_becomes_in_a_run(use_exported, about):
    env, told = about
    for seed in range(20):
        vector = np.random.default_rng(seed).normal(size=env.action_space.shape).astype(np.float32)
        action = use_exported.action_of(vector, told["action"])
        assert ACTIONS.contains(action) and same(action, env.actions.action(vector))


def test_an_observation_is_read_as_in_a_run(use_exported, about):
    env, told = about
    for seed in range(5):
        SEEN.seed(seed)
        given = SEEN.sample()
        assert same(use_exported.read(given, told), env.observations.read(given))


def test_an_action_of_dm_control_has_the_bounds_of_its_simulator():
    env = make_env("dmc_cartpole_swingup", EnvConfig(), 0)
    assert told_action(env) == {
        "kind": "numbers",
        "at": [0, 1],
        "low": [-1.0],
        "high": [1.0],
        "shape": [1],
        "dtype": "float64",
    }
    assert told_obs(env)["velocity"] == {"path": ["velocity"], "start": [0, 0]}
    env.close()


def test_without_an_environment_the_forms_are_those_of_data(use_exported):
    seen = {"arm": ObsSpec((2,)), "gear": ObsSpec((1,), classes=3), "eye": ObsSpec((4, 4, 3), kind="image")}
    obs, action = told_data(Spaces(seen, 7, factors=(2, 3)))
    told = {key: {"kind": spec.kind, "shape": spec.shape, "dtype": spec.dtype} | obs[key] for key, spec in seen.items()}
    row = {"arm": np.ones(2, np.float32), "gear": np.full(1, 2, np.int32), "eye": np.full((4, 4, 3), 9, np.uint8)}
    assert same(use_exported.read(row, {"obs": told, "environment": {"size": 4}}), row)
    numbers, choices = use_exported.action_of(np.array([0.5, -2, 0, 1, 0, 0, 1.0]), action)
    assert numbers.tolist() == [0.5, -1] and choices.tolist() == [1, 2]
    assert told_data(Spaces({}, 3, factors=(3,)))[1] == {"kind": "choice", "at": [0, 3], "start": 0}

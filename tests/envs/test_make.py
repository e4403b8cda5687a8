"""Every kind of task has the one form, and a task that cannot be made is told in one line."""

import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Sequence, Text, Tuple

from tandem.envs.gymnasium_env import GymnasiumEnv
from tandem.envs.make import EnvConfig, UnknownTask, episode_length, make_env, spaces_of
from tandem.envs.spaces.leaves import UnsupportedSpace
from tandem.envs.wrappers import ActionRepeat
from tandem.seeds import derive_seed


class Probe(gymnasium.Env):
    """Reports the action it was given in its observation; ends (terminal) after `length` steps, each worth its number."""

    def __init__(self, observation_space=None, action_space=None, length=5):
        self.observation_space = observation_space or Box(-10, 10, (2,), np.float64)
        self.action_space = action_space or Box(np.array([0.0, -4.0]), np.array([2.0, 4.0]), dtype=np.float64)
        self._length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._num_steps = 0
        return self.np_random.uniform(size=2), {}

    def step(self, action):
        self._num_steps += 1
        return np.asarray(action), self._num_steps, self._num_steps == self._length, False, {"action": action}


def unsupported(observation_space=None, action_space=None):
    with pytest.raises(UnsupportedSpace) as caught:
        GymnasiumEnv(Probe(observation_space, action_space), "probe")
    return str(caught.value)


@pytest.mark.parametrize(
    "task", ["dmc_cartpole_swingup", "dmc_ball_in_cup_catch", "gym:Pendulum-v1", "gym:CartPole-v1", "toy_lq"]
)
def test_every_kind_of_task_has_the_one_form(task):
    env = make_env(task, EnvConfig(), seed=0)
    spaces = spaces_of(env)
    obs, _ = env.reset()
    for _ in range(3):
        assert obs.keys() == spaces.obs.keys()
        for key, value in obs.items():
            assert value.dtype == np.float32 and value.shape == spaces.obs[key].shape and len(value.shape) == 1
        obs, reward, is_terminated, is_truncated, _ = env.step(env.action_space.sample())
        assert isinstance(reward, float) and isinstance(is_terminated, bool) and isinstance(is_truncated, bool)
    assert spaces.factors == ((2,) if task == "gym:CartPole-v1" else ())
    env.close()


@pytest.mark.run
@pytest.mark.slow
def test_every_suite_task_has_the_form_it_states():
    from tandem.envs.suites import dmc

    for task in dmc.TASKS:
        env = make_env(task, EnvConfig(), seed=0)
        obs, _ = env.reset()
        assert all(value.size and np.isfinite(value).all() for value in obs.values()), task
        assert {key: value.shape for key, value in obs.items()} == {
            key: spec.shape for key, spec in spaces_of(env).obs.items()
        }
        env.step(env.action_space.sample())
        env.close()


@pytest.mark.slow
def test_every_suite_task_but_lqr_ends_by_itself_after_1000_steps():
    from dm_control import suite

    limits = {suite.load(*name)._step_limit for name in suite.ALL_TASKS if name[0] != "lqr"}
    assert limits == {1000.0}


def test_lqr_ends_at_1000_steps_and_is_the_same_system_everywhere():
    trajectories = []
    for seed in (3, 3, 4):
        env = make_env("dmc_lqr_lqr_2_1", EnvConfig(), seed)
        env.reset(seed=7)  # equal first states: only a different system could make them part
        for step in range(1000):
            obs, _, is_terminated, is_truncated, _ = env.step(np.ones(1, np.float32))
            assert (is_terminated or is_truncated) == (step == 999)
        trajectories.append(obs["position"])
        env.close()
    np.testing.assert_array_equal(trajectories[0], trajectories[1])
    np.testing.assert_array_equal(trajectories[0], trajectories[2])


def test_actions_are_clipped_then_spread_over_the_environments_range():
    env = GymnasiumEnv(Probe(), "probe")
    env.reset()
    # [0, 2] and [-4, 4]: -0.5 -> 0.5 and 5 -> clipped to 1 -> 4
    obs, *_ = env.step(np.array([-0.5, 5.0], np.float32))
    np.testing.assert_allclose(obs["state"], [0.5, 4.0])


def test_keys_of_a_dict_observation_are_kept():
    class Keys(Probe):
        def reset(self, **kwargs):
            super().reset(**kwargs)
            return {"b": np.zeros(2), "a": np.float64(1.0)}, {}

    env = GymnasiumEnv(Keys(Dict({"b": Box(-1, 1, (2,)), "a": Box(-1, 1, ())})), "probe")
    obs, _ = env.reset()
    assert {key: value.shape for key, value in obs.items()} == {"b": (2,), "a": (1,)}


def test_spaces_we_cannot_train_on_are_named():
    assert "image=Box(0, 255, (64, 64, 64)" in unsupported(Box(0, 255, (64, 64, 64), np.uint8))
    assert "goal=Text(" in unsupported(Dict({"x": Box(-1, 1, (2,)), "goal": Text(3)}))
    assert "b/0=Sequence(" in unsupported(action_space=Dict({"b": Tuple([Sequence(Discrete(2))])}))
    assert "bounded" in unsupported(action_space=Box(-np.inf, 1, (2,)))
    assert "int32" in unsupported(action_space=Box(-1, 1, (2,), np.int32))


@pytest.mark.parametrize(
    "task, nearest",
    [
        ("dmc_cartpole_swingupp", "dmc_cartpole_swingup"),
        ("walker_walk", "dmc_walker_walk"),
        ("Pendulum-v1", "gym:Pendulum-v1"),
        ("gym:Pendulum-v9", "gym:Pendulum-v1"),
        ("toy", "toy_lq"),
    ],
)
def test_an_unknown_task_names_the_nearest_one(task, nearest):
    for call in (lambda: make_env(task, EnvConfig(), 0), lambda: episode_length(task, EnvConfig())):
        with pytest.raises(UnknownTask, match=repr(nearest)):
            call()


def test_a_persons_own_class_is_found_in_the_working_directory(tmp_path, monkeypatch):
    source = "from gymnasium.envs.classic_control import PendulumEnv\nclass Mine(PendulumEnv): pass\nx = int"
    (tmp_path / "my_own_env.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    env = make_env("my_own_env:Mine", EnvConfig(time_limit=3), 0)
    env.reset()
    assert [env.step(np.zeros(1, np.float32))[3] for _ in range(3)] == [False, False, True]
    for task, message in [
        ("no_such_module:Mine", "ModuleNotFoundError"),
        ("my_own_env:Yours", "AttributeError"),
        ("my_own_env:x", "nor a dm_env.Environment, but int"),
    ]:
        with pytest.raises(UnknownTask, match=message):
            make_env(task, EnvConfig(), 0)


def test_action_repeat_sums_rewards_and_stops_with_the_episode():
    env = ActionRepeat(Probe(length=5), 3)
    env.reset()
    assert env.step(np.zeros(2))[1:4] == (1 + 2 + 3, False, False)
    assert env.step(np.zeros(2))[1:4] == (4 + 5, True, False)  # the third repeat never happens


def test_episode_length_counts_agent_steps():
    assert episode_length("dmc_walker_walk", EnvConfig()) == 1000
    assert episode_length("dmc_walker_walk", EnvConfig(repeat=3)) == 334  # 333 whole steps and one of a single repeat
    assert episode_length("gym:Pendulum-v1", EnvConfig(repeat=2)) == 100
    assert episode_length("gym:Pendulum-v1", EnvConfig(time_limit=50)) == 50
    assert episode_length("gym:Pendulum-v1", EnvConfig(time_limit=5000)) == 200
    assert episode_length("toy_lq", EnvConfig()) == 200
    assert episode_length("some.module:Class", EnvConfig()) == 0


def test_the_stated_episode_length_is_the_one_that_happens():
    for task in ("gym:Pendulum-v1", "toy_lq", "dmc_cartpole_swingup"):
        config = EnvConfig(repeat=3)
        env = make_env(task, config, 0)
        env.reset()
        ends = [any(env.step(np.zeros(1, np.float32))[2:4]) for _ in range(episode_length(task, config))]
        assert ends == [False] * (len(ends) - 1) + [True], task
        env.close()


def test_episodes_are_seeded_by_their_number():
    env = make_env("gym:Pendulum-v1", EnvConfig(), seed=1)
    firsts = [env.reset()[0]["state"] for _ in range(4)]
    other = make_env("gym:Pendulum-v1", EnvConfig(), seed=1)
    np.testing.assert_array_equal(other.reset(seed=derive_seed(1, 2))[0]["state"], firsts[2])
    assert len({first.tobytes() for first in firsts}) == 4


@pytest.mark.parametrize(
    "field, value",
    [("num", 0), ("repeat", 0), ("time_limit", -1), ("heldout_share", 0.6), ("heldout_share", float("nan"))],
)
def test_a_field_out_of_range_is_named(field, value):
    with pytest.raises(ValueError, match=f"^{field}: must be"):
        EnvConfig(**{field: value})

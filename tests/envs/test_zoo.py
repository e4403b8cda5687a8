"""What each kind of environment in zoo.py gets, from its making to its twentieth row."""

import os
import sys

import gymnasium
import numpy as np
import pytest

from tandem.envs.make import EnvConfig, make_env, spaces_of
from tandem.envs.probe import probe
from tandem.envs.records import Clip, ObsSpec
from tandem.envs.vault import RewardVault
from tandem.envs.vector import VectorEnv
from tandem.errors import UserError

WORKING = [
    "Drift",
    "OneStep",
    "OneTerminalStep",
    "TwoSteps",
    "Bytes",
    "Doubles",
    "Scalar",
    "Listed",
    "Goals",
    "OddKeys",
    "Shifted",
    "Alone",
    "Lopsided",
    "Stuck",
    "ScalarAction",
    "ArrayReward",
    "NumpyReward",
    "NoReward",
    "NanReward",
    "Reused",
    "Tensors",
    "NumpyFlags",
    "Wrapped",
    "factory",
    "WideIntegers",
    "HugeReward",
    "Endless",
    "Pictured",
]
SEEN = {  # what is no vector, or has more keys than one
    "Choice": {"state": ObsSpec((1,), 5)},
    "Choices": {"state": ObsSpec((2,), 4)},
    "Switches": {"state": ObsSpec((3,), 2)},
    "Flags": {"state": ObsSpec((3,), 2)},
    "Nested": {"arm/place": ObsSpec((3,))},
    "Pair": {"0": ObsSpec((3,)), "1": ObsSpec((1,), 2)},
    "Matrix": {"state": ObsSpec((3,))},
    "Symbols": {"state": ObsSpec((147,))},
    "Pixels": {"image": ObsSpec((32, 32, 3), kind="image")},
}
REFUSED = {
    "WrongShape": r"reset\(\): 'state': expected shape \(3,\), got \(4,\)",
    "Words": r"reset\(\): 'state': expected float32 numbers, got an array of <U1",
    "LostKey": r"reset\(\): expected an observation with the key 'b', got the keys 'a'",
    "OldReset": r"reset\(\): expected to take seed and options, got .*unexpected keyword argument 'seed'",
    "BareReset": r"reset\(\): expected \(observation, info\), got ndarray",
    "OldStep": r"step\(\): expected \(observation, .*, info\), got 4 values: ndarray, float, bool, dict",
    "WordReward": r"step\(\): reward: expected a number, got 'much'",
    "TwoRewards": r"step\(\): reward: expected a number, got array\(\[1., 1.\]\)",
    "UnboundAction": r"must be bounded, gymnasium.wrappers.TransformAction",
    "HalfBoundAction": r"must be bounded, gymnasium.wrappers.TransformAction",
    "HugeAction": r"must be bounded, gymnasium.wrappers.TransformAction",
    "IntegerAction": r"int32.*gymnasium.wrappers.TransformAction",
    "Growing": r"observes state=Sequence\(.*only Box, .* are taken, gymnasium.wrappers.TransformObservation",
    "Mixed": r"observes words=Sequence\(.*, envs.keys=\[-words\] leaves it out",
    "Twice": r"two keys that are called 'arm/place', at \['arm'\]\['place'\] and \['arm/place'\]: rename one",
}
NOTED = {
    "WideIntegers": "'state' is of int64 up to 9223372036854775807, and numbers beyond 16777216 lose digits",
    "Symbols": "'state' is of uint8 and shape (7, 7, 3), which is taken as numbers: a picture has",
    "HugeReward": "rewards such as -1e+12 are learned as 4.85e+08 at most",
    "NoReward": "states no reward: it can be asked of another labeler only",
    "Endless": "no end of its episodes is known: set envs.time_limit",
}


@pytest.fixture(autouse=True)
def zoo_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))


def play(name, num_ticks=20, num=2, **changes):
    vault, said = RewardVault(), []
    env = VectorEnv(f"zoo:{name}", EnvConfig(num=num, **changes), 0, vault, warn=said.append)
    action = np.full((num, env.spaces.action_size), 0.5, np.float32)
    rows = [env.step(action) for _ in range(num_ticks)]
    env.close()
    return rows, vault, said


def probed(name, **changes):
    env = make_env(f"zoo:{name}", EnvConfig(**changes), 0)
    try:
        return probe(env, f"zoo:{name}")
    finally:
        env.close()


@pytest.mark.parametrize("name", WORKING)
def test_what_keeps_to_the_interface_is_played(name):
    probed(name)
    rows, _, said = play(name)
    assert said == []
    assert all(values.dtype == np.float32 and np.isfinite(values).all() for row in rows for values in row.obs.values())
    assert rows[0].is_first.all() and not rows[1].is_first.any()


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_is_refused_in_one_line_before_anything_is_bought(name):
    with pytest.raises(UserError, match=REFUSED[name]) as caught:
        probed(name)
    assert str(caught.value).startswith(f"task: zoo:{name}") and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", SEEN)
def test_what_is_no_vector_has_its_kind(name):
    rows, _, said = play(name, size=32)
    env = make_env(f"zoo:{name}", EnvConfig(size=32), 0)
    assert spaces_of(env).obs == SEEN[name] and said == []
    found = {key: (values.shape[1:], values.dtype.name) for key, values in rows[3].obs.items()}
    assert found == {key: (spec.shape, spec.dtype) for key, spec in SEEN[name].items()}


@pytest.mark.parametrize("name", ["ManyChoices", "ManySwitches", "NamedActions", "Everything"])
def test_actions_of_several_parts_are_of_the_space_of_the_environment(name):
    play(name, keys=("-mission",) if name == "Everything" else ())  # the zoo's own step looks


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("missing", "failed: expected an observation with the key 'arm/grips', got the keys 'place'"),
        ("shape", None),  # of as many numbers in the same order
        ("nan", "gave an observation that is not finite in float32: 'arm/place' is [nan, nan, nan]"),
        ("class", "failed: 'sides/0': expected a whole number from 1 to 3, got 4"),
        ("size", "failed: 'eye': expected shape (20, 16, 3), got (19, 16, 3)"),
        ("real", "failed: 'eye': expected a whole number from 0 to 255, got 0."),
        ("words", "failed: 'arm/grips': expected int8 numbers, got str"),
    ],
)
def test_what_is_not_of_its_space_any_more_costs_the_episode(how, expected):
    rows, _, said = play("FailingView", num_ticks=9, num=1, keys=("-mission",), kwargs={"how": how})
    assert len(said) == (expected is not None)
    if expected:
        assert said[0].startswith(f"warning: environment 0, row 7, {expected}") and "closed as truncated" in said[0]
        assert [bool(row.is_first[0]) for row in rows] == [row in (0, 7) for row in range(9)]
    assert all(row.obs["sides/0"].min() >= 0 and row.obs["sides/0"].max() < 3 for row in rows)


@pytest.mark.parametrize("name", NOTED)
def test_what_a_person_should_know_is_noted(name):
    notes = probed(name)
    assert any(NOTED[name] in note for note in notes), notes
    assert all(note.startswith(f"task: zoo:{name}: ") for note in notes)


def test_nothing_is_noted_of_an_environment_whose_end_is_known():
    assert probed("Drift", time_limit=10) == []
    assert probed("factory") == []
    for task in ("toy_lq", "gym:Pendulum-v1", "dmc_cartpole_swingup"):
        env = make_env(task, EnvConfig(), 0)
        assert probe(env, task) == []
        env.close()


def test_an_exception_in_the_first_step_is_told_with_its_place():
    env = make_env("zoo:Drift", EnvConfig(), 0)
    env.unwrapped.paid = lambda: 1 / 0
    with pytest.raises(UserError, match=r"^task: x: the first step\(\) raised ZeroDivisionError: .*test_zoo.py, line"):
        probe(env, "x")


def test_an_array_of_one_is_a_reward_and_none_is_not_known():
    assert play("ArrayReward")[1].reward(Clip(0, 3, 3)) == -3.0
    vault = play("NoReward")[1]
    assert np.isnan(vault.reward(Clip(0, 3)))
    vault = play("NanReward")[1]
    assert np.isnan(vault.reward(Clip(0, 7))) and vault.reward(Clip(0, 6)) == -1.0


def test_a_reused_array_is_copied():
    rows, *_ = play("Reused", num=3)
    plain, *_ = play("Drift", num=3)
    for one, other in zip(rows, plain, strict=True):
        np.testing.assert_array_equal(one.obs["state"], other.obs["state"])


@pytest.mark.parametrize("name", ["NanSeen", "Overflow"])
def test_an_observation_that_is_not_finite_ends_its_episode_before_it(name):
    rows, vault, said = play(name, num_ticks=9, num=1)
    # rows 0 .. 6, and in place of the seventh step the next episode's first row
    assert [bool(row.is_first[0]) for row in rows] == [row in (0, 7) for row in range(9)]
    assert not any(row.is_last[0] or row.is_terminal[0] for row in rows)
    assert said == [
        line for line in said if line.startswith("warning: environment 0, row 7, gave an observation that is not fin")
    ]
    assert len(said) == 1 and said[0].endswith("its episode is closed as truncated")
    with pytest.raises(UserError):
        vault.reward(Clip(0, 7))  # a first row is free


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_an_action_that_is_no_number_is_refused_by_name(number):
    env = VectorEnv("zoo:Drift", EnvConfig(num=2), 0, RewardVault())
    with pytest.raises(UserError, match=rf"^task: zoo:Drift: the action for environment 1 is not finite: \[.*{number}"):
        env.step(np.array([[0, 0], [0, number]], np.float32))
    assert env.next_steps.tolist() == [0, 0]


@pytest.mark.parametrize("name", ["NanSeen", "Failing"])
def test_patience_ends(name):
    with pytest.raises(
        UserError, match=rf"^task: zoo:{name}: environment 0 .*2 failures .*envs.patience is 3"
    ) as caught:
        play(name, num_ticks=40, num=1, patience=3)
    if name == "Failing":
        assert "simulator connection lost" in str(caught.value) and "zoo.py, line" in str(caught.value)


def test_a_constructors_arguments_come_from_the_settings():
    rows, *_ = play("Sized", kwargs={"size": 4, "gain": 2.0})
    assert rows[0].obs["state"][0].tolist() == [2.0] * 4
    with pytest.raises(UserError, match=r"^task: zoo:Sized cannot be made: TypeError: .*'size'"):
        play("Sized")
    with pytest.raises(UserError, match=r"^task: zoo:Drift cannot be made: TypeError"):
        play("Drift", kwargs={"size": 4})


def test_arguments_reach_registered_tasks_and_those_of_the_suite():
    env = make_env("gym:Pendulum-v1", EnvConfig(kwargs={"g": 3.0}), 0)
    assert env.unwrapped.g == 3.0
    env = make_env("toy_lq", EnvConfig(kwargs={"noise": 0.5}), 0)
    assert env.unwrapped.system.noise == 0.5
    with pytest.raises(UserError, match=r"^envs.kwargs: dmc_cartpole_swingup cannot be made with \{'size': 3\}: "):
        make_env("dmc_cartpole_swingup", EnvConfig(kwargs={"size": 3}), 0)


REGISTERING = """
import gymnasium
from zoo import Drift
class Reach(Drift):
    def __init__(self, size=1): self.size = size
gymnasium.register("{name}-v0", entry_point=Reach, max_episode_steps=6)
"""


def test_a_module_registers_its_own_environments(tmp_path, monkeypatch):
    (tmp_path / "my_registry.py").write_text(REGISTERING.format(name="OwnReach"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    env = make_env("gym:my_registry:OwnReach-v0", EnvConfig(kwargs={"size": 3}), 0)
    assert env.unwrapped.size == 3 and probe(env, "x") == []
    config = EnvConfig(num=1, processes=True)  # a process imports the module too
    apart = VectorEnv("gym:my_registry:OwnReach-v0", config, 0, RewardVault())
    assert [bool(apart.step(np.zeros((1, 2), np.float32)).is_last[0]) for _ in range(7)] == [False] * 6 + [True]
    apart.close()
    del gymnasium.registry["OwnReach-v0"]
    with pytest.raises(UserError, match="no_registry cannot be imported: ModuleNotFoundError"):
        make_env("gym:no_registry:OwnReach-v0", EnvConfig(), 0)


def test_an_environment_in_the_standard_style_draws_where_it_is_asked_to():
    assert make_env("zoo:Pictured", EnvConfig(), 0).render() is None
    assert make_env("zoo:Pictured", EnvConfig(), 0, render=True).render().mean() == 0.5


@pytest.mark.run
def test_every_mujoco_environment_of_gymnasium_is_played():
    pytest.importorskip("imageio")
    ours = {
        name: str(spec.entry_point).startswith("gymnasium.envs.mujoco") for name, spec in gymnasium.registry.items()
    }
    names = [name for name in ours if ours[name] and name.endswith("-v5")]
    assert len(names) == 11
    for name in names:
        env = make_env(f"gym:{name}", EnvConfig(), 0)
        assert probe(env, name) == [], name
        obs, _ = env.reset()
        assert {key: value.shape for key, value in obs.items()} == {
            key: spec.shape for key, spec in spaces_of(env).obs.items()
        }
        env.close()

"""Patterns pick and drop keys, in environments of every kind."""

import pytest

from tandem.envs.make import EnvConfig, make_env, spaces_of
from tandem.envs.spaces.keys import kept
from tandem.errors import UserError

NAMES = ["arm/pos", "arm/vel", "arms", "goal", "-odd"]


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ((), NAMES),
        (("goal",), ["goal"]),
        (("arm",), ["arm/pos", "arm/vel"]),  # what stands before a "/"
        (("arm*",), ["arm/pos", "arm/vel", "arms"]),
        (("-arm",), ["arms", "goal", "-odd"]),
        (("arm*", "-*vel", "goal"), ["arm/pos", "arms", "goal"]),
        (("-goal", "arm*", "goal"), ["arm/pos", "arm/vel", "arms"]),  # what is dropped stays so
        (("[-]odd",), ["-odd"]),
    ],
)
def test_patterns_pick_and_drop(patterns, left):
    assert kept(NAMES, patterns, "x") == left


def test_a_pattern_that_fits_nothing_names_the_nearest_key():
    with pytest.raises(
        UserError, match=r"^envs.keys: x observes nothing that '-gaol' fits; the nearest of its keys is 'goal'$"
    ):
        kept(NAMES, ("arm", "-gaol"), "x")


def test_something_must_be_left():
    with pytest.raises(UserError, match=r"^envs.keys: of what x observes .'a', 'b'. nothing is left$"):
        kept(["a", "b"], ("a", "-*"), "x")


@pytest.mark.parametrize(
    ("task", "keys", "left"),
    [
        ("dmc_cartpole_swingup", ("vel*",), ["velocity"]),
        ("toy_lq", ("state",), ["state"]),
        ("gym:Pendulum-v1", ("state",), ["state"]),
    ],
)
def test_they_hold_for_every_kind_of_task(task, keys, left):
    env = make_env(task, EnvConfig(keys=keys), 0)
    assert list(spaces_of(env).obs) == list(env.reset()[0]) == list(env.step(env.action_space.sample())[0]) == left
    env.close()
    with pytest.raises(UserError, match=r"^envs.keys: "):
        make_env(task, EnvConfig(keys=("-*",)), 0)

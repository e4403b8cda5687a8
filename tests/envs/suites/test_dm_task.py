"""A dm_env.Environment of a person's own: its specs as spaces, its ends, its episodes, its pictures."""

import os

import numpy as np
import pytest

from tandem.envs.make import EnvConfig, UnknownTask, make_env, spaces_of
from tandem.envs.probe import probe
from tandem.envs.records import ObsSpec, Spaces
from tandem.errors import UserError


@pytest.fixture(autouse=True)
def zoo_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))


def made(name: str, **settings):
    return make_env(f"dm_zoo:{name}", EnvConfig(**settings), 0)


def test_specs_become_spaces():
    env = made("Counter", size=16)
    obs = {
        "camera": ObsSpec((16, 16, 3), kind="image"),
        "count": ObsSpec((1,), classes=3),
        "place": ObsSpec((2,)),
        "speed": ObsSpec((1,)),
    }
    assert spaces_of(env) == Spaces(obs, action_size=5, factors=(3,))
    assert probe(env, "dm_zoo:Counter") == [
        "task: dm_zoo:Counter: no end of its episodes is known: set envs.time_limit"
    ]


def test_actions_arrive_in_the_bounds_and_the_types_of_their_spec():
    env = made("Counter", size=16)
    env.reset()
    env.step(np.array([0.5, -2.0, 0.0, 0.0, 1.0], np.float32))
    (taken,) = env.unwrapped._env.taken
    assert taken["gear"] == 4 and taken["gear"].dtype == np.int32  # the third of 2, 3, 4
    assert taken["wheel"].tolist() == [0.75, -2.0] and taken["wheel"].dtype == np.float32  # half way up; clipped


@pytest.mark.parametrize("discount, flags", [(0.0, (True, False)), (1.0, (False, True))])
def test_an_end_without_discount_is_terminal(discount, flags):
    env = made("Counter", kwargs={"end": discount}, size=16)
    env.reset()
    action = np.zeros(5, np.float32)
    assert env.step(action)[1:4] == (1.5, False, False)
    obs, *rest, _ = env.step(action)
    assert tuple(rest) == (2.5, *flags)
    assert obs["count"].tolist() == [2] and obs["place"].tolist() == [0.5, 0.5] and np.unique(obs["camera"]) == [2]


def test_what_is_in_no_dict_is_the_state():
    env = made("Alone")
    obs, _ = env.reset()
    assert spaces_of(env) == Spaces({"state": ObsSpec((3,))}, 4, (4,)) and obs["state"].tolist() == [0, 0, 0]
    assert env.step(np.eye(4)[2])[0]["state"].tolist() == [1, 1, 1]
    assert env.unwrapped._env.taken == [2]


def test_text_and_missing_cameras_are_refused_in_a_line():
    with pytest.raises(
        UserError, match=r"^task: dm_zoo:Named observes name: expected a spec of numbers, got StringArray"
    ):
        made("Named")
    with pytest.raises(UserError, match=r"^envs.observe: dm_zoo:Counter has no physics to draw by cameras"):
        made("Counter", observe="pixels")
    with pytest.raises(UserError, match=r"^envs.observe: dm_zoo:pictured observes 'image' itself, as a camera would"):
        made("pictured", observe="both")


def first_rows(env, seed: int) -> list[bytes]:
    action = np.full(env.action_space.shape, 0.3, np.float32)
    rows = [env.reset(seed=seed)[0], *(env.step(action)[0] for _ in range(3))]
    return [value.tobytes() for row in rows for value in row.values()]


@pytest.mark.run
@pytest.mark.parametrize("name", ["balance", "composed"])
def test_tasks_of_dm_control_are_seeded(name):
    env = made(name)
    assert first_rows(env, 1) == first_rows(env, 1) != first_rows(env, 2)
    env.close()


@pytest.mark.run
@pytest.mark.parametrize("name", ["balance", "composed"])
def test_tasks_of_dm_control_are_drawn_anew_in_every_episode(name):
    try:
        env = made(name, observe="pixels", render="fast")
    except UnknownTask as error:
        pytest.skip(str(error))
    assert spaces_of(env).obs == {"image": ObsSpec((64, 64, 3), kind="image")}
    assert first_rows(env, 1) == first_rows(env, 1) != first_rows(env, 2)
    env.close()

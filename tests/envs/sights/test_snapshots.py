"""Snapshots: what is drawn of them is what the live environment drew then, to the pixel."""

import os
from functools import cache

import gymnasium
import numpy as np
import pytest

from tandem.envs.graphics import settle_graphics
from tandem.envs.make import EnvConfig, UnknownTask, make_env
from tandem.envs.sights.eye import FRAME, SNAPSHOT, Seen, draw, make_seen
from tandem.errors import UserError

FEW = ("dmc_cartpole_swingup", "dmc_reacher_easy", "gym:Pendulum-v1")
SUITE = (  # each changes another part of its model, or of its state
    "dmc_finger_turn_hard", "dmc_fish_swim", "dmc_swimmer_swimmer6", "dmc_stacker_stack_2",
    "dmc_manipulator_insert_ball", "dmc_humanoid_run", "dmc_quadruped_escape", "dmc_quadruped_fetch", "dmc_ball_in_cup_catch",
    "dmc_dog_fetch", "dmc_point_mass_hard", "dmc_walker_walk", "dmc_lqr_lqr_2_1", "dmc_acrobot_swingup",
)  # fmt: skip
GYMNASIUM = (
    "Ant-v5", "HalfCheetah-v5", "Hopper-v5", "Humanoid-v5", "HumanoidStandup-v5", "InvertedPendulum-v5", "Pusher-v5", "Reacher-v5",
    "Swimmer-v5", "Walker2d-v5",
)  # fmt: skip
CLASSIC = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0")


@cache
def why_not() -> str:
    """Why this machine cannot draw; empty where it can."""
    try:
        make_env(FEW[0], EnvConfig(), 0, render=True).close()
    except UnknownTask as error:
        return str(error)
    return ""


@pytest.fixture(autouse=True)
def a_machine_that_draws(monkeypatch):
    if why_not():
        pytest.skip(why_not())
    monkeypatch.setenv("MUJOCO_GL", os.environ.get("MUJOCO_GL", ""))
    settle_graphics()


def made(task: str, config: EnvConfig = EnvConfig()) -> gymnasium.Env:  # noqa: B008  frozen
    env = make_env(task, config, 0, render=True)
    env.reset(seed=0)
    env.render()  # cameras of gymnasium's stand where the first picture was
    return env


def snapshot(env: gymnasium.Env) -> bytes:
    return Seen(env, SNAPSHOT).sight()[1:]


def played(env: gymnasium.Env, rows: int):
    """Play two episodes, a few rows each. Yields before every row's successor."""
    rng = np.random.default_rng(1)
    assert env.action_space.shape is not None
    for seed in (3, 4):
        env.reset(seed=seed)
        yield
        for _ in range(rows):
            env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
            yield


def check(task: str, rows: int = 2, config: EnvConfig = EnvConfig()) -> None:  # noqa: B008
    if task.removeprefix("gym:") in ("Pendulum-v1", *CLASSIC):
        pytest.importorskip("pygame")
    live, other = made(task, config), made(task, config)
    taken = [(snapshot(live), np.array(live.render())) for _ in played(live, rows)]
    assert len({picture.tobytes() for _, picture in taken}) > 2, "it moves"
    for taken_then, picture in reversed(taken):
        assert np.array_equal(draw(other, taken_then, *picture.shape[:2]), picture), task
    live.close()
    other.close()


@pytest.mark.parametrize("task", FEW)
def test_a_snapshot_is_drawn_as_the_live_environment_was(task):
    check(task)


@pytest.mark.slow
@pytest.mark.parametrize("task", [*SUITE, *(f"gym:{name}" for name in (*GYMNASIUM, *CLASSIC))])
def test_snapshots_of_many_tasks_are_exact(task):
    check(task, rows=6)


def numbers(task: str, is_drawn: bool) -> list[bytes]:
    """What an environment observes while old snapshots of its own are drawn by it, or none are."""
    env, rng, found = made(task), np.random.default_rng(1), []
    env.reset(seed=3)
    before = snapshot(env)
    for _ in range(3):
        obs, *_ = env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        found.append(b"".join(value.tobytes() for value in obs.values()) + snapshot(env))
        if is_drawn:
            draw(env, before, 24, 32)
    env.close()
    return found


@pytest.mark.parametrize("task", ["dmc_reacher_easy", "gym:Hopper-v5"])
def test_drawing_leaves_a_live_environment_as_it_was(task):
    assert numbers(task, is_drawn=True) == numbers(task, is_drawn=False)


def test_a_snapshot_of_another_task_is_refused():
    one, other = (
        made("dmc_reacher_easy"),
        made("dmc_reacher_hard"),
    )  # the same model, of which each makes another target
    assert draw(other, snapshot(one), 24, 32).tobytes() == draw(one, snapshot(one), 24, 32).tobytes()
    another = make_env("dmc_cartpole_swingup", EnvConfig(), 0)
    with pytest.raises(ValueError, match="another model"):
        draw(another, snapshot(one), 24, 32)


def test_what_has_no_snapshots_is_seen_by_frames_or_not_at_all():
    assert not isinstance(make_seen("toy_lq", EnvConfig(), 0, "auto"), Seen)  # it cannot be drawn either
    with pytest.raises(UserError, match="has no snapshots"):
        make_seen("toy_lq", EnvConfig(), 0, "snapshots")
    env = make_seen("dmc_cartpole_swingup", EnvConfig(), 0, "frames")
    env.reset(seed=0)
    assert isinstance(env, Seen) and env.sight()[:1] == FRAME and 200 < len(env.sight()) < 20_000

"""dm_control from pixels: what is drawn, by which cameras, and that the same episode gives the same bytes anywhere."""

import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tandem.envs.make import EnvConfig, UnknownTask, make_env, spaces_of
from tandem.envs.pool import open_pool
from tandem.envs.standing import OpenEpisode, Standing
from tandem.envs.vault import RewardVault
from tandem.envs.vector import VectorEnv
from tandem.errors import UserError

TASK = "dmc_cartpole_balance"
FAST = EnvConfig(observe="pixels", render="fast", size=16, num=1)


@cache
def why_not() -> str:
    """Why this machine cannot draw; empty where it can."""
    try:
        make_env(TASK, FAST, 0).close()
    except UnknownTask as error:
        return str(error)
    return ""


@pytest.fixture(autouse=True)
def a_machine_that_draws():
    if why_not():
        pytest.skip(why_not())


def first(task: str, config: EnvConfig) -> dict[str, np.ndarray]:
    env = make_env(task, config, 0)
    obs, _ = env.reset(seed=3)
    assert {key: (value.shape, str(value.dtype)) for key, value in obs.items()} == {
        key: (spec.shape, spec.dtype) for key, spec in spaces_of(env).obs.items()
    }
    env.close()
    return obs


def drawn_by_dm_control(domain: str, task: str, size: int, camera: int) -> np.ndarray:
    from tandem.envs.suites.dmc import suite

    env = suite.load(domain, task, {"random": 0})
    env.task.random.seed(3)
    env.reset()
    picture = env.physics.render(size, size, camera)
    env.physics.free()
    return picture


def test_reference_is_what_dm_control_draws_bit_for_bit():
    image = first("dmc_quadruped_walk", EnvConfig(observe="pixels", size=32))["image"]
    assert np.array_equal(image, drawn_by_dm_control("quadruped", "walk", 32, 2))  # the camera that is published
    assert not np.array_equal(image, drawn_by_dm_control("quadruped", "walk", 32, 0))


def test_fast_pictures_differ_from_those_of_reference():
    fast, reference = (first(TASK, EnvConfig(observe="pixels", render=one, size=32)) for one in ("fast", "reference"))
    difference = np.abs(fast["image"].astype(int) - reference["image"])
    assert 0 < difference.mean() < 64  # the same scene


def test_what_is_observed_is_state_pixels_or_both():
    state, both = first(TASK, EnvConfig()), first(TASK, EnvConfig(observe="both", render="fast", size=16))
    assert first(TASK, FAST).keys() == {"image"}
    assert state.keys() == {"position", "velocity"} and both.keys() == {*state, "image"}
    assert all(np.array_equal(state[key], both[key]) for key in state)


def test_several_cameras_give_images_that_bear_their_names():
    obs = first("dmc_walker_walk", EnvConfig(observe="pixels", render="fast", size=16, cameras=("back", "0")))
    assert obs.keys() == {"image_back", "image_side"}
    assert not np.array_equal(obs["image_back"], obs["image_side"])
    with pytest.raises(UserError, match=r"^envs.cameras: there is no camera 'nose', but side, back$"):
        make_env("dmc_walker_walk", EnvConfig(observe="pixels", cameras=("nose",)), 0)
    with pytest.raises(UserError, match=r"^envs.cameras: 1, back name one camera twice$"):
        make_env("dmc_walker_walk", EnvConfig(observe="pixels", cameras=("1", "back")), 0)
    with pytest.raises(ValueError, match=r"^cameras: are for observe=pixels or both, got back with observe=state$"):
        EnvConfig(cameras=("back",))


@pytest.mark.run
def test_an_episode_gives_the_same_bytes_again_here_and_in_a_process_of_its_own():
    here, elsewhere = open_pool(TASK, FAST), open_pool(TASK, replace(FAST, processes=True))
    first, again, apart, other = played(here, 5), played(here, 5), played(elsewhere, 5), played(here, 6)
    assert first == again == apart != other
    here.close()
    elsewhere.close()


def played(pool, seed: int) -> bytes:
    """The pictures of an episode's first rows."""
    orders = [seed, *(np.full(1, action, np.float32) for action in (0.9, -0.3, 0.5))]
    return b"".join(row.obs["image"].tobytes() for order in orders for _, row in pool.play({0: order}))


def test_an_open_episode_is_taken_up_unless_a_byte_of_a_picture_differs():
    action, said = np.full((1, 1), 0.3, np.float32), []
    env = VectorEnv(TASK, FAST, 3, RewardVault())
    rows = [env.step(action) for _ in range(4)]
    for change in (0, 1):
        pictures = np.stack([row.obs["image"][0] for row in rows])
        pictures[2, 8, 8, 0] += change
        episode = OpenEpisode(0, 0, {"image": pictures}, np.repeat(action, 3, 0))
        heldout = 3 * int(rows[0].is_heldout[0])
        counts = np.array([3 - heldout, heldout])
        numbers = np.array([4]), np.array([1]), np.array([False]), rows[-1].is_heldout
        other = VectorEnv(TASK, FAST, 3, RewardVault(), warn=said.append)
        other.go_on(Standing(*numbers, counts, (episode,)))
        assert len(said) == change, said
        if not change:
            assert np.array_equal(other.step(action).obs["image"], env.step(action).obs["image"])
        other.close()
    env.close()


def test_a_picture_that_is_kept_does_not_change():
    env = make_env(TASK, FAST, 0)
    before, _ = env.reset(seed=1)
    kept = before["image"].copy()
    for _ in range(3):
        env.step(np.ones(1, np.float32))
    assert np.array_equal(before["image"], kept)
    env.close()


def test_closing_frees_the_rendering_context():
    env = make_env(TASK, FAST, 0)
    env.reset()
    physics = env.unwrapped._env.physics
    contexts = physics.contexts
    env.close()
    assert contexts.gl.terminated and physics._contexts is None


def test_a_machine_that_cannot_draw_is_told_in_a_line(monkeypatch):
    from tandem.envs.suites.cameras import Cameras

    def fail(self):
        raise RuntimeError("no display")

    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setattr(Cameras, "draw", fail)
    with pytest.raises(
        UnknownTask, match=r"^task: dmc_cartpole_balance cannot be drawn here \(MUJOCO_GL is egl\): no disp"
    ):
        make_env(TASK, FAST, 0)


def test_observing_pixels_needs_cameras():
    with pytest.raises(UserError, match=r"^envs.observe: toy_lq has no cameras"):
        make_env("toy_lq", FAST, 0)
    with pytest.raises(UserError, match=r"^envs.observe: gym:Pendulum-v1 has no cameras"):
        make_env("gym:Pendulum-v1", FAST, 0)


def test_states_are_observed_without_a_rendering_context():
    env = make_env(TASK, EnvConfig(), 0)
    env.reset()
    assert env.unwrapped._env.physics._contexts is None and "dm_control" in sys.modules
    env.close()

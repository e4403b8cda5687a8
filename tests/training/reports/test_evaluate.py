"""The evaluator says what the environments paid, in episodes that are whole and counted fairly."""

import re
import sys
from types import SimpleNamespace
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from tandem.envs.episodes import EpisodeReturns
from tandem.envs.make import EnvConfig
from tandem.envs.records import Transition
from tandem.envs.vault import RewardVault
from tandem.envs.vector import VectorEnv
from tandem.errors import UserError
from tandem.training.reports.evaluate import EvaluateConfig, Evaluator, VideoError, record_video


class Countdown(gymnasium.Env):
    """Lives for 2 + (seed % 5) steps; step k pays k plus the action. It can be drawn."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)
    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 12}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.life, self.step_number = 2 + seed % 5, 0
        return self._obs(), {}

    def step(self, action):
        self.step_number += 1
        is_over = self.step_number >= self.life
        return self._obs(), float(self.step_number + action[0]), is_over, False, {}

    def render(self):
        return np.full((40, 60, 3), 40 * self.step_number, np.uint8)

    def _obs(self):
        return np.array([self.step_number, self.life], np.float32)


class Endless(Countdown):
    def step(self, action):
        obs, reward, *_ = super().step(action)
        return obs, reward, False, False, {}

    def render(self):
        return None


class Constant:
    """Acts 0.5 (mode) or 0.25 (sampled); its state counts the rows since is_first, so it shows resets."""

    def act(self, obs, state, is_first, mode):
        state = np.where(is_first, 0, 0 if state is None else state + 1)
        assert np.array_equal(state, obs["state"][:, 0]), "the state must begin anew with each episode"
        return np.full((len(is_first), 1), 0.5 if mode else 0.25, np.float32), state


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    monkeypatch.setitem(sys.modules, "evaluated_tasks", SimpleNamespace(Countdown=Countdown, Endless=Endless))


def evaluator(task="evaluated_tasks:Countdown", envs=3, seed=0, **changes):
    return Evaluator(task, EnvConfig(**changes), EvaluateConfig(envs=envs), seed)


@pytest.mark.parametrize(("mode", "action"), [(True, 0.5), (False, 0.25)])
def test_a_return_is_the_sum_of_the_true_rewards(mode, action):
    result = evaluator().run(Constant(), episodes=8, mode=mode)
    # steps 1 .. L pay 1 + ... + L and L actions
    assert result.returns == [length * (length + 1) / 2 + length * action for length in result.lengths]
    assert len(result.returns) == 8 and len(set(result.lengths)) > 1
    assert result.mean_return == pytest.approx(sum(result.returns) / 8)
    assert result.mean_length == pytest.approx(sum(result.lengths) / 8)


@pytest.mark.parametrize("episodes", [1, 2, 3, 7])
def test_as_many_episodes_as_asked_for(episodes):
    assert len(evaluator().run(Constant(), episodes, mode=True).returns) == episodes


def test_short_episodes_are_not_favoured():
    alone = [evaluator(envs=1).run(Constant(), 400, mode=True), evaluator(envs=4).run(Constant(), 400, mode=True)]
    for result in alone:  # lengths are uniform on 2 .. 6: mean 4, standard error sqrt(2 / 400) = 0.07
        assert abs(np.mean(result.lengths) - 4) < 0.25


def test_every_evaluation_plays_the_same_start_states():
    judge = evaluator("toy_lq")
    first, second = (judge.run(Zero(), 2, mode=True) for _ in range(2))
    assert first.returns == second.returns
    assert evaluator("toy_lq", seed=1).run(Zero(), 2, mode=True).returns != first.returns


def test_no_training_episode_starts_where_an_evaluation_does():
    config = EnvConfig(num=3)
    training = VectorEnv("toy_lq", config, 0, RewardVault()).step(np.zeros((3, 1), np.float32)).obs["state"]
    start = evaluator("toy_lq").run(Zero(), 1, mode=True).traces[0].obs["state"][0]
    assert not (training == start).all(axis=1).any()


def test_the_trace_is_the_first_episode():
    result = evaluator().run(Constant(), episodes=5, mode=True)
    trace, length = result.traces[0], result.lengths[0]
    assert trace.obs["state"][:, 0].tolist() == list(range(length + 1))
    assert trace.reward.tolist() == [0.0] + [step + 0.5 for step in range(1, length + 1)]
    assert trace.action[:, 0].tolist() == [0.5] * length + [0.0]
    assert trace.is_terminal.tolist() == [False] * length + [True]
    assert trace.reward.sum() == result.returns[0]


def test_an_action_repeat_shortens_the_episode_and_keeps_the_money():
    result = evaluator("toy_lq", repeat=8).run(Zero(), 1, mode=True)
    assert result.lengths == [25]  # 200 environment steps
    assert result.traces[0].reward.sum() == pytest.approx(result.returns[0])


def test_a_control_suite_task_is_evaluated():
    result = evaluator("dmc_cartpole_balance", envs=2, repeat=8).run(Zero(), 2, mode=True)
    assert result.lengths == [125, 125]
    assert all(0 < value < 1000 for value in result.returns)


def test_an_episode_that_never_ends_is_said_plainly(monkeypatch):
    monkeypatch.setattr("tandem.training.reports.evaluate.MAX_STEPS", 50)
    with pytest.raises(UserError, match=r"^envs\.time_limit: evaluated_tasks:Endless has not ended after 50"):
        evaluator("evaluated_tasks:Endless").run(Constant(), 1, mode=True)


def test_returns_of_training_are_read_from_the_vault():
    vault = RewardVault()
    env = VectorEnv("evaluated_tasks:Countdown", EnvConfig(num=3), 0, vault)
    returns = EpisodeReturns(vault, 3)
    episodes = [one for _ in range(40) for one in returns.add(env.step(np.full((3, 1), 0.5, np.float32)))]
    assert {one.env for one in episodes} == {0, 1, 2}
    for one in episodes:
        assert one.episode_return == one.length * (one.length + 1) / 2 + 0.5 * one.length


def test_an_episode_whose_start_was_not_seen_has_no_return():
    vault = RewardVault()
    for step in range(1, 9):
        vault.put(0, step, 2.0)
    returns = EpisodeReturns(vault, 1)
    flags = {3: "last", 4: "first", 6: "first", 8: "last"}  # resumed within an episode; a worker dies at row 5
    ended = [one for step in range(2, 9) for one in returns.add(row(step, flags.get(step)))]
    assert [(one.length, one.episode_return) for one in ended] == [(2, 4.0)]  # rows 7 and 8


def test_evaluation_can_be_off():
    config = EvaluateConfig(episodes=0)
    evaluator = Evaluator("toy_lq", EnvConfig(), config, 0)
    assert evaluator.episodes(is_final=False) == evaluator.episodes(is_final=True) == 0


@pytest.mark.parametrize("name", ["envs", "final_episodes"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"^{name}: must be at least 1, got 0"):
        EvaluateConfig(**{name: 0})


def test_a_video_without_its_packages_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(VideoError, match=re.escape("[video]")):
        record_video(Constant(), "evaluated_tasks:Countdown", EnvConfig(), 0, tmp_path / "a.mp4")


def test_a_video_of_another_kind_is_refused(tmp_path):
    with pytest.raises(VideoError, match=r"must end in \.mp4"):
        record_video(Constant(), "evaluated_tasks:Countdown", EnvConfig(), 0, tmp_path / "a.png")


def test_a_video_shows_every_row_of_one_episode(tmp_path):
    imageio = pytest.importorskip("imageio.v2")
    pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "videos" / "a.mp4"
    total = record_video(Constant(), "evaluated_tasks:Countdown", EnvConfig(), 0, path)
    with imageio.get_reader(path) as film:
        pictures = [picture.mean() for picture in film]
        assert film.get_meta_data()["fps"] == 12
    length = len(pictures) - 1
    assert total == length * (length + 1) / 2 + 0.5 * length
    assert pictures == pytest.approx([40 * step for step in range(length + 1)], abs=6)


def test_a_task_without_pictures_is_said_plainly(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    with pytest.raises(VideoError, match="has no picture"):
        record_video(Constant(), "evaluated_tasks:Endless", EnvConfig(), 0, tmp_path / "a.mp4")


class Zero:
    def act(self, obs, state, is_first, mode):
        return np.zeros((len(is_first), 1), np.float32), None


def row(step, flag):
    is_first, is_last = np.array([flag == "first"]), np.array([flag == "last"])
    return Transition({}, is_first, is_last, np.zeros(1, bool), np.array([step]), np.zeros(1, bool))

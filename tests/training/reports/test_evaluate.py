"""The evaluator says what the environments paid, in episodes that are whole and counted fairly."""

import sys
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from tandem.envs.episodes import EpisodeReturns
from tandem.envs.make import EnvConfig
from tandem.envs.records import Clip, Transition
from tandem.envs.vault import RewardVault
from tandem.envs.vector import VectorEnv
from tandem.errors import UserError
from tandem.training.reports.evaluate import EvaluateConfig, Evaluator


class Countdown(gymnasium.Env):
    """Lives for 2 + (seed % 5) steps; step k pays k plus the action."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.life, self.step_number = 2 + seed % 5, 0
        return self._obs(), {}

    def step(self, action):
        self.step_number += 1
        is_over = self.step_number >= self.life
        return self._obs(), float(self.step_number + action[0]), is_over, False, {}

    def _obs(self):
        return np.array([self.step_number, self.life], np.float32)


class Endless(Countdown):
    def step(self, action):
        obs, reward, *_ = super().step(action)
        return obs, reward, False, False, {}


class Only(Countdown):
    """Of which one alone can be open."""

    num_open = 0

    def __init__(self):
        assert not Only.num_open, "the port is taken"
        Only.num_open += 1

    def close(self):
        Only.num_open -= 1


class Faulty(Countdown):
    def step(self, action):
        return super().step(action) if self.step_number < 1 else 1 // 0


class Constant:
    """Acts 0.5 (mode) or 0.25 (sampled); its state counts the rows since is_first, so it shows resets."""

    def act(self, obs, state, is_first, mode):
        state = np.where(is_first, 0, 0 if state is None else state + 1)
        assert np.array_equal(state, obs["state"][:, 0]), "the state must begin anew with each episode"
        return np.full((len(is_first), 1), 0.5 if mode else 0.25, np.float32), state


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    classes = {one.__name__: one for one in (Countdown, Endless, Only, Faulty)}
    monkeypatch.setitem(sys.modules, "evaluated_tasks", SimpleNamespace(**classes))


def evaluator(task="evaluated_tasks:Countdown", envs=3, seed=0, said=None, **changes):
    warn = pytest.fail if said is None else said.append
    return Evaluator(task, EnvConfig(**changes), EvaluateConfig(envs=envs), seed, warn)


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


def test_an_episode_that_never_ends_is_cut_and_said(monkeypatch):
    monkeypatch.setattr("tandem.training.reports.evaluate.MAX_STEPS", 50)
    said = []
    result = evaluator("evaluated_tasks:Endless", said=said).run(Constant(), 4, mode=True)
    # 50 steps pay 1 + ... + 50 and 50 actions of 0.5
    assert result.lengths == [50] * 4 and result.returns == [50 * 51 / 2 + 25] * 4
    assert len(result.traces[0].reward) == 51
    assert len(said) == 1 and "evaluated_tasks:Endless: 6 of the episodes had not ended after 50 agent steps" in said[0]


def borrower(training, **changes):
    config = EnvConfig(num=training.num)
    judge = Evaluator("evaluated_tasks:Only", config, EvaluateConfig(borrow=True, **changes), 0, pytest.fail)
    judge.borrow(training)
    return judge


def step(env, num_ticks):
    return [env.step(np.full((env.num, 1), 0.5, np.float32)) for _ in range(num_ticks)]


def test_evaluation_borrows_the_only_environment_there_is():
    vault = RewardVault()
    training = VectorEnv("evaluated_tasks:Only", EnvConfig(num=1), 0, vault)
    before = step(training, 4)
    assert not before[-1].is_last.any()  # the last episode is open
    result = borrower(training).run(Constant(), 3, mode=True)
    assert result.returns == evaluator("evaluated_tasks:Countdown", envs=1).run(Constant(), 3, mode=True).returns
    after = step(training, 2)
    assert after[0].is_first.tolist() == [True] and after[0].step.tolist() == [4]
    begun = sum(int(row.is_first[0]) for row in before)
    fresh = VectorEnv("evaluated_tasks:Countdown", EnvConfig(num=1), 0, RewardVault())
    starts = [row.obs["state"] for row in step(fresh, 40) if row.is_first[0]]
    np.testing.assert_array_equal(after[0].obs["state"], starts[begun])  # the next one of training
    with pytest.raises(UserError):
        vault.reward(Clip(0, 4))
    training.close()


def test_what_is_not_needed_is_not_borrowed():
    training = VectorEnv("evaluated_tasks:Countdown", EnvConfig(num=3), 1, RewardVault())
    assert not step(training, 2)[-1].is_last.any()
    borrower(training, envs=2).run(Constant(), 5, mode=True)
    assert step(training, 1)[0].is_first.tolist() == [True, True, False]
    borrower(training).run(Constant(), 1, mode=True)
    assert step(training, 1)[0].is_first.tolist()[0]


def test_nothing_is_borrowed_unless_it_is_configured():
    training = VectorEnv("evaluated_tasks:Countdown", EnvConfig(num=1), 0, RewardVault())
    step(training, 2)
    judge = evaluator()
    judge.borrow(training)
    judge.run(Constant(), 1, mode=True)
    assert not step(training, 1)[0].is_first.any()


class Interrupting(SimpleNamespace):
    def act(self, obs, state, is_first, mode):
        raise KeyboardInterrupt


def test_an_interrupted_evaluation_closes_its_environments_and_gives_back_what_it_borrowed():
    with pytest.raises(KeyboardInterrupt):
        evaluator("evaluated_tasks:Only", envs=1).run(Interrupting(), 1, mode=True)
    assert Only.num_open == 0
    training = VectorEnv("evaluated_tasks:Only", EnvConfig(num=1), 0, RewardVault())
    with pytest.raises(KeyboardInterrupt):
        borrower(training).run(Interrupting(), 1, mode=True)
    assert Only.num_open == 1 and step(training, 1)[0].is_first.all()
    training.close()


def test_an_evaluation_whose_environment_fails_is_one_line():
    said = []
    with pytest.raises(
        UserError, match=r"^task: evaluated_tasks:Faulty: environment 0 raised ZeroDivisionError: .* line "
    ):
        evaluator("evaluated_tasks:Faulty", said=said).run(Constant(), 1, mode=True)
    assert len(said) == 4 and all(line.startswith("warning: in evaluation: environment 0, row") for line in said)


def test_no_episodes_are_no_evaluation():
    judge = Evaluator("toy_lq", EnvConfig(), EvaluateConfig(episodes=0), 0)
    assert judge.episodes(is_final=False) == judge.episodes(is_final=True) == 0
    with pytest.raises(UserError, match="no episodes to play"):
        judge.run(Zero(), 0, mode=True)


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


@pytest.mark.parametrize(("name", "least"), [("episodes", 0), ("envs", 1), ("final_episodes", 1)])
def test_counts_that_are_too_small_are_refused(name, least):
    with pytest.raises(ValueError, match=f"^{name}: must be at least {least}, got {least - 1}"):
        EvaluateConfig(**{name: least - 1})


class Zero:
    def act(self, obs, state, is_first, mode):
        return np.zeros((len(is_first), 1), np.float32), None


def row(step, flag):
    is_first, is_last = np.array([flag == "first"]), np.array([flag == "last"])
    return Transition({}, is_first, is_last, np.zeros(1, bool), np.array([step]), np.zeros(1, bool))

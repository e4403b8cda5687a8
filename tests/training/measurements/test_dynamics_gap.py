"""Errors in return units: pencil numbers on stand-ins, and what must be zero on a real model."""

import math
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch

from tandem.envs.records import ObsSpec, Spaces
from tandem.training.measurements.block import BURN_IN, SCORED, block_of
from tandem.training.measurements.dynamics_gap import (
    LEAST_RUNS,
    adjoint_gap,
    dynamics_gap,
    explained_variance,
    horizon_for,
    rolled,
    rollout_return,
)
from tandem.training.measurements.findings import MeasureConfig
from tandem.training.models import Models
from tandem.worldmodel.dynamics import DynamicsConfig, DynamicsModel
from tandem.worldmodel.records import Address, Batch
from tandem.worldmodel.reward import RewardConfig, RewardModel

SPACES = Spaces({"state": ObsSpec((2,))}, 1)
DYNAMICS = DynamicsConfig(
    deter=16, hidden=8, stoch=2, classes=4, blocks=2, units=8, discount_horizon=10.0, encoder_layers=1, decoder_layers=1
)


def episode(length: int, is_terminal: bool = False, seed: int = 0) -> Batch:
    """A batch of one, from is_first to is_last; observation 0 is the row's number."""
    generator = torch.Generator().manual_seed(seed)
    state = torch.randn(1, length, 2, generator=generator)
    state[0, :, 0] = torch.arange(length)
    flags = torch.zeros(1, length, dtype=torch.bool)
    is_first, is_last, terminal = flags.clone(), flags.clone(), flags.clone()
    is_first[0, 0], is_last[0, -1], terminal[0, -1] = True, True, is_terminal
    row = torch.arange(length)[None]
    return Batch(
        obs={"state": state},
        prev_action=torch.randn(1, length, 1, generator=generator) * ~is_first.unsqueeze(-1),
        is_first=is_first,
        is_last=is_last,
        is_terminal=terminal,
        start_deter=torch.zeros(1, 16),
        start_stoch=torch.zeros(1, 2, dtype=torch.long),
        address=Address(torch.zeros(1, dtype=torch.long), row, row, is_heldout=True),
    )


@pytest.fixture
def models():
    torch.manual_seed(0)
    dynamics, reward = DynamicsModel(DYNAMICS, SPACES), RewardModel(RewardConfig(units=8, bins=63), DYNAMICS.feat_size)
    torch.nn.init.normal_(reward.out_weight, std=0.05)  # fresh heads predict 0 everywhere
    weight = torch.randn(DYNAMICS.feat_size)
    return dynamics, reward, lambda feat: feat @ weight


def around(dynamics, reward, value) -> Models:
    return Models(dynamics, reward, SimpleNamespace(value=value))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_row_of_an_episode_is_scored_once_in_windows_of_one_length():
    length = 2 * SCORED + 10
    block = block_of([episode(length), episode(5)], most=99)
    assert block.is_scored.shape == (4, BURN_IN + SCORED)
    scored = block.obs["state"][..., 0][block.is_scored]
    assert sorted(scored.tolist()) == sorted([*range(length), *range(5)])
    assert block.is_first.sum().item() == 4 and block.is_first[:, 0].all()
    assert not block.is_scored[1, :BURN_IN].any()  # a latent that begins inside an episode is warmed up first
    assert (block.prev_action[:, 0] == 0).all() and (block.start_deter == 0).all()


def test_windows_past_the_most_are_spread_over_all_episodes():
    block = block_of([episode(SCORED, seed=seed) for seed in range(10)], most=2)
    assert len(block.is_first) == 2
    assert torch.equal(block.obs["state"][1, :SCORED], episode(SCORED, seed=5).obs["state"][0])
    assert block_of([], most=2) is None


def test_windows_lie_where_their_episodes_do():
    elsewhere = block_of([episode(60).to("meta")], most=9)
    parts = [getattr(elsewhere, field.name) for field in fields(elsewhere) if field.name != "obs"]
    assert {part.device.type for part in [*parts, *elsewhere.obs.values()]} == {"meta"}


def test_runs_are_whole_and_do_not_overlap():
    block = block_of([episode(SCORED + 10)], most=9)
    # window 0 scores rows 0 .. 47: starts 0, 20 (a third, 40, would end at 60). Window 1 scores 16 .. 25: no room.
    assert [part.tolist() for part in block.runs(20)] == [[0, 0], [0, 20]]
    assert block.runs(60)[0].numel() == 0
    assert block.runs(1000)[0].numel() == 0


def test_as_long_a_run_as_a_window_scores_is_found_in_the_middle_of_an_episode_too():
    block = block_of([episode(2 * SCORED), episode(SCORED - 1)], most=9)
    # a run of 47 rows after its start: rows 0 .. 47 of the episode and 48 .. 95, which are 16 .. 63 of the second window
    assert [part.tolist() for part in block.runs(SCORED - 1)] == [[0, 1], [0, BURN_IN]]
    assert [part.tolist() for part in block.runs(20)] == [[0, 0, 1, 1, 2, 2], [0, 20, 16, 36, 0, 20]]


def test_rollout_return_discounts_by_what_is_still_to_come():
    # rewards 1 and 2, cont .5 and .25, value 8: 1 + .5 * 2 + .5 * .25 * 8 = 3
    feat = torch.tensor([[[1.0, 0.5], [2.0, 0.25]]])
    dynamics = SimpleNamespace(cont=lambda feat: feat[..., 1])
    reward = SimpleNamespace(predict=lambda feat: feat[..., 0])
    assert rollout_return(around(dynamics, reward, lambda feat: torch.full(feat.shape[:1], 8.0)), feat).tolist() == [
        3.0
    ]


def test_a_prior_that_knows_the_posterior_has_no_one_step_error(models, monkeypatch):
    dynamics, reward, value = models
    block = block_of([episode(60)], 9)
    before = dynamics_gap(around(dynamics, reward, value), block, 10, 4, generator())
    assert before.one_step > 0.01 and before.value_deviation > 0.1
    observe, seen = dynamics.observe, {}

    def observing(batch, noise):
        latent, seen["posterior"] = observe(batch, noise)
        return latent, seen["posterior"]

    monkeypatch.setattr(dynamics, "observe", observing)
    monkeypatch.setattr(dynamics.rssm, "prior", lambda deter: seen["posterior"])
    after = dynamics_gap(around(dynamics, reward, value), block, 1000, 4, generator())
    assert (after.one_step, after.one_step_signed) == (0.0, 0.0)
    assert math.isnan(after.many_steps)  # no window is that long


def test_the_gap_is_in_return_units(models):
    """Rewards and values ten times as large are errors ten times as large; a constant reward is no error at all."""
    dynamics, reward, value = models
    block = block_of([episode(60)], 9)

    def scaled(factor: float, shift: float = 0.0):
        stand_in = SimpleNamespace(predict=lambda feat: factor * reward.predict(feat) + shift)
        return dynamics_gap(around(dynamics, stand_in, lambda feat: factor * value(feat)), block, 10, 4, generator())

    one, ten, shifted = scaled(1.0), scaled(10.0), scaled(1.0, 5.0)
    for name in ("one_step", "one_step_signed", "many_steps", "value_deviation"):
        assert getattr(ten, name) == pytest.approx(10 * getattr(one, name), rel=1e-4)
    assert shifted.one_step == pytest.approx(one.one_step, rel=1e-3)


def test_averaging_latents_takes_chance_out_of_the_error(models):
    dynamics, reward, value = models
    block = block_of([episode(300)], 99)
    few, many = (dynamics_gap(around(dynamics, reward, value), block, 10, n, generator()).one_step for n in (1, 64))
    assert many < 0.8 * few


def test_a_prior_that_knows_the_posterior_has_no_error_over_a_rolled_step(models, monkeypatch):
    """Not even chance: both paths leave from one latent, and arrive by the same random numbers."""
    dynamics, reward, value = models
    block = block_of([episode(300)], 99)
    before = dynamics_gap(around(dynamics, reward, value), block, 1, 4, generator())
    observe = dynamics.observe

    def observing(batch, noise):
        latent, _ = observe(batch, noise)
        return latent, dynamics.rssm.prior(latent.deter)

    monkeypatch.setattr(dynamics, "observe", observing)
    after = dynamics_gap(around(dynamics, reward, value), block, 1, 4, generator())
    assert len(block.runs(1)[0]) > 250
    assert after.many_steps < 1e-3 * before.many_steps and before.many_steps > 0.01


def test_without_trust_in_the_critic_an_error_is_one_of_rewards_alone(models):
    dynamics, reward, value = models
    block = block_of([episode(300), episode(100, seed=1)], 99)
    with_critic = rolled(around(dynamics, reward, value), block, 10, 4, generator())
    without = rolled(around(dynamics, reward, lambda feat: 0 * value(feat)), block, 10, 4, generator())
    assert torch.equal(with_critic.error(0.0), without.error(1.0)) and without.absolute(0.0) > 0
    assert torch.equal(with_critic.error(0.5), (with_critic.error(0.0) + with_critic.error(1.0)) / 2)
    assert with_critic.episode.unique().tolist() == [0, 1]


def test_a_reward_error_that_recurs_every_horizon_is_summed_over_the_future(models):
    """Rewards of 1 where the dream goes and 0 where the episode went, H = 10: (1 + ... + g^9) / (1 - g^10) = 1 / (1 - g)."""
    dynamics, _, value = models
    block = block_of([episode(60)], 9)
    calls = []

    def predict(feat):
        calls.append(feat)
        return torch.ones(feat.shape[:-1]) if len(calls) == 1 else torch.zeros(feat.shape[:-1])

    dynamics.cont = lambda feat: torch.full(feat.shape[:-1], DYNAMICS.discount)
    found = rolled(around(dynamics, SimpleNamespace(predict=predict), value), block, 10, 4, generator())
    assert found.absolute(0.0) == pytest.approx(1 / (1 - DYNAMICS.discount), rel=1e-5)
    assert found.signed(0.0) > 0, "the model promises too much"


def test_a_part_of_what_there_is_to_foresee_has_no_unit(models):
    dynamics, reward, value = models
    block = block_of([episode(300)], 99)

    def scaled(factor: float) -> float:
        stand_in = SimpleNamespace(predict=lambda feat: factor * reward.predict(feat))
        return rolled(around(dynamics, stand_in, value), block, 10, 4, generator()).share(0.0)

    assert scaled(7.0) == pytest.approx(scaled(1.0), rel=1e-4) and scaled(1.0) > 0
    assert math.isnan(scaled(0.0)), "no reward in sight"


def test_short_episodes_are_measured_over_fewer_rows():
    assert horizon_for(block_of([episode(300)], 99), 12) == 12
    short = block_of([episode(8, seed=seed) for seed in range(4)], 99)
    rows = horizon_for(short, 12)
    assert 1 < rows < 8 and len(short.runs(rows)[0]) >= LEAST_RUNS > len(short.runs(rows + 1)[0])
    assert horizon_for(block_of([episode(2)], 99), 12) == 1


def test_the_adjoint_is_in_return_units_too(models):
    dynamics, reward, value = models
    block = block_of([episode(60)], 9)

    def scaled(factor: float) -> float:
        stand_in = SimpleNamespace(predict=lambda feat: factor * reward.predict(feat))
        return adjoint_gap(around(dynamics, stand_in, lambda feat: factor * value(feat)), block, 10, 2, generator())

    assert scaled(0.0) == 0.0
    assert scaled(3.0) == pytest.approx(3 * scaled(1.0), rel=1e-4) != 0
    assert math.isnan(adjoint_gap(around(dynamics, reward, value), block, 1000, 2, generator()))


def test_a_critic_that_knows_the_returns_explains_all_of_their_variance(models):
    dynamics, reward, _ = models
    whole = episode(40, is_terminal=True)
    found = {}

    def learned(feat):
        return found.get(len(feat), torch.zeros(len(feat)))

    rewards = []
    stand_in = SimpleNamespace(predict=lambda feat: rewards.append(reward.predict(feat)) or rewards[-1])
    assert explained_variance(around(dynamics, stand_in, learned), [whole], generator()) == pytest.approx(0.0, abs=1e-6)
    # R_t = r_{t+1} + .9 R_{t+1}, R of the terminal row 0
    returns = [torch.zeros(())]
    for arrived in reversed(rewards[0][1:].unbind()):
        returns.insert(0, arrived + 0.9 * returns[0])
    found[40] = torch.stack(returns)
    assert explained_variance(around(dynamics, stand_in, learned), [whole], generator()) == pytest.approx(1.0, abs=1e-5)


def test_returns_that_do_not_vary_and_no_episodes_are_explained_by_nothing(models):
    dynamics, _, value = models
    nothing = SimpleNamespace(predict=lambda feat: 0 * feat[..., 0])
    assert explained_variance(around(dynamics, nothing, value), [episode(40, is_terminal=True)], generator()) == 0.0
    assert explained_variance(around(dynamics, nothing, value), [], generator()) == 0.0


def test_a_truncated_episode_is_bootstrapped_and_a_terminal_one_is_not(models):
    """Rewards 0 and a last value of 100: the returns before a cut are 100 * .9 ** rows left, before a true end all 0."""
    dynamics, _, _ = models
    nothing = SimpleNamespace(predict=lambda feat: 0 * feat[..., 0])

    def critic(feat):
        return 100 * 0.9 ** torch.arange(len(feat) - 1, -1, -1.0)

    assert explained_variance(around(dynamics, nothing, critic), [episode(40)], generator()) == pytest.approx(
        1.0, abs=1e-5
    )
    assert explained_variance(around(dynamics, nothing, critic), [episode(40, is_terminal=True)], generator()) == 0.0


@pytest.mark.parametrize("name", ["samples", "episodes", "windows", "labels"])
def test_a_setting_below_one_is_named(name):
    with pytest.raises(ValueError, match=f"^{name}: must be at least 1, got 0"):
        MeasureConfig(**{name: 0})


def test_short_episodes_are_measured_in_windows_of_their_own_length():
    block = block_of([episode(8), episode(5, seed=1)], 99)
    assert block.is_scored.shape == (2, 8)
    assert block.is_scored.sum(1).tolist() == [8, 5]

"""Lemma 1 and the horizon's weights by pencil; local constants against exact derivatives of small real models."""

import math

import pytest
import torch

from tandem.envs.records import ObsSpec, Spaces
from tandem.worldmodel.dynamics import DynamicsConfig, DynamicsModel
from tandem.worldmodel.reward import RewardConfig, RewardModel
from tandem.worldmodel.rssm import Latent
from tandem.worldmodel.smoothness import (
    Smoothness,
    horizon_weights,
    largest_stretch,
    lemma_bound,
    lemma_coefficients,
    smoothness,
)

ACTIONS, DETER, GROUPS, CLASSES = 2, 8, 2, 3


def test_the_lemma_by_pencil():
    # gamma 1/2: w_r = 2; rho 1: w_d = 1/2 * 3 * 2 / (1 - 1/2) = 6
    assert lemma_coefficients(0.5, 1.0, 3.0) == pytest.approx((6.0, 2.0))


def test_the_bound_is_infinite_where_errors_outgrow_the_discount():
    assert lemma_coefficients(0.5, 2.0, 3.0) == (math.inf, 2.0)
    assert lemma_coefficients(0.5, math.inf, 3.0) == (math.inf, 2.0)
    assert lemma_coefficients(0.5, math.inf, 0.0) == (0.0, 2.0), "a constant reward feels no error of the state"
    growing = constants(rho=2.0, reward=1.0)
    assert lemma_bound(growing, 0.1, 0.1, 0.5) == math.inf
    assert lemma_bound(growing, 0.0, 0.1, 0.5) == pytest.approx(0.2), "without an error nothing grows"


def test_an_arrival_reward_also_feels_the_error_of_its_own_step():
    # State errors are S_1 = 1, S_2 = 1 + rho ...: sum_t gamma^t S_{t+1} = 1 / ((1 - gamma) (1 - gamma rho)) = 8/3 for
    # gamma 1/2, rho 1/2. Times reward slope 3 and error 1/10: .8; the reward's own error 1/4 costs 2 * 1/4.
    assert lemma_bound(constants(rho=0.5, reward=3.0), 0.1, 0.25, 0.5) == pytest.approx(0.8 + 0.5)


@pytest.mark.parametrize(("rho", "ratio"), [(0.5, 3.39), (0.9, 9.9), (1.0, 15.8), (1.1, 28.2), (1.3, 114), (1.6, 1085)])
def test_the_weights_of_a_horizon_of_15_are_those_of_the_specification(rho, ratio):
    w_d, w_r = horizon_weights(0.997, rho, 1.0, 10.0, 15, 0.95)
    assert w_d / w_r == pytest.approx(ratio, rel=5e-3)
    assert w_r == pytest.approx(1 / 0.003)


def test_one_step_returns_feel_a_state_error_through_the_critic_alone():
    # n = 1: w_d = gamma value / (1 - gamma) = .5 * 7 / .5
    assert horizon_weights(0.5, 3.0, 100.0, 7.0, 1, 0.95) == pytest.approx((7.0, 2.0))
    assert horizon_weights(0.5, 3.0, 100.0, 7.0, 15, 0.0) == pytest.approx((7.0, 2.0))


def test_a_long_horizon_of_a_contracting_model_is_the_lemma():
    assert horizon_weights(0.9, 0.8, 2.0, 5.0, 400, 1.0) == pytest.approx(lemma_coefficients(0.9, 0.8, 2.0))


@pytest.mark.parametrize(
    ("name", "values"),
    [("gamma", {"gamma": 1.0}), ("horizon", {"horizon": 0}), ("lam", {"lam": 1.5})],
)
def test_numbers_without_a_meaning_are_refused(name, values):
    sound = {"gamma": 0.9, "rho": 1.0, "reward": 1.0, "value": 1.0, "horizon": 5, "lam": 0.95}
    with pytest.raises(ValueError, match=f"^{name}: "):
        horizon_weights(**{**sound, **values})


def test_the_largest_stretch_of_a_matrix_along_allowed_directions():
    # diag(5, 3, 1): 5; where the first direction is not allowed: 3
    matrix, start = torch.diag(torch.tensor([5.0, 3.0, 1.0])), torch.ones(2, 3)
    point = torch.zeros(2, 3)
    everywhere = largest_stretch(lambda x: x @ matrix, point, start, lambda v: v)
    assert everywhere.tolist() == pytest.approx([5.0, 5.0])
    inside = largest_stretch(lambda x: x @ matrix, point, start, lambda v: v * torch.tensor([0.0, 1.0, 1.0]))
    assert inside.tolist() == pytest.approx([3.0, 3.0])


def test_growth_is_the_norm_of_the_closed_loop_jacobian_that_training_sees():
    dynamics, reward, policy, value, latent = small_world(states=1)
    found = measured(dynamics, reward, policy, value, latent)

    def closed_loop(feat):  # the sampled step, whose gradient is straight through the sample
        return sampled_step(dynamics, feat, policy(feat))

    def held(feat):
        return sampled_step(dynamics, feat, policy(latent.feat))

    def pushed(action):
        return sampled_step(dynamics, latent.feat, action)

    allowed = simplex_directions()
    assert found.rho == pytest.approx(jacobian_norm(closed_loop, latent.feat, allowed), rel=0.01)
    assert found.dynamics_state == pytest.approx(jacobian_norm(held, latent.feat, allowed), rel=0.01)
    action = policy(latent.feat).detach()
    assert found.dynamics_action == pytest.approx(jacobian_norm(pushed, action, torch.eye(ACTIONS)), rel=0.01)
    assert found.policy == pytest.approx(jacobian_norm(policy, latent.feat, allowed), rel=0.01)
    assert 0 < found.rho <= 1.01 * (found.dynamics_state + found.dynamics_action * found.policy), "the chain rule"


def test_slopes_of_linear_critics_are_their_weights_within_the_simplex():
    dynamics, reward, policy, _, latent = small_world(states=5)
    weights = torch.zeros(DETER + GROUPS * CLASSES)
    weights[:2] = torch.tensor([3.0, 4.0])  # on deter: 5
    weights[DETER : DETER + CLASSES] = 7.0  # the same for every class of a group: their sum never changes
    found = measured(dynamics, reward, policy, lambda feat: feat @ weights, latent)
    assert (found.value, found.value_p95) == pytest.approx((5.0, 5.0))
    assert found.reward == 0.0, "a new reward model is flat"


def test_the_median_and_the_high_level_are_over_states():
    dynamics, reward, policy, _, latent = small_world(states=21)
    levels = torch.arange(21.0)  # slopes 0 .. 20: median 10, 95th percentile 19
    found = measured(dynamics, reward, policy, lambda feat: feat[:, 0] * levels, latent)
    assert (found.value, found.value_p95) == pytest.approx((10.0, 19.0))


def test_looking_leaves_no_gradient_and_is_repeatable_under_no_grad():
    world = small_world(states=4)
    outside = measured(*world)
    with torch.no_grad():
        inside = measured(*world)
    assert outside == inside
    assert all(parameter.grad is None for model in world[:2] for parameter in model.parameters())


def constants(rho, reward) -> Smoothness:
    return Smoothness(rho, rho, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, reward, reward, 0.0, 0.0)


def small_world(states):
    torch.manual_seed(0)
    config = DynamicsConfig(deter=DETER, hidden=8, stoch=GROUPS, classes=CLASSES, blocks=2, units=8)
    dynamics = DynamicsModel(config, Spaces({"state": ObsSpec((3,))}, ACTIONS))
    reward = RewardModel(RewardConfig(units=8, bins=41), config.feat_size)
    actor = torch.nn.Linear(config.feat_size, ACTIONS)
    latent = dynamics.latent(torch.randn(states, DETER), torch.randint(CLASSES, (states, GROUPS)))
    return dynamics, reward, lambda feat: torch.tanh(actor(feat)), lambda feat: feat.sum(-1), latent


def measured(dynamics, reward, policy, value, latent) -> Smoothness:
    return smoothness(dynamics, reward, policy, value, latent, torch.Generator().manual_seed(0))


def sampled_step(dynamics, feat, action):
    latent = Latent(feat[:, :DETER], feat[:, DETER:].unflatten(-1, (GROUPS, CLASSES)))
    noise = torch.full((len(feat), GROUPS), 0.5)
    return dynamics.rssm.imagine_step(latent, action, noise, dynamics.rssm.scan_weights()).feat


def simplex_directions():
    """(F, F): the projection on directions that keep every group's sum."""
    within = torch.eye(CLASSES) - 1.0 / CLASSES
    return torch.block_diag(torch.eye(DETER), *[within] * GROUPS)


def jacobian_norm(function, point, allowed):
    jacobian = torch.autograd.functional.jacobian(lambda x: function(x[None])[0], point[0])
    return torch.linalg.matrix_norm(jacobian @ allowed, 2).item()

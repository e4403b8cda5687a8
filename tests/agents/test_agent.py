"""The agent that acts: shapes, memory, resets, and its two kinds of action."""

import numpy as np
import pytest
import torch

from tandem.agents.actor_critic import ActorCritic, ActorCriticConfig
from tandem.agents.agent import Agent
from tandem.envs.records import ObsSpec, Spaces
from tandem.worldmodel.dynamics import DynamicsConfig, DynamicsModel

OBS = {"pose": ObsSpec((3,)), "speed": ObsSpec((2,))}


def make_agent(factors=(), seed=0, specs=OBS) -> Agent:
    torch.manual_seed(0)
    spaces = Spaces(specs, action_size=4, factors=factors)
    dynamics = DynamicsModel(DynamicsConfig(deter=16, hidden=8, stoch=3, classes=4, units=8), spaces)
    actor_critic = ActorCritic(ActorCriticConfig(units=8, bins=15), spaces, dynamics.config.feat_size, 0.99)
    torch.nn.init.normal_(actor_critic.actor.out.weight)  # a policy with preferences
    return Agent(dynamics, actor_critic, spaces, seed)


def observations(num: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {key: rng.normal(size=(num, *spec.shape)).astype(np.float32) for key, spec in OBS.items()}


@pytest.mark.parametrize("mode", [True, False])
def test_a_batch_gives_a_batch_of_actions(mode):
    action, state = make_agent().act(observations(5, 0), mode=mode)
    assert action.shape == (5, 4) and action.dtype == np.float32
    assert state.latent.deter.shape == (5, 16) and state.latent.stoch.shape == (5, 3, 4)
    assert np.array_equal(state.action.numpy(), action)


def test_a_single_environment_needs_no_batch_axis_and_acts_like_a_batch_of_one():
    obs = observations(1, 0)
    batch, _ = make_agent().act(obs)
    single, state = make_agent().act({key: value[0] for key, value in obs.items()})
    assert single.shape == (4,) and np.array_equal(single, batch[0])
    following, _ = make_agent().act({key: value[0] for key, value in obs.items()}, state)
    assert following.shape == (4,)


def test_float64_observations_are_accepted():
    obs = {key: value.astype(np.float64) for key, value in observations(2, 0).items()}
    action, _ = make_agent().act(obs)
    assert action.dtype == np.float32


def test_a_missing_key_is_named():
    with pytest.raises(ValueError, match="missing \\['speed'\\]"):
        make_agent().act({"pose": np.zeros((1, 3), np.float32)})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pose": np.zeros(4, np.float32)}, r"'pose' is of shape \(4,\), expected \(3,\)"),
        ({"way": np.array([4])}, r"'way' has classes 0 to 3, got \[4\]"),
        ({"way": np.array([-1])}, r"'way' has classes 0 to 3, got \[-1\]"),
        ({"eye": np.zeros((16, 16), np.uint8)}, r"'eye' is of shape \(16, 16\), expected \(16, 16, 1\)"),
    ],
)
def test_what_is_not_of_the_spaces_is_named(changes, expected):
    specs = {"pose": ObsSpec((3,)), "way": ObsSpec((1,), 4), "eye": ObsSpec((16, 16, 1), kind="image")}
    agent = make_agent(specs=specs)
    obs = {key: np.zeros(spec.shape, spec.dtype) for key, spec in specs.items()}
    assert agent.act(obs)[0].shape == (4,)
    with pytest.raises(ValueError, match=expected):
        agent.act(obs | changes)


def test_mode_actions_are_bounded_and_discrete_ones_one_hot():
    action, _ = make_agent().act(observations(50, 1))
    assert abs(action).max() <= 1
    for mode in (True, False):
        action, _ = make_agent(factors=(4,)).act(observations(50, 1), mode=mode)
        assert set(np.unique(action)) == {0.0, 1.0} and (action.sum(1) == 1).all()


def test_the_state_is_a_memory():
    agent = make_agent()
    after = [agent.act(observations(1, past))[1] for past in (1, 2)]
    agent.generator.manual_seed(3)
    first = agent.act(observations(1, 9), after[0])[1].latent.deter
    agent.generator.manual_seed(3)
    second = agent.act(observations(1, 9), after[1])[1].latent.deter
    assert not torch.allclose(first, second)


def test_is_first_forgets_the_state_of_its_own_environment_alone():
    agent = make_agent()
    _, past = agent.act(observations(2, 1), mode=False)
    now = observations(2, 2)
    results = []
    for state, is_first in ((past, np.array([True, False])), (None, None), (past, np.array([False, False]))):
        agent.generator.manual_seed(4)
        results.append(agent.act(now, state, is_first))
    (forgot, _), (fresh, _), (remembered, _) = results
    np.testing.assert_allclose(forgot[0], fresh[0], atol=1e-6)
    np.testing.assert_allclose(forgot[1], remembered[1], atol=1e-6)
    assert not np.allclose(forgot[1], fresh[1]) and not np.allclose(forgot[0], remembered[0])


def test_the_seed_fixes_the_sampled_actions():
    draws = [make_agent(seed=seed).act(observations(3, 0), mode=False)[0] for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])


def test_acting_leaves_no_gradient_and_no_global_randomness_behind():
    agent = make_agent()
    before = torch.get_rng_state()
    _, state = agent.act(observations(2, 0), mode=False)
    assert not state.latent.deter.requires_grad and torch.equal(torch.get_rng_state(), before)

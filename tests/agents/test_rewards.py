"""The reward model outside of training: it says what training's own says, of each row by itself and those before it alone."""

import numpy as np
import pytest
import torch

from tandem.agents.actor_critic import ActorCritic, ActorCriticConfig
from tandem.agents.agent import Agent
from tandem.agents.rewards import PIECE
from tandem.envs.records import ObsSpec, Spaces
from tandem.worldmodel.dynamics import DynamicsConfig, DynamicsModel
from tandem.worldmodel.reward import RewardConfig, RewardModel

OBS = {"pose": ObsSpec((3,)), "way": ObsSpec((1,), 4)}


@pytest.fixture(scope="module")
def agent() -> Agent:
    torch.manual_seed(0)
    spaces = Spaces(OBS, action_size=2)
    dynamics = DynamicsModel(DynamicsConfig(deter=16, hidden=8, stoch=3, classes=4, units=8), spaces)
    actor_critic = ActorCritic(ActorCriticConfig(units=8, bins=15), spaces, dynamics.config.feat_size, 0.99)
    reward = RewardModel(RewardConfig(members=3, units=8, bins=15), dynamics.config.feat_size)
    torch.nn.init.normal_(reward.out_weight)
    return Agent(dynamics, actor_critic, spaces, 0, reward)


def rows(number: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    obs = {"pose": rng.normal(size=(number, 3)), "way": rng.integers(0, 4, (number, 1))}
    return obs, rng.uniform(-1, 1, (number, 2)).astype(np.float32)


def test_a_row_is_worth_what_the_members_say_of_its_posterior(agent):
    obs, action = rows(5)
    found = agent.reward(obs, action, draws=1)
    seen = {key: torch.from_numpy(value)[None] for key, value in obs.items()}
    seen = {"pose": seen["pose"].float(), "way": seen["way"].int()}
    is_first = torch.tensor([[True, False, False, False, False]])
    noise = torch.rand((1, PIECE, 3), generator=torch.Generator().manual_seed(0))[:, :5]
    rssm = agent.dynamics.rssm
    with torch.no_grad():
        embed = agent.dynamics.encoder(seen)
        latent, _ = rssm.observe(rssm.initial(1), torch.from_numpy(action)[None], embed, is_first, noise)
        members = agent.reward_model.members(latent.feat)[:, 0, 1:].numpy()  # (3, 4)
    np.testing.assert_allclose(found.mean, [0, *members.mean(0)], rtol=1e-5)
    np.testing.assert_allclose(found.disagreement, [0, *members.std(0)], rtol=1e-4)
    assert found.mean.shape == found.disagreement.shape == (5,) and found.disagreement[1:].min() > 0


def test_a_row_depends_on_what_came_before_it_and_on_nothing_after(agent):
    obs, action = rows(PIECE + 40)
    whole = agent.reward(obs, action).mean
    for number in (3, PIECE, PIECE + 7):
        part = agent.reward({key: value[:number] for key, value in obs.items()}, action[:number]).mean
        np.testing.assert_allclose(part, whole[:number], rtol=1e-4, atol=1e-5)
    other = action.copy()
    other[10] = -other[10]  # that which led to row 10
    changed = agent.reward(obs, other).mean != whole
    assert not changed[:10].any() and changed[10]
    other = action.copy()
    other[0] = np.nan  # nothing led to the first row
    assert np.array_equal(agent.reward(obs, other).mean, whole)


def test_streams_and_episodes_are_judged_apart(agent):
    (first, one), (second, two) = rows(6, 1), rows(6, 2)
    alone = [agent.reward(first, one).mean, agent.reward(second, two).mean]
    both = {key: np.stack([first[key], second[key]]) for key in first}
    found = agent.reward(both, np.stack([one, two]))
    assert found.mean.shape == found.disagreement.shape == (2, 6)
    np.testing.assert_allclose(found.mean, alone, rtol=1e-4, atol=1e-5)
    joined = {key: np.concatenate([first[key], second[key]]) for key in first}
    is_first = np.arange(12) == 6
    found = agent.reward(joined, np.concatenate([one, two]), is_first, draws=400).mean
    assert found[0] == found[6] == 0.0
    near = agent.reward(second, two, draws=400).mean  # other draws: the rows have other numbers
    far = agent.reward(joined, np.concatenate([one, two]), draws=400).mean[6:]  # as if one episode went on
    assert abs(found[6:] - near).max() < 0.3 * abs(far - near).max()


def test_asking_is_repeatable_and_leaves_the_agent_alone(agent):
    obs, action = rows(4)
    before, ours = torch.get_rng_state(), agent.generator.get_state()
    first, second = agent.reward(obs, action), agent.reward(obs, action)
    assert np.array_equal(first.mean, second.mean) and np.array_equal(first.disagreement, second.disagreement)
    assert torch.equal(before, torch.get_rng_state()) and torch.equal(ours, agent.generator.get_state())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prev_action": np.zeros((3, 2))}, r"^prev_action: is of shape \(3, 2\), expected \(4, 2\)"),
        ({"is_first": np.zeros(5)}, r"^is_first: is of shape \(5,\), expected \(4,\)"),
        (
            {"obs": {"pose": np.zeros((4, 3)), "way": np.zeros((3, 1))}},
            r"^way: is of shape \(3, 1\), expected \(4, 1\)",
        ),
        ({"obs": {"pose": np.zeros(3), "way": np.zeros(1)}}, r"^obs: must have an axis T"),
        ({"obs": {"pose": np.zeros((4, 3)), "way": np.full((4, 1), 4)}}, r"^obs: 'way' has classes 0 to 3"),
        ({"prev_action": np.full((4, 2), np.nan)}, r"^prev_action: must be finite in torch.float32, got nan"),
        ({"obs": {"pose": np.full((4, 3), 1e39), "way": np.zeros((4, 1))}}, r"^pose: must be finite .*, got inf"),
        ({"draws": 0}, r"^obs: .* draws be 1 or more, got \(4,\) and 0"),
    ],
)
def test_what_does_not_fit_is_named(agent, change, told):
    obs, action = rows(4)
    with pytest.raises(ValueError, match=told):
        agent.reward(**{"obs": obs, "prev_action": action} | change)

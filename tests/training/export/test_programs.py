"""Exported programs say what the run's own agent says, by the same noise, and tell a stranger how to use them."""

import io
import json

import numpy as np
import pytest
import torch

from tandem.agents.actions import action_noise
from tandem.agents.actor_critic import ActorCritic, ActorCriticConfig
from tandem.agents.agent import Agent
from tandem.envs.records import ObsSpec, Spaces
from tandem.training.config import Config
from tandem.training.export.export import program_bytes
from tandem.training.export.form import described, policy_form, reward_form
from tandem.training.export.programs import PolicyProgram, RewardProgram
from tandem.worldmodel.dynamics import DynamicsConfig, DynamicsModel
from tandem.worldmodel.reward import RewardConfig, RewardModel

ROWS, AGAIN = 40, 17  # of an episode, and where another one begins
POSE, WAY, EYE = ObsSpec((3,)), ObsSpec((2,), 5), ObsSpec((16, 16, 3), kind="image")
# Name -> what is observed, how many are chosen from, whether actions are drawn.
WORLDS = {
    "all, drawn": ({"way": WAY, "pose": POSE, "eye": EYE}, (2,), True),
    "choices of images": ({"eye": EYE}, (4,), False),
    "numbers": ({"pose": POSE}, (), False),
    "numbers, drawn": ({"pose": POSE}, (), True),
}
WORDS = [name if name == "numbers, drawn" else pytest.param(name, marks=pytest.mark.slow) for name in WORLDS]


def make_agent(specs: dict[str, ObsSpec], factors: tuple[int, ...]) -> Agent:
    torch.manual_seed(0)
    spaces = Spaces(specs, 4, factors)
    dynamics = DynamicsModel(DynamicsConfig(deter=32, hidden=16, stoch=4, classes=8, units=16), spaces)
    actor_critic = ActorCritic(ActorCriticConfig(units=16, bins=15), spaces, dynamics.config.feat_size, 0.99)
    reward = RewardModel(RewardConfig(units=16), dynamics.config.feat_size)
    for weight in (actor_critic.actor.out.weight, reward.out_weight):  # preferences and opinions
        torch.nn.init.normal_(weight, std=0.5)
    for model in (dynamics, actor_critic, reward):
        model.requires_grad_(False)
    return Agent(dynamics, actor_critic, spaces, 0, reward)


def rows_of(specs: dict[str, ObsSpec], number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(number)
    drawn = {
        "vector": lambda spec: rng.normal(size=(number, *spec.shape)),
        "category": lambda spec: rng.integers(0, spec.classes, (number, *spec.shape)),
        "image": lambda spec: rng.integers(0, 256, (number, *spec.shape)),
    }
    return {key: drawn[spec.kind](spec).astype(spec.dtype) for key, spec in specs.items()}


def loaded(content: bytes):
    files = {"tandem.json": ""}
    return torch.export.load(io.BytesIO(content), extra_files=files).module(), json.loads(files["tandem.json"])


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value) for key, value in arrays.items()}


@pytest.fixture(scope="module", params=WORDS)
def world(request):
    """An agent, whether its actions are drawn, and both of its programs, as who loads their files has them."""
    specs, factors, is_sampled = WORLDS[request.param]
    agent = make_agent(specs, factors)
    known = described(Config(), agent, {key: {"path": [key]} for key in specs}, {})
    policy = program_bytes(PolicyProgram(agent), known | policy_form(agent, is_sampled))
    reward = program_bytes(RewardProgram(agent), known | reward_form(agent, "step"))
    return agent, is_sampled, loaded(policy), loaded(reward)


@pytest.mark.run
@pytest.mark.parametrize("number", [1, 3])
def test_the_policy_acts_as_the_agent_does_by_the_same_noise(use_exported, world, number):
    agent, is_sampled, (policy, about), _ = world
    batch = json.loads(json.dumps(about["takes"]).replace('"N"', str(number)))
    state, own = use_exported.zeros(batch["state"]), None
    generator, worst = torch.Generator().manual_seed(5), 0.0
    agent.generator.manual_seed(5)
    for row in range(ROWS):
        obs, is_first = rows_of(agent.spaces.obs, number), np.zeros(number, bool)
        is_first[0] = row in (0, AGAIN)
        expected, own = agent.act(obs, own, is_first, mode=not is_sampled)
        noise = {"latent": torch.rand((number, 1, 4), generator=generator)[:, 0]}
        if is_sampled:
            noise["action"] = action_noise((number,), agent.spaces, generator)
        action, state = policy(tensors(obs), state, torch.from_numpy(is_first), noise)
        worst = max(worst, np.abs(action.numpy() - expected).max(), (state["deter"] - own.latent.deter).abs().max())
    assert worst <= 1e-6


@pytest.mark.run
@pytest.mark.parametrize("rows", [1, ROWS, 300])
def test_the_reward_model_scores_as_the_agent_does(use_exported, world, rows):
    agent, _, _, (reward, about) = world
    obs, rng = rows_of(agent.spaces.obs, rows), np.random.default_rng(0)
    vectors, is_first = rng.uniform(-1, 1, (rows, 4)).astype(np.float32), np.arange(rows) % AGAIN == 0
    noise = torch.rand((2, 8, 256, 4), generator=torch.Generator().manual_seed(0))
    noise = torch.cat([*noise], 1)[:, :rows]
    state = use_exported.zeros(about["takes"]["state"])
    mean, disagreement, _ = reward(tensors(obs), torch.from_numpy(vectors), torch.from_numpy(is_first), state, noise)
    own = agent.reward(obs, vectors, is_first)
    scale = np.abs(own.mean).max() or 1.0
    assert rows == 1 or np.abs(own.disagreement).max() > 0
    np.testing.assert_allclose(mean.numpy(), own.mean, rtol=1e-6, atol=1e-6 * scale)
    np.testing.assert_allclose(disagreement.numpy(), own.disagreement, rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.run
def test_the_example_scores_a_long_episode_in_pieces(use_exported, world):
    agent, _, _, (reward, about) = world
    obs, vectors = rows_of(agent.spaces.obs, 300), np.zeros((300, 4), np.float32)
    own = agent.reward(obs, vectors)
    mean, disagreement = use_exported.score(reward, about, obs, vectors)
    np.testing.assert_allclose(mean, own.mean, rtol=1e-6, atol=1e-6 * np.abs(own.mean).max())
    np.testing.assert_allclose(disagreement, own.disagreement, rtol=1e-6, atol=1e-6 * np.abs(own.mean).max())

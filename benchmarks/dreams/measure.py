"""What the models of a run's phases dream of episodes that none of them has seen."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tandem.envs.episodes import Trace
from tandem.envs.records import Spaces
from tandem.training.build import load_agent, make_learner, task_spaces
from tandem.training.config import Config
from tandem.training.measurements.block import block_of
from tandem.training.measurements.dynamics_gap import dynamics_gap, explained_variance, sampled_features
from tandem.training.measurements.snapshots import Snapshots
from tandem.training.models import Models
from tandem.training.reports.evaluate import EvaluateConfig, Evaluator
from tandem.training.settings import read_config
from tandem.training.storage.folder import RunFolder
from tandem.worldmodel.distributions import categorical_entropy, categorical_kl, symlog
from tandem.worldmodel.records import Address, Batch

SAMPLES, EPISODES, HORIZON = 8, 8, 12  # latents averaged, fresh episodes of a block, rows rolled blindly
NATS = ("kl", "prior_entropy", "posterior_entropy")


@dataclass(frozen=True)
class WithoutCritic(Models):
    """Models whose critic promises nothing: an imagined return is made of rewards alone."""

    def value(self, feat: Tensor) -> Tensor:
        return feat.new_zeros(feat.shape[:-1])


@dataclass(frozen=True)
class Chance:
    """A policy of uniform actions."""

    spaces: Spaces
    rng: np.random.Generator

    def act(self, obs: dict[str, np.ndarray], state: None, is_first: np.ndarray, mode: bool) -> tuple[np.ndarray, None]:
        shape = (len(is_first), self.spaces.action_size)
        if self.spaces.factors:
            return np.eye(shape[1], dtype=np.float32)[self.rng.integers(shape[1], size=shape[0])], None
        return self.rng.uniform(-1, 1, shape).astype(np.float32), None


def measure(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Who played the block -> column -> its value with the models of every phase, the pilot's first."""
    config = read_config(RunFolder(folder).config)
    spaces = task_spaces(config)
    models = Models.of(make_learner(config, spaces, torch.device("cpu")))
    evaluator = Evaluator(config.task, config.envs, EvaluateConfig(EPISODES, EPISODES), config.seed + 1_000)
    players = {"policy": load_agent(folder), "chance": Chance(spaces, np.random.default_rng(config.seed))}
    found = {}
    for name, player in players.items():
        traces = evaluator.run(player, EPISODES, mode=False).traces
        rows = []
        for snapshot in Snapshots(RunFolder(folder).snapshots, 1_000).before(1_000, print):
            snapshot.put_into(models)
            rows.append(dreams_of(models, traces, config))
        found[name] = {column: [row[column] for row in rows] for column in rows[0]}
    return found


@torch.no_grad()
def dreams_of(models: Models, traces: list[Trace], config: Config) -> dict[str, float]:
    """The table of one phase's models, in nats and in return units, errors averaged over latents before the absolute."""
    episodes = [episode_of(trace, config) for trace in traces]
    block = block_of(episodes, most=10_000)
    assert block is not None, "there are episodes"
    generator = torch.Generator().manual_seed(config.seed)
    alone = WithoutCritic(models.dynamics, models.reward, models.actor_critic)
    gap = dynamics_gap(models, block, HORIZON, SAMPLES, generator)
    of_rewards = dynamics_gap(alone, block, HORIZON, SAMPLES, generator)
    return {
        **latents_and_rewards(models, traces, episodes, generator),
        "gap_steps": of_rewards.many_steps,
        "gap_steps_signed": of_rewards.many_steps_signed,
        "gap_steps_critic": gap.many_steps,
        "gap_one_step": gap.one_step,
        "gap_one_step_signed": gap.one_step_signed,
        "spread": spread(traces, models.dynamics.config.discount),
        "critic_explains": explained_variance(models, episodes, generator),
        "value_deviation": gap.value_deviation,
    }


def episode_of(trace: Trace, config: Config) -> Batch:
    """A whole episode as the measurements take it: (1, T), from a zero latent on."""
    action = torch.from_numpy(trace.action)[None].float()
    rows = action.shape[:2]
    is_first, is_last = torch.zeros(rows, dtype=torch.bool), torch.zeros(rows, dtype=torch.bool)
    is_first[:, 0], is_last[:, -1] = True, True
    nowhere = torch.zeros(rows, dtype=torch.int64)
    return Batch(
        obs={key: torch.from_numpy(value)[None] for key, value in trace.obs.items()},
        prev_action=torch.cat([torch.zeros_like(action[:, :1]), action[:, :-1]], 1),
        is_first=is_first,
        start_deter=torch.zeros(1, config.dynamics.deter),
        start_stoch=torch.zeros((1, config.dynamics.stoch), dtype=torch.int64),
        is_last=is_last,
        is_terminal=torch.from_numpy(trace.is_terminal)[None],
        address=Address(nowhere[:, 0], nowhere, nowhere, is_heldout=True),
    )


def latents_and_rewards(
    models: Models, traces: list[Trace], episodes: list[Batch], generator: torch.Generator
) -> dict[str, float]:
    """Means over all rows but the first of each episode; the labels are the true rewards."""
    seen = [along(models, episode, generator) for episode in episodes]
    mean = {column: float(torch.cat([one[column] for one in seen]).mean()) for column in NATS}
    label = np.concatenate([trace.reward[1:] for trace in traces])
    error = torch.cat([one["reward"] for one in seen]).double().numpy() - label
    obs, decoded = (torch.cat([one[name] for one in seen]) for name in ("obs", "decoded"))  # (rows, numbers)
    unseen = (decoded - obs).square().mean(0) / obs.var(0, correction=0).clamp(min=1e-8)
    return {
        **mean,
        "decoder_explains": float(1 - unseen.mean()),
        "reward_explains": float(1 - (error**2).mean() / max(label.var(), 1e-8)),
        "gap_reward": float(np.abs(error).mean()) / (1 - models.dynamics.config.discount),
    }


def along(models: Models, episode: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Name -> a value for each row of an episode but the first: nats (T-1,), the reward promised (T-1,), and what is
    decoded from a sampled latent beside what was seen, in symlogs, (T-1, numbers)."""
    dynamics = models.dynamics
    latent, posterior = dynamics.observe(episode, models.noise(episode.is_first.shape, generator))
    prior = dynamics.rssm.prior(latent.deter)
    feat = sampled_features(latent.deter, posterior, models.noise((SAMPLES, *episode.is_first.shape), generator))
    decoded = dynamics.decoder(latent.feat)
    values = {
        "kl": categorical_kl(posterior, prior).sum(-1),
        "prior_entropy": categorical_entropy(prior).sum(-1),
        "posterior_entropy": categorical_entropy(posterior).sum(-1),
        "reward": models.reward.predict(feat).mean(0),
        "decoded": torch.cat([decoded[key].flatten(2) for key in decoded], -1),
        "obs": torch.cat([symlog(episode.obs[key]).flatten(2) for key in decoded], -1),
    }
    return {name: value[0, 1:] for name, value in values.items()}


def spread(traces: list[Trace], discount: float) -> float:
    """Mean absolute deviation of the true rewards over the horizon, in the unit of `gap_steps`: what there is to foresee."""
    weights = discount ** np.arange(HORIZON)
    sums = [
        weights @ trace.reward[start + 1 : start + 1 + HORIZON]
        for trace in traces
        for start in range(0, len(trace.reward) - HORIZON, HORIZON)
    ]
    return float(np.abs(sums - np.mean(sums)).mean()) / (1 - discount**HORIZON) if sums else float("nan")

"""What a phase's end measures for the next plan: the two errors in return units, and whether they mean anything.

Nothing here is trained on, and no true reward that was not bought is read: reward errors come from bought labels, dynamics
errors from held-out transitions, values and returns from the models themselves.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from budget.allocator import Measured
from budget.scaling import Curve
from envs.wrappers import derive_seed
from training.bounds import bounds
from training.gap import DynamicsGap, adjoint_gap, dynamics_gap, explained_variance
from training.heldout import SCORED, Block, block_of
from training.refit import LabelledFeatures, RefitError, calibrated, refit_errors
from training.run import Run
from worldmodel.distributions import twohot_mean
from worldmodel.dynamics import DynamicsModel
from worldmodel.replay.labels import LabelBatch, LabelReplay
from worldmodel.reward import RewardModel

RECENCY = 0.9  # weight of a phase's dynamics error, for each phase that has passed since
LEAST_EXPLAINED = 0.2  # variance of held-out returns, below which a critic's values mean nothing
LEAST_DEVIATION = 1e-8  # of a critic's values: below, it has learned no scale yet


@dataclass(frozen=True)
class Models:
    """What an error is measured of."""

    dynamics: DynamicsModel
    reward: RewardModel
    critic: torch.nn.Module
    bins: Tensor  # of the critic

    def value(self, feat: Tensor) -> Tensor:
        """(..., F) -> (...)"""
        return twohot_mean(self.critic(feat).float(), self.bins)


def measure(run: Run) -> tuple[Measured | None, dict[str, float]]:
    """-> the evidence for the next plan, None where there is too little to measure on, and scalars for the log.

    Takes this phase's snapshot. In coupled mode nothing is allocated and nothing is measured.
    """
    if not isinstance(run.labels, LabelReplay):
        return None, {}
    config, generator, models = run.config.measure, _generator(run), _models(run)
    parts = models.dynamics, models.reward
    episodes = [episode.to(run.device) for episode in run.transitions.heldout_episodes(config.episodes)]
    variance = explained_variance(*parts, models.value, episodes, generator)
    run.snapshots.take(run.learner, run.progress.phase, run.transitions.received, variance)
    block = block_of(episodes, config.windows)
    if block is None:
        return None, {}
    gap = gap_on(models, block, run.config.train.horizon, config.samples, generator)
    refits, live = reward_errors(run, generator)
    levels = calibrated(refits, live.abs())
    adjoint = adjoint_gap(*parts, models.value, block, run.config.train.horizon, config.samples, generator)
    factor = 1.0 / (1.0 - run.config.dynamics.discount)
    scalars = {
        **_dynamics_scalars(gap, adjoint),
        **_reward_scalars(refits, levels, live, factor),
        "gap/explained_variance": variance,
        **bounds(*parts, run.learner.actor_critic, block, live.abs(), run.config.train.horizon, generator),
    }
    scalars = {key: value for key, value in scalars.items() if not math.isnan(value)}
    if not math.isfinite(gap.one_step * gap.value_deviation):
        return None, scalars
    reward = Curve(tuple(float(one.count) for one in refits), tuple(levels), (1.0,) * len(refits))
    measured = Measured(
        dynamics=dynamics_curve(run, block, gap, generator),
        reward=reward,
        weights=(gap.value_deviation, factor),
        explained_variance=variance,
    )
    return measured, scalars


def gap_on(models: Models, block: Block, horizon: int, samples: int, generator: torch.Generator) -> DynamicsGap:
    return dynamics_gap(models.dynamics, models.reward, models.value, block, horizon, samples, generator)


def dynamics_curve(run: Run, block: Block, now: DynamicsGap, generator: torch.Generator) -> Curve:
    """Each phase's model on today's block. Its error is divided by its own critic's deviation there: the scale of
    returns grows while the agent learns, and today's deviation, as a weight, puts it back. A phase whose critic explained
    nothing yet is left out: its errors say how little it was trained, not how little data it had."""
    old, config = copy.deepcopy(_models(run)), run.config.measure
    points = []
    for snapshot in run.snapshots.before(run.progress.phase):
        if snapshot.explained_variance < LEAST_EXPLAINED:
            continue
        for name, state in snapshot.states.items():
            getattr(old, name).load_state_dict(state)
        gap = gap_on(old, block, SCORED, config.samples, generator)
        points.append((snapshot.transitions, gap, RECENCY ** (run.progress.phase - snapshot.phase)))
    points.append((run.transitions.received, now, 1.0))
    kept = [
        (float(count), gap.one_step / gap.value_deviation, weight)
        for count, gap, weight in points
        if gap.value_deviation > LEAST_DEVIATION
    ]
    return Curve(*zip(*kept, strict=True)) if kept else Curve((), (), ())


def reward_errors(run: Run, generator: torch.Generator) -> tuple[list[RefitError], Tensor]:
    """The refits' errors, and rhat - y (K,) of the ensemble in use on uniform labels of held-out episodes."""
    labels, is_uniform = run.labels.newest(run.config.measure.labels)
    refits = []
    if len(labels.value):
        labels, feat = encoded(run, labels, generator)
        features = LabelledFeatures(feat, labels.value, labels.weight, labels.fold, is_uniform.to(run.device))
        refits = refit_errors(features, run.learner.reward.config, generator)
    heldout, is_uniform = run.labels.newest(run.config.measure.labels, is_heldout=True)
    if not len(heldout.value):
        return refits, heldout.value
    heldout, feat = encoded(run, heldout, generator)
    with torch.no_grad():
        live = run.learner.reward.predict(feat) - heldout.value
    return refits, live[is_uniform.to(run.device)]


@torch.no_grad()
def encoded(run: Run, labels: LabelBatch, generator: torch.Generator) -> tuple[LabelBatch, Tensor]:
    """The labels on the models' device, and frozen features of the labelled rows (L, F)."""
    labels = labels.to(run.device)
    shape = (*labels.is_first.shape, run.config.dynamics.stoch)
    noise = torch.rand(shape, generator=generator, device=run.device)
    return labels, run.learner.dynamics.encode(labels, noise)


def _dynamics_scalars(gap: DynamicsGap, adjoint: float) -> dict[str, float]:
    return {
        "gap/dynamics": gap.one_step,
        "gap/dynamics_signed": gap.one_step_signed,
        "gap/dynamics_steps": gap.many_steps,
        "gap/dynamics_steps_signed": gap.many_steps_signed,
        "gap/dynamics_ratio": gap.many_steps / gap.one_step if gap.one_step > 0 else math.nan,  # above 3: compounding
        "gap/dynamics_adjoint": adjoint,
        "gap/value_deviation": gap.value_deviation,
    }


def _reward_scalars(refits: list[RefitError], levels: list[float], live: Tensor, factor: float) -> dict[str, float]:
    scalars = {}
    if refits:
        scalars |= {"gap/reward": factor * levels[-1], "gap/reward_signed": factor * refits[-1].signed}
        scalars |= {"gap/reward_refit": factor * refits[-1].absolute}
    if len(live):
        scalars |= {"gap/reward_heldout": factor * float(live.abs().mean())}
    return scalars


def _models(run: Run) -> Models:
    learner = run.learner
    return Models(learner.dynamics, learner.reward, learner.actor_critic.critic, learner.actor_critic.bins)


def _generator(run: Run) -> torch.Generator:
    """Noise for measuring, from a generator of its own: looking changes nothing in training."""
    return torch.Generator(run.device).manual_seed(derive_seed(run.config.seed, 6, run.progress.phase))
